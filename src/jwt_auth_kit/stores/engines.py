"""Engines that many requests and processes can share: SQLite needs to be told so."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ..errors import ConfigurationError

URLS = "Write sqlite+aiosqlite:///app.db or postgresql+asyncpg://user@host/database."
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
        ConfigurationError: *engine* is synchronous, or no engine can be made from the URL.
    """
    if isinstance(engine, str | URL):
        engine = _make_engine(engine, options)
    check_engine(engine)
    target = engine.sync_engine
    is_sqlite = target.dialect.name == "sqlite"
    if is_sqlite and not event.contains(target, "connect", _set_pragmas):
        event.listen(target, "connect", _set_pragmas)
    return engine


def _make_engine(url: str | URL, options: Mapping[str, Any]) -> AsyncEngine:
    """Make an engine; what SQLAlchemy says where it cannot is not what to write instead."""
    try:
        driver = make_url(url).drivername
    except ArgumentError:  # the text may hold a password, so it is not shown
        raise ConfigurationError(f"The database URL cannot be read. {URLS}") from None
    try:
        return create_async_engine(url, **options)
    except NoSuchModuleError:
        raise ConfigurationError(f"SQLAlchemy knows no {driver}://. {URLS}") from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{driver}:// needs the package {error.name}: pip install {error.name}"
        ) from None
    except InvalidRequestError:
        raise ConfigurationError(f"{driver} is not an async driver. {URLS}") from None


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
