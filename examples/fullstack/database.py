"""The database: its engine, its tables, and what a route needs to use it."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase

from jwt_auth_kit.stores.sqlalchemy import create_schema, prepare_engine

TAKE_TURNS = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(1)",
}


class Base(DeclarativeBase):
    """What this application's tables inherit from."""


def create_engine(url: str) -> AsyncEngine:
    """Make an engine that logs no values; on SQLite writers wait instead of failing."""
    return prepare_engine(url, pool_pre_ping=True, hide_parameters=True)


async def create_tables(engine: AsyncEngine) -> None:
    """Create the tables that are missing; workers that start at once take turns."""
    await create_schema(engine)
    async with engine.begin() as connection:
        await connection.execute(text(TAKE_TURNS[engine.dialect.name]))
        await connection.run_sync(Base.metadata.create_all)


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
