"""After a hundred wrong passwords in a row an account is closed to networks it does not know."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import servers
from apps import EMAIL, PASSWORD, Events, make_app, make_kit
from jwt_auth_kit import (
    AuthKit,
    Client,
    InvalidCredentials,
    KeyRing,
    LoginThrottle,
    MemoryTokenStore,
    MemoryUserStore,
    StoreUnavailable,
    TokenStore,
    TooManyAttempts,
)
from jwt_auth_kit.passwords.hashers import Passwords
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema
from jwt_auth_kit.web.checks import find_problems

CAP = 100
HOME, CAFE, STRANGER = Client("192.0.2.1"), Client("192.0.2.2"), Client("203.0.113.1")
NEW_PASSWORD = "a new staple every day"
LIMITS = ("per_account_and_network", "per_account", "per_network", "per_wide_network")


def make_throttle(**limits: Any) -> LoginThrottle:
    """Make one that remembers networks and counts nothing but *limits*."""
    options: dict[str, Any] = {**dict.fromkeys(LIMITS, ""), **limits}
    return LoginThrottle(**options)


async def make_kit_with_ada(**options: Any) -> AuthKit:
    kit = make_kit(**{"throttle": make_throttle(), **options})
    await kit.create_user(EMAIL, PASSWORD)
    return kit


async def opens(kit: AuthKit, password: str = PASSWORD, client: Client = HOME) -> bool:
    try:
        await kit.login(EMAIL, password, client=client)
    except InvalidCredentials:
        return False
    return True


async def fail(kit: AuthKit, times: int = CAP, email: str = EMAIL) -> None:
    for _ in range(times):
        with pytest.raises(InvalidCredentials):
            await kit.login(email, "wrong", client=STRANGER)


async def user_id_of(kit: AuthKit) -> str:
    user = await kit.users.get_by_email(EMAIL)
    assert user is not None
    return str(user.id)


async def test_after_a_hundred_failures_only_networks_it_knows_open_an_account() -> None:
    kit = await make_kit_with_ada()
    assert await opens(kit, client=HOME)

    await fail(kit)

    assert not await opens(kit, client=STRANGER)
    assert not await opens(kit, client=CAFE)
    assert not await opens(kit, client=Client())
    assert await opens(kit, client=HOME)


async def test_ninety_nine_failures_close_nothing() -> None:
    kit = await make_kit_with_ada()

    await fail(kit, CAP - 1)

    assert await opens(kit, client=CAFE)


async def test_the_right_password_begins_the_count_again() -> None:
    kit = await make_kit_with_ada()

    for _ in range(2):
        await fail(kit, CAP - 1)
        assert await opens(kit, client=HOME)
    await fail(kit, CAP - 1)

    assert await opens(kit, client=CAFE)


async def test_the_right_password_from_home_does_not_open_a_closed_account_to_others() -> None:
    kit = await make_kit_with_ada()
    assert await opens(kit, client=HOME)
    await fail(kit)

    assert [await opens(kit, client=HOME) for _ in range(3)] == [True] * 3

    assert not await opens(kit, client=CAFE)


async def test_a_hundred_failures_are_told_once_and_a_right_password_after_them_too() -> None:
    events = Events()
    kit = await make_kit_with_ada(on_event=events)

    await fail(kit, CAP + 5)
    await opens(kit, client=CAFE)

    (locked,) = [event for event in events if event.name == "password_locked"]
    assert (locked.user_id, locked.ip) == (await user_id_of(kit), STRANGER.ip)
    assert (events[-1].name, events[-1].reason) == ("login_failed", "password_locked")
    assert events[-1].ip == CAFE.ip


async def test_accounts_that_do_not_exist_are_never_told_as_closed() -> None:
    events = Events()
    kit = await make_kit_with_ada(on_event=events)

    await fail(kit, CAP + 5, "nobody@example.com")

    assert "password_locked" not in events.names


def test_nothing_in_the_answers_tells_that_an_account_is_closed_or_exists() -> None:
    kit = make_kit(throttle=make_throttle())
    with TestClient(make_app(kit), client=("203.0.113.1", 50000)) as client:
        client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        asyncio.run(forget_everything(kit))

        def answers(email: str, password: str) -> list[Any]:
            body = {"email": email, "password": password}
            return [client.post("/auth/login", json=body) for _ in range(CAP + 2)]

        known, unknown = answers(EMAIL, "wrong"), answers("nobody@example.com", "wrong")
        right = answers(EMAIL, PASSWORD)

    seen = {
        (answer.status_code, answer.text, str(sorted(answer.headers.items())))
        for answer in (*known, *unknown, *right)
    }
    assert len(seen) == 1
    assert known[0].status_code == 401


async def forget_everything(kit: AuthKit) -> None:
    """Let the network of the sign-up be a stranger's."""
    await kit.throttle.forget_networks(EMAIL)
    await kit.logout_all(await user_id_of(kit))


