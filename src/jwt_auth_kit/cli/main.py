"""The command line: ``python -m jwt_auth_kit secret``, ``keys``, ``inspect``, ``users`` ..."""

import argparse
import base64
import os
import secrets
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import AuthError, ConfigurationError, StoreUnavailable
from .accounts import add_account_commands, run_account_command
from .doctor import examine
from .inspect import add_inspect_command, run_inspect_command
from .keys import add_key_commands, run_key_command
from .loading import CommandFailed, load_kit, run_on
from .purge import purge_all
from .terminal import OutputClosed, printable

SECRET_BYTES = 32
INTERRUPTED = 130  # what shells answer for Ctrl-C
OUTPUT_CLOSED = 141  # and for a program that writes to nobody


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 1 when it fails, 2 when it is called wrongly."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
    except (BrokenPipeError, OutputClosed):
        _leave_pipe()
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


def _leave_pipe() -> NoReturn:
    # What is still in the buffer would fail once more, and loudly, when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(OUTPUT_CLOSED)


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
