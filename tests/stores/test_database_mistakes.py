"""Mistakes with a database: each is logged with its code and its cure, and doctor tells it too."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import servers
from engines import engine_on
from jwt_auth_kit import ConfigurationError, StoreUnavailable
from jwt_auth_kit.stores.failures import (
    CANNOT_OPEN,
    COLUMNS_DIFFER,
    CONNECTION_LOST,
    CONTENDED,
    NO_ANSWER,
    NO_DATABASE,
    NOT_A_DATABASE,
    OTHER_LOOP,
    READ_ONLY,
    REPLICA,
    SILENT,
    STARTING,
    STATEMENT_TIMEOUT,
    TABLES_MISSING,
    TOO_LONG,
    UNKNOWN,
    UNKNOWN_HOST,
    WRONG_LOGIN,
    describe,
)
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
)

FOREIGN_USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"


@asynccontextmanager
async def engine_at(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url, poolclass=NullPool)
    yield engine
    await engine.dispose()


async def hint_of_reading(engine: AsyncEngine) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await SQLAlchemyUserStore(engine).get_by_id("ada-lovelace")
    return caught.value.hint


class TestPostgreSQL:
    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    @pytest.mark.parametrize(
        ("user", "host", "database", "cure"),
        [
            ("postgres", "127.0.0.1:{port}", "no_such_database", NO_DATABASE),
            ("no_such_role", "127.0.0.1:{port}", "postgres", WRONG_LOGIN),
            ("postgres", "127.0.0.1:1", "postgres", NO_ANSWER),
            ("postgres", "no.such.host.invalid", "postgres", UNKNOWN_HOST),
        ],
    )
    async def test_a_wrong_part_of_the_url_is_told(
        self,
        driver: str,
        user: str,
        host: str,
        database: str,
        cure: str,
        postgresql: servers.PostgreSQL,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        address = host.format(port=postgresql.port)

        async with engine_at(f"postgresql+{driver}://{user}@{address}/{database}") as engine:
            hint = await hint_of_reading(engine)

        assert hint == cure
        assert cure in caplog.text
        for part in ("ada-lovelace", "no_such", "no.such", str(postgresql.port)):
            assert part not in caplog.text

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    async def test_a_wrong_password_is_told_and_not_shown(
        self, driver: str, postgresql: servers.PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with engine_at(postgresql.url(driver)) as admin, admin.begin() as connection:
            await connection.execute(text("DROP ROLE IF EXISTS locked"))
            await connection.execute(text("CREATE ROLE locked LOGIN PASSWORD 'right'"))

        address = postgresql.url(driver).replace("//postgres@", "//locked:hunter2@")
        async with engine_at(address) as engine:
            hint = await hint_of_reading(engine)

        assert hint == WRONG_LOGIN
        assert "hunter2" not in caplog.text

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
    async def test_a_missing_table_is_told_with_its_sqlstate(
        self, driver: str, postgresql: servers.PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with engine_at(postgresql.url(driver)) as admin, admin.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await autocommit.execute(text("DROP DATABASE IF EXISTS empty"))
            await autocommit.execute(text("CREATE DATABASE empty"))

        async with engine_at(f"{postgresql.url(driver).rpartition('/')[0]}/empty") as engine:
            hint = await hint_of_reading(engine)

        assert hint == TABLES_MISSING
        assert "42P01" in caplog.text
        assert f"({driver}." in caplog.text
        assert "SELECT" not in caplog.text

    def test_an_engine_of_another_event_loop_is_told(
        self, postgresql: servers.PostgreSQL, caplog: pytest.LogCaptureFixture
    ) -> None:
        engine = create_async_engine(postgresql.url("asyncpg"))
        store = SQLAlchemyTokenStore(engine)

        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(create_schema(engine))
            with pytest.raises(StoreUnavailable) as caught:
                second.run(store.epochs("ada-lovelace"))
            first.run(engine.dispose())

        assert caught.value.hint == OTHER_LOOP
        assert OTHER_LOOP in caplog.text


class TestSQLite:
    async def test_missing_tables_are_told_with_the_name_of_the_error(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with engine_on(tmp_path / "app.db") as engine:
            hint = await hint_of_reading(engine)

        assert hint == TABLES_MISSING
        assert "(sqlite3.OperationalError, SQLITE_ERROR)" in caplog.text
        assert "ada-lovelace" not in caplog.text

    async def test_a_missing_folder_is_told(self, tmp_path: Path) -> None:
        async with engine_on(tmp_path / "data" / "app.db") as engine:
            assert await hint_of_reading(engine) == CANNOT_OPEN

    async def test_a_file_of_another_kind_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "app.db").write_text("not a database, " * 100)

        async with engine_on(tmp_path / "app.db") as engine:
            assert await hint_of_reading(engine) == NOT_A_DATABASE

    async def test_a_file_that_may_not_be_written_is_told(self, tmp_path: Path) -> None:
        async with engine_on(tmp_path / "app.db") as engine:
            await create_schema(engine)

        async with engine_at(f"sqlite+aiosqlite:///file:{tmp_path}/app.db?mode=ro&uri=true") as ro:
            with pytest.raises(StoreUnavailable) as caught:
                await SQLAlchemyUserStore(ro).set_role("1", "admin")

        assert caught.value.hint == READ_ONLY

    async def test_a_users_table_of_somebody_else_is_told(self, tmp_path: Path) -> None:
        async with engine_on(tmp_path / "app.db") as engine:
            async with engine.begin() as connection:
                await connection.execute(text(FOREIGN_USERS))
            await create_schema(engine)

            assert await hint_of_reading(engine) == COLUMNS_DIFFER


class TestASynchronousEngine:
    @pytest.mark.parametrize("store", [SQLAlchemyTokenStore, SQLAlchemyUserStore])
    def test_it_is_refused_when_the_store_is_made(
        self, store: type[SQLAlchemyTokenStore] | type[SQLAlchemyUserStore]
    ) -> None:
        engine = create_engine("sqlite://")

        with pytest.raises(ConfigurationError, match="prepare_engine"):
            store(engine)  # type: ignore[arg-type]  # the mistake

    async def test_it_is_refused_by_create_schema(self) -> None:
        with pytest.raises(ConfigurationError, match="prepare_engine"):
            await create_schema(create_engine("sqlite://"))  # type: ignore[arg-type]  # the mistake


def test_an_unknown_failure_is_named_without_a_guess() -> None:
    names, cure = describe(ValueError("the secret text"))

    assert (names, cure) == ("ValueError (builtins.ValueError)", "")


class Lost(OSError):
    """What a driver raises where it knows no code."""


def with_code(code: str) -> Exception:
    error = Exception("the secret text")
    error.sqlstate = code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (TimeoutError(), SILENT),
        (Lost("connection timeout expired"), SILENT),
        (Lost("server closed the connection unexpectedly"), CONNECTION_LOST),
        (Lost("connection was closed in the middle of operation"), CONNECTION_LOST),
        (with_code("08006"), CONNECTION_LOST),
        (with_code("22001"), TOO_LONG),
        (with_code("25006"), REPLICA),
        (with_code("40P01"), CONTENDED),
        (with_code("57014"), STATEMENT_TIMEOUT),
        (with_code("57P03"), STARTING),
    ],
)
def test_a_connection_that_is_slow_or_lost_is_told(error: Exception, cure: str) -> None:
    assert describe(error)[1] == cure


async def test_a_failure_without_a_known_cure_is_logged_with_where_to_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")

    @event.listens_for(engine.sync_engine, "do_connect")
    def refuse(*_: object) -> None:
        raise OSError("the secret text")

    with pytest.raises(StoreUnavailable):
        await SQLAlchemyTokenStore(engine).epochs("ann")

    assert caplog.messages == [f"The database failed: OSError (builtins.OSError). {UNKNOWN}"]


APPLICATION = """
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from jwt_auth_kit import AuthKit, KeyRing, auth_router, install
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

