"""The command line: python -m jwt_auth_kit."""

import base64
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engines import engine_on
from jwt_auth_kit import KeyRing, Session
from jwt_auth_kit.__main__ import main
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema

HOST = """
from sqlalchemy.ext.asyncio import create_async_engine
from jwt_auth_kit import AuthKit, KeyRing
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

engine = create_async_engine("sqlite+aiosqlite:///auth.sqlite3")
kit = AuthKit(
    users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine), keys=KeyRing.random()
)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "jwt_auth_kit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )


def test_secret_prints_a_secret_and_nothing_else() -> None:
    done = run("secret")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n")
    assert done.stdout.count("\n") == 1
    assert len(base64.b64decode(done.stdout.strip(), validate=True)) == 32


def test_a_printed_secret_is_good_enough_and_never_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(20):
        main(["secret"])

    secrets = capsys.readouterr().out.split()
    assert len({KeyRing.from_secret(secret).active.material for secret in secrets}) == 20


def test_without_a_command_the_usage_is_shown() -> None:
    done = run()

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: jwt-auth-kit")
    assert "secret" in done.stderr


@pytest.mark.parametrize("arguments", [["secrets"], ["secret", "more"], ["--secret"]])
def test_an_unknown_command_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


async def test_purge_deletes_every_session_that_ended_a_day_ago(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    (tmp_path / "host.py").write_text(HOST)
    async with engine_on(tmp_path / "auth.sqlite3") as engine:
        await create_schema(engine)
        store = SQLAlchemyTokenStore(engine)
        for days in [*range(9, 2509), 0]:  # the last one lives, the others are in three batches
            await store.create(_session(now - timedelta(days=days)))

        done = run("purge", "host:kit")

        assert (done.returncode, done.stdout) == (0, "2500 sessions deleted\n")
        assert len(await store.list_by_user("ann", now)) == 1


def test_purge_on_a_database_that_is_away_says_so_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)

    done = run("purge", "host:kit")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("jwt-auth-kit: The session store is unavailable, try again\n")
    assert "Traceback" not in done.stderr


async def test_purge_takes_a_function_that_makes_the_kit(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST + "\n\ndef make_kit():\n    return kit\n")
    async with engine_on(tmp_path / "auth.sqlite3") as engine:
        await create_schema(engine)

        done = run("purge", "host:make_kit")

    assert (done.returncode, done.stdout) == (0, "0 sessions deleted\n")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere:kit", "No module named 'nowhere'"),
        ("host:nothing", "no attribute 'nothing'"),
        ("host", "cannot be loaded"),
        (":kit", "cannot be loaded"),
        ("host:engine", "is no AuthKit but AsyncEngine"),
    ],
)
def test_purge_of_what_is_no_kit_is_a_usage_error(path: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)

    done = run("purge", path)

    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def _session(at: datetime) -> Session:
    week, month = timedelta(days=7), timedelta(days=30)
    return Session.start("ann", at, epoch=0, idle_ttl=week, absolute_ttl=month)


def test_help_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    assert "JWT_SECRET_KEY" in capsys.readouterr().out


def test_the_installed_script_does_the_same() -> None:
    script = shutil.which("jwt-auth-kit", path=str(Path(sys.executable).parent))
    assert script is not None

    done = subprocess.run([script, "secret"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert len(base64.b64decode(done.stdout.strip(), validate=True)) == 32
