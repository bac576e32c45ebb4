"""The doctor looks at stored hashes and says which ones nobody can check."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from jwt_auth_kit import Argon2Hasher, AuthKit, KeyRing, NewUser, PasslibHasher, install
from jwt_auth_kit.cli.password_checks import find_hash_problems
from jwt_auth_kit.passwords.hashers import PasswordHasher
from jwt_auth_kit.stores.memory import MemoryUserStore
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyUserStore, create_schema

WEAK = Argon2Hasher.weak_for_tests()
BCRYPT = "$2b$12$lilhdqc94EOkcs88FWz78.ConFp3Dvnp9hITN9fpmj1Y2wNKnkC3K"
FLASK = "scrypt:32768:8:1$cVIfY3WgWlqGvrBz$" + "0" * 128

PROGRAM = """
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from jwt_auth_kit import AuthKit, KeyRing, auth_router, install
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

engine = create_async_engine("sqlite+aiosqlite:///{database}")
app = FastAPI()
install(app, AuthKit(users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine)))
app.include_router(auth_router)
"""


async def messages(
    hashes: Sequence[str | None], hasher: PasswordHasher = WEAK
) -> list[tuple[str, str]]:
    users = MemoryUserStore()
    for number, each in enumerate(hashes):
        await users.create(
            NewUser(
                email=f"u{number}@example.com",
                display_name="U",
                password_hash=each,  # type: ignore[arg-type]  # a store may hold none
            )
        )
    app = FastAPI()
    install(app, AuthKit(users=users, keys=KeyRing.random(), hasher=hasher))
    return [(each.level, each.message) for each in await find_hash_problems(app)]


async def test_the_doctor_counts_hashes_that_nobody_can_read_and_says_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "app.db"
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    await create_schema(engine)
    users = SQLAlchemyUserStore(engine)
    for number, each in enumerate([BCRYPT, BCRYPT, FLASK, WEAK.hash("x"), "!unusable"]):
        await users.create(
            NewUser(email=f"u{number}@example.com", display_name="U", password_hash=each)
        )
    await engine.dispose()
    (tmp_path / "program.py").write_text(PROGRAM.format(database=database))
    monkeypatch.setenv("JWT_SECRET_KEY", "fj3o8GdXc2mN7rQvK1sTzPw5yBhLxEaUiJqRk4M9nD0=")

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "jwt_auth_kit", "doctor", "program:app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 of 5 password hashes in a sample are of the kind bcrypt" in done.stdout
    assert "PasslibHasher(['bcrypt'])" in done.stdout
    assert "1 of 5 password hashes in a sample are of the kind werkzeug_scrypt" in done.stdout
    assert not any(part in done.stdout for part in ("$", "cVIfY3WgWlqGvrBz", "lilhdqc94"))


async def test_nothing_is_said_about_hashes_that_can_be_read() -> None:
    assert await messages([None, "", "!", WEAK.hash("x")]) == []
    assert await messages([BCRYPT, FLASK, WEAK.hash("x")], PasslibHasher(primary=WEAK)) == []


@pytest.mark.parametrize(
    ("password_hash", "hasher", "told"),
    [
        ("no hash", WEAK, "are of an unknown kind"),
        ("$argon2id$v=19$m=4194304,t=1,p=1$" + "a" * 22 + "$" + "a" * 43, WEAK, "too costly"),
        (BCRYPT[:40], PasslibHasher(["bcrypt"], primary=WEAK), "damaged or too costly hashes of"),
        (FLASK, PasslibHasher(["bcrypt"], primary=WEAK), "['bcrypt', 'werkzeug_scrypt']"),
    ],
)
async def test_the_cure_fits_the_hash(
    password_hash: str, hasher: PasswordHasher, told: str
) -> None:
    [(level, message)] = await messages([password_hash], hasher)

    assert level == "warning"
    assert told in message


async def test_fast_schemes_are_advised_against() -> None:
    [(level, message)] = await messages([], PasslibHasher(["hex_md5", "bcrypt"], primary=WEAK))

    assert level == "advice"
    assert "hex_md5 finds" in message


@pytest.mark.parametrize(("limit", "expected"), [(10, 5), (4, 4), (3, 3), (0, 0)])
async def test_a_sample_has_the_first_and_the_last_accounts(limit: int, expected: int) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    await create_schema(engine)
    users, in_memory = SQLAlchemyUserStore(engine), MemoryUserStore()
    for number in range(5):
        new = NewUser(email=f"u{number}@example.com", display_name="U", password_hash=str(number))
        await users.create(new)
        await in_memory.create(new)

    sample = await users.sample_password_hashes(limit)
    await engine.dispose()

    assert len(sample) == len(set(sample)) == expected
    assert len(await in_memory.sample_password_hashes(limit)) == expected


async def test_a_store_that_cannot_be_read_breaks_nothing() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")  # without tables
    app = FastAPI()
    install(app, AuthKit(users=SQLAlchemyUserStore(engine), keys=KeyRing.random(), hasher=WEAK))

    assert await find_hash_problems(app) == []
    await engine.dispose()
