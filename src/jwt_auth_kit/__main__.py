"""The command line: ``python -m jwt_auth_kit secret``."""

import argparse
import base64
import secrets
from collections.abc import Sequence

SECRET_BYTES = 32


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="jwt-auth-kit", description="Tools for applications that use jwt-auth-kit."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret", help="print a new random secret for JWT_SECRET_KEY")
    parser.parse_args(arguments)
    print(make_secret())


def make_secret() -> str:
    """Make a secret of 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


if __name__ == "__main__":
    main()
