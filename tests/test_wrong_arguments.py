"""Arguments that are something else: refused when the kit is made, with what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from apps import EMAIL, PASSWORD, make_kit
from jwt_auth_kit import (
    Argon2Hasher,
    AuthKit,
    AuthSettings,
    ConfigurationError,
    CookieTransport,
    MemoryUserStore,
    install,
)
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyUserStore

ENGINE = create_async_engine("sqlite+aiosqlite://")


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("users", ENGINE, r"AsyncEngine\. Write users=SQLAlchemyUserStore\(engine\)"),
        ("users", SQLAlchemyUserStore, "the class SQLAlchemyUserStore"),
        ("tokens", ENGINE, r"AsyncEngine\. Write tokens=SQLAlchemyTokenStore\(engine\)"),
        ("tokens", MemoryUserStore(), r"MemoryUserStore\. Write tokens=SQLAlchemyTokenStore"),
        ("keys", "a-secret", r"str\. Write keys=KeyRing\.from_secret\(secret\)"),
        ("hasher", "argon2", r"str\. Write hasher=Argon2Hasher\(\)"),
        ("hasher", Argon2Hasher, "the class Argon2Hasher"),
        ("password_policy", 12, r"int\. Write password_policy=PasswordPolicy\(min_length=12\)"),
        ("throttle", "redis://ann:a-secret@cache", r"str\. Write throttle=LoginThrottle\("),
    ],
)
def test_a_part_that_is_something_else_is_refused(name: str, part: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        make_kit(**{name: part})

    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"access_ttl": 60}, AuthSettings])
def test_settings_that_are_something_else_are_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Write settings=AuthSettings\("):
        AuthKit(settings=settings)


def test_a_class_that_needs_no_object_is_a_part() -> None:
    class Hasher:
        @staticmethod
        def hash(password: str) -> str:
            return password[::-1]

        @staticmethod
        def verify(password: str, password_hash: str) -> bool:
            return password_hash == password[::-1]

        @staticmethod
        def needs_rehash(password_hash: str) -> bool:
            return False

    make_kit(hasher=Hasher)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: install(make_kit(), FastAPI()), r"not AuthKit\. Write install\(app, kit\)"),  # type: ignore[arg-type,type-var]
        (lambda: install(FastAPI(), AuthKit), r"AuthKit .* Write install\(app, AuthKit\(\)\)"),  # type: ignore[type-var]
        (lambda: install(FastAPI(), "kit"), "cannot use str"),  # type: ignore[type-var]
        (
            lambda: install(FastAPI(), make_kit(), transports=CookieTransport()),  # type: ignore[arg-type]
            r"transports=\[CookieTransport\(\)\]",
        ),
    ],
)
def test_install_says_what_to_write(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        call()


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u2003", "\x1f"])
async def test_a_scope_with_white_space_grants_no_other_one(space: str) -> None:
    kit = make_kit(scopes=lambda user: [f"team:{user.display_name}"])

    with pytest.raises(ConfigurationError, match="white space"):
        await kit.register(EMAIL, PASSWORD, display_name=f"x{space}admin")

    assert await kit.users.get_by_email(EMAIL) is None


@pytest.mark.parametrize("given", ["notes:read notes:write", ["notes:write", "", "notes:read"]])
async def test_scopes_may_be_one_string(given: Any) -> None:
    kit = make_kit(scopes=lambda _: given)

    signed_in = await kit.register(EMAIL, PASSWORD)

    user = await kit.authenticate(signed_in.tokens.access_token)
    assert user.scopes == {"notes:read", "notes:write"}


@pytest.mark.parametrize("given", [None, 7, [None], [["notes:read"]]])
async def test_scopes_that_are_no_names_are_refused_before_an_account_is_made(given: Any) -> None:
    kit = make_kit(scopes=lambda _: given)

    with pytest.raises(ConfigurationError, match="must return a list of names"):
        await kit.register(EMAIL, PASSWORD)

    assert await kit.users.get_by_email(EMAIL) is None
