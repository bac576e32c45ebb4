"""The documentation is true: its code runs, its links lead somewhere, its tables match the code.

A page is followed as a reader follows it, top to bottom, in an empty directory:

- a ``python`` block is saved in the file its first line names (``# main.py``); a block that names
  none is added to the file of the block before;
- a ``bash`` block is typed into a shell that remembers its variables; ``uvicorn`` starts a real
  server, which restarts when a file changed, as ``--reload`` does;
- a ``json`` or ``text`` block below a command is what the command prints; in JSON, ``...`` ends
  a text that goes on;
- a file that no command ran is run at the end, unless it lies in a directory of its own, such as
  Alembic's ``migrations``;
- a page that names PostgreSQL or Redis gets an empty one, whatever address it shows.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, get_args

import pytest
from fastapi.routing import APIRoute

import servers
from jwt_auth_kit import AuthError, AuthSettings, auth_router
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.errors import ErrorCode
from jwt_auth_kit.events import WARNINGS, EventName
from test_layers import LAYERS

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "src" / "jwt_auth_kit"
README = PROJECT / "README.md"
REFERENCE = PROJECT / "docs" / "reference.md"
OWN_STORE = PROJECT / "docs" / "guides" / "own-store.md"
PAGES = [README, *sorted((PROJECT / "docs").rglob("*.md"))]

RUNNABLE = {"python", "bash"}
OUTPUT = {"json", "text"}
ELSEWHERE = {"better-auth.md": {"js"}, "generate-clients.md": {"sh", "ts"}}
"""Run by the tests of these pages: test_better_auth_guide and test_generated_clients."""

ADDRESSES = ("localhost:8000", "localhost:8001")
"""Where pages serve the first application, and a second one."""

POSTGRESQL = "app:password@localhost:5432/app"
REDIS = "localhost:6379"
PATIENCE = 60

FENCE = re.compile(r"^(?P<fence>```+)(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
FILE_NAME = re.compile(r"# (?P<name>[\w/]+\.py)\n")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
REQUIREMENT = re.compile(r"jwt-auth-kit(\[(?P<extras>[^\]]*)\])?")

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))


@pytest.fixture
def addresses() -> Iterator[Mapping[str, str]]:
    """Addresses for one server after the other; nobody else is given them meanwhile."""
    with ExitStack() as reserved:
        real = {}
        for shown in ADDRESSES:
            reservation = reserved.enter_context(socket.socket())
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.bind(("127.0.0.1", 0))
            real[shown] = f"127.0.0.1:{reservation.getsockname()[1]}"
        yield real


@by_page
def test_a_reader_who_does_what_the_page_says_gets_what_it_promises(
    page: Path, tmp_path: Path, addresses: Mapping[str, str]
) -> None:
    commands = "".join(block.text for block in read_blocks(page) if block.kind == "bash")
    secret = None if "jwt_auth_kit secret" in commands else make_secret()

    with ExitStack() as running:
        real = {**addresses, **start_servers(page, running)}
        reader = running.enter_context(Reader(tmp_path, real=real, secret=secret))
        for block in read_blocks(page):
            reader.follow(block)

        reader.run_what_is_left()


@by_page
def test_every_block_is_of_a_kind_that_is_run_or_is_output(page: Path) -> None:
    fences = re.findall(r"^\s*(?:```|~~~)", page.read_text(), re.M)

    kinds = [block.kind for block in read_blocks(page)]

    assert set(kinds) <= RUNNABLE | OUTPUT | ELSEWHERE.get(page.name, set())
    assert len(fences) == 2 * len(kinds), "a fence that is indented or made of ~~~ is not run"


@by_page
def test_every_pip_install_names_this_package_and_extras_it_has(page: Path) -> None:
    extras = _project()["optional-dependencies"].keys()

    for command in re.findall(r"pip install ([^`\n]+)", page.read_text()):
        ours = [found for word in shlex.split(command) if (found := REQUIREMENT.fullmatch(word))]

        assert len(ours) == 1, command
        assert set((ours[0]["extras"] or "").split(",")) <= {"", *extras}, command


@by_page
def test_every_command_runs_on_systems_with_long_term_support(page: Path) -> None:
    assert "--json" not in page.read_text(), "curl has had it since 7.82; Ubuntu 22.04 has 7.81"


@by_page
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for link in LINK.finditer(FENCE.sub("", page.read_text())):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (page.parent / target).resolve() if target else page

        assert linked.exists(), link[0]
        assert not anchor or anchor in read_anchors(linked), link[0]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 120


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, unread = set[Path](), [README]
    while unread:
        page = unread.pop()
        reached.add(page)
        unread += [linked for linked in read_linked_pages(page) if linked not in reached]

    assert reached >= set(PAGES)


def test_every_setting_is_documented_with_its_default() -> None:
    defaults = {
        f"`JWT_{name.upper()}`": _in_words(field.default)
        for name, field in AuthSettings.model_fields.items()
    }

    documented = {row[0]: row[1] for row in read_table(REFERENCE, "Variable")}

    assert documented == defaults


def test_every_error_code_is_documented_with_its_status_and_class() -> None:
    errors = {
        f"`{error.code}`": (str(error.status), f"`{error.__name__}`") for error in _all_errors()
    }

    documented = {row[0]: (row[1], row[2]) for row in read_table(REFERENCE, "Code")}

    assert documented == errors
    assert {f"`{code}`" for code in get_args(ErrorCode)} == errors.keys()


def test_every_event_is_documented_with_its_level() -> None:
    levels = {
        f"`{name}`": "WARNING" if name in WARNINGS else "INFO" for name in get_args(EventName)
    }

    documented = {row[0]: row[1] for row in read_table(REFERENCE, "Event")}

    assert documented == levels


@pytest.mark.parametrize("page", [README, REFERENCE], ids=lambda page: str(page.name))
def test_every_route_is_documented(page: Path) -> None:
    routes = {
        f"`{method} {route.path}`"
        for route in auth_router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }

    documented = {row[0] for row in read_table(page, "Route")}

    assert documented == routes


def test_the_home_made_store_is_the_one_of_the_examples() -> None:
    blocks = [block.text for block in read_blocks(OWN_STORE) if block.kind == "python"]

    shown = "\n\n".join(blocks[:3]).removeprefix("# own_store.py\n")

    assert shown == (PROJECT / "examples" / "own_store.py").read_text()


def test_the_picture_of_the_layers_is_the_one_that_is_tested() -> None:
    picture = next(
        block.text
        for block in read_blocks(PROJECT / "docs" / "design.md")
        if block.text.startswith("__main__")
    )

    assert [set(line.split()) for line in picture.splitlines()] == LAYERS[::-1]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; *below* is the kind of the block above it."""

    kind: str
    text: str
    below: str


