"""The command line: ``python -m jwt_auth_kit secret`` and ``purge``."""

import argparse
import asyncio
import base64
import importlib
import inspect
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import ConfigurationError, ServiceUnavailable
from .kit import AuthKit

SECRET_BYTES = 32
BATCH = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 1 when it fails, 2 when it is called wrongly."""
    parser = argparse.ArgumentParser(
        prog="jwt-auth-kit", description="Tools for applications that use jwt-auth-kit."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret", help="print a new random secret for JWT_SECRET_KEY")
    purge = commands.add_parser("purge", help="delete sessions that ended a day ago or earlier")
    purge.add_argument(
        "kit", metavar="MODULE:KIT", help="an AuthKit or a function that makes one, app.main:kit"
    )
    options = parser.parse_args(arguments)
    if options.command == "secret":
        print(make_secret())
        return
    try:
        print(f"{asyncio.run(purge_all(load_kit(options.kit)))} sessions deleted")
    except ConfigurationError as error:
        parser.error(str(error))
    except ServiceUnavailable as error:
        sys.exit(f"jwt-auth-kit: {error.message}")


def make_secret() -> str:
    """Make a secret of 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def load_kit(path: str) -> AuthKit:
    """Import the kit at *path*, ``module:attribute``, as an ASGI server would.

    Raises:
        ConfigurationError: there is none.
    """
    module_name, _, attribute = path.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        kit = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{path!r} cannot be loaded: {error}") from None
    if inspect.isfunction(kit):
        kit = kit()
    if not isinstance(kit, AuthKit):
        raise ConfigurationError(f"{path!r} is no AuthKit but {type(kit).__name__}")
    return kit


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
