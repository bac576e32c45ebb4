"""The Next.js example as people would run it: built, started, and in front of real workers.

Between Next.js and uvicorn stands a passage, which counts requests and loses answers on demand.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from playwright.sync_api import Locator, Page, expect

from browsers import Answer
from live import ROOT, live_server
from servers import START_SECONDS, free_port

Mode = Literal["cookie", "bearer"]
Credentials = dict[str, str]

EXAMPLE = ROOT / "examples/nextjs"
NODE = (str(ROOT / "scripts/node"), "node")
NEXT = (*NODE, "node_modules/next/dist/bin/next")
MADE_BY_TOOLS = {"node_modules", ".next", "next-env.d.ts", "tsconfig.tsbuildinfo"}

PAGES = {
    "/login": "Sign in",
    "/register": "Create an account",
    "/dashboard": "Projects",
    "/account": "Account",
    "/admin": "Users",
}
"""The pages and what their headings say."""

PASSWORD = "correct horse battery"
ADMIN = {"email": "admin@example.com", "password": PASSWORD}


class Passage(ThreadingHTTPServer):
    """The way from Next.js to the backend.

    Attributes:
        backend: where it leads to.
        answers: what the backend answered, also what nobody got to see.
        losing: paths whose next answer gets lost, after the backend has given it.
    """

    def __init__(self, backend: str) -> None:
        super().__init__(("127.0.0.1", 0), PassageHandler)
        self.backend = backend
        self.answers: list[Answer] = []
        self.losing: list[str] = []

    @property
    def url(self) -> str:
        """Where Next.js finds it."""
        return f"http://127.0.0.1:{self.server_port}"

    def refreshes(self) -> list[int]:
        """Return how the backend answered the refreshes."""
        return [answer.status for answer in self.answers if answer.url == "/auth/refresh"]


@dataclass(frozen=True, slots=True)
class Site:
    """The example in one of its modes: where browsers find it, and the way to its backend."""

    mode: Mode
    url: str
    passage: Passage

    def create_user(self) -> Credentials:
        """Make an account that nobody else has, without a browser."""
        credentials = {"email": f"{uuid4().hex[:12]}@example.com", "password": PASSWORD}
        httpx.post(f"{self.passage.backend}/auth/register", json=credentials).raise_for_status()
        return credentials


@contextmanager
def serve(mode: Mode, database: str, **environment: str) -> Iterator[Site]:
    """Serve the built example in *mode*, in front of two workers that share a *database*."""
    backend_environment = {
        "DATABASE_URL": database,
        "ADMIN_EMAIL": ADMIN["email"],
        "ADMIN_PASSWORD": ADMIN["password"],
        "AUTH_COOKIES": str(int(mode == "cookie")),
        "UVICORN_WORKERS": "2",
        "UVICORN_PROXY_HEADERS": "0",
        "UVICORN_LOG_LEVEL": "warning",
    }
    with (
        live_server(app_dir=ROOT, **backend_environment, **environment) as backend,
        open_passage(backend) as passage,
        start_next(AUTH_MODE=mode, BACKEND_URL=passage.url) as url,
    ):
        yield Site(mode, url, passage)


def build() -> None:
    """Run ``next build``, unless the sources are those of the last build."""
    assert (EXAMPLE / "node_modules").exists(), "Next.js is missing: (cd examples/nextjs && npm ci)"
    stamp, wanted = EXAMPLE / ".next/built-from", _hash_sources()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    subprocess.run([*NEXT, "build"], cwd=EXAMPLE, env=_environment(), check=True)
    stamp.write_text(wanted)


@contextmanager
def start_npm(arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start one of the example's own commands, which tells *log* what it finds."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [ROOT / "scripts/node", "npm", *arguments.split()],
            cwd=EXAMPLE,
            env=_environment() | {"PYTHON": sys.executable},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the command is a child of npm's
        process.wait()


@contextmanager
def start_next(**environment: str) -> Iterator[str]:
    """Run ``next start`` on a free port; yield the address that browsers take for secure."""
    port = free_port()
    process = subprocess.Popen(
        [*NEXT, "start", "--port", str(port)],
        cwd=EXAMPLE,
        env=_environment() | environment,
        stdout=sys.__stderr__,
    )
    try:
        _wait_until_it_answers(process, port)
        yield f"http://localhost:{port}"
    finally:
        process.kill()  # it keeps nothing that would have to be tidied up
        process.wait()


@contextmanager
def open_passage(backend: str) -> Iterator[Passage]:
    """Pass requests on to *backend*."""
    with Passage(backend) as passage:
        thread = Thread(target=passage.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield passage
        finally:
            passage.shutdown()
            thread.join()


class PassageHandler(BaseHTTPRequestHandler):
    """Passes a request on, and the answer back unless it has to get lost."""

    protocol_version = "HTTP/1.1"
    server: Passage

    def pass_on(self) -> None:
        passage = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(HTTPConnection(urlsplit(passage.backend).netloc)) as line:
            line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                line.putheader(name, value)
            line.endheaders(body)
            answer = line.getresponse()
            content = answer.read()
        passage.answers.append(Answer(self.command, self.path, answer.status))
        if self.path in passage.losing:
            passage.losing.remove(self.path)
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Keep the report of the tests short."""


def fill_in(page: Page, credentials: Credentials) -> None:
    """Fill in the form of the sign-in or the registration and send it."""
    page.get_by_label("E-mail").fill(credentials["email"])
    page.get_by_label("Password", exact=True).fill(credentials["password"])
    page.locator("button[type=submit]").click()


def sign_in(page: Page, site: Site, credentials: Credentials, path: str = "/dashboard") -> None:
    """Sign in and wait for the page at *path*."""
    page.goto(f"{site.url}/login?redirect={path}")
    fill_in(page, credentials)
    page.wait_for_url(f"{site.url}{path}")


def heading(page: Page, name: str) -> Locator:
    """Find the heading that says which page this is."""
    return page.get_by_role("heading", name=name, exact=True, level=1)


def wait_for_page(page: Page, title: str) -> None:
    """Wait until the page that has *title* shows all it has."""
    expect(page).to_have_title(re.compile(f"^({title} · )?Keyring$"))
    expect(heading(page, title)).to_be_visible()
    expect(page.get_by_text("Loading…")).to_have_count(0)


def _hash_sources() -> str:
    tops = [path for path in EXAMPLE.iterdir() if path.name not in MADE_BY_TOOLS]
    files = {file for top in tops for file in (top, *top.rglob("*")) if file.is_file()}
    sums = [(str(file), hashlib.sha256(file.read_bytes()).hexdigest()) for file in sorted(files)]
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _environment() -> dict[str, str]:
    return {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "next start ended; see its log above"
        with suppress(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/login").raise_for_status()
            return
        time.sleep(0.05)
    raise AssertionError("next start does not answer; see its log above")
