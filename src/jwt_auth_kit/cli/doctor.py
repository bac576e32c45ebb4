"""The command ``doctor``: starts an application and tells what is wrong with its set-up."""

import asyncio

from fastapi import FastAPI

from ..errors import ConfigurationError
from ..web.checks import (
    Finding,
    find_account_problems,
    find_key_problems,
    find_problems,
    find_store_problems,
)
from .loading import load
from .password_checks import find_hash_problems


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
        stored = [*await find_account_problems(app), *await find_hash_problems(app)]
        return [*unreadable, *stored, *find_problems(app)]
