"""A login beside a password change, a disable and a logout of all devices, on every store.

Hashes are due for a rehash, so that each login also writes the user.
"""

import asyncio
import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from apps import PASSWORD, make_kit
from jwt_auth_kit import (
    AuthKit,
    InvalidCredentials,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    RevokedToken,
    SessionRevoked,
    SignedIn,
    TokenStore,
    UserStore,
)
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
)
from processes import make_tables
from servers import postgresql, redis

ROUNDS = 25
NEW_PASSWORD = "staple battery horse"


@dataclass(frozen=True)
class VersionedHasher:
    """Costs nothing, and finds hashes of another version in need of a rehash."""

    version: int

    def hash(self, password: str) -> str:
        return self._hash(password, self.version, secrets.token_hex(8))

    def verify(self, password: str, password_hash: str) -> bool:
        version, salt, _ = password_hash.split("$")
        return self._hash(password, int(version), salt) == password_hash

    def needs_rehash(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"{self.version}$")

    def _hash(self, password: str, version: int, salt: str) -> str:
        return f"{version}${salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"


class Restless:
    """A store whose calls take a random moment before and after they act."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if not iscoroutinefunction(call):
            return call

        async def take_a_moment(*arguments: Any, **options: Any) -> Any:
            await pause()
            result = await call(*arguments, **options)
            await pause()
            return result

        return take_a_moment


async def pause() -> None:
    await asyncio.sleep(random.choice([0, random.uniform(0, 0.003)]))


@dataclass(frozen=True)
class Site:
    """The stores that several kits share, as several processes do."""

    users: UserStore
    tokens: TokenStore
    keys: KeyRing

    def kit(self, *, restless: bool = True, version: int = 2) -> AuthKit:
        """Make a kit with a feed of its own, which it reads before each request."""
        return make_kit(
            users=Restless(self.users) if restless else self.users,
            tokens=Restless(self.tokens) if restless else self.tokens,
            keys=self.keys,
            hasher=VersionedHasher(version),
            settings={"revocation_interval": 0},
            on_event=lambda event: None,
        )

    async def person(self) -> tuple[str, str]:
        """Make an account whose hash is old; return its address and id."""
        email = f"{secrets.token_hex(8)}@example.com"
        user = await self.kit(restless=False, version=1).create_user(email, PASSWORD)
        return email, str(user.id)


@dataclass(frozen=True)
class Servers:
    """The servers of this module."""

    database: str
    redis: str


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        database = stack.enter_context(postgresql()).url("asyncpg")
        make_tables(database)
        yield Servers(database, stack.enter_context(redis()).url)


@asynccontextmanager
async def engine_on(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def on_memory(servers: Servers) -> AsyncIterator[Site]:
    yield Site(MemoryUserStore(), MemoryTokenStore(), KeyRing.random())


@asynccontextmanager
async def on_postgresql(servers: Servers) -> AsyncIterator[Site]:
    async with engine_on(servers.database) as engine:
        yield Site(SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine), KeyRing.random())


@asynccontextmanager
async def on_redis(servers: Servers) -> AsyncIterator[Site]:
    client = Redis.from_url(servers.redis)
    async with engine_on(servers.database) as engine:
        yield Site(SQLAlchemyUserStore(engine), RedisTokenStore(client), KeyRing.random())
    await client.aclose()


MakeSite = Callable[[Servers], AbstractAsyncContextManager[Site]]


@pytest.fixture(params=[on_memory, on_postgresql, on_redis], ids=lambda make: make.__name__)
async def site(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Site]:
    make: MakeSite = request.param
    async with make(servers) as site:
        yield site


async def race(
    site: Site, email: str, ending: Callable[[AuthKit], Awaitable[Any]]
) -> list[SignedIn]:
    """Sign in four times while *ending* runs in another process; return who came in."""

    # Any order may come up; in two of three rounds one order is made sure of, so that a slow
    # machine sees both.
    order = random.choice(["any", "a login first", "the end first"])
    one_came_in, ended = asyncio.Event(), asyncio.Event()

    async def sign_in(number: int) -> SignedIn | None:
        await asyncio.sleep(random.uniform(0, 0.04))
        if number == 0 and order == "the end first":
            await ended.wait()
        try:
            return await site.kit().login(email, PASSWORD)
        except InvalidCredentials:
            return None
        finally:
            one_came_in.set()

    async def end() -> None:
        await asyncio.sleep(random.uniform(0, 0.08))
        if order == "a login first":
            await one_came_in.wait()
        await ending(site.kit())
        ended.set()

    came = await asyncio.gather(*(sign_in(number) for number in range(4)), end())
    return [signed_in for signed_in in came if signed_in is not None]


async def assert_over(site: Site, signed_in: SignedIn) -> None:
    kit = site.kit(restless=False)
    with pytest.raises(SessionRevoked):
        await kit.refresh(signed_in.tokens.refresh_token)
    with pytest.raises(RevokedToken):
        await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()


async def assert_alive(site: Site, signed_in: SignedIn) -> None:
    kit = site.kit(restless=False)
    await kit.refresh(signed_in.tokens.refresh_token)
    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()


async def test_no_login_with_the_old_password_outlives_a_password_change(site: Site) -> None:
    came_in = 0
    for _ in range(ROUNDS):
        email, user_id = await site.person()
        callers: list[SignedIn] = []

        async def change(kit: AuthKit, user_id: str = user_id, to: list[Any] = callers) -> None:
            to.append(await kit.change_password(user_id, PASSWORD, NEW_PASSWORD))

        old = await race(site, email, change)

        for signed_in in old:
            await assert_over(site, signed_in)
        await assert_alive(site, callers[0])
        with pytest.raises(InvalidCredentials):
            await site.kit(restless=False).login(email, PASSWORD)
        await assert_alive(site, await site.kit(restless=False).login(email, NEW_PASSWORD))
        came_in += len(old)
    assert 0 < came_in < 4 * ROUNDS  # both orders were seen


async def test_no_login_outlives_a_disabled_account(site: Site) -> None:
    came_in = 0
    for _ in range(ROUNDS):
        email, user_id = await site.person()

        async def disable(kit: AuthKit, user_id: str = user_id) -> None:
            await kit.disable_user(user_id)

        early = await race(site, email, disable)

        with pytest.raises(InvalidCredentials):
            await site.kit(restless=False).login(email, PASSWORD)
        await site.kit(restless=False).enable_user(user_id)
        for signed_in in early:
            await assert_over(site, signed_in)
        await assert_alive(site, await site.kit(restless=False).login(email, PASSWORD))
        came_in += len(early)
    assert 0 < came_in < 4 * ROUNDS


async def test_no_login_from_before_outlives_a_logout_of_all_devices(site: Site) -> None:
    before = 0
    for _ in range(ROUNDS):
        email, user_id = await site.person()

        async def log_out_all(kit: AuthKit, user_id: str = user_id) -> None:
            await kit.logout_all(user_id)

        signed_in = await race(site, email, log_out_all)

        assert len(signed_in) == 4  # one that came too late for its epoch tries again
        sessions_from = (await site.tokens.epochs(user_id)).sessions_from
        for one in signed_in:
            stored = await site.tokens.get(user_id, one.session_id)
            assert stored is not None
            began_before = stored.session.epoch < sessions_from
            await (assert_over if began_before else assert_alive)(site, one)
            before += began_before
        await assert_alive(site, await site.kit(restless=False).login(email, PASSWORD))
    assert 0 < before < 4 * ROUNDS


async def test_a_login_that_had_returned_never_outlives_a_logout_of_all_devices(
    site: Site,
) -> None:
    for _ in range(ROUNDS):
        email, user_id = await site.person()
        done: list[SignedIn] = []

        async def keep_signing_in(email: str = email, done: list[SignedIn] = done) -> None:
            for _ in range(3):
                signed_in = await site.kit().login(email, PASSWORD)
                done.append(signed_in)

        logins = asyncio.gather(keep_signing_in(), keep_signing_in())
        await asyncio.sleep(random.uniform(0, 0.06))
        early = list(done)
        await site.kit().logout_all(user_id)
        await logins

        for signed_in in early:
            await assert_over(site, signed_in)


RAISED = text(
    "INSERT INTO auth_epochs (user_id, epoch, sessions_from, changed_at) VALUES (:id, 1, 1, :now) "
    "ON CONFLICT (user_id) DO UPDATE SET epoch = auth_epochs.epoch + 1, "
    "sessions_from = auth_epochs.epoch + 1, changed_at = :now"
)


async def raise_epochs(connection: AsyncConnection, user_id: str) -> None:
    await connection.execute(RAISED, {"id": user_id, "now": datetime.now(UTC)})


@pytest.mark.parametrize("has_row", [True, False], ids=["row", "no-row"])
async def test_a_login_waits_for_an_end_of_all_sessions_that_has_not_committed(
    servers: Servers, has_row: bool
) -> None:
    async with on_postgresql(servers) as site, engine_on(servers.database) as engine:
        email, user_id = await site.person()
        kit = site.kit(restless=False)
        if has_row:
            await kit.login(email, PASSWORD)

        async with engine.begin() as by_hand:
            await raise_epochs(by_hand, user_id)
            login = asyncio.create_task(kit.login(email, PASSWORD))
            await asyncio.sleep(0.3)
            assert not login.done()
        signed_in = await login

        epochs = await site.tokens.epochs(user_id)
        live = await kit.list_sessions(user_id)
        assert [session.id for session in live] == [signed_in.session_id]
        assert live[0].epoch == epochs.sessions_from == 1
        await assert_alive(site, signed_in)


@pytest.mark.parametrize("has_row", [True, False], ids=["row", "no-row"])
async def test_a_login_with_the_old_password_fails_beside_a_change_that_has_not_committed(
    servers: Servers, has_row: bool
) -> None:
    async with on_postgresql(servers) as site, engine_on(servers.database) as engine:
        email, user_id = await site.person()
        kit = site.kit(restless=False)
        if has_row:
            await kit.login(email, PASSWORD)
        new_hash = VersionedHasher(2).hash(NEW_PASSWORD)

        async with engine.begin() as by_hand:
            await raise_epochs(by_hand, user_id)
            await by_hand.execute(
                text("UPDATE users SET password_hash = :hash WHERE id = :id"),
                {"hash": new_hash, "id": user_id},
            )
            login = asyncio.create_task(kit.login(email, PASSWORD))
            await asyncio.sleep(0.3)
            assert not login.done()
        with pytest.raises(InvalidCredentials):
            await login

        assert await kit.list_sessions(user_id) == []
        await assert_alive(site, await kit.login(email, NEW_PASSWORD))


async def test_a_login_beside_an_end_of_all_sessions_that_is_rolled_back_succeeds(
    servers: Servers,
) -> None:
    async with on_postgresql(servers) as site, engine_on(servers.database) as engine:
        email, user_id = await site.person()
        kit = site.kit(restless=False)

        async with engine.connect() as by_hand:
            await raise_epochs(by_hand, user_id)
            login = asyncio.create_task(kit.login(email, PASSWORD))
            await asyncio.sleep(0.3)
            assert not login.done()
            await by_hand.rollback()
        signed_in = await login

        assert (await site.tokens.epochs(user_id)).sessions_from == 0
        await assert_alive(site, signed_in)
