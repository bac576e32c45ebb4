"""The database: its engine, its tables, and what a route needs to use it."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import Field
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from jwt_auth_kit.stores.sqlalchemy import create_schema

SQLITE_PRAGMAS = ("busy_timeout = 10000", "foreign_keys = ON")

TAKE_TURNS = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(1)",
}


class Base(DeclarativeBase):
    """What this application's tables inherit from."""


def create_engine(url: str) -> AsyncEngine:
    """Make an engine that logs no values; on SQLite writers wait instead of failing."""
    engine = create_async_engine(url, pool_pre_ping=True, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", set_pragmas)
    return engine


def set_pragmas(connection: Any, _: object) -> None:
    """Set up a new connection to SQLite."""
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def create_tables(engine: AsyncEngine) -> None:
    """Create the tables that are missing; workers that start at once take turns."""
    if engine.dialect.name == "sqlite":
        await let_readers_never_wait(engine)
    await create_schema(engine)
    async with engine.begin() as connection:
        await connection.execute(text(TAKE_TURNS[engine.dialect.name]))
        await connection.run_sync(Base.metadata.create_all)


async def let_readers_never_wait(engine: AsyncEngine) -> None:
    """Switch the file to a write-ahead log, once and for good."""
    async with engine.connect() as connection:
        with suppress(OperationalError):  # another worker is just doing it
            await connection.execute(text("PRAGMA journal_mode = WAL"))


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a route its own session with the database; the route commits."""
    async with AsyncSession(request.app.state.engine, expire_on_commit=False) as session:
        yield session


Database = Annotated[AsyncSession, Depends(open_session)]
"""Parameter type: ``async def route(database: Database)``."""

PlainText = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Text in a body. PostgreSQL cannot keep a NUL."""

RowId = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""An id in a path. What the column cannot hold is a 422, not a failure of the database."""
