"""Pages of other origins, in a browser that holds the user's cookies, change and read nothing.

The example runs in cookie mode on ``http://app.localhost``. Chromium takes every ``*.localhost``
for this machine and for secure, so the cookies are those of production: Secure, HttpOnly,
SameSite and ``__Host-``.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import pytest
from playwright.sync_api import Frame, Page

from browsers import Visitor
from live import ROOT, live_server

HOST = "app.localhost"
STRANGERS = {
    "another site": "evil.localhost",  # a site is the last label and the one before it
    "sub-domain": "evil.app.localhost",
    "another port": HOST,
}
TRUSTED = "partner.app.localhost"

PASSWORD = "correct horse battery"
VICTIM = {"email": "ada@example.com", "password": PASSWORD}
ATTACKER = {"email": "mallory@example.com", "password": PASSWORD}
NEWCOMER = {"email": "eve@example.com", "password": PASSWORD}
NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "a new horse battery"}
GRANT = {"grant_type": "password", "username": ATTACKER["email"], "password": PASSWORD}

WRITES: Sequence[tuple[str, str, Mapping[str, str]]] = (
    ("POST", "/api/projects", {"name": "Planted"}),
    ("PUT", "/api/projects/{project_id}", {"name": "Defaced"}),
    ("DELETE", "/api/projects/{project_id}", {}),
    ("POST", "/api/{user_id}/tasks", {"title": "Planted"}),
    ("PATCH", "/api/{user_id}/tasks/{task_id}/complete", {}),
    ("DELETE", "/api/{user_id}/tasks/{task_id}", {}),
    ("PATCH", "/api/admin/users/{attacker_id}", {"role": "admin"}),
    ("POST", "/api/admin/users/{attacker_id}/disable", {}),
    ("POST", "/api/admin/users/{attacker_id}/enable", {}),
    ("POST", "/auth/register", NEWCOMER),
    ("POST", "/auth/login", ATTACKER),
    ("POST", "/auth/refresh", {}),
    ("DELETE", "/auth/sessions/{session_id}", {}),
    ("DELETE", "/auth/sessions", {}),
    ("POST", "/auth/logout", {}),
    ("POST", "/auth/logout-all", {}),
    ("POST", "/auth/password", NEW_PASSWORD),
)
"""Every route that changes something, with bodies and ids of a well-informed attacker."""

READS = (
    "/api/projects",
    "/api/projects/{project_id}",
    "/api/{user_id}/tasks",
    "/api/{user_id}/tasks/{task_id}",
    "/api/admin/users",
    "/auth/me",
    "/auth/session",
    "/auth/sessions",
)

REFUSALS = {401, 403, 415}

SIMPLE_TYPES = (
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/plain; application/json",
    "",
)
"""Media types that a page may send to any origin without asking it first; "" is none at all."""

# Each of these scripts gives back the text that the page got to see.

FETCH = """
jobs => Promise.all(jobs.map(async ({url, type, body, ...options}) => {
  if (type) options.headers = {"Content-Type": type};
  if (body) options.body = type ? body : new Blob([body]);
  try {
    const answer = await fetch(url, {credentials: "include", ...options});
    return await answer.text();
  } catch {
    return "";
  }
}))
"""
ADD_FORM = """
const addForm = ({url, enctype, fields}, target) => {
  const form = document.createElement("form");
  Object.assign(form, {action: url, method: "post", enctype, target});
  for (const [name, value] of Object.entries(fields))
    form.append(Object.assign(document.createElement("input"), {name, value}));
  document.body.append(form);
  return form;
};
"""
SUBMIT = f"""
async jobs => {{
  {ADD_FORM}
  const frame = Object.assign(document.createElement("iframe"), {{name: "answer"}});
  document.body.append(frame);
  const seen = [];
  for (const job of jobs) seen.push(await new Promise(done => {{
    frame.onload = () => done(frame.contentDocument?.body.innerText ?? "");
    addForm(job, frame.name).submit();
    setTimeout(done, 10000, "");  // a 204 loads nothing
  }}));
  frame.remove();
  return seen;
}}
"""
LEAVE = f"job => {{ {ADD_FORM} addForm(job, '_self').submit(); }}"
EMBED = """
urls => Promise.all(urls.flatMap(url => ["img", "script", "iframe"].map(tag => new Promise(done => {
  const element = Object.assign(document.createElement(tag), {src: url});
  element.onload = element.onerror = () =>
    done(element.contentDocument?.body.innerText ?? (element.naturalWidth ? "an image" : ""));
  document.body.append(element);
}))))
"""
OPEN = "url => { window.opened = window.open(url); }"
LOOK = "() => { try { return opened.document.body.innerText; } catch { return ''; } }"
LISTEN = """
url => new Promise(done => {
  const socket = new WebSocket(url);
  socket.onopen = () => socket.send("?");
  socket.onmessage = ({data}) => done(data);
  socket.onclose = () => done("");
})
"""
PLANT = "cookies => { for (const cookie of cookies) document.cookie = cookie; }"


@dataclass(frozen=True, slots=True)
class Example:
    """The example: where browsers find it, where other clients do, and its database."""

    origin: str
    url: str
    database: Path

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchall()

    def dump(self) -> list[str]:
        """Return every row of every table."""
        with closing(sqlite3.connect(self.database)) as connection:
            return list(connection.iterdump())


@dataclass(frozen=True, slots=True)
class Victim:
    """Somebody who is signed in to the example, here and on another device."""

    example: Example
    visitor: Visitor
    page: Page
    ids: Mapping[str, str]

    def url(self, path: str) -> str:
        """Return where *path* is, with the ids filled in."""
        return self.example.origin + path.format_map(self.ids)

    @property
    def socket_url(self) -> str:
        """Return where the example has its WebSocket."""
        return self.url("/api/live").replace("http:", "ws:")

    def state(self) -> tuple[Any, ...]:
        """Return what nobody else may change: cookies, database, and who is signed in."""
        cookies = self.visitor.context.cookies(self.example.origin)
        return cookies, self.example.dump(), call(self.page, "GET", "/auth/me")

    def statuses(self) -> list[int]:
        """Return how the example answered those who tried to change something."""
        return [
            answer.status
            for answer in self.visitor.answers
            if answer.method != "GET" and answer.url.startswith(self.example.origin)
        ]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port on which strangers have their pages."""
    with serve_strangers() as port:
        yield port


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    with serve_example(tmp_path_factory.mktemp("example")) as example:
        yield example