@pytest.mark.parametrize("change", ["set_password", "change_password", "unlock_password"])
async def test_a_closed_account_opens_again(change: str) -> None:
    events = Events()
    kit = await make_kit_with_ada(on_event=events)
    user_id = await user_id_of(kit)
    assert await opens(kit, client=HOME)
    await fail(kit)

    if change == "change_password":
        await kit.change_password(user_id, PASSWORD, NEW_PASSWORD, client=HOME)
    elif change == "set_password":
        await kit.set_password(user_id, NEW_PASSWORD)
    else:
        await kit.unlock_password(user_id, actor="an administrator")

    password = PASSWORD if change == "unlock_password" else NEW_PASSWORD
    assert await opens(kit, password, client=CAFE)
    await fail(kit, CAP - 1)
    assert await opens(kit, password, client=STRANGER)
    actors = [event.actor for event in events if event.name == "password_unlocked"]
    assert actors == (["an administrator"] if change == "unlock_password" else [])


async def test_the_password_of_nobody_cannot_be_unlocked() -> None:
    with pytest.raises(LookupError):
        await make_kit().unlock_password("nobody")


async def test_guesses_of_the_current_password_count_too() -> None:
    kit = await make_kit_with_ada()
    user_id = await user_id_of(kit)

    for _ in range(CAP):
        with pytest.raises(InvalidCredentials):
            await kit.change_password(user_id, "wrong", NEW_PASSWORD, client=STRANGER)

    assert not await opens(kit, client=CAFE)
    with pytest.raises(InvalidCredentials):
        await kit.change_password(user_id, PASSWORD, NEW_PASSWORD, client=CAFE)


async def test_a_right_password_that_was_hashed_beside_the_last_guess_is_refused() -> None:
    hasher = WaitingHasher()
    kit = await make_kit_with_ada(hasher=hasher)
    kit.passwords = Passwords(hasher, threads=2)
    await fail(kit, CAP - 1)

    login = asyncio.create_task(opens(kit, client=CAFE))
    assert await asyncio.to_thread(hasher.is_waiting.wait, 30)
    await fail(kit, 1)
    hasher.go_on.set()

    assert not await login


async def test_failures_at_once_close_an_account_after_a_hundred_of_them() -> None:
    events = Events()
    kit = await make_kit_with_ada(on_event=events)

    await asyncio.gather(*(opens(kit, "wrong", client=STRANGER) for _ in range(CAP)))

    assert events.names.count("password_locked") == 1
    assert not await opens(kit, client=CAFE)


async def test_a_right_password_costs_one_read_where_nothing_failed() -> None:
    tokens = RecordingTokens()
    kit = await make_kit_with_ada(tokens=tokens)

    assert await opens(kit)

    assert tokens.work == ["failures"]


