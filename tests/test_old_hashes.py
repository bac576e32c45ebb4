"""Hashes that other libraries made: they sign in, and new ones are never weaker."""

import argon2
import pytest

from jwt_auth_kit import Argon2Hasher, AuthKit, AuthSettings, KeyRing, NewUser
from jwt_auth_kit.events import AuthEvent
from jwt_auth_kit.passwords import PasswordHasher

PASSWORD = "correct horse battery staple"


async def kit_with(
    *password_hashes: str | None,
    hasher: PasswordHasher | None = None,
    events: list[AuthEvent] | None = None,
) -> AuthKit:
    """Make a kit whose accounts user0@example.com, user1@example.com ... have these hashes."""
    kit = AuthKit(
        settings=AuthSettings(),
        keys=KeyRing.random(),
        hasher=hasher or Argon2Hasher(),
        on_event=(lambda _: None) if events is None else events.append,
    )
    for number, password_hash in enumerate(password_hashes):
        await kit.users.create(
            NewUser(
                email=f"user{number}@example.com",
                display_name="Somebody",
                password_hash=password_hash,  # type: ignore[arg-type]  # a store may hold none
            )
        )
    return kit


async def stored_hash(kit: AuthKit, number: int = 0) -> str | None:
    user = await kit.users.get_by_email(f"user{number}@example.com")
    assert user is not None
    return user.password_hash


@pytest.mark.parametrize(
    "made_elsewhere",
    [argon2.PasswordHasher(), argon2.PasswordHasher(time_cost=2, memory_cost=20_000)],
    ids=["argon2-cffi's default", "a little more memory"],
)
async def test_a_login_never_weakens_a_hash(made_elsewhere: argon2.PasswordHasher) -> None:
    password_hash = made_elsewhere.hash(PASSWORD)
    kit = await kit_with(password_hash)

    await kit.login("user0@example.com", PASSWORD)

    assert await stored_hash(kit) == password_hash
