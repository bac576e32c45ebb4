"""SQLAlchemyTokenStore where its database fails, and databases it does not know."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from engines import engine_on
from jwt_auth_kit import (
    ConfigurationError,
    Session,
    StoreUnavailable,
    TokenStore,
)
from jwt_auth_kit.stores.base import Epochs, Revocations, StoredSession
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
ANN, BOB = "ann", "bob"


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[TokenStore]:
    async with engine_on(folder / "auth.sqlite3") as engine:
        await create_schema(engine)
        yield SQLAlchemyTokenStore(engine)


def session_of(user_id: str = ANN, at: datetime = NOW, **fields: Any) -> Session:
    session = Session.start(
        user_id, at, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )
    return replace(session, **fields)


async def created(store: TokenStore, user_id: str = ANN, **fields: Any) -> Session:
    session = session_of(user_id, **fields)
    await store.create(session)
    return session


async def revoked_since(store: TokenStore, cursor: str | None, now: datetime) -> Revocations:
    return await store.revoked_since(cursor, now, keep=15 * MINUTE)


async def read(store: TokenStore, session: Session) -> Session:
    stored = await store.get(session.user_id, session.id)
    assert stored is not None
    return stored.session


OPERATIONS: dict[str, Callable[[TokenStore, Session], Any]] = {
    "create": lambda store, session: store.create(session),
    "get": lambda store, session: store.get(session.user_id, session.id),
    "compare_and_set": lambda store, session: store.compare_and_set(
        session.user_id, session.id, 1, {"gen": 2}
    ),
    "revoke": lambda store, session: store.revoke(session.user_id, session.id, "why", NOW),
    "revoke_all": lambda store, session: store.revoke_all(session.user_id, "why", NOW),
    "revoke_others": lambda store, session: store.revoke_others(
        session.user_id, session.id, "why", NOW
    ),
    "void_access_tokens": lambda store, session: store.void_access_tokens(session.user_id, NOW),
    "epochs": lambda store, session: store.epochs(session.user_id),
    "list_by_user": lambda store, session: store.list_by_user(session.user_id, NOW),
    "revoked_since": lambda store, session: revoked_since(store, None, NOW),
    "purge": lambda store, session: store.purge(NOW, limit=1),
}


class TestADatabaseThatFails:
    def test_every_method_of_the_protocol_is_tried(self) -> None:
        methods = {name for name in vars(TokenStore) if not name.startswith("_")}

        assert methods == OPERATIONS.keys()

    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_a_database_that_cannot_be_reached_is_no_empty_one(
        self, operation: str, tmp_path: Path
    ) -> None:
        async with engine_on(tmp_path / "no" / "such" / "folder" / "auth.sqlite3") as engine:
            with pytest.raises(StoreUnavailable):
                await OPERATIONS[operation](SQLAlchemyTokenStore(engine), session_of())

    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_a_failed_statement_is_logged_without_its_parameters(
        self, operation: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = session_of("ann-of-green-gables", salt=b"sixteen salty by")

        async with engine_on(tmp_path / "without_tables.sqlite3") as engine:
            with pytest.raises(StoreUnavailable) as caught:
                await OPERATIONS[operation](SQLAlchemyTokenStore(engine), session)

        shown = caplog.text + "".join(traceback.format_exception(caught.value))
        for secret in (session.id, "salty", "green-gables", "auth_sessions", "auth_epochs"):
            assert secret not in shown
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "OperationalError" in caplog.text

    async def test_a_file_that_is_no_database_is_an_outage(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("not a database, " * 100)

        async with engine_on(tmp_path / "notes.txt") as engine:
            with pytest.raises(StoreUnavailable):
                await create_schema(engine)


class TestDialects:
    def test_a_database_that_was_never_tried_is_refused_by_name(self) -> None:
        driver = SimpleNamespace(paramstyle="qmark", Cursor=object, version="0.5")
        engine = create_async_engine("mssql+aioodbc://host/app?driver=any", module=driver)

        with pytest.raises(ConfigurationError, match=r"sqlite and postgresql, not on mssql"):
            SQLAlchemyTokenStore(engine)

    def test_postgresql_is_taken(self) -> None:
        driver = SimpleNamespace(paramstyle="numeric_dollar")
        engine = create_async_engine("postgresql+asyncpg://host/app", module=driver)

        SQLAlchemyTokenStore(engine)  # raises nothing

    async def test_making_the_tables_twice_loses_nothing(self, tmp_path: Path) -> None:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine)
            session = await created(SQLAlchemyTokenStore(engine))

            await create_schema(engine)

            assert await read(SQLAlchemyTokenStore(engine), session) == session

    async def test_processes_that_start_together_make_the_tables_once(self, tmp_path: Path) -> None:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await asyncio.gather(*(create_schema(engine) for _ in range(5)))

            assert await table_names(engine) == {
                "auth_sessions",
                "auth_epochs",
                "auth_failures",
                "users",
            }

    async def test_a_host_with_accounts_of_its_own_gets_no_second_table(
        self, tmp_path: Path
    ) -> None:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine, users=False)

            assert await table_names(engine) == {
                "auth_sessions",
                "auth_epochs",
                "auth_failures",
            }

    async def test_a_restart_loses_nothing(self, tmp_path: Path) -> None:
        async with sqlite(tmp_path) as before:
            session = await created(before)
            epoch = await before.void_access_tokens(ANN, NOW)

        async with sqlite(tmp_path) as after:
            assert await after.get(ANN, session.id) == StoredSession(session, Epochs(epoch, 0))


async def table_names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
