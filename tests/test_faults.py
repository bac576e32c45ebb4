"""Databases and workers that die, answers that are cut, stores that are slow.

None of it may cost anybody a session: an outage is a 503, and the same token works afterwards.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from apps import EMAIL, PASSWORD, make_app, make_kit
from jwt_auth_kit import (
    AuthKit,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    SignedIn,
    StoreUnavailable,
    TokenStore,
    UserStore,
)
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
)
from processes import Line, make_tables, running
from servers import PostgreSQL, RedisServer, Server, postgresql, redis

RECOVERY_SECONDS = 30


@dataclass(frozen=True)
class Servers:
    """The servers of this module; both survive a kill."""

    postgresql: PostgreSQL
    redis: RedisServer


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        started = Servers(
            stack.enter_context(postgresql(durable=True)), stack.enter_context(redis(durable=True))
        )
        make_tables(started.postgresql.url("asyncpg"))
        yield started


@dataclass(frozen=True)
class Site:
    """Stores, the server that holds the sessions, and one signing key for all kits."""

    users: UserStore
    tokens: TokenStore
    server: Server | None = None
    keys: KeyRing = field(default_factory=KeyRing.random)

    def kit(self, tokens: Any = None, *, late: bool = False) -> AuthKit:
        """Make a kit; a *late* one is a minute behind, so its tokens are due to rotate."""
        behind = timedelta(minutes=1 if late else 0)
        return make_kit(
            users=self.users,
            tokens=tokens or self.tokens,
            keys=self.keys,
            on_event=lambda event: None,
            clock=lambda: datetime.now(UTC) - behind,
        )

    async def sign_in(self) -> SignedIn:
        kit = self.kit(late=True)
        if await self.users.get_by_email(EMAIL) is None:
            await kit.create_user(EMAIL, PASSWORD)
        return await kit.login(EMAIL, PASSWORD)

    async def generation(self, signed_in: SignedIn) -> int:
        stored = await self.tokens.get(str(signed_in.user.id), signed_in.session_id)
        assert stored is not None
        return stored.session.gen


@asynccontextmanager
async def on_memory(servers: Servers) -> AsyncIterator[Site]:
    yield Site(MemoryUserStore(), MemoryTokenStore())


@asynccontextmanager
async def on_asyncpg(servers: Servers) -> AsyncIterator[Site]:
    async with on_sql(servers, "asyncpg") as site:
        yield site


@asynccontextmanager
async def on_psycopg(servers: Servers) -> AsyncIterator[Site]:
    async with on_sql(servers, "psycopg") as site:
        yield site


@asynccontextmanager
async def on_sql(servers: Servers, driver: str) -> AsyncIterator[Site]:
    engine = create_async_engine(servers.postgresql.url(driver))
    yield Site(SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine), servers.postgresql)
    await engine.dispose()


@asynccontextmanager
async def on_redis(servers: Servers) -> AsyncIterator[Site]:
    client = Redis.from_url(servers.redis.url, retry=Retry(NoBackoff(), 1))
    yield Site(MemoryUserStore(), RedisTokenStore(client), servers.redis)
    await client.aclose()


MakeSite = Callable[[Servers], AbstractAsyncContextManager[Site]]
ON_SERVERS: list[MakeSite] = [on_asyncpg, on_psycopg, on_redis]


@pytest.fixture
async def site(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Site]:
    make: MakeSite = request.param
    async with make(servers) as site:
        yield site


on_every_server = pytest.mark.parametrize(
    "site", ON_SERVERS, indirect=True, ids=lambda make: make.__name__
)
on_every_store = pytest.mark.parametrize(
    "site", [on_memory, *ON_SERVERS], indirect=True, ids=lambda make: make.__name__
)


@asynccontextmanager
async def client_of(kit: AuthKit) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(kit))
    async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as client:
        yield client
    await kit.aclose()


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


def assert_outage(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["detail"]["code"] == "store_unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert "set-cookie" not in answer.headers


def restart(server: Server) -> None:
    """Start a killed server; what is left of PostgreSQL then holds its memory for a moment."""
    for _ in range(20):
        with suppress(AssertionError):
            server.start()
            return
        time.sleep(0.25)
    server.start()


@on_every_server
async def test_an_outage_is_a_503_and_the_same_token_works_after_the_restart(site: Site) -> None:
    assert site.server is not None
    session = await site.sign_in()
    other = await site.sign_in()
    async with client_of(site.kit()) as client:
        first = (await refresh(client, session.tokens.refresh_token)).json()

        site.server.kill()
        for signed_in in (session, other):
            for _ in range(3):
                assert_outage(await refresh(client, signed_in.tokens.refresh_token))
        restart(site.server)

        again = await until_it_answers(client, session.tokens.refresh_token)
        fresh = await until_it_answers(client, other.tokens.refresh_token)

    assert again.status_code == fresh.status_code == 200
    assert again.json()["refresh_token"] == first["refresh_token"]
    assert await site.generation(session) == await site.generation(other) == 2


async def until_it_answers(client: httpx.AsyncClient, token: str) -> httpx.Response:
    """Retry as a client does, which meets nothing but 503 until the store is back."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            answer = await refresh(client, token)
            if answer.status_code != 503:
                return answer
            assert_outage(answer)
            await asyncio.sleep(0.05)


