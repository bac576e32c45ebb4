"""The command line: ``python -m jwt_auth_kit secret``, ``keys``, ``purge`` and ``doctor``."""

import argparse
import asyncio
import base64
import importlib
import inspect
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from fastapi import FastAPI

from .checks import Finding, find_problems
from .errors import ConfigurationError, ServiceUnavailable
from .key_commands import add_key_commands, run_key_command
from .kit import AuthKit

T = TypeVar("T")

SECRET_BYTES = 32
BATCH = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 1 when it fails, 2 when it is called wrongly."""
    parser = argparse.ArgumentParser(
        prog="jwt-auth-kit", description="Tools for applications that use jwt-auth-kit."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret", help="print a new random secret for JWT_SECRET_KEY")
    add_key_commands(commands)
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
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "secret":
                print(make_secret())
            case "keys":
                run_key_command(options)
            case "purge":
                kit = load(options.kit, AuthKit)
                print(f"{asyncio.run(purge_all(kit))} sessions deleted")
            case _:
                sys.exit(examine(options.app))
    except ConfigurationError as error:
        parser.error(str(error))
    except ServiceUnavailable as error:
        sys.exit(f"jwt-auth-kit: {error.message}")


def make_secret() -> str:
    """Make a secret of 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def load(path: str, wanted: type[T]) -> T:
    """Import the object at *path*, ``module:attribute``, as an ASGI server would.

    Raises:
        ConfigurationError: there is none, or it is of another type.
    """
    module_name, _, attribute = path.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{path!r} cannot be loaded: {error}") from None
    if inspect.isfunction(found):
        found = found()
    if not isinstance(found, wanted):
        raise ConfigurationError(f"{path!r} is no {wanted.__name__} but {type(found).__name__}")
    return found


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
        return find_problems(app)


async def purge_all(kit: AuthKit) -> int:
    """Purge in batches, so that no statement holds many rows; return how many went."""
    total = 0
    try:
        while deleted := await kit.purge(limit=BATCH):
            total += deleted
    finally:
        for store in (kit.users, kit.tokens):
            if (close := getattr(store, "aclose", None)) is not None:
                await close()
    return total


if __name__ == "__main__":
    main()
