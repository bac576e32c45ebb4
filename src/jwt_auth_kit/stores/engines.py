"""Engines that many requests and processes can share: SQLite needs to be told so."""

import sqlite3
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ..errors import ConfigurationError

BUSY_TIMEOUT = 5000  # milliseconds
SQLITE_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT}",
    # Readers and the writer do not wait for each other, and a commit costs one write.
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


def check_engine(engine: object) -> None:
    """Refuse what is not an asyncio engine.

    Raises:
        ConfigurationError: it is synchronous, or no engine at all.
    """
    if not isinstance(engine, AsyncEngine):
        raise ConfigurationError(
            f"The stores need an AsyncEngine, not {type(engine).__name__}. Make it with "
            'prepare_engine("sqlite+aiosqlite:///app.db"), or with '
            'create_async_engine("postgresql+asyncpg://...") for PostgreSQL.'
        )


def prepare_engine(engine: AsyncEngine | str | URL, **options: Any) -> AsyncEngine:
    """Return an engine that is set up for concurrent requests; make it first from a URL.

    SQLite gets write-ahead logging (WAL), ``synchronous=NORMAL``, a busy timeout of five seconds
    and foreign keys on each new connection. Engines of other databases are left as they are.

    Args:
        engine: an engine that has not connected yet, or the URL for one.
        options: passed to ``create_async_engine`` where *engine* is a URL.

    Raises:
        ConfigurationError: *engine* is synchronous.
    """
    if isinstance(engine, str | URL):
        driver = make_url(engine).drivername
        try:
            engine = create_async_engine(engine, **options)
        except InvalidRequestError:  # its text shows the driver and not what to write
            raise ConfigurationError(
                f"{driver} is not an async driver. Write sqlite+aiosqlite:// "
                "or postgresql+asyncpg://."
            ) from None
    check_engine(engine)
    target = engine.sync_engine
    is_sqlite = target.dialect.name == "sqlite"
    if is_sqlite and not event.contains(target, "connect", _set_pragmas):
        event.listen(target, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        try:
            cursor.execute(pragma)
        except sqlite3.OperationalError:
            # Another process holds the file, or it is read-only. The journal mode belongs to the
            # file, so one of the next connections sets it.
            continue
    cursor.close()
