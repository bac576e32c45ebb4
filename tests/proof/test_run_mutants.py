"""The runner of mutants, on a project of two functions."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mutations import BadMutant, Mutant, read_mutants
from run_mutants import Result, Runner

DOOR = """\
def is_open(key: str) -> bool:
    return key == "right"
"""
TESTS = """\
import subprocess, sys

from lock.door import is_open

def test_the_right_key_opens():
    assert is_open("right")

def test_a_wrong_key_opens_nothing():
    assert not is_open("wrong")

def test_a_wrong_key_opens_nothing_in_another_process():
    program = "from lock.door import is_open; print(is_open('wrong'))"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "False\\n"

def test_that_fails():
    assert not is_open("right")
"""
CHECK = 'key == "right"'
WRONG, OTHER, RED = (
    f"test_door.py::{name}"
    for name in (
        "test_a_wrong_key_opens_nothing",
        "test_a_wrong_key_opens_nothing_in_another_process",
        "test_that_fails",
    )
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    (project / "src" / "lock").mkdir(parents=True)
    (project / "src" / "lock" / "__init__.py").touch()
    (project / "src" / "lock" / "door.py").write_text(DOOR)
    (project / "tests").mkdir()
    (project / "tests" / "test_door.py").write_text(TESTS)
    (project / "pytest.ini").write_text("[pytest]\n")
    return project


def mutant(replace: str, *, find: str = CHECK, row: int = 1) -> Mutant:
    return Mutant(row=row, number=1, breaks=".", file="door.py", find=find, replace=replace)


def outcomes(project: Path, *mutants: Mutant, tests: Mapping[int, list[str]]) -> list[Result]:
    return list(Runner(project, tests, slow=False).run(mutants))


def test_a_mutant_is_killed_by_a_test_that_fails_and_survives_otherwise(project: Path) -> None:
    opening, odd = mutant("True"), mutant('key in {"right", "odd"}')

    found = outcomes(project, opening, odd, tests={1: [WRONG]})

    assert [result.outcome for result in found] == ["killed", "survived"]
    assert [result.is_good for result in found] == [True, False]
    assert found[0].detail == f"by {WRONG}"
    assert (project / "src" / "lock" / "door.py").read_text() == DOOR


def test_processes_that_a_test_starts_see_the_mutant(project: Path) -> None:
    (result,) = outcomes(project, mutant("True"), tests={1: [OTHER]})

    assert result.outcome == "killed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (mutant("True", find="return nothing"), "found 0 times"),
        (mutant("True or"), "invalid syntax"),
        (mutant("key", find="def is_open(key: str)"), "invalid syntax"),
        (mutant("import nothing_like_it\n\ndef", find="def"), "it cannot be imported"),
        (mutant("keys == 1"), "NameError"),
        (mutant("True", row=2), "not green without it: test_door.py::test_that_fails"),
        (mutant("True", row=3), "not green without it: no test"),
    ],
    ids=["not found", "no Python", "no function", "no import", "no name", "red before", "no test"],
)
def test_what_is_no_proof_is_an_error(project: Path, change: Mutant, reason: str) -> None:
    (result,) = outcomes(project, change, tests={1: [WRONG], 2: [RED], 3: []})

    assert result.outcome == "error"
    assert reason in result.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("row = 2\n[[mutant]]\n", "another row"),
        ("row = 1\n", "no .*mutant"),
        ('row = 1\n[[mutant]]\nfile = "x.py"\n', "missing"),
        ('row = 1\n[[mutant]]\nfiles = "x.py"\n', "unexpected"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "row-001.toml").write_text(text)

    with pytest.raises(BadMutant, match=f"row-001.toml: .*{reason}"):
        list(read_mutants(tmp_path))


def test_a_file_is_told_by_the_end_of_its_path(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "door.py").touch()

    assert mutant("").file == "door.py"
    with pytest.raises(BadMutant, match="2 files"):
        mutant("").find_file(tmp_path)
