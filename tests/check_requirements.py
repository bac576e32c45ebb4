"""The table of security requirements: what it says, and whether the tests it names have passed.

Usage: python tests/check_requirements.py FOLDER
The folder holds what pytest --junitxml wrote of every test in this run.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).parent.parent
TABLE = PROJECT / "docs" / "security-requirements.md"

TEST_NAME = re.compile(r"`([\w/]+\.py(?:::\w+)+)`")
NOT_HERE = ("Not offered:", "Not ours:")
"""How a reason begins why a requirement, or a part of it, has no test."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the table."""

    number: int
    text: str
    source: str
    shown_by: str

    @property
    def tests(self) -> list[str]:
        """The tests it names, ``test_router.py::test_x`` or ``test_keys.py::TestX::test_y``."""
        return TEST_NAME.findall(self.shown_by)

    @property
    def reason(self) -> str | None:
        """Why there is no test, or none for all of it."""
        found = [begin for begin in NOT_HERE if begin in self.shown_by]
        return self.shown_by.partition(found[0])[2].strip() if found else None


def read_requirements(table: Path = TABLE) -> Iterator[Requirement]:
    """Read the rows of *table* from top to bottom."""
    for line in table.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0].isdecimal():
            number, text, source, shown_by = cells
            yield Requirement(int(number), text, source, shown_by)


def read_outcomes(folder: Path) -> Mapping[str, set[str]]:
    """Read how each test of a run ended, whatever its parameters."""
    outcomes: defaultdict[str, set[str]] = defaultdict(set)
    for file in folder.glob("*.xml"):
        for case in ElementTree.parse(file).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}".partition("[")[0]
            bad = {child.tag for child in case} & {"failure", "error", "skipped"}
            outcomes[name] |= bad or {"passed"}
    return outcomes


def junit_name(test: str) -> str:
    """Spell the name of a test as junit does: ``tests.test_keys.TestX.test_y``."""
    return "tests." + test.replace(".py::", ".").replace("/", ".").replace("::", ".")


def find_failures(
    requirements: Iterable[Requirement], outcomes: Mapping[str, set[str]]
) -> Iterator[str]:
    """Say which named tests did not run, or did not pass."""
    for requirement in requirements:
        for test in requirement.tests:
            ended = outcomes.get(junit_name(test), {"not run"})
            if ended != {"passed"}:
                yield f"{requirement.number}: {test}: {', '.join(sorted(ended))}"


def main(folder: str) -> None:
    """Exit with 1 if a test that the table names has not passed."""
    requirements = list(read_requirements())
    failures = list(find_failures(requirements, read_outcomes(Path(folder))))
    if failures:
        sys.exit("\n".join(["Requirements whose tests have not passed:", *failures]))
    shown = [requirement for requirement in requirements if requirement.tests]
    tests = {test for requirement in shown for test in requirement.tests}
    print(
        f"{len(requirements)} security requirements: {len(shown)} shown by {len(tests)} tests "
        f"that passed in this run, {len(requirements) - len(shown)} with a reason why not"
    )


if __name__ == "__main__":
    main(sys.argv[1])
