"""Runs the migrations over an async engine."""

import asyncio
import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from examples.alembic.models import AppBase
from jwt_auth_kit.stores import sqlalchemy as auth

TARGETS = [auth.Base.metadata, auth.metadata, AppBase.metadata]  # users, then what refers to it


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write a plain type into new migrations, so that they need no import of the library."""
    is_moment = kind == "type" and isinstance(item, auth.UTCDateTime)
    return "sa.DateTime(timezone=True)" if is_moment else False


def migrate(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=TARGETS,
        render_item=render_item,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    """Connect to DATABASE_URL and migrate it."""
    engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(main())