async def test_known_and_unknown_accounts_cost_the_same_before_and_after_the_cap() -> None:
    tokens = RecordingTokens()
    kit = await make_kit_with_ada(tokens=tokens)

    async def work_of(email: str, password: str = "wrong") -> list[str]:
        tokens.work.clear()
        with pytest.raises(InvalidCredentials):
            await kit.login(email, password, client=STRANGER)
        return sorted(tokens.work)

    before = [await work_of(email) for email in (EMAIL, "nobody@example.com")]
    for email in (EMAIL, "nobody@example.com"):
        await fail(kit, CAP, email)
    after = [await work_of(email) for email in (EMAIL, "nobody@example.com")]
    right = await work_of(EMAIL, PASSWORD)

    assert before == [["count_failure"]] * 2
    assert after == [["count_failure", "failures", "list_by_user"]] * 2
    assert right == after[0]


async def test_accounts_that_do_not_exist_fill_no_table() -> None:
    tokens = RecordingTokens()
    kit = make_kit(tokens=tokens, throttle=make_throttle(), hasher=WaitingHasher(waits=False))

    for number in range(1500):
        await fail(kit, 1, f"nobody{number}@example.com")

    assert all(re.fullmatch(r"unknown account [0-9]{5}", each) for each in tokens.counted)
    assert all(int(each[-5:]) < 2**16 for each in tokens.counted)


async def test_guesses_at_an_account_that_does_not_exist_do_not_mark_it_for_good() -> None:
    tokens = RecordingTokens()
    kit = await make_kit_with_ada(tokens=tokens)

    await fail(kit, 2 * CAP, "nobody@example.com")
    tokens.work.clear()
    for email in (EMAIL, "nobody@example.com"):
        await fail(kit, 1, email)

    assert tokens.work == ["count_failure"] * 2


async def test_a_failure_that_cannot_be_counted_is_no_free_guess() -> None:
    tokens = RecordingTokens()
    kit = await make_kit_with_ada(tokens=tokens, throttle=make_throttle(per_account="2/hour"))
    tokens.is_read_only = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await kit.login(EMAIL, "wrong", client=STRANGER)

    with pytest.raises(TooManyAttempts):
        await kit.login(EMAIL, PASSWORD, client=STRANGER)


async def test_after_a_restart_an_owner_signs_in_from_where_she_is_signed_in() -> None:
    stores = {"users": MemoryUserStore(), "tokens": MemoryTokenStore()}
    kit = await make_kit_with_ada(**stores)
    assert await opens(kit, client=HOME)
    await fail(kit)

    restarted = make_kit(throttle=make_throttle(), **stores)  # which forgot all networks

    assert await opens(restarted, client=HOME)
    assert not await opens(restarted, client=CAFE)


async def test_where_no_network_is_remembered_a_closed_account_is_closed_to_all() -> None:
    kit = await make_kit_with_ada(throttle=LoginThrottle.unlimited())
    assert await opens(kit, client=HOME)

    await fail(kit)

    assert not await opens(kit, client=HOME)


@pytest.mark.parametrize("change", ["set_password", "change_password"])
async def test_a_new_password_forgets_the_networks_of_the_old_one(change: str) -> None:
    kit = await make_kit_with_ada(throttle=make_throttle(per_account="1/hour"))
    user_id = await user_id_of(kit)
    assert await opens(kit, client=HOME)
    assert await opens(kit, client=STRANGER)

    if change == "change_password":
        await kit.change_password(user_id, PASSWORD, NEW_PASSWORD, client=HOME)
    else:
        await kit.set_password(user_id, NEW_PASSWORD, client=HOME)
    await fail(kit, 1)  # from the stranger's network; it is the only one of this hour

    with pytest.raises(TooManyAttempts):
        await kit.login(EMAIL, NEW_PASSWORD, client=STRANGER)
    if change == "change_password":
        assert await opens(kit, NEW_PASSWORD, client=HOME)
    else:
        with pytest.raises(TooManyAttempts):
            await kit.login(EMAIL, NEW_PASSWORD, client=HOME)


async def test_limits_count_on_when_the_signing_key_changes() -> None:
    users, throttle = MemoryUserStore(), make_throttle(per_account="1/hour")
    before = await make_kit_with_ada(users=users, throttle=throttle, keys=KeyRing.random())
    await fail(before, 1)

    after = make_kit(users=users, throttle=throttle, keys=KeyRing.random())

    with pytest.raises(TooManyAttempts):
        await after.login(EMAIL, PASSWORD, client=STRANGER)


