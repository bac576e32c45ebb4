"""Mutants: changes to the source, each of which breaks one security requirement.

A file ``mutants/row-018.toml`` holds those of one row of docs/security-requirements.md. A change is
told by exact text and not by line numbers, so it stays good while code around it moves, and
``file`` is how a path ends, so it stays good where a module moves to another folder.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MUTANTS = Path(__file__).parent / "mutants"
EQUIVALENTS = "equivalents.toml"


class BadMutant(Exception):
    """A mutant that cannot be applied; as text it says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change to one file."""

    row: int
    """Number of the requirement that it breaks."""

    number: int
    """Which one of its row it is, from 1."""

    breaks: str
    """What an attacker gains, written from the requirement and not from the tests."""

    file: str
    """How the path of the changed file ends, ``stores/redis.py``."""

    find: str
    replace: str

    count: int = 1
    """How often *find* occurs; each occurrence is replaced."""

    slow: bool = False
    """Whether only tests with browsers, servers or long searches can see the change."""

    @property
    def name(self) -> str:
        """What the runner calls it: ``18.1``."""
        return f"{self.row}.{self.number}"

    def find_file(self, source: Path) -> Path:
        """Return the file below *source* that is changed.

        Raises:
            BadMutant: none or several files have this name.
        """
        found = [path for path in source.rglob("*.py") if f"/{path}".endswith(f"/{self.file}")]
        if len(found) != 1:
            raise BadMutant(f"{self.name}: {len(found)} files are called {self.file}")
        return found[0]

    def change(self, text: str) -> str:
        """Return *text*, what the file holds, with the change made.

        Raises:
            BadMutant: what is to be replaced does not occur exactly as often as told.
        """
        found = text.count(self.find)
        if found != self.count:
            raise BadMutant(
                f"{self.name}: found {found} times in {self.file}, not {self.count}: "
                f"{self.find!r}. Make the same change where the code does this now."
            )
        return text.replace(self.find, self.replace)


def read_mutants(folder: Path = MUTANTS) -> Iterator[Mutant]:
    """Read the mutants of all rows.

    Raises:
        BadMutant: a file lacks a key, has an unknown one, or is named after another row.
    """
    for path in sorted(folder.glob("row-*.toml")):
        told = tomllib.loads(path.read_text())
        row = told.get("row", 0)
        if path.stem != f"row-{row:03}" or not told.get("mutant"):
            raise BadMutant(f"{path.name}: it has another row, or no [[mutant]]")
        for number, change in enumerate(told["mutant"], start=1):
            try:
                yield Mutant(row=row, number=number, **change)
            except TypeError as error:
                raise BadMutant(f"{path.name}: {error}") from None


def read_equivalents(folder: Path = MUTANTS) -> dict[int, str]:
    """Read the rows that no change to the source can break, each with the reason."""
    told = tomllib.loads((folder / EQUIVALENTS).read_text())
    return {item["row"]: item["reason"] for item in told.get("equivalent", ())}
