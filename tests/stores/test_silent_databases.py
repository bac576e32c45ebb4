"""A database that takes a question and never answers, as one behind a lost network does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import servers
from jwt_auth_kit import ConfigurationError, Session, StoreUnavailable
from jwt_auth_kit.stores.failures import SILENT
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
    prepare_engine,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SHORT = timedelta(seconds=1)
FOREVER = 60.0
"""Seconds after which a test gives up what no timeout of ours ends."""

pytestmark = pytest.mark.filterwarnings("ignore:query cancellation interrupted")


@pytest.fixture(params=["asyncpg", "psycopg"])
async def engine(
    request: pytest.FixtureRequest, postgresql: servers.PostgreSQL
) -> AsyncIterator[AsyncEngine]:
    """An engine without any timeout of its own, and with a connection in its pool."""
    engine = create_async_engine(postgresql.url(request.param), pool_size=3, max_overflow=0)
    await create_schema(engine)
    yield engine
    given_up = {task for task in asyncio.all_tasks() if "SQLAlchemy" in repr(task.get_coro())}
    if given_up:
        await asyncio.wait(given_up)
    await engine.dispose()
    await asyncio.sleep(0.1)  # sockets close in the next turn of the loop


async def test_an_operation_ends_while_the_database_is_silent(
    engine: AsyncEngine, postgresql: servers.PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = SQLAlchemyTokenStore(engine, timeout=SHORT)
    users = SQLAlchemyUserStore(engine, timeout=SHORT)
    session = Session.start(
        "ann", NOW, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )

    with postgresql.frozen():
        async with asyncio.timeout(FOREVER):
            answers = await asyncio.gather(
                tokens.epochs("ann"),
                tokens.create(session),
                users.get_by_email("ann@example.com"),
                users.set_role("ann", "admin"),
                return_exceptions=True,
            )

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
    assert {getattr(answer, "hint", "") for answer in answers} == {SILENT}
    assert caplog.text.count(f"The database failed: no answer in 1.0 seconds. {SILENT}") == 4


async def test_connections_that_others_hold_are_named_as_a_cause(engine: AsyncEngine) -> None:
    held = [await engine.connect() for _ in range(3)]

    with pytest.raises(StoreUnavailable) as caught:
        await SQLAlchemyTokenStore(engine, timeout=SHORT).epochs("ann")

    assert "hold all connections of the engine's pool" in caught.value.hint
    for connection in held:
        await connection.close()


async def test_the_store_works_again_with_the_database(
    engine: AsyncEngine, postgresql: servers.PostgreSQL
) -> None:
    impatient = SQLAlchemyTokenStore(engine, timeout=SHORT)
    with postgresql.frozen():
        answers = await asyncio.gather(
            *(impatient.epochs("ann") for _ in range(20)), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 20

    async with asyncio.timeout(FOREVER):
        answers = await asyncio.gather(
            *(SQLAlchemyTokenStore(engine).epochs("ann") for _ in range(20))
        )

    assert answers == [(0, 0)] * 20


async def test_a_longer_timeout_waits_longer(
    engine: AsyncEngine, postgresql: servers.PostgreSQL
) -> None:
    with postgresql.frozen():
        asked = asyncio.create_task(
            SQLAlchemyTokenStore(engine, timeout=timedelta(seconds=50)).epochs("ann")
        )
        with pytest.raises(StoreUnavailable):
            await SQLAlchemyTokenStore(engine, timeout=SHORT).epochs("ann")

    assert await asked == (0, 0)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_program_ends_while_the_database_is_silent(
    driver: str, postgresql: servers.PostgreSQL
) -> None:
    engine = create_async_engine(postgresql.url(driver))

    async def ask_and_go() -> set[bool]:
        store = SQLAlchemyTokenStore(engine, timeout=timedelta(hours=1))
        await store.epochs("ann")
        with postgresql.frozen():
            asking = asyncio.create_task(store.epochs("ann"))
            await asyncio.wait([asking], timeout=0.2)
            asking.cancel()
            async with asyncio.timeout(FOREVER):
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for other in others:  # as asyncio.run does at the end
                    other.cancel()
                await asyncio.gather(*others, return_exceptions=True)
        return {task.done() for task in (asking, *others)}

    assert asyncio.run(ask_and_go()) == {True}


@pytest.mark.parametrize("store", [SQLAlchemyTokenStore, SQLAlchemyUserStore])
def test_a_timeout_that_is_not_positive_is_refused(
    store: type[SQLAlchemyTokenStore] | type[SQLAlchemyUserStore],
) -> None:
    with pytest.raises(ConfigurationError, match="must be positive"):
        store(prepare_engine("sqlite+aiosqlite://"), timeout=timedelta(0))