@pytest.fixture
def victim(example: Example, visitor: Visitor) -> Victim:
    return sign_in(example, visitor, visitor.open(f"{example.origin}/health"))


@pytest.fixture(params=STRANGERS)
def stranger(request: pytest.FixtureRequest, elsewhere: int, visitor: Visitor) -> Page:
    """A page of another origin, in a tab of the same browser."""
    return visitor.open(f"http://{STRANGERS[request.param]}:{elsewhere}")


@contextmanager
def serve_example(directory: Path, **environment: str) -> Iterator[Example]:
    """Serve the example in cookie mode; it knows a victim, who is admin, and an attacker."""
    database = directory / "example.sqlite3"
    environment |= {
        "AUTH_COOKIES": "1",
        "DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "ADMIN_EMAIL": VICTIM["email"],
        "ADMIN_PASSWORD": VICTIM["password"],
    }
    with live_server(app_dir=ROOT, **environment) as url:
        httpx.post(f"{url}/auth/register", json=ATTACKER).raise_for_status()
        yield Example(f"http://{HOST}:{urlsplit(url).port}", url, database)


@contextmanager
def serve_strangers() -> Iterator[int]:
    """Serve the strangers' pages on all names of this machine; yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), StrangersHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class StrangersHandler(BaseHTTPRequestHandler):
    """Answers with an empty page, and sends what is posted on to the address in the query."""

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(307, Location=unquote(urlsplit(self.path).query))

    def log_message(self, *args: object) -> None:
        """Keep the report of the tests short."""

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "text/html"}.items():
            self.send_header(name, value)
        self.end_headers()


def call(page: Page, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
    """Ask as a page of the example would; return the answer's body."""
    sent = {} if body is None else {"type": "application/json", "body": json.dumps(body)}
    (text,) = page.evaluate(FETCH, [{"url": path, "method": method, **sent}])
    return json.loads(text or "null")


def sign_in(example: Example, visitor: Visitor, page: Page) -> Victim:
    """Sign the victim in, in a *page* of the example and on another device."""
    httpx.post(f"{example.url}/auth/login", json=VICTIM).raise_for_status()
    user_id = call(page, "POST", "/auth/login", VICTIM)["user_id"]
    project = call(page, "POST", "/api/projects", {"name": "Mine"})
    task = call(page, "POST", f"/api/{user_id}/tasks", {"title": "Mine"})
    (session,) = [info for info in call(page, "GET", "/auth/sessions") if info["current"]]
    ((attacker_id,),) = example.rows(f"SELECT id FROM users WHERE email = '{ATTACKER['email']}'")
    wait_until_seen(example, session["id"])
    visitor.answers.clear()
    ids = {
        "user_id": user_id,
        "project_id": project["id"],
        "task_id": task["id"],
        "session_id": session["id"],
        "attacker_id": attacker_id,
    }
    return Victim(example, visitor, page, ids)