def read_blocks(page: Path) -> Iterator[Block]:
    """Read the fenced blocks of a page; below a new heading a block is nothing's output."""
    text, above, end = page.read_text(), "", 0
    for fence in FENCE.finditer(text):
        if re.search(r"^#+ ", text[end : fence.start()], re.M):
            above = ""
        yield Block(fence["kind"].strip(), fence["text"], above)
        above, end = fence["kind"].strip(), fence.end()


def start_servers(page: Path, running: ExitStack) -> dict[str, str]:
    """Start the databases a page names; return where they are in place of what it shows."""
    text, real = page.read_text(), {}
    if POSTGRESQL in text:
        postgresql = running.enter_context(servers.postgresql())
        real[POSTGRESQL] = f"postgres@127.0.0.1:{postgresql.port}/postgres"
    if REDIS in text:
        redis = running.enter_context(servers.redis())
        real[REDIS] = f"127.0.0.1:{redis.port}"
    return real


def read_linked_pages(page: Path) -> list[Path]:
    """Read which other pages of the project a page links to."""
    targets = [link["target"].partition("#")[0] for link in LINK.finditer(page.read_text())]
    files = [(page.parent / target).resolve() for target in targets if target.endswith(".md")]
    return [file for file in files if file.is_file()]


def read_anchors(page: Path) -> set[str]:
    """Read what a link can point to in a page: its headings, spelled as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_table(page: Path, first_heading: str) -> list[list[str]]:
    """Read the rows of the table whose first column is called *first_heading*."""
    lines = page.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


class Reader:
    """Follows a page in a directory of its own.

    *real* says which address to use for one that the page shows; *secret* is what an earlier
    page told to set.
    """

    def __init__(self, directory: Path, *, real: Mapping[str, str], secret: str | None) -> None:
        self._directory = directory
        self._real = real
        self._environment = _environment(secret)
        self._file = directory / "main.py"
        self._not_yet_run: set[Path] = set()
        self._servers: dict[str, Server] = {}
        self._printed = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers.values():
            server.stop()

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        text = block.text
        for shown, real in self._real.items():
            text = text.replace(shown, real)
        if block.kind == "python":
            self._save(text)
        elif block.kind == "bash":
            self._type(text)
        elif block.below == "bash":
            _check_output(self._printed, block)

    def run_what_is_left(self) -> None:
        """Run the files that no command of the page ran."""
        self._execute(*sorted(self._not_yet_run))

    def _save(self, text: str) -> None:
        if name := FILE_NAME.match(text):
            self._file = self._directory / name["name"]
            if self._file in self._not_yet_run:  # a new version replaces it
                self._execute(self._file)
            self._file.write_text(text)
        else:
            with self._file.open("a") as file:
                file.write(f"\n\n{text}")
        if self._file.parent == self._directory:  # others are for a tool
            self._not_yet_run.add(self._file)

    def _type(self, text: str) -> None:
        commands: list[str] = []
        for line in text.splitlines():
            if line.startswith("pip "):
                continue
            if line.startswith("scripts/"):
                assert os.access(PROJECT / line.split()[0], os.X_OK), line
            elif line.startswith("uvicorn "):
                self._run("\n".join(commands))
                commands.clear()
                self._serve(line)
            else:
                commands.append(line)
        self._run("\n".join(commands))

    def _execute(self, *files: Path) -> None:
        """Run files as ``python file.py`` does, all in one process, which is faster."""
        run = "import runpy, sys; [runpy.run_path(f, run_name='__main__') for f in sys.argv[1:]]"
        if files:
            self._run(shlex.join(["python", "-c", run, *(file.name for file in files)]))

    def _run(self, script: str) -> None:
        """Run *script* in bash; what it assigns is there in the next one, functions included."""
        if not script.strip():
            return
        self._restart_if_changed()
        memory = self._directory / ".shell"
        remember = f"set -o pipefail; trap 'env -0 >{shlex.quote(str(memory))}' EXIT"
        done = subprocess.run(
            ["bash", "-euac", f"{remember}\n{script}"],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        assert "Warning" not in done.stderr, f"{script}\n{done.stderr}"
        variables = memory.read_text().rstrip("\0").split("\0")
        self._environment = dict(variable.split("=", 1) for variable in variables)
        self._printed = done.stdout
        self._forget(re.findall(r"\w+(?=\.py)", script))

    def _serve(self, command: str) -> None:
        port = re.search(r"--port (\d+)", command)
        shown = f"localhost:{port[1]}" if port else ADDRESSES[0]
        if shown in self._servers:
            self._servers[shown].stop()
        server = Server(command, self._real[shown], self._directory, self._environment)
        self._servers[shown] = server
        self._forget([server.module])

    def _restart_if_changed(self) -> None:
        for server in list(self._servers.values()):
            if self._directory / f"{server.module}.py" in self._not_yet_run:
                self._serve(server.command)

    def _forget(self, modules: Sequence[str]) -> None:
        """Take *modules*, which were run, and what they import off the list."""
        for module in modules:
            file = self._directory / f"{module}.py"
            if file in self._not_yet_run:
                self._not_yet_run.remove(file)
                self._forget(re.findall(r"^from (\w+) import", file.read_text(), re.M))


class Server:
    """The server that a ``uvicorn`` *command* starts, at an *address* of the test's choice."""

    def __init__(
        self, command: str, address: str, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.command = command
        arguments = [word for word in shlex.split(command)[1:] if word != "--reload"]
        self.module = arguments[0].partition(":")[0]
        self._log = directory / f"{self.module}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", *arguments, f"--port={address.split(':')[1]}"],
                cwd=directory,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait_for(address)

    def _wait_for(self, address: str) -> None:
        until = time.monotonic() + PATIENCE
        while not _answers(address):
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                pytest.fail(self._log.read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server, whose log must hold no error."""
        self._process.send_signal(signal.SIGINT)  # by SIGTERM no coverage would be written
        self._process.wait(PATIENCE)
        log = self._log.read_text()
        assert "Traceback" not in log, log


def _environment(secret: str | None) -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("JWT_")}
    inner = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{outer['PATH']}",
        "NO_PROXY": "127.0.0.1",
        "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "1",  # two versions of a file within a second look alike
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "anyio.pytest_plugin",
    }
    return outer | inner | ({} if secret is None else {"JWT_SECRET_KEY": secret})


def _check_output(printed: str, block: Block) -> None:
    if block.kind == "json":
        wanted = json.loads(block.text)
        assert _elided(json.loads(printed), wanted) == wanted
    else:
        assert printed == block.text


def _elided(value: Any, wanted: Any) -> Any:
    """Put ``...`` into *value* where *wanted* has it."""
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return {name: _elided(member, wanted.get(name)) for name, member in value.items()}
    if isinstance(value, list) and isinstance(wanted, list) and len(value) == len(wanted):
        return [_elided(member, part) for member, part in zip(value, wanted, strict=True)]
    if isinstance(value, str) and isinstance(wanted, str) and wanted.endswith("..."):
        return wanted if value.startswith(wanted.removesuffix("...")) else value
    return value


def _answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return project


def _in_words(default: Any) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, timedelta):
        default = int(default.total_seconds())
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"  # as the environment spells it
    return f"`{default}`"


def _all_errors(base: type[AuthError] = AuthError) -> Iterator[type[AuthError]]:
    for error in base.__subclasses__():
        yield error
        yield from _all_errors(error)