async def test_a_store_that_does_not_count_still_works_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kit = await make_kit_with_ada(tokens=NotCounting(MemoryTokenStore()))
    await fail(kit, CAP + 1)

    (finding,) = [each for each in find_problems(make_app(kit)) if each.subject == "failures"]
    with TestClient(make_app(kit)):
        pass

    assert await opens(kit, client=CAFE)
    await kit.unlock_password(await user_id_of(kit))
    assert finding.level == "warning"
    assert "NotCounting" in finding.message
    assert "count_failure, failures and clear_failures" in finding.message
    assert finding.message in caplog.messages
    assert not [each for each in find_problems(make_app()) if each.subject == "failures"]


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
async def open_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[], TokenStore]]:
    """Open one store again and again, as processes do."""
    opened: list[Any] = []

    def open_it() -> TokenStore:
        if request.param == "redis":
            opened.append(RedisTokenStore(Redis.from_url(url)))
        else:
            opened.append(SQLAlchemyTokenStore(create_async_engine(url, poolclass=NullPool)))
        store: TokenStore = opened[-1]
        return store

    if request.param == "redis":
        server: servers.RedisServer = request.getfixturevalue("redis_server")
        url = server.url
    elif request.param == "postgresql":
        database: servers.PostgreSQL = request.getfixturevalue("postgresql")
        url = database.url("asyncpg")
    else:
        url = f"sqlite+aiosqlite:///{tmp_path / 'auth.sqlite3'}"
    if request.param != "redis":
        engine = create_async_engine(url, poolclass=NullPool)
        await create_schema(engine)
        await engine.dispose()
    yield open_it
    for store in opened:
        await store.aclose()


async def test_failures_are_shared_by_processes_and_survive_a_restart(
    open_store: Callable[[], TokenStore],
) -> None:
    users = MemoryUserStore()
    one = await make_kit_with_ada(users=users, tokens=open_store())
    other = make_kit(users=users, tokens=open_store(), throttle=make_throttle())
    await asyncio.gather(fail(one, CAP // 2), fail(other, CAP // 2 - 1))
    assert not await opens(one, "wrong", client=STRANGER)

    restarted = make_kit(users=users, tokens=open_store(), throttle=make_throttle())

    assert not await opens(restarted, client=CAFE)
    await other.unlock_password(await user_id_of(other))
    assert await opens(restarted, client=CAFE)


class RecordingTokens(MemoryTokenStore):
    """Notes what it is asked about failures, and by whom they are."""

    is_read_only = False

    def __init__(self) -> None:
        super().__init__()
        self.work: list[str] = []
        self.counted: set[str] = set()

    async def count_failure(self, user_id: str) -> int:
        if self.is_read_only:
            raise StoreUnavailable
        self.work.append("count_failure")
        self.counted.add(user_id)
        return await super().count_failure(user_id)

    async def failures(self, user_id: str) -> int:
        self.work.append("failures")
        return await super().failures(user_id)

    async def clear_failures(self, user_id: str, *, below: int | None = None) -> None:
        self.work.append("clear_failures")
        await super().clear_failures(user_id, below=below)

    async def list_by_user(self, *arguments: Any, **options: Any) -> Any:
        self.work.append("list_by_user")
        return await super().list_by_user(*arguments, **options)


class NotCounting:
    """A store of somebody's own from before failures were counted."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if "failure" in name:
            raise AttributeError(name)
        return getattr(self._store, name)


class WaitingHasher:
    """A hasher that costs nothing, and keeps the right password waiting."""

    def __init__(self, *, waits: bool = True) -> None:
        self.go_on = threading.Event()
        self.is_waiting = threading.Event()
        if not waits:
            self.go_on.set()

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        if password == PASSWORD:
            self.is_waiting.set()
            assert self.go_on.wait(30)
        return password_hash == f"hash of {password}"

    def needs_rehash(self, password_hash: str) -> bool:
        return False
