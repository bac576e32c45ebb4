"""The commands about people: ``users create-admin``, ``sessions list`` and others."""

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from getpass import getpass
from typing import Any

from ..emails import check_email, normalize_email
from ..errors import ConfigurationError
from ..kit.auth_kit import AuthKit
from ..passwords.policy import WeakPassword
from ..sessions import Session
from ..stores.base import User, read_role
from ..stores.memory import MemoryTokenStore, MemoryUserStore
from .loading import CommandFailed, load_kit, run_on
from .terminal import in_utc, say, say_table

COLUMNS = ("ID", "CREATED", "LAST USED", "CLIENT")
LONGEST_CLIENT = 80
ACTOR = "cli"
"""Stands in the audit trail where an administrator's id would."""

Command = Callable[[AuthKit, argparse.Namespace], Coroutine[Any, Any, None]]


def add_account_commands(commands: Any) -> None:
    """Add ``users`` and ``sessions`` and their verbs to the commands of a parser."""
    users = commands.add_parser("users", help="make an administrator, change roles, lock accounts")
    verbs = users.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = _add(verbs, "create-admin", "make an account with the role admin", create_admin)
    create.add_argument("email", metavar="EMAIL", type=_email, help="address to sign in with")
    create.epilog = (
        "The password is asked for twice. Where standard input is no terminal, its first line "
        "is the password. It is never an argument, which other people on the machine could see."
    )
    set_role = _add(verbs, "set-role", "give an account another role", set_user_role)
    _add_user(set_role)
    set_role.add_argument(
        "role", metavar="ROLE", type=_role, help="user, admin, or one of the application's own"
    )
    _add_user(_add(verbs, "disable", "lock an account and end all its sessions", disable))
    _add_user(_add(verbs, "enable", "let a locked account sign in again", enable))
    _add_user(_add(verbs, "unlock", "let a password work again after 100 wrong ones", unlock))

    sessions = commands.add_parser("sessions", help="show and end the sessions of a user")
    verbs = sessions.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_user(_add(verbs, "list", "show the live sessions of a user, newest first", list_sessions))
    revoke = _add(verbs, "revoke", "end one session of a user, or all of them", revoke_sessions)
    _add_user(revoke)
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("session", metavar="SESSION", nargs="?", help="its id, or how it begins")
    which.add_argument("--all", action="store_true", help="every session; access tokens too")
    revoke.epilog = "If the id begins with a dash, write -- before it: USER -- -xyz"


def run_account_command(options: argparse.Namespace) -> None:
    """Do what a ``users`` or ``sessions`` command line says.

    Raises:
        AuthError: the kit refused it, or a store did not answer.
        CommandFailed: it cannot be done.
        ConfigurationError: there is no such kit, or nobody else would see what is done.
    """
    kit = load_kit(options.kit)
    makes_account = options.run is create_admin
    in_memory = isinstance(kit.users, MemoryUserStore)
    if in_memory or (not makes_account and isinstance(kit.tokens, MemoryTokenStore)):
        raise ConfigurationError(
            "This kit keeps accounts or sessions in memory, where no other process sees them. "
            "Choose a store: SQLAlchemyUserStore, SQLAlchemyTokenStore."
        )
    if makes_account:
        options.password = read_password()
    run_on(kit, options.run(kit, options))


async def create_admin(kit: AuthKit, options: argparse.Namespace) -> None:
    """Make an administrator."""
    try:
        user = await kit.create_user(options.email, options.password, role="admin", actor=ACTOR)
    except WeakPassword as error:
        raise CommandFailed(str(error)) from None
    say(f"{user.email} is an administrator. User id: {user.id}")


async def set_user_role(kit: AuthKit, options: argparse.Namespace) -> None:
    """Give an account another role."""
    user = await _find(kit, options.user)
    before = read_role(user)  # a store may hand out the record that it changes
    await kit.set_role(str(user.id), options.role, actor=ACTOR)
    say(f"{user.email} had the role {before} and has the role {options.role} now.")


