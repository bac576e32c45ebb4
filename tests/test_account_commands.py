"""The commands about people: users and sessions, on the stores of an application."""

import asyncio
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from apps import EMAIL, PASSWORD
from engines import engine_on
from jwt_auth_kit import (
    Argon2Hasher,
    AuthKit,
    Client,
    FailureStore,
    InvalidCredentials,
    KeyRing,
)
from jwt_auth_kit.cli.main import main
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
)

T = TypeVar("T")

HOST = """
from sqlalchemy.ext.asyncio import create_async_engine
from jwt_auth_kit import Argon2Hasher, AuthKit, KeyRing
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

def make_kit():
    engine = create_async_engine("sqlite+aiosqlite:///auth.sqlite3")
    return AuthKit(
        users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine),
        keys=KeyRing.random(), hasher=Argon2Hasher.weak_for_tests(),
    )
"""
KIT = "people_host:make_kit"


class Console:
    """The command line, beside an application that uses the same database."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file = folder / "auth.sqlite3"
        self._capsys = capsys
        (folder / "people_host.py").write_text(HOST)
        self.do(_nothing)

    def __call__(self, *arguments: str) -> str:
        main(list(arguments))
        printed, self.error = self._capsys.readouterr()
        return printed

    def failure(self, *arguments: str, code: int = 1) -> str:
        """What a command says that fails."""
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        printed, error = self._capsys.readouterr()
        assert printed == ""
        if code == 2:
            assert caught.value.code == 2
            return error
        return str(caught.value.code)

    def do(self, work: Callable[[AuthKit], Coroutine[Any, Any, T]]) -> T:
        """Do *work* as the application would."""

        async def with_kit() -> T:
            async with engine_on(self._file) as engine:
                await create_schema(engine)
                kit = AuthKit(
                    users=SQLAlchemyUserStore(engine),
                    tokens=SQLAlchemyTokenStore(engine),
                    keys=KeyRing.random(),
                    hasher=Argon2Hasher.weak_for_tests(),
                )
                try:
                    return await work(kit)
                finally:
                    await kit.aclose()  # a login may still be tidying up

        return asyncio.run(with_kit())

    def register(self, email: str = EMAIL) -> str:
        """Make an account that is signed out; return its id."""
        return str(self.do(lambda kit: kit.create_user(email, PASSWORD)).id)

    def sign_in(self, user_agent: str = "Phone", ip: str = "192.0.2.7") -> str:
        """Begin a session; return its id."""
        client = Client(ip=ip, user_agent=user_agent)
        return str(self.do(lambda kit: kit.login(EMAIL, PASSWORD, client=client)).session_id)

    def sessions(self, user_id: str) -> set[str]:
        return {session.id for session in self.do(lambda kit: kit.list_sessions(user_id))}


async def _nothing(kit: AuthKit) -> None:
    return None


@pytest.fixture
def console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Console]:
    yield Console(tmp_path, capsys)
    sys.modules.pop("people_host", None)


def type_in(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


class TestCreateAdmin:
    @pytest.mark.parametrize("end", ["\n", "", "\r\n", "\nsecond line\n"])
    def test_one_who_can_sign_in_is_made(
        self, end: str, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        type_in(monkeypatch, f"{PASSWORD}{end}".encode())

        printed = console("users", "create-admin", KIT, "Ada@Example.com")

        signed_in = console.do(lambda kit: kit.login(EMAIL, PASSWORD))
        assert signed_in.user.role == "admin"
        assert printed == f"{EMAIL} is an administrator. User id: {signed_in.user.id}\n"

    def test_an_address_that_is_taken_is_told_and_keeps_its_role(
        self, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        console.register()
        type_in(monkeypatch, b"another good one")

        refusal = console.failure("users", "create-admin", KIT, EMAIL)

        assert refusal == "jwt-auth-kit: This e-mail address is already registered"
        assert console.do(lambda kit: kit.login(EMAIL, PASSWORD)).user.role == "user"

    @pytest.mark.parametrize(
        ("password", "told"),
        [
            (b"short", "8"),
            (b"", "8"),
            (b"password123", "common"),
            (b"ada@example.com", "address"),
            (b"\xff\xfe not a text", "UTF-8"),
        ],
    )
    def test_a_weak_password_is_refused_and_not_repeated(
        self, password: bytes, told: str, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        type_in(monkeypatch, password)

        refusal = console.failure("users", "create-admin", KIT, EMAIL)

        assert told in refusal
        assert not password or password.decode(errors="replace") not in refusal
        assert console.do(lambda kit: kit.users.get_by_email(EMAIL)) is None

    def test_what_is_no_address_is_a_usage_error(self, console: Console) -> None:
        told = console.failure("users", "create-admin", KIT, "ada@localhost", code=2)

        assert "Not a valid e-mail address: the part after the @ has no dot" in told

    def test_spaces_around_an_address_are_stripped(
        self, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        type_in(monkeypatch, f"{PASSWORD}\n".encode())

        made = console("users", "create-admin", KIT, f" {EMAIL}\n")
        told = console("users", "set-role", KIT, f" {EMAIL} ", "user")

        assert made.startswith(f"{EMAIL} is an administrator.")
        assert told == f"{EMAIL} had the role admin and has the role user now.\n"

    def test_without_any_input_there_is_no_password(
        self, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)  # what a closed one is to Python

        assert "no input" in console.failure("users", "create-admin", KIT, EMAIL)

    def test_a_password_is_never_an_argument(self, console: Console) -> None:
        console.failure("users", "create-admin", KIT, EMAIL, PASSWORD, code=2)

        assert console.do(lambda kit: kit.users.get_by_email(EMAIL)) is None


class TestAtATerminal:
    """Where somebody types: a real terminal, with a program that reads from it."""

    def test_the_password_is_asked_for_twice_and_not_shown(
        self, console: Console, tmp_path: Path
    ) -> None:
        code, shown = at_a_terminal(tmp_path, PASSWORD, PASSWORD)

        assert code == 0, shown
        assert "Password: " in shown
        assert "Once more: " in shown
        assert PASSWORD not in shown
        assert console.do(lambda kit: kit.login(EMAIL, PASSWORD)).user.role == "admin"

    def test_two_that_differ_make_nothing(self, console: Console, tmp_path: Path) -> None:
        code, shown = at_a_terminal(tmp_path, PASSWORD, PASSWORD + "!")

        assert code == 1
        assert "the two passwords differ" in shown
        assert console.do(lambda kit: kit.users.get_by_email(EMAIL)) is None

    def test_who_changes_their_mind_sees_no_traceback(
        self, console: Console, tmp_path: Path
    ) -> None:
        code, shown = at_a_terminal(tmp_path, "\x04", end="")

        assert code == 130
        assert "Traceback" not in shown


def at_a_terminal(folder: Path, *lines: str, end: str = "\n") -> tuple[int, str]:
    """Type *lines*, each when it is asked for; return the exit code and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-W", "error", "-m", "jwt_auth_kit", "users", "create-admin"]
    process = subprocess.Popen(
        [*command, KIT, EMAIL],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, to_type = "", list(lines)
    while process.poll() is None:
        try:
            shown += os.read(ours, 4096).decode()
        except OSError:  # nobody has it open any more
            break
        if to_type and shown.endswith(": "):
            os.write(ours, (to_type.pop(0) + end).encode())
    os.close(ours)
    return process.wait(), shown


class TestRoles:
    @pytest.mark.parametrize("by", ["e-mail", "id"])
    def test_a_user_named_by_address_or_id_gets_the_role(self, by: str, console: Console) -> None:
        user_id = console.register()

        printed = console("users", "set-role", KIT, user_id if by == "id" else EMAIL, "editor")

        assert printed == f"{EMAIL} had the role user and has the role editor now.\n"
        assert console.do(lambda kit: kit.get_user(user_id)).role == "editor"

    def test_access_tokens_with_the_old_role_are_void(self, console: Console) -> None:
        user_id = console.register()

        console("users", "set-role", KIT, EMAIL, "admin")

        assert console.do(lambda kit: kit.tokens.epochs(user_id)).epoch > 0

    @pytest.mark.parametrize("role", ["", "  ", "ad\x1bmin"])
    def test_what_is_no_role_is_refused(self, role: str, console: Console) -> None:
        assert "ROLE" in console.failure("users", "set-role", KIT, EMAIL, role, code=2)

    def test_a_disabled_user_cannot_sign_in_and_has_no_session(self, console: Console) -> None:
        user_id = console.register()
        console.sign_in()

        printed = console("users", "disable", KIT, "ADA@example.com")

        assert printed == f"{EMAIL} is disabled, and all its sessions are ended.\n"
        assert console.sessions(user_id) == set()
        account = console.do(lambda kit: kit.users.get_by_id(user_id))
        assert account is not None
        assert not account.is_active

    def test_a_disabled_user_is_let_in_again(self, console: Console) -> None:
        console.register()
        console("users", "disable", KIT, EMAIL)

        printed = console("users", "enable", KIT, EMAIL)

        assert printed == f"{EMAIL} can sign in again.\n"
        assert console.sign_in()

    def test_an_unlocked_password_has_no_failures(self, console: Console) -> None:
        user_id = console.register()

        async def fail_often(kit: AuthKit) -> None:
            store = kit.tokens
            assert isinstance(store, FailureStore)
            for _ in range(100):
                await store.count_failure(user_id)
            with pytest.raises(InvalidCredentials):
                await kit.login(EMAIL, PASSWORD)

        console.do(fail_often)

        printed = console("users", "unlock", KIT, EMAIL)

        assert printed.startswith(f"The failed logins of {EMAIL} are forgotten")
        assert str(console.do(lambda kit: kit.login(EMAIL, PASSWORD)).user.id) == user_id


def test_the_audit_trail_tells_what_was_done_from_the_command_line(
    console: Console, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="jwt_auth_kit")
    user_id = console.register()
    session_id = console.sign_in()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PASSWORD.encode())))
    caplog.clear()

    console("users", "create-admin", KIT, "root@example.com")
    console("users", "set-role", KIT, user_id, "editor")
    console("sessions", "revoke", KIT, user_id, "--", session_id)
    console("sessions", "revoke", KIT, user_id, "--all")
    console("users", "unlock", KIT, user_id)
    console("users", "disable", KIT, user_id)

    events = [json.loads(record.getMessage()) for record in caplog.records]
    assert [event["event"] for event in events] == [
        *("registered", "role_changed", "logged_out", "sessions_ended"),
        *("password_unlocked", "user_disabled"),
    ]
    assert {event["actor"] for event in events} == {"cli"}


