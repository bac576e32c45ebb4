"""prepare_engine: SQLite is set up for concurrent requests and processes."""

import asyncio
import sqlite3
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from jwt_auth_kit import ConfigurationError, Session
from jwt_auth_kit.stores.base import NewUser
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
    prepare_engine,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
PRAGMAS = {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 5000, "foreign_keys": 1}


async def read_pragmas(engine: AsyncEngine) -> dict[str, object]:
    async with engine.connect() as connection:
        return {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in PRAGMAS
        }


async def test_an_engine_made_from_a_url_is_set_up(tmp_path: Path) -> None:
    engine = prepare_engine(f"sqlite+aiosqlite:///{tmp_path}/app.db", hide_parameters=True)

    assert await read_pragmas(engine) == PRAGMAS
    assert engine.sync_engine.hide_parameters
    await engine.dispose()


async def test_an_engine_of_the_application_is_completed_once(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/app.db")
    statements: list[str] = []

    assert prepare_engine(prepare_engine(engine)) is engine
    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _: statements.append("connected"),
    )

    assert await read_pragmas(engine) == PRAGMAS
    assert statements == ["connected"]
    await engine.dispose()


async def test_other_databases_are_left_as_they_are() -> None:
    engine = create_async_engine("postgresql+psycopg://localhost/app")
    listeners = len(list(engine.sync_engine.pool.dispatch.connect))

    prepare_engine(engine)

    assert len(list(engine.sync_engine.pool.dispatch.connect)) == listeners


async def test_a_file_that_another_process_holds_is_opened_all_the_same(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
    holder.execute("CREATE TABLE notes (text)")
    holder.execute("BEGIN EXCLUSIVE")
    engine = prepare_engine(
        f"sqlite+aiosqlite:///{tmp_path}/app.db", connect_args={"timeout": 0.01}
    )

    async with engine.connect():
        holder.execute("ROLLBACK")
    holder.close()
    await engine.dispose()

    again = prepare_engine(f"sqlite+aiosqlite:///{tmp_path}/app.db")
    assert await read_pragmas(again) == PRAGMAS
    await again.dispose()


async def test_writers_of_two_engines_wait_for_each_other(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/app.db"
    engines = [prepare_engine(url), prepare_engine(url)]
    await create_schema(engines[0])

    async def sign_up_and_rotate(engine: AsyncEngine, number: int) -> bool:
        users, tokens = SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine)
        user = await users.create(
            NewUser(email=f"{number}@example.com", display_name="n", password_hash="h")
        )
        session = Session.start(
            str(user.id), NOW, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
        )
        await tokens.create(session)
        written = await tokens.compare_and_set(session.user_id, session.id, 1, {"gen": 2})
        return written and await tokens.revoke(session.user_id, session.id, "over", NOW)

    done = await asyncio.gather(
        *(sign_up_and_rotate(engines[number % 2], number) for number in range(50))
    )

    assert done == [True] * 50
    for engine in engines:
        await engine.dispose()


def test_a_synchronous_engine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="prepare_engine"):
        prepare_engine(create_engine("sqlite://"))  # type: ignore[arg-type]  # the mistake


def test_a_url_of_a_synchronous_driver_is_told_what_to_write() -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepare_engine("sqlite:///secret-place.db")

    assert str(caught.value).startswith("sqlite is not an async driver. Write sqlite+aiosqlite://")
    assert "secret-place" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("app.db", "The database URL cannot be read. Write sqlite+aiosqlite:///app.db or"),
        ("", "The database URL cannot be read."),
        ("postgres://ann:a-password@db/app", "SQLAlchemy knows no postgres://. Write"),
        ("sqlite+aiosqlit:///app.db", "SQLAlchemy knows no sqlite+aiosqlit://. Write"),
        (
            "mysql+asyncmy://ann:a-password@db/app",
            "mysql+asyncmy:// needs the package asyncmy: pip install asyncmy",
        ),
    ],
)
def test_a_url_that_is_no_good_is_told_what_to_write(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepare_engine(url)

    assert str(caught.value).startswith(message)
    assert "a-password" not in "".join(traceback.format_exception(caught.value))