async def disable(kit: AuthKit, options: argparse.Namespace) -> None:
    """Lock an account."""
    user = await _find(kit, options.user)
    await kit.disable_user(str(user.id), actor=ACTOR)
    say(f"{user.email} is disabled, and all its sessions are ended.")


async def enable(kit: AuthKit, options: argparse.Namespace) -> None:
    """Let a locked account sign in again."""
    user = await _find(kit, options.user)
    await kit.enable_user(str(user.id), actor=ACTOR)
    say(f"{user.email} can sign in again.")


async def unlock(kit: AuthKit, options: argparse.Namespace) -> None:
    """Forget failed logins."""
    user = await _find(kit, options.user)
    await kit.unlock_password(str(user.id), actor=ACTOR)
    say(f"The failed logins of {user.email} are forgotten; the password works everywhere again.")


async def list_sessions(kit: AuthKit, options: argparse.Namespace) -> None:
    """Print a table of the live sessions."""
    user = await _find(kit, options.user)
    sessions = [session async for session in _live_sessions(kit, user)]
    if not sessions:
        say(f"{user.email} has no live session.")
        return
    say_table([COLUMNS, *map(_row, sessions)])


async def revoke_sessions(kit: AuthKit, options: argparse.Namespace) -> None:
    """End one session, or all of them."""
    user = await _find(kit, options.user)
    if options.all:
        await kit.logout_all(str(user.id), actor=ACTOR)
        say(f"All sessions of {user.email} are ended.")
        return
    found = [
        session.id
        async for session in _live_sessions(kit, user)
        if session.id.startswith(options.session)
    ]
    found = [session_id for session_id in found if session_id == options.session] or found
    if len(found) > 1:
        raise CommandFailed(f"several sessions of {user.email} begin so; `sessions list` has them")
    if not found or not await kit.end_session(str(user.id), found[0], actor=ACTOR):
        raise CommandFailed(f"{user.email} has no such live session; `sessions list` shows them")
    say(f"Session {found[0]} of {user.email} is ended.")


async def _live_sessions(kit: AuthKit, user: User) -> AsyncIterator[Session]:
    after = None
    while page := await kit.list_sessions(str(user.id), after=after):
        for session in page:
            yield session
        after = page[-1].id


def read_password() -> str:
    """Ask for a new password twice, or take the first line of an input that is no terminal.

    Raises:
        CommandFailed: the two differ, or it is no text.
    """
    if sys.stdin is None:
        raise CommandFailed("there is no input to read the password from")
    if sys.stdin.isatty():
        typed = getpass("Password: ")
        if getpass("Once more: ") != typed:
            raise CommandFailed("the two passwords differ, so nothing was done")
        line = typed.encode(errors="surrogateescape")
    else:
        line = sys.stdin.buffer.readline()
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise CommandFailed("the password is no UTF-8 text") from None


async def _find(kit: AuthKit, name: str) -> User:
    """Return the account with this e-mail address or id."""
    by_email = "@" in name
    user = await (
        kit.users.get_by_email(normalize_email(name)) if by_email else kit.users.get_by_id(name)
    )
    if user is None:
        raise CommandFailed(f"there is no user with the {'e-mail' if by_email else 'id'} {name}")
    return user


def _row(session: Session) -> tuple[str, ...]:
    client = " ".join(part for part in (session.ip, session.user_agent) if part) or "-"
    moments = map(in_utc, (session.created_at, session.last_seen_at))
    return session.id, *moments, client[:LONGEST_CLIENT]


def _add(verbs: Any, name: str, description: str, run: Command) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    verb.add_argument(
        "kit", metavar="MODULE:KIT", help="an AuthKit or a function that makes one, app.main:kit"
    )
    verb.set_defaults(run=run)
    return verb


def _add_user(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("user", metavar="USER", help="e-mail address or user id")


def _email(text: str) -> str:
    try:
        return check_email(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _role(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("a role is a word, such as user or admin")
    return text
