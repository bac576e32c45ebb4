"""The command line: ``python -m jwt_auth_kit secret``, ``keys``, ``inspect``, ``users`` ..."""

import argparse
import asyncio
import base64
import secrets
import sys
from collections.abc import Sequence

from fastapi import FastAPI

from .account_commands import add_account_commands, run_account_command
from .checks import Finding, find_key_problems, find_problems, find_store_problems
from .errors import AuthError, ConfigurationError, StoreUnavailable
from .hosts import CommandFailed, load, load_kit, run_on
from .inspect_command import add_inspect_command, run_inspect_command
from .key_commands import add_key_commands, run_key_command
from .kit import AuthKit
from .password_checks import find_hash_problems
from .terminal import printable

SECRET_BYTES = 32
BATCH = 1000
INTERRUPTED = 130  # what shells answer for Ctrl-C


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 1 when it fails, 2 when it is called wrongly."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        code = _run(options)
    except ConfigurationError as error:
        parser.error(printable(str(error)))
    except StoreUnavailable as error:
        sys.exit(f"jwt-auth-kit: {error.message}. {error.hint}".rstrip())
    except AuthError as error:
        sys.exit(f"jwt-auth-kit: {error.message}")
    except CommandFailed as error:
        sys.exit(f"jwt-auth-kit: {printable(str(error))}")
    except (KeyboardInterrupt, EOFError):  # at a prompt
        sys.exit(INTERRUPTED)
    if code:
        sys.exit(code)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jwt-auth-kit", description="Tools for applications that use jwt-auth-kit."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret", help="print a new random secret for JWT_SECRET_KEY")
    add_key_commands(commands)
    add_inspect_command(commands)
    add_account_commands(commands)
    purge = commands.add_parser("purge", help="delete sessions that ended a day ago or earlier")
    purge.add_argument(
        "kit", metavar="MODULE:KIT", help="an AuthKit or a function that makes one, app.main:kit"
    )
    doctor = commands.add_parser(
        "doctor", help="start an application, show what is wrong with its set-up, and stop it again"
    )
    doctor.add_argument(
        "app", metavar="MODULE:APP", help="a FastAPI app or a function that makes one, app.main:app"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "secret":
            print(make_secret())
        case "keys":
            run_key_command(options)
        case "inspect":
            return run_inspect_command(options)
        case "users" | "sessions":
            run_account_command(options)
        case "purge":
            kit = load_kit(options.kit)
            print(f"{run_on(kit, purge_all(kit))} sessions deleted")
        case _:
            return examine(options.app)
    return 0


def make_secret() -> str:
    """Make a secret of 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def examine(path: str) -> int:
    """Print a table of what is wrong with the application at *path*; 1 where it cannot run."""
    try:
        findings = asyncio.run(_find_problems(load(path, FastAPI)))
    except ConfigurationError as error:
        findings = [Finding("error", "start", str(error))]
    except Exception as error:  # noqa: BLE001  whatever the application raises at its start
        message = f"The application does not start: {type(error).__name__}"
        findings = [Finding("error", "start", message)]
    rows = [(each.level, each.subject, each.message) for each in findings]
    for level, subject, message in [("level", "about", "what to do"), *rows]:
        print(f"{level:8} {subject:11} {message}")
    if not rows:
        print("ok       everything  Nothing was found.")
    return int(any(level == "error" for level, _, _ in rows))


async def _find_problems(app: FastAPI) -> list[Finding]:
    async with app.router.lifespan_context(app):  # many applications are put together there
        unreadable = [*await find_key_problems(app), *await find_store_problems(app)]
        return [*unreadable, *await find_hash_problems(app), *find_problems(app)]


async def purge_all(kit: AuthKit) -> int:
    """Purge in batches, so that no statement holds many rows; return how many went."""
    total = 0
    while deleted := await kit.purge(limit=BATCH):
        total += deleted
    return total


if __name__ == "__main__":
    main()
