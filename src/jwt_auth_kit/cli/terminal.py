"""What the command line prints: lines, tables and moments that play no tricks on a terminal."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


class OutputClosed(Exception):
    """Whoever read what is printed has gone, as ``head`` does after some lines."""


def say(text: str) -> None:
    """Print one line, whoever wrote *text* and whatever the terminal can show.

    Raises:
        OutputClosed: nobody reads it any more.
    """
    encoding = sys.stdout.encoding or "utf-8"  # a StringIO has none
    line = printable(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(line)
    except BrokenPipeError:
        raise OutputClosed from None


def printable(text: str) -> str:
    """Return *text* with escapes in the place of what is not to be seen.

    Control characters would let a stranger move the cursor, clear the screen or type commands;
    others turn the direction of writing, or look like nothing.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def say_table(rows: Sequence[Sequence[str]]) -> None:
    """Print *rows*, the first of which holds the headings."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        say("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def in_utc(moment: datetime) -> str:
    """Return *moment* as a date in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def from_now(moment: datetime, now: datetime) -> str:
    """Return how far away *moment* is: ``in 3 min``, ``2 h ago``."""
    span = in_short(abs(moment - now))
    return f"in {span}" if moment >= now else f"{span} ago"


def in_short(span: timedelta) -> str:
    """Return a *span* in the largest unit that fits."""
    seconds = int(span.total_seconds())
    name, size = next((unit for unit in UNITS if seconds >= unit[1]), UNITS[-1])
    return f"{seconds // size} {name}"