@on_every_server
async def test_a_kill_and_restart_under_load_answers_nothing_but_200_and_503(site: Site) -> None:
    assert site.server is not None
    sessions = [await site.sign_in() for _ in range(4)]
    statuses: Counter[int] = Counter()
    successors: dict[str, set[str]] = {session.session_id: set() for session in sessions}
    stopped = False

    async def keep_refreshing(client: httpx.AsyncClient, session: SignedIn) -> None:
        while not stopped:
            answer = await refresh(client, session.tokens.refresh_token)
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                successors[session.session_id].add(answer.json()["refresh_token"])
            await asyncio.sleep(0.005)

    async with client_of(site.kit()) as client:
        load = asyncio.gather(*(keep_refreshing(client, one) for one in sessions for _ in "ab"))
        for _ in range(2):
            await asyncio.sleep(0.3)
            site.server.kill()
            await asyncio.sleep(0.2)
            await asyncio.to_thread(restart, site.server)
        for session in sessions:
            assert (await until_it_answers(client, session.tokens.refresh_token)).is_success
        stopped = True
        await load

    print(f"\n{type(site.server).__name__} killed twice under load: answers {dict(statuses)}")
    assert set(statuses) == {200, 503}
    assert all(len(tokens) == 1 for tokens in successors.values())
    assert [await site.generation(session) for session in sessions] == [2] * 4


@on_every_server
async def test_an_access_token_is_not_refused_because_of_an_outage(site: Site) -> None:
    assert site.server is not None
    session = await site.sign_in()
    async with client_of(site.kit()) as client:
        headers = {"Authorization": f"Bearer {session.tokens.access_token}"}

        site.server.kill()
        down = await client.get("/projects", headers=headers)
        restart(site.server)

        assert_outage(down)
        async with asyncio.timeout(RECOVERY_SECONDS):
            up = down
            while up.status_code == 503:
                await asyncio.sleep(0.1)
                up = await client.get("/projects", headers=headers)
        assert up.status_code == 200


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_database_that_takes_no_more_connections_is_an_outage(
    servers: Servers, driver: str
) -> None:
    async with on_sql(servers, driver) as site:
        token = (await site.sign_in()).tokens.refresh_token
        engine = create_async_engine(servers.postgresql.url(driver))
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE ROLE {driver} LOGIN CONNECTION LIMIT 0"))
        await engine.dispose()
        url = servers.postgresql.url(driver).replace("postgres@", f"{driver}@")
        full = create_async_engine(url)
        crowded = Site(
            SQLAlchemyUserStore(full), SQLAlchemyTokenStore(full), servers.postgresql, site.keys
        )

        async with client_of(crowded.kit()) as client:
            refused = await refresh(client, token)

        await full.dispose()
        assert_outage(refused)
        assert (await site.kit().refresh(token)).tokens.refresh_token != token


