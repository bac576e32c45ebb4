"""The mutants that tests/proof/run_mutants.py runs: they can be applied, and each row has one."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from check_requirements import PROJECT, read_requirements
from mutations import Mutant, read_equivalents, read_mutants

SOURCE = PROJECT / "src"
MUTANTS = list(read_mutants())
TESTED = {row.number for row in read_requirements() if row.tests}


@cache
def read(path: Path) -> str:
    return path.read_text()


@cache
def mutants_by_row() -> Mapping[int, list[Mutant]]:
    rows: defaultdict[int, list[Mutant]] = defaultdict(list)
    for mutant in MUTANTS:
        rows[mutant.row].append(mutant)
    return rows


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_applied_and_is_a_program(mutant: Mutant) -> None:
    path = mutant.find_file(SOURCE)
    before = read(path)

    after = mutant.change(before)

    assert after != before
    compile(after, path, "exec")


def test_a_mutant_says_what_it_breaks() -> None:
    assert all(mutant.breaks.endswith(".") for mutant in MUTANTS)


def test_mutants_of_a_row_make_different_changes() -> None:
    for mutants in mutants_by_row().values():
        changes = [(mutant.file, mutant.find, mutant.replace) for mutant in mutants]
        assert len(set(changes)) == len(changes)


def test_each_row_with_a_test_has_a_mutant_or_a_reason_why_none_can_be_made() -> None:
    equivalents = read_equivalents()

    assert mutants_by_row().keys() | equivalents.keys() == TESTED
    assert mutants_by_row().keys().isdisjoint(equivalents)
    assert all(equivalents.values())