def wait_until_seen(example: Example, session_id: str) -> None:
    """Wait for the write that the first use of an access token leaves behind."""
    query = f"SELECT confirmed FROM auth_sessions WHERE id = '{session_id}'"
    deadline = time.monotonic() + 10
    while example.rows(query) != [(1,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def forms(url: str, body: Mapping[str, str]) -> list[dict[str, Any]]:
    """List the forms that could carry *body*."""
    return [
        {"url": url, "enctype": "application/x-www-form-urlencoded", "fields": body},
        {"url": url, "enctype": "multipart/form-data", "fields": body},
        json_form(url, body),
        json_form(f"/?{quote(url)}", body),  # redirected by the stranger's server
    ]


def json_form(url: str, body: Mapping[str, str]) -> dict[str, Any]:
    """Make a form whose only field, with the = between name and value, is JSON."""
    name = json.dumps({**body, "x": ""}).removesuffix('"}')
    return {"url": url, "enctype": "text/plain", "fields": {name: '"}'}}


def fetches(method: str, url: str, body: Mapping[str, str]) -> list[dict[str, str]]:
    """List the ways in which fetch could carry *body*, whether or not the browser lets it."""
    bare = {"url": url, "method": method}
    full = {**bare, "body": json.dumps(body)}
    asking = [bare, {**full, "type": "application/json"}]
    if method != "POST":
        return asking
    return [
        *asking,
        {**bare, "mode": "no-cors"},
        *({**full, "mode": "no-cors", "type": type_} for type_ in SIMPLE_TYPES),
        *({**full, "mode": "cors", "type": type_} for type_ in SIMPLE_TYPES),
    ]


def all_forms(victim: Victim) -> list[dict[str, Any]]:
    posts = [(path, body) for method, path, body in WRITES if method == "POST"]
    return [form for path, body in posts for form in forms(victim.url(path), body)]


def all_fetches(victim: Victim) -> list[dict[str, str]]:
    return [job for method, path, body in WRITES for job in fetches(method, victim.url(path), body)]


def leave(stranger: Page, form: Mapping[str, Any], origin: str) -> None:
    """Submit *form* in place of the page, and come back from *origin*."""
    home = stranger.url
    with stranger.expect_navigation(url=f"{origin}/**"):
        stranger.evaluate(LEAVE, form)
    stranger.goto(home)


def add_sandbox(page: Page) -> Frame:
    """Add a frame whose origin is nobody's, so that it sends ``Origin: null``."""
    page.evaluate("""
      const frame = Object.assign(document.createElement("iframe"), {srcdoc: "<p>"});
      frame.sandbox = "allow-scripts allow-forms";
      document.body.append(frame);
      new Promise(done => frame.onload = done);
    """)
    return page.frames[-1]


def test_forms_of_strangers_change_and_read_nothing(victim: Victim, stranger: Page) -> None:
    before, jobs = victim.state(), all_forms(victim)

    read = stranger.evaluate(SUBMIT, jobs)

    assert victim.state() == before
    assert read == [""] * len(jobs)
    assert {*victim.statuses()} <= REFUSALS
    assert len(victim.statuses()) == len(jobs)


def test_forms_that_leave_the_strangers_page_change_nothing(victim: Victim, stranger: Page) -> None:
    before = victim.state()
    jobs = [json_form(victim.url(path), body) for method, path, body in WRITES if method == "POST"]

    for job in jobs:
        leave(stranger, job, victim.example.origin)

    assert victim.state() == before
    assert {*victim.statuses()} <= REFUSALS
    assert len(victim.statuses()) == len(jobs)


def test_fetches_of_strangers_change_and_read_nothing(victim: Victim, stranger: Page) -> None:
    before, jobs = victim.state(), all_fetches(victim)

    read = stranger.evaluate(FETCH, jobs)

    assert victim.state() == before
    assert read == [""] * len(jobs)
    assert {*victim.statuses()} <= REFUSALS
    assert len(victim.statuses()) >= len([job for job in jobs if job.get("mode") == "no-cors"])


def test_frames_of_no_origin_change_and_read_nothing(
    victim: Victim, visitor: Visitor, elsewhere: int
) -> None:
    before, jobs = victim.state(), all_forms(victim)
    frame = add_sandbox(visitor.open(f"http://{STRANGERS['sub-domain']}:{elsewhere}"))

    submitted = frame.evaluate(SUBMIT, jobs)
    fetched = frame.evaluate(FETCH, all_fetches(victim))

    assert victim.state() == before
    assert {*fetched, *submitted} == {""}
    assert {*victim.statuses()} <= REFUSALS
    assert len(victim.statuses()) > len(jobs)


def test_strangers_read_nothing(victim: Victim, stranger: Page) -> None:
    before, urls = victim.state(), [victim.url(path) for path in READS]
    jobs = [{"url": url, "mode": mode} for url in urls for mode in ("cors", "no-cors")]

    fetched = stranger.evaluate(FETCH, jobs)
    embedded = stranger.evaluate(EMBED, urls)
    with stranger.expect_popup() as popup:
        stranger.evaluate(OPEN, victim.url("/auth/me"))
    popup.value.wait_for_load_state()
    opened = stranger.evaluate(LOOK)
    heard = stranger.evaluate(LISTEN, victim.socket_url)

    assert {*fetched, *embedded, opened, heard} == {""}
    assert victim.state() == before
    # Lax: a link from elsewhere opens a page signed in.
    assert VICTIM["email"] in popup.value.inner_text("body")


def test_strangers_sign_nobody_in(example: Example, visitor: Visitor, stranger: Page) -> None:
    """In the attacker's account, a visitor would leave her own data there."""
    own = visitor.open(f"{example.origin}/health")
    bodies = {"/auth/login": ATTACKER, "/auth/register": NEWCOMER, "/auth/token": GRANT}
    sent = [(example.origin + path, body) for path, body in bodies.items()]

    stranger.evaluate(FETCH, [job for url, body in sent for job in fetches("POST", url, body)])
    stranger.evaluate(SUBMIT, [job for url, body in sent for job in forms(url, body)])
    for job in [job for url, body in sent for job in forms(url, body)]:
        leave(stranger, job, example.origin)

    assert visitor.context.cookies(example.origin) == []
    assert call(own, "GET", "/auth/session")["user"] is None
    assert example.rows("SELECT count(*) FROM users") == [(2,)]


def test_a_sub_domain_plants_no_session(example: Example, visitor: Visitor, elsewhere: int) -> None:
    """Hosts of one domain can set cookies for each other, but none with the prefix."""
    own = visitor.open(f"{example.origin}/health")
    stranger = visitor.open(f"http://{STRANGERS['sub-domain']}:{elsewhere}")
    tokens = httpx.post(f"{example.url}/auth/token", data=GRANT).json()

    stranger.evaluate(
        PLANT,
        [
            f"{prefix}{name}={tokens[name]}; Domain={HOST}; Path=/; Secure"
            for prefix in ("__Host-", "")
            for name in ("access_token", "refresh_token")
        ],
    )

    planted = visitor.context.cookies(example.origin)
    assert {cookie.get("name") for cookie in planted} == {"access_token", "refresh_token"}
    assert call(own, "GET", "/auth/session")["user"] is None


# What follows shows that the tests above can fail: where it may, the same works.


def test_the_examples_own_pages_may_do_all_that(visitor: Visitor, tmp_path: Path) -> None:
    without_effect = []

    with serve_example(tmp_path) as example:
        page = visitor.open(f"{example.origin}/health")
        for method, path, body in WRITES:
            victim = sign_in(example, visitor, page)
            before = victim.state()
            call(page, method, victim.url(path), body)
            if victim.state() == before:
                without_effect.append((method, path))

    assert without_effect == []


def test_the_examples_own_pages_read_all_that(victim: Victim) -> None:
    page, urls = victim.page, [victim.url(path) for path in READS]

    fetched = page.evaluate(FETCH, [{"url": url} for url in urls])
    embedded = page.evaluate(EMBED, urls)
    submitted = page.evaluate(SUBMIT, forms(victim.url("/auth/token"), GRANT))
    with page.expect_popup() as popup:
        page.evaluate(OPEN, victim.url("/auth/me"))
    popup.value.wait_for_load_state()

    assert "" not in {*fetched, *submitted, page.evaluate(LOOK)}
    assert len([text for text in embedded if text]) == len(urls)
    assert json.loads(page.evaluate(LISTEN, victim.socket_url)) == {
        "projects": len(call(page, "GET", "/api/projects"))
    }


def test_pages_of_a_trusted_origin_may_act(
    visitor: Visitor, elsewhere: int, tmp_path: Path
) -> None:
    partner = visitor.open(f"http://{TRUSTED}:{elsewhere}")
    origin = partner.evaluate("origin")

    with serve_example(tmp_path, TRUSTED_ORIGINS=origin) as example:
        victim = sign_in(example, visitor, visitor.open(f"{example.origin}/health"))
        logout = {"url": victim.url("/auth/logout"), "method": "POST", "mode": "no-cors"}
        partner.evaluate(FETCH, [logout])

    assert victim.statuses() == [204]
    assert visitor.context.cookies(example.origin) == []


def test_every_route_of_the_example_is_tried(example: Example) -> None:
    paths = httpx.get(f"{example.url}/openapi.json").json()["paths"]

    routes = {(method.upper(), path) for path, item in paths.items() for method in item}

    tried = {(method, path) for method, path, _ in WRITES} | {("GET", path) for path in READS}
    tried |= {("POST", "/auth/token"), ("GET", "/health")}
    assert routes == {(method, path.replace("attacker_id", "user_id")) for method, path in tried}