@pytest.mark.parametrize("store", ["postgresql", "redis"])
async def test_a_worker_killed_between_write_and_answer_costs_no_session(
    servers: Servers, store: str
) -> None:
    secret = make_secret()
    engine = create_async_engine(servers.postgresql.url("asyncpg"))
    client = Redis.from_url(servers.redis.url)
    tokens = SQLAlchemyTokenStore(engine) if store == "postgresql" else RedisTokenStore(client)
    site = Site(SQLAlchemyUserStore(engine), tokens, keys=KeyRing.from_secret(secret))
    session = await site.sign_in()
    token = session.tokens.refresh_token
    environment = {
        "DATABASE_URL": servers.postgresql.url("asyncpg"),
        "JWT_SECRET_KEY": secret,
    } | ({"TOKEN_STORE_URL": servers.redis.url} if store == "redis" else {})

    with running(environment) as killed:
        line = await Line.open(killed.port)
        with pytest.raises(asyncio.IncompleteReadError):
            await line.refresh(token, **{"X-Die": "after-write"})
        await line.close()
        assert killed.wait_for_death() == -9
    assert await site.generation(session) == 2  # it was written, and nobody was told
    with running(environment) as restarted:
        line = await Line.open(restarted.port)
        answers = [await line.refresh(token) for _ in range(3)]
        await line.close()

    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.body["refresh_token"] for answer in answers}) == 1
    assert await site.generation(session) == 2
    successor = answers[0].body["refresh_token"]
    kept = await site.kit().refresh(successor)
    assert kept.tokens.refresh_token == successor
    await client.aclose()
    await engine.dispose()


class Faulty:
    """A store that passes calls on, and whose writes a test can disturb."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class CutStore(Faulty):
    """Writes, and loses the answer on the way back."""

    cuts = 1

    async def compare_and_set(self, *arguments: Any) -> bool:
        written = await self._store.compare_and_set(*arguments)
        if self.cuts:
            self.cuts -= 1
            raise StoreUnavailable
        return written


class SlowStore(Faulty):
    """Takes its time before and after each write, more of it for some than for others."""

    calls = 0

    async def compare_and_set(self, *arguments: Any) -> bool:
        self.calls += 1
        delay = 0.02 * (self.calls % 5)
        await asyncio.sleep(delay)
        written = await self._store.compare_and_set(*arguments)
        await asyncio.sleep(0.1 - delay)
        return written


@on_every_store
async def test_an_answer_of_the_store_that_is_cut_after_the_write_costs_no_session(
    site: Site,
) -> None:
    session = await site.sign_in()
    token = session.tokens.refresh_token
    async with client_of(site.kit(CutStore(site.tokens))) as client:
        cut = await refresh(client, token)
        retried = await refresh(client, token)
        repeated = await refresh(client, token)

    assert_outage(cut)
    assert retried.status_code == repeated.status_code == 200
    assert retried.json()["refresh_token"] == repeated.json()["refresh_token"] != token
    assert await site.generation(session) == 2


@on_every_store
async def test_every_cut_answer_in_a_row_leads_to_the_one_successor(site: Site) -> None:
    session = await site.sign_in()
    token = session.tokens.refresh_token
    store = CutStore(site.tokens)
    async with client_of(site.kit(store)) as client:
        statuses = []
        for _ in range(4):
            store.cuts = 1
            statuses.append((await refresh(client, token)).status_code)
            await asyncio.sleep(0.3)

    assert 503 in statuses
    assert set(statuses) <= {200, 503}
    assert await site.generation(session) == 2


@on_every_store
async def test_a_slow_store_makes_no_second_successor(site: Site) -> None:
    session = await site.sign_in()
    async with client_of(site.kit(SlowStore(site.tokens))) as client:
        answers = await asyncio.gather(
            *(refresh(client, session.tokens.refresh_token) for _ in range(12))
        )

    assert [answer.status_code for answer in answers] == [200] * 12
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert await site.generation(session) == 2


@on_every_store
async def test_a_client_that_hangs_up_on_a_slow_store_gets_the_same_successor_later(
    site: Site,
) -> None:
    session = await site.sign_in()
    kit = site.kit(SlowStore(site.tokens))
    hung_up = 0
    for patience in (0.01, 0.03, 0.05, 0.09):
        try:
            async with asyncio.timeout(patience):
                await kit.refresh(session.tokens.refresh_token)
        except TimeoutError:
            hung_up += 1

    first = await kit.refresh(session.tokens.refresh_token)
    second = await site.kit().refresh(session.tokens.refresh_token)

    assert hung_up > 0
    assert first.tokens.refresh_token == second.tokens.refresh_token
    assert await site.generation(session) == 2
