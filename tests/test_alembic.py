"""The migrations of examples/alembic make the tables that the stores want."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

import servers
from apps import EMAIL, PASSWORD, make_kit
from examples.alembic.models import Project
from jwt_auth_kit import SignedIn
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
    prepare_engine,
)

INI = Path(__file__).parent.parent / "examples" / "alembic" / "alembic.ini"

T = TypeVar("T")


@pytest.fixture(params=["aiosqlite", "asyncpg", "psycopg"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database without tables, where alembic.ini finds it."""
    if request.param == "aiosqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'app.sqlite3'}"
    else:
        server: servers.PostgreSQL = request.getfixturevalue("postgresql")
        url = server.url(request.param).removesuffix("postgres") + "migrated"
        asyncio.run(_create_database(server.url("asyncpg")))
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def test_migrated_tables_are_those_of_the_library(url: str) -> None:
    command.upgrade(Config(INI), "head")

    command.check(Config(INI))


def test_a_missing_index_would_be_seen(url: str) -> None:
    command.upgrade(Config(INI), "head")
    _run(url, lambda connection: connection.execute(text("DROP INDEX ix_auth_sessions_open")))

    with pytest.raises(CommandError, match="ix_auth_sessions_open"):
        command.check(Config(INI))


def test_people_sign_in_on_migrated_tables(url: str) -> None:
    command.upgrade(Config(INI), "head")

    signed_in, refreshed = asyncio.run(_register_and_refresh(url))

    assert refreshed.session_id == signed_in.session_id


def test_a_project_of_nobody_is_refused(url: str) -> None:
    command.upgrade(Config(INI), "head")

    with pytest.raises(IntegrityError):
        asyncio.run(_insert_project(url, owner_id="nobody"))


def test_a_downgrade_leaves_what_was_there_before(url: str) -> None:
    command.upgrade(Config(INI), "head")

    command.downgrade(Config(INI), "a1")

    assert _run(url, _tables) == {"alembic_version", "projects"}


def test_tables_of_create_schema_can_be_taken_over(url: str) -> None:
    command.upgrade(Config(INI), "a1")
    asyncio.run(_create_schema(url))

    command.stamp(Config(INI), "a2")
    command.upgrade(Config(INI), "head")

    command.check(Config(INI))


async def _create_database(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text("DROP DATABASE IF EXISTS migrated"))
        await connection.execute(text("CREATE DATABASE migrated"))
    await engine.dispose()


async def _insert_project(url: str, owner_id: str) -> None:
    engine = prepare_engine(url, poolclass=NullPool)
    try:
        async with AsyncSession(engine) as database:
            database.add(Project(name="engine", owner_id=owner_id))
            await database.commit()
    finally:
        await engine.dispose()


async def _create_schema(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    await create_schema(engine)
    await engine.dispose()


async def _register_and_refresh(url: str) -> tuple[SignedIn, SignedIn]:
    engine = create_async_engine(url, poolclass=NullPool)
    kit = make_kit(users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine))
    await kit.register(EMAIL, PASSWORD)
    signed_in = await kit.login(EMAIL, PASSWORD)
    refreshed = await kit.refresh(signed_in.tokens.refresh_token)
    await kit.aclose()
    await engine.dispose()
    return signed_in, refreshed


def _run(url: str, work: Callable[[Connection], T]) -> T:
    async def run() -> T:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as connection:
            result = await connection.run_sync(work)
        await engine.dispose()
        return result

    return asyncio.run(run())


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())
