"""The command ``inspect``: shows what a token says, and what is wrong with it."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..keys.sources import named_keys
from ..kit.auth_kit import AuthKit
from ..settings import AuthSettings
from ..stores.memory import MemoryTokenStore, MemoryUserStore
from ..tokens.manager import JWTManager, is_count, utc_now
from .inspection import Inspection, inspect_token
from .loading import load_kit
from .terminal import from_now, in_utc, printable, say

MOMENTS = ("exp", "nbf", "iat", "auth_time")
MAX_INPUT = 100_000
NOTHING_WRONG = "Nothing is wrong."
NOT_CHECKED = "Nothing else is wrong, but without keys the signature cannot be checked."


def add_inspect_command(commands: Any) -> None:
    """Add ``inspect`` to the commands of a parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "inspect",
        help="show what a token says, and what is wrong with it",
        description=(
            "Show what a token says, and what is wrong with it. The signature is checked with "
            "the keys of JWT_SECRET_KEY, JWT_KEYS, JWT_KEYS_FILE or JWT_KEYS_DIR, or of --kit. "
            "No store is asked, so a logout is not seen."
        ),
        epilog="Exit code 1 means that something is wrong with the token.",
    )
    # Several words, because an unknown word is repeated in an error, and this may be "Bearer eyJ".
    command.add_argument(
        "token",
        metavar="TOKEN",
        nargs="+",
        help="the token, or - to read it from standard input, which keeps it out of the history",
    )
    command.add_argument(
        "--kit",
        metavar="MODULE:KIT",
        help="an AuthKit or a function that makes one, app.main:kit, whose keys are used",
    )


def run_inspect_command(options: argparse.Namespace) -> int:
    """Print what the token says; 1 where something is wrong with it.

    Raises:
        ConfigurationError: the keys cannot be read.
    """
    token = _token(options.token)
    jwt = _verifier(options.kit)
    now = utc_now() if jwt is None else jwt.now()
    inspection = inspect_token(token, jwt, now=now)
    for line in _lines(inspection, now):
        say(line)
    return int(bool(inspection.problems))


def _token(arguments: list[str]) -> str:
    text = _first_line() if arguments == ["-"] else " ".join(arguments)
    words = text.split()
    is_header = len(words) > 1 and words[0].lower() in {"bearer", "authorization:"}
    return words[-1] if is_header else " ".join(words)


def _first_line() -> str:
    if sys.stdin is None:
        return ""
    return sys.stdin.buffer.readline(MAX_INPUT).decode("ascii", "replace")


def _verifier(path: str | None) -> JWTManager | None:
    if path is not None:
        return load_kit(path).jwt
    settings = AuthSettings()
    if named_keys(settings) in ([], ["jwks_url"]):  # a URL is not asked
        return None
    kit = AuthKit(settings=settings, users=MemoryUserStore(), tokens=MemoryTokenStore())
    return kit.jwt


def _lines(inspection: Inspection, now: datetime) -> Iterator[str]:
    if inspection.header is not None or inspection.claims is not None:
        yield f"kind       {inspection.kind or 'unknown'}"
        yield f"signature  {inspection.signature or 'not checked'}"
        yield from _members("header", inspection.header, now)
        yield from _members("claims", inspection.claims, now)
        yield ""
    for problem in inspection.problems:
        yield f"wrong: {problem}"
    for note in inspection.notes:
        yield f"note: {note}"
    if not inspection.problems:
        yield NOTHING_WRONG if inspection.signature else NOT_CHECKED


def _members(title: str, members: Mapping[str, Any] | None, now: datetime) -> Iterator[str]:
    if members is None:
        return
    yield ""
    yield title
    width = max((len(printable(name)) for name in members), default=0)
    for name, value in members.items():
        yield f"  {printable(name):{width}}  {_in_words(name, value, now)}"


def _in_words(name: str, value: Any, now: datetime) -> str:
    if name in MOMENTS and is_count(value):
        moment = datetime.fromtimestamp(value, UTC)
        return f"{in_utc(moment)} ({from_now(moment, now)})"
    return json.dumps(value, ensure_ascii=False)