@pytest.mark.parametrize(
    "command",
    [
        ("users", "set-role", "{kit}", "{user}", "admin"),
        ("users", "disable", "{kit}", "{user}"),
        ("users", "unlock", "{kit}", "{user}"),
        ("sessions", "list", "{kit}", "{user}"),
        ("sessions", "revoke", "{kit}", "{user}", "--all"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
class TestEveryCommandAboutAUser:
    @pytest.mark.parametrize("user", ["bob@example.com", "no-such-id", "4" * 40, "@", ""])
    def test_a_user_that_is_not_there_is_told(
        self, command: tuple[str, ...], user: str, console: Console
    ) -> None:
        words = [word.format(kit=KIT, user=user) for word in command]

        assert "there is no user with the" in console.failure(*words)

    def test_a_kit_that_is_not_there_is_a_usage_error(
        self, command: tuple[str, ...], console: Console
    ) -> None:
        words = [word.format(kit="nowhere:kit", user=EMAIL) for word in command]

        assert "No module named 'nowhere'" in console.failure(*words, code=2)

    def test_a_kit_in_memory_is_refused_because_nobody_would_notice(
        self, command: tuple[str, ...], console: Console, tmp_path: Path
    ) -> None:
        (tmp_path / "memory_host.py").write_text(
            "from jwt_auth_kit import *\nkit = AuthKit(keys=KeyRing.random())\n"
        )
        words = [word.format(kit="memory_host:kit", user=EMAIL) for word in command]

        assert "in memory" in console.failure(*words, code=2)
        sys.modules.pop("memory_host")

    def test_a_database_that_is_away_is_told(
        self, command: tuple[str, ...], console: Console, tmp_path: Path
    ) -> None:
        (tmp_path / "auth.sqlite3").unlink()  # SQLite makes an empty one, without tables
        words = [word.format(kit=KIT, user=EMAIL) for word in command]

        assert "unavailable" in console.failure(*words)


class TestSessions:
    def test_they_are_listed_newest_first_with_what_is_known_of_them(
        self, console: Console
    ) -> None:
        console.register()
        phone, laptop = console.sign_in("Phone"), console.sign_in("Laptop 7", ip="2001:db8::1")

        heading, *rows = console("sessions", "list", KIT, EMAIL).splitlines()

        moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
        assert heading.split("  ")[0] == "ID"
        assert [re.sub(moment, "@", row) for row in rows] == [
            f"{laptop}  @  @  2001:db8::1 Laptop 7",
            f"{phone}  @  @  192.0.2.7 Phone",
        ]

    def test_what_a_client_calls_itself_plays_no_tricks(self, console: Console) -> None:
        console.register()
        console.sign_in("\x1b[2J\r\u202e" + "x" * 1000)

        printed = console("sessions", "list", KIT, EMAIL)

        assert all(line.isprintable() and len(line) < 200 for line in printed.splitlines())
        assert r"\x1b[2J\r\u202exxx" in printed

    def test_nobody_signed_in_is_said(self, console: Console) -> None:
        console.register()

        assert console("sessions", "list", KIT, EMAIL) == f"{EMAIL} has no live session.\n"

    @pytest.mark.parametrize("length", [22, 12], ids=["whole id", "how it begins"])
    def test_one_is_ended_and_the_others_live(self, length: int, console: Console) -> None:
        user_id = console.register()
        lost, kept = console.sign_in(), console.sign_in()

        printed = console("sessions", "revoke", KIT, EMAIL, "--", lost[:length])

        assert printed == f"Session {lost} of {EMAIL} is ended.\n"
        assert console.sessions(user_id) == {kept}

    def test_all_are_ended_and_access_tokens_are_void(self, console: Console) -> None:
        user_id = console.register()
        console.sign_in(), console.sign_in()

        printed = console("sessions", "revoke", KIT, user_id, "--all")

        assert printed == f"All sessions of {EMAIL} are ended.\n"
        assert console.sessions(user_id) == set()
        assert console.do(lambda kit: kit.tokens.epochs(user_id)).sessions_from > 0

    def test_one_that_is_not_there_is_told_and_nothing_is_ended(self, console: Console) -> None:
        user_id = console.register()
        session = console.sign_in()

        assert "no such live session" in console.failure("sessions", "revoke", KIT, EMAIL, "none")
        assert console.sessions(user_id) == {session}

    def test_a_beginning_that_several_share_ends_none(self, console: Console) -> None:
        user_id = console.register()
        sessions = {console.sign_in(), console.sign_in()}

        assert "several sessions" in console.failure("sessions", "revoke", KIT, EMAIL, "")
        assert console.sessions(user_id) == sessions

    @pytest.mark.parametrize("which", [[], ["some", "--all"]], ids=["neither", "both"])
    def test_one_or_all_has_to_be_said(self, which: list[str], console: Console) -> None:
        error = console.failure("sessions", "revoke", KIT, EMAIL, *which, code=2)

        assert "--all" in error


@pytest.mark.parametrize(
    "verb",
    [
        *("users create-admin", "users set-role", "users disable", "users unlock"),
        *("sessions list", "sessions revoke"),
    ],
)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*verb.split(), "--help"])

    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "app.main:kit" in text
    assert re.search(r"^[A-Z][^:]{20,}\.$", text, re.M), "a sentence says what it does"


def test_a_store_that_raises_its_own_error_is_told_without_its_text(
    console: Console, tmp_path: Path
) -> None:
    (tmp_path / "broken_host.py").write_text(BROKEN)

    refusal = console.failure("users", "disable", "broken_host:kit", "42")

    assert refusal == "jwt-auth-kit: the kit or a store of it raised KeyError"
    assert (tmp_path / "closed").read_text() == "closed"
    sys.modules.pop("broken_host")


BROKEN = """
from pathlib import Path
from jwt_auth_kit import AuthKit, KeyRing

class Users:
    async def get_by_id(self, user_id):
        raise KeyError("postgresql://ada:hunter2@db")

    get_by_email = get_by_id

    async def aclose(self):
        Path("closed").write_text("closed")

class Sessions:
    async def unused(self, *arguments, **options):
        pass

    create = revoke_others = list_by_user = unused

kit = AuthKit(users=Users(), tokens=Sessions(), keys=KeyRing.random())
"""


@pytest.mark.parametrize("error", ["RuntimeError", "ValueError"])
def test_a_module_that_cannot_be_imported_is_named_without_what_it_said(
    error: str, console: Console, tmp_path: Path
) -> None:
    (tmp_path / "sad_host.py").write_text(f"raise {error}('hunter2')")

    refusal = console.failure("sessions", "list", "sad_host:kit", EMAIL, code=2)

    assert f"'sad_host:kit' cannot be loaded: {error}" in refusal
    assert "hunter2" not in refusal


def test_from_the_first_administrator_to_the_last_session(console: Console, tmp_path: Path) -> None:
    def run(*arguments: str, typed: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "jwt_auth_kit", *arguments],
            cwd=tmp_path,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run("users", "create-admin", KIT, EMAIL, typed=f"{PASSWORD}\n")
    session = console.sign_in()
    listed = run("sessions", "list", KIT, EMAIL)
    ended = run("sessions", "revoke", KIT, EMAIL, "--", session)
    locked = run("users", "disable", KIT, EMAIL)

    assert session in listed
    assert session in ended
    assert "disabled" in locked


def test_a_reader_that_goes_away_ends_a_command_quietly(console: Console, tmp_path: Path) -> None:
    console.register()
    for number in range(3):
        console.sign_in(user_agent=f"Phone {number}")
    for arguments in (["sessions", "list", KIT, EMAIL], ["secret"]):
        program = (
            "import os, sys; from jwt_auth_kit.__main__ import main; "
            "os.read(0, 1); main(sys.argv[1:])"
        )
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, *arguments],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.close()  # before the first line

        _, error = process.communicate(b"go")

        assert (process.returncode, error) == (141, b"")
