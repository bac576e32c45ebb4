"""Copies of the project in which one mutant at a time is at large, and runs of tests there."""

import importlib.util
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from mutations import BadMutant, Mutant

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", ".next", "node_modules"
)

# Short runs spend most of their time on loading packages, so each is forked from a process that
# has them; the library is loaded by the fork. Rewritten assertions would only be read by people.
PRELOADED = [
    *("pytest", "_hypothesis_pytestplugin", "hypothesis.strategies", "anyio.pytest_plugin"),
    *("fastapi.testclient", "httpx", "sqlalchemy.ext.asyncio", "redis.asyncio.cluster"),
    *("jwt.algorithms", "argon2", "limits.storage", "pydantic_settings", "email_validator"),
    *("aiosqlite", "asyncpg", "joserfc.jwt", "passlib.context"),
]
OPTIONS = ("-q", "--assert=plain", "-p", "no:schemathesis")  # the last takes a second to load
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True, slots=True)
class Run:
    """How the tests of one run of pytest ended, by their junit names."""

    passed: Collection[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Those that failed, each with the beginning of what it said."""

    other: Collection[str] = ()
    """Skipped ones, and what went wrong before a test or after it."""

    last_line: str = ""
    """Of what pytest printed."""


class Copy:
    """A copy of *project* in an empty *folder*."""

    def __init__(self, project: Path, folder: Path) -> None:
        self._root = folder / "project"
        self._junit = folder / "run.xml"
        self._output = folder / "output.txt"
        shutil.copytree(project, self._root, symlinks=True, ignore=LEFT_OUT)
        for modules in project.glob("*/*/node_modules"):
            self._root.joinpath(modules.relative_to(project)).symlink_to(modules.resolve())

    @property
    def source(self) -> Path:
        """Where the package is."""
        return self._root / "src"

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[str]:
        """Apply *mutant* for a while; the value is the name of the changed module.

        Raises:
            BadMutant: it cannot be applied, or what it makes is no Python.
        """
        path = mutant.find_file(self.source)
        before = path.read_text()
        after = mutant.change(before)
        try:
            compile(after, path, "exec")
        except SyntaxError as error:
            raise BadMutant(f"{mutant.name}: {error}") from None
        try:
            _write(path, after)
            module = path.relative_to(self.source).with_suffix("")
            yield ".".join(module.parts).removesuffix(".__init__")
        finally:
            _write(path, before)

    def run(self, tests: Sequence[str], *options: str, time_limit: float | None = None) -> Run:
        """Run *tests*, which may start servers: they import the copy, too.

        Raises:
            BadMutant: they do not come to an end.
        """
        self._junit.unlink(missing_ok=True)
        arguments = [*OPTIONS, f"--junitxml={self._junit}", *options]
        arguments += [f"tests/{test}" for test in tests]
        process = _forks.Process(
            target=run_pytest, args=(self._root, self.source, self._output, arguments)
        )
        process.start()
        process.join(time_limit)
        if process.is_alive() and process.pid is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            raise BadMutant(f"no end after {time_limit} s")
        return read_run(self._junit, self._output)


def run_pytest(root: Path, source: Path, output: Path, arguments: Sequence[str]) -> None:
    """Be the process in which tests run."""
    os.setsid()
    os.chdir(root)
    # What the fork has loaded of this project to find this function is not that of the copy.
    own = str(Path(__file__).parent.parent)
    for name, module in list(sys.modules.items()):
        if name != __name__ and (getattr(module, "__file__", None) or "").startswith(own):
            del sys.modules[name]
    sys.path[:] = [str(source), *(path for path in sys.path if not path.startswith(own))]
    os.environ["PYTHONPATH"] = str(source)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    code = pytest.main(list(arguments))
    sys.stdout.flush()
    os._exit(code)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    # Two versions of one length in one second would look the same to the import system.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def read_run(junit: Path, output: Path) -> Run:
    """Read what pytest wrote; there is no *junit* if it did not get as far as the tests."""
    last_line = (output.read_text().strip().splitlines() or [""])[-1]
    if not junit.exists():
        return Run(last_line=last_line)
    passed, failed, other = set[str](), dict[str, str](), set[str]()
    for case in ElementTree.parse(junit).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}".partition("[")[0]
        failure = case.find("failure")
        if failure is not None:
            failed.setdefault(name, failure.get("message", ""))
        elif case.find("error") is not None or case.find("skipped") is not None:
            other.add(name)
        else:
            passed.add(name)
    return Run(passed - failed.keys() - other, failed, other, last_line)
