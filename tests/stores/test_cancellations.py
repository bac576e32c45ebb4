"""Requests that are cancelled in the middle of a store operation leave nothing behind."""

import asyncio
import gc
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import AsyncAdaptedQueuePool, Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

import servers
from apps import EMAIL, PASSWORD, make_app, make_kit
from jwt_auth_kit import AuthKit, Session, TokenPair
from jwt_auth_kit.stores.base import NewUser, StaleLogin
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
    prepare_engine,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
CANCELLATIONS = 100
SECONDS = 30
DATABASES = ["sqlite", "sqlite-wal", "asyncpg", "psycopg"]


@pytest.fixture
def url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if database.startswith("sqlite"):
        return f"sqlite+aiosqlite:///{tmp_path}/auth.db"
    server: servers.PostgreSQL = request.getfixturevalue("postgresql")
    return server.url(database)


@pytest.fixture
async def engine(database: str, url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with a pool, on empty tables."""
    engine = create_async_engine(url, pool_size=5, poolclass=AsyncAdaptedQueuePool)
    if database == "sqlite-wal":
        prepare_engine(engine)
    await create_schema(engine)
    if not database.startswith("sqlite"):
        async with engine.begin() as connection:
            await connection.execute(
                text("TRUNCATE users, auth_sessions, auth_epochs, auth_failures")
            )
    yield engine
    await engine.dispose()


@contextmanager
def without_collector() -> Iterator[None]:
    """What is left behind stays, as it does between two runs of the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def session_of(user_id: str) -> Session:
    return Session.start(
        user_id, NOW, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )


@dataclass(frozen=True)
class Stores:
    """Both stores of an engine, with a session of Ann."""

    users: SQLAlchemyUserStore
    tokens: SQLAlchemyTokenStore
    session: Session

    @classmethod
    async def on(cls, engine: AsyncEngine) -> "Stores":
        stores = cls(SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine), session_of("ann"))
        await stores.tokens.create(stores.session)
        return stores

    def operations(self) -> list[Callable[[int], Awaitable[Any]]]:
        """Everything that reads or writes; each takes a number of its own."""
        users, tokens, session = self.users, self.tokens, self.session
        return [
            lambda n: users.create(
                NewUser(email=f"{n}@example.com", display_name="n", password_hash="h")
            ),
            lambda n: users.get_by_email(f"{n - 1}@example.com"),
            lambda n: users.set_role(str(n), "admin"),
            lambda _: users.sample_password_hashes(10),
            lambda _: tokens.create(session_of("ann"), most=3),
            lambda n: tokens.create(session_of(f"user {n}"), most=3),
            lambda _: tokens.get("ann", session.id),
            lambda n: tokens.compare_and_set("ann", session.id, 1, {"gen": n}),
            lambda _: tokens.list_by_user("ann", NOW),
            lambda _: tokens.revoke_others("ann", session.id, "over", NOW),
            lambda n: tokens.revoke_all(f"user {n - 1}", "over", NOW),
            lambda _: tokens.void_access_tokens("ann", NOW),
            lambda _: tokens.revoked_since(None, NOW, keep=timedelta(minutes=15)),
            lambda _: tokens.count_failure("ann"),
            lambda _: tokens.clear_failures("ann"),
            lambda _: tokens.purge(NOW, 10),
        ]


async def cancel_task(work: Awaitable[Any], after: float) -> None:
    """Cancel as ``asyncio.timeout`` and some servers do."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(after)
    task.cancel()
    with suppress(asyncio.CancelledError, StaleLogin):
        await task


async def cancel_scope(work: Awaitable[Any], after: float) -> None:
    """Cancel as Starlette's middleware does, again and again."""
    with anyio.move_on_after(after), suppress(StaleLogin):
        await work


CANCEL = [cancel_task, cancel_scope]


def patience(rng: random.Random) -> float:
    return rng.choice([0.0, rng.uniform(0, 0.002), rng.uniform(0, 0.01)])


async def assert_nothing_is_left(engine: AsyncEngine, url: str) -> None:
    """No connection is checked out, and nobody waits for a lock."""
    await finish_operations(engine)
    await assert_nothing_is_locked(engine, url)


async def assert_nothing_is_locked(engine: AsyncEngine, url: str) -> None:
    if engine.dialect.name == "sqlite":
        with sqlite3.connect(url.partition("///")[2], timeout=0) as other:
            other.execute("UPDATE auth_sessions SET version = version + 1")
        other.close()
        return
    stranger = create_async_engine(url)
    async with stranger.begin() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert (await connection.execute(text(query))).scalar() == 0
        await connection.execute(text("SET LOCAL lock_timeout = 1"))
        await connection.execute(text("LOCK TABLE auth_sessions, auth_epochs, users"))
    await stranger.dispose()


async def finish_operations(engine: AsyncEngine) -> None:
    """Wait for what goes on behind cancelled requests on a busy machine."""
    assert isinstance(engine.pool, QueuePool)
    async with asyncio.timeout(SECONDS):
        while engine.pool.checkedout():  # noqa: ASYNC110  the pool tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cancel", CANCEL)
