"""Sign-ups are limited by network, and a taken address costs what a new one does."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from apps import ADDRESS, EMAIL, PASSWORD, Events, code, make_app, make_kit
from jwt_auth_kit import (
    AuthKit,
    Busy,
    Client,
    EmailTaken,
    LoginThrottle,
    MemoryTokenStore,
    MemoryUserStore,
    NewUser,
    TooManyAttempts,
    WeakPassword,
)
from jwt_auth_kit.passwords.hashers import Passwords
from jwt_auth_kit.stores.memory import MemoryUser

OTHER_ADDRESS = "192.0.2.2"


@contextmanager
def serve(kit: AuthKit, address: str | None = ADDRESS) -> Iterator[TestClient]:
    client = ("testclient" if address is None else address, 50000)
    with TestClient(make_app(kit), client=client) as test_client:
        yield test_client


def sign_up(client: TestClient, email: str) -> Any:
    return client.post("/auth/register", json={"email": email, "password": PASSWORD})


def test_a_network_can_ask_for_twenty_addresses_an_hour_new_or_taken() -> None:
    events = Events()
    kit = make_kit(on_event=events)
    with serve(kit) as client:
        statuses = [sign_up(client, EMAIL).status_code for _ in range(19)]
        statuses.append(sign_up(client, "new@example.com").status_code)

        taken, new = sign_up(client, EMAIL), sign_up(client, "another@example.com")

    assert statuses == [201, *[409] * 18, 201]
    for answer in (taken, new):
        assert (answer.status_code, code(answer)) == (429, "too_many_attempts")
        assert 0 < int(answer.headers["retry-after"]) <= 3600
    assert events.names.count("registration_throttled") == 2
    assert {event.ip for event in events} == {ADDRESS}


def test_a_network_that_signed_up_too_often_is_in_nobody_elses_way() -> None:
    kit = make_kit(throttle=LoginThrottle(sign_ups_per_network="1/hour"))
    with serve(kit) as client, serve(kit, OTHER_ADDRESS) as other:
        assert [sign_up(client, EMAIL).status_code for _ in range(2)] == [201, 429]

        assert sign_up(other, "bob@example.com").status_code == 201


def test_sign_ups_without_an_address_share_a_ceiling_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="jwt_auth_kit")
    kit = make_kit(throttle=LoginThrottle(sign_ups_without_address="2/hour"))
    with serve(kit, None) as client, serve(kit) as known:
        statuses = [sign_up(client, f"{number}@example.com").status_code for number in range(3)]

        assert statuses == [201, 201, 429]
        assert sign_up(known, EMAIL).status_code == 201
    (warning,) = [line for line in caplog.messages if "without the caller's address" in line]
    assert "2/hour" in warning
    assert "JWT_TRUSTED_PROXIES" in warning


async def test_without_a_ceiling_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    kit = make_kit(throttle=LoginThrottle(sign_ups_without_address=""))

    await kit.register(EMAIL, PASSWORD)

    assert "without the caller's address" not in caplog.text


async def test_a_taken_and_a_new_address_cost_one_hash_and_the_same_store_calls() -> None:
    work: list[str] = []
    kit = make_kit(users=RecordingUsers(work), tokens=RecordingTokens(work), hasher=Hasher(work))

    async def work_of(email: str) -> list[str]:
        work.clear()
        try:
            await kit.register(email, PASSWORD, client=Client(ADDRESS))
        except EmailTaken:
            return list(work)
        return list(work)

    new, taken = await work_of(EMAIL), await work_of(EMAIL)

    assert taken == ["get_by_email", "hash", "create user"]
    assert new == [*taken, "epochs", "get_by_id", "create session"]


async def test_accounts_made_in_code_cost_the_same_too() -> None:
    work: list[str] = []
    kit = make_kit(users=RecordingUsers(work), hasher=Hasher(work))
    work.clear()  # a kit makes a hash when it is made
    await kit.create_user(EMAIL, PASSWORD)
    new = list(work)

    with pytest.raises(EmailTaken):
        await kit.create_user(EMAIL, PASSWORD)

    assert work == [*new, *new]


async def test_a_store_that_overwrites_taken_addresses_gives_no_account_away() -> None:
    users = OverwritingUsers()
    kit = make_kit(users=users)
    await kit.create_user(EMAIL, PASSWORD, display_name="Ada", role="admin")
    before = await users.get_by_email(EMAIL)

    with pytest.raises(EmailTaken):
        await kit.register(EMAIL, "the password of a stranger")

    assert await users.get_by_email(EMAIL) == before


async def test_what_is_refused_before_the_address_is_looked_up_costs_no_sign_up() -> None:
    kit = make_kit(throttle=LoginThrottle(sign_ups_per_network="1/hour"))
    for _ in range(3):
        with pytest.raises(WeakPassword):
            await kit.register(EMAIL, "password", client=Client(ADDRESS))
        with pytest.raises(ValueError, match="valid e-mail address"):
            await kit.register("no address", PASSWORD, client=Client(ADDRESS))

    await kit.register(EMAIL, PASSWORD, client=Client(ADDRESS))

    with pytest.raises(TooManyAttempts):
        await kit.register("bob@example.com", PASSWORD, client=Client(ADDRESS))


async def test_a_sign_up_that_met_a_full_queue_costs_nothing() -> None:
    kit = make_kit(throttle=LoginThrottle(sign_ups_per_network="1/hour"))
    pool, kit.passwords = kit.passwords, Passwords(Hasher([]), threads=0, queue=0)
    for _ in range(3):
        with pytest.raises(Busy):
            await kit.register(EMAIL, PASSWORD, client=Client(ADDRESS))

    kit.passwords = pool

    assert (await kit.register(EMAIL, PASSWORD, client=Client(ADDRESS))).user.email == EMAIL


async def test_code_may_make_any_number_of_accounts() -> None:
    kit = make_kit(throttle=LoginThrottle(sign_ups_without_address="1/hour"))

    for number in range(3):
        await kit.create_user(f"{number}@example.com", PASSWORD)

    await kit.register(EMAIL, PASSWORD)


def test_openapi_says_that_sign_ups_are_limited() -> None:
    responses = make_app().openapi()["paths"]["/auth/register"]["post"]["responses"]

    examples = responses["429"]["content"]["application/json"]["examples"]
    assert examples.keys() == {"too_many_attempts"}
    assert "Retry-After" in responses["429"]["headers"]


class RecordingUsers(MemoryUserStore):
    """Notes what it is asked."""

    def __init__(self, work: list[str]) -> None:
        super().__init__()
        self._work = work

    async def get_by_email(self, email: str) -> MemoryUser | None:
        self._work.append("get_by_email")
        return await super().get_by_email(email)

    async def get_by_id(self, user_id: str) -> MemoryUser | None:
        self._work.append("get_by_id")
        return await super().get_by_id(user_id)

    async def create(self, user: NewUser) -> MemoryUser:
        self._work.append("create user")
        return await super().create(user)


class RecordingTokens(MemoryTokenStore):
    """Notes what it is asked."""

    def __init__(self, work: list[str]) -> None:
        super().__init__()
        self._work = work

    async def epochs(self, *arguments: Any) -> Any:
        self._work.append("epochs")
        return await super().epochs(*arguments)

    async def create(self, *arguments: Any, **options: Any) -> Any:
        self._work.append("create session")
        return await super().create(*arguments, **options)


class Hasher:
    """Notes what it hashes, and costs nothing."""

    def __init__(self, work: list[str]) -> None:
        self._work = work

    def hash(self, password: str) -> str:
        self._work.append("hash")
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        return password_hash == f"hash of {password}"

    def needs_rehash(self, password_hash: str) -> bool:
        return False


class OverwritingUsers(MemoryUserStore):
    """A store that breaks its contract: the last one who makes an account has it."""

    async def create(self, user: NewUser) -> MemoryUser:
        account = await self.get_by_email(user.email)
        if account is None:
            return await super().create(user)
        await self.set_password_hash(account.id, user.password_hash, expected=account.password_hash)
        await self.set_role(account.id, user.role)
        return account
