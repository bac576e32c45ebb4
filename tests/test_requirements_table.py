"""The table of security requirements: complete, and naming tests that are there."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from check_requirements import (
    PROJECT,
    Requirement,
    find_failures,
    read_outcomes,
    read_requirements,
)

REQUIREMENTS = list(read_requirements())
NAMED = sorted({test for requirement in REQUIREMENTS for test in requirement.tests})

SUITE = """
import pytest

def test_passing(): pass
def test_failing(): assert False
def test_skipped(): pytest.skip("not today")

@pytest.fixture
def broken():
    yield
    raise RuntimeError

def test_broken(broken): pass

@pytest.mark.xfail(strict=False)
def test_expected_to_fail(): assert False

@pytest.mark.parametrize("number", [1, 2])
def test_failing_once(number): assert number == 1

class TestGroup:
    @pytest.mark.parametrize("text", ["a[b]", "c"])
    def test_passing(self, text): pass
"""


def test_the_table_has_every_requirement_once() -> None:
    assert [requirement.number for requirement in REQUIREMENTS] == list(range(1, 104))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.number)
def test_a_requirement_names_its_source_and_a_test_or_a_reason(requirement: Requirement) -> None:
    assert requirement.text
    assert requirement.source
    assert requirement.tests or requirement.reason


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_is_there(name: str) -> None:
    file, _, path = name.partition("::")
    found = importlib.import_module(Path(file).stem)

    assert found.__file__ == str(PROJECT / "tests" / file)
    for part in path.split("::"):
        assert part.startswith(("test_", "Test"))
        found = getattr(found, part)
    assert inspect.isfunction(found)


def test_only_a_test_that_ran_and_passed_each_time_shows_anything(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_some.py").write_text(SUITE)
    options = ["-p", "xdist.plugin", "-n", "2", "--rootdir=.", "--junitxml=run.xml"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        check=False,
    )

    bad = ["failing", "skipped", "broken", "expected_to_fail", "failing_once", "that_is_gone"]
    good = ["test_some.py::test_passing", "test_some.py::TestGroup::test_passing"]
    shown_by = ", ".join(f"`{name}`" for name in [*good, *(f"test_some.py::test_{b}" for b in bad)])
    failures = find_failures([Requirement(7, "", "", shown_by)], read_outcomes(tmp_path))

    assert list(failures) == [
        "7: test_some.py::test_failing: failure",
        "7: test_some.py::test_skipped: skipped",
        "7: test_some.py::test_broken: error",
        "7: test_some.py::test_expected_to_fail: skipped",
        "7: test_some.py::test_failing_once: failure, passed",
        "7: test_some.py::test_that_is_gone: not run",
    ]


def test_a_whole_run_ends_with_a_look_at_their_outcomes() -> None:
    script = (PROJECT / "scripts" / "test").read_text()

    assert '--junitxml="$outcomes/' in script
    assert '"$python" tests/check_requirements.py "$outcomes" || failed=1\n' in script
    assert script.endswith('exit "$failed"\n')
