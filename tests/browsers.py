"""A real browser for tests: Debian's Chromium, driven by Playwright.

Playwright's synchronous API keeps an event loop of its own running in the thread that opened it,
and while it does, no asynchronous test can run there. So a browser belongs to one test module
whose tests are all plain functions: the fixture of ``conftest`` has module scope.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    WebError,
    sync_playwright,
)

FLAGS = (
    "--no-sandbox",  # it cannot be had as root; every page comes from this machine
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Not by intercepting requests: Playwright would then answer CORS preflights by itself.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE *localhost",
)


class Answer(NamedTuple):
    """How the server answered a request."""

    method: str
    url: str
    status: int


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with a browser profile of their own, and what went wrong in it.

    Attributes:
        context: the profile.
        problems: errors and warnings in the console, exceptions that no page caught, and
            requests without an answer.
        answers: every answer, also those that no page can read.
    """

    context: BrowserContext
    problems: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def open(self, url: str) -> Page:
        """Open *url* in a new tab."""
        page = self.context.new_page()
        page.goto(url)
        return page


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium, which finds no host but this machine.

    Raises:
        RuntimeError: this machine has none.
    """
    executable = shutil.which("chromium")
    if executable is None:
        raise RuntimeError("No chromium on PATH. On Debian: apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable, args=FLAGS) as browser,
    ):
        yield browser


@contextmanager
def visit(browser: Browser, **options: Any) -> Iterator[Visitor]:
    """Give a test a fresh profile, with *options* of Playwright's for it."""
    with browser.new_context(**options) as context:
        visitor = Visitor(context)
        _record(context, visitor.problems, visitor.answers)
        yield visitor


def _record(context: BrowserContext, problems: list[str], answers: list[Answer]) -> None:
    def note_message(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            problems.append(f"{message.type}: {message.text}")

    def note_exception(error: WebError) -> None:
        problems.append(f"exception: {error.error}")

    def note_failure(request: Request) -> None:
        problems.append(f"no answer: {request.method} {request.url}: {request.failure}")

    def note_answer(response: Response) -> None:
        answers.append(Answer(response.request.method, response.url, response.status))

    context.on("console", note_message)
    context.on("weberror", note_exception)
    context.on("requestfailed", note_failure)
    context.on("response", note_answer)