@pytest.mark.parametrize("database", DATABASES)
async def test_an_operation_that_is_cancelled_leaves_no_lock_and_no_connection(
    engine: AsyncEngine, url: str, cancel: Callable[[Awaitable[Any], float], Awaitable[None]]
) -> None:
    stores = await Stores.on(engine)
    rng = random.Random(7)

    with without_collector():
        for number in range(CANCELLATIONS):
            for operation in rng.sample(stores.operations(), 3):
                await cancel(operation(number), patience(rng))

        await assert_nothing_is_left(engine, url)
        assert await stores.tokens.count_failure("bob") == 1


@pytest.mark.parametrize("database", DATABASES)
async def test_requests_that_hang_up_together_leave_no_lock_and_no_connection(
    engine: AsyncEngine, url: str
) -> None:
    users, tokens = SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine)
    kit = make_kit(users=users, tokens=tokens, on_event=lambda _: None)
    await kit.create_user(EMAIL, PASSWORD)
    rng = random.Random(8)

    with without_collector():
        async with client_of(kit) as client:
            for number in range(CANCELLATIONS // 5):
                signed_in = [await kit.login(EMAIL, PASSWORD) for _ in range(2)]
                await asyncio.gather(
                    *(hang_up(client, each.tokens, rng) for each in signed_in),
                    *(sign_up_and_hang_up(client, f"{number}.{n}", rng) for n in range(3)),
                )
            await kit.aclose()

        await assert_nothing_is_left(engine, url)
        assert (await kit.login(EMAIL, PASSWORD)).session_id


@asynccontextmanager
async def client_of(kit: AuthKit) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(kit))
    async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as client:
        yield client


async def hang_up(client: httpx.AsyncClient, tokens: TokenPair, rng: random.Random) -> None:
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    for request in (
        client.post("/auth/refresh", json={"refresh_token": tokens.refresh_token}),
        client.get("/auth/sessions", headers=headers),
        client.post("/auth/logout", headers=headers),
    ):
        await cancel_task(request, rng.uniform(0, 0.02))


async def sign_up_and_hang_up(client: httpx.AsyncClient, name: str, rng: random.Random) -> None:
    body = {"email": f"{name}@example.com", "password": PASSWORD}
    await cancel_task(client.post("/auth/register", json=body), rng.uniform(0, 0.03))


@pytest.mark.parametrize("database", ["asyncpg", "psycopg"])
async def test_an_operation_that_hangs_lets_its_request_go_and_ends_later(
    engine: AsyncEngine,
) -> None:
    stores = await Stores.on(engine)
    async with engine.begin() as blocking:
        await blocking.execute(text("LOCK TABLE auth_sessions"))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stores.tokens.revoke("ann", stores.session.id, "over", NOW)

    await finish_operations(engine)
    stored = await stores.tokens.get("ann", stores.session.id)
    assert stored is not None
    assert stored.session.revoke_reason == "over"


@pytest.mark.parametrize("database", DATABASES)
def test_an_event_loop_that_ends_leaves_no_lock(
    database: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a function that a platform calls with a loop for each request."""

    def make_engine() -> AsyncEngine:
        engine = create_async_engine(url, poolclass=NullPool)
        return prepare_engine(engine) if database == "sqlite-wal" else engine

    async def leave_it_running(moment: int) -> None:
        engine = make_engine()
        await create_schema(engine)
        tokens = SQLAlchemyTokenStore(engine)
        left.append(asyncio.create_task(tokens.create(session_of(f"user {moment}"), most=3)))
        for _ in range(moment):
            await asyncio.sleep(0)

    left: list[asyncio.Task[Any]] = []
    with without_collector():
        for moment in range(1, 20, 3):
            asyncio.run(leave_it_running(moment))
            asyncio.run(assert_nothing_is_locked(make_engine(), url))

    assert {task.cancelled() for task in left} == {True}
    assert caplog.text == ""


@pytest.mark.parametrize("database", ["sqlite"])
async def test_the_error_of_an_abandoned_operation_is_logged_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stores = await Stores.on(engine)
    await stores.tokens.revoke_all("ann", "over", NOW)
    asking = asyncio.create_task(stores.tokens.create(session_of("ann")))
    await asyncio.sleep(0)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await finish_operations(engine)
    gc.collect()

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "A store operation whose request was cancelled ended with StaleLogin.",
        )
    ]


@pytest.mark.parametrize("database", ["sqlite"])
async def test_listeners_of_the_engine_see_the_context_of_the_request(engine: AsyncEngine) -> None:
    stores = await Stores.on(engine)
    request_id: ContextVar[str] = ContextVar("request_id", default="nobody's")
    seen: set[str] = set()

    def note(connection: Connection, *_: object) -> None:
        seen.add(request_id.get())

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    request_id.set("r-1")
    await stores.tokens.count_failure("ann")

    assert seen == {"r-1"}


@pytest.mark.parametrize("database", ["sqlite"])
async def test_a_failed_operation_is_freed_without_the_collector(engine: AsyncEngine) -> None:
    stores = await Stores.on(engine)
    await stores.tokens.revoke_all("ann", "over", NOW)

    with without_collector():
        for _ in range(3):
            with pytest.raises(StaleLogin):
                await stores.tokens.create(session_of("ann"))
        errors = [each for each in gc.get_objects() if type(each) is StaleLogin]

    assert errors == []