engine = create_async_engine("sqlite+aiosqlite:///app.db")
users, tokens = SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine)
kit = AuthKit(users=users, tokens=tokens, keys=KeyRing.random())
app = FastAPI()
install(app, kit)
app.include_router(auth_router)
"""


@pytest.mark.parametrize(
    ("arguments", "code", "stream"),
    [(["doctor", "main:app"], 1, "stdout"), (["users", "disable", "main:kit", "7"], 1, "stderr")],
)
def test_the_command_line_tells_what_is_wrong_with_the_database(
    arguments: list[str], code: int, stream: str, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(APPLICATION)

    done = subprocess.run(
        [sys.executable, "-m", "jwt_auth_kit", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert TABLES_MISSING in getattr(done, stream)


@pytest.mark.parametrize("module", ["sqlalchemy", "redis"])
def test_a_store_without_its_extra_names_it(module: str) -> None:
    program = f"import sys; sys.modules[{module!r}] = None; import jwt_auth_kit.stores.{module}"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f'pip install "jwt-auth-kit[{module}]"' in done.stderr.splitlines()[-1]


def test_failures_are_logged_as_errors(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async def read() -> None:
        async with engine_on(tmp_path / "app.db") as engine:
            await hint_of_reading(engine)

    asyncio.run(read())

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
