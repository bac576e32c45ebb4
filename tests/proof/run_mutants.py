"""Breaks one security requirement after the other, and demands that its tests notice.

Usage: scripts/mutants [--all] [ROW ...]

Each mutant of tests/proof/mutants is applied to a copy of the project, and the tests that its row
of docs/security-requirements.md names are run there. Exit code 1 if all of them pass all the same,
if a row has no mutant, or if a mutant cannot be applied.

  --all  run slow tests too, those with browsers, many servers or long searches
"""

import argparse
import queue
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from check_requirements import PROJECT, junit_name, read_requirements
from copies import Copy
from mutations import BadMutant, Mutant, read_equivalents, read_mutants

AT_ONCE = 2
TIME_LIMIT = 300.0  # seconds, for the tests of one mutant
SLOW = frozenset(
    {
        *("test_cross_site.py", "test_docs.py", "test_examples.py", "test_faults.py"),
        *("test_flood.py", "test_fuzz.py", "test_login_races.py", "test_model.py"),
        *("test_processes.py", "test_canary.py::test_no_route_leaks_whatever_happens"),
        "test_canary.py::test_a_real_server_logs_no_secret",
    }
)
"""Tests, and files of tests, that take more than some seconds each."""

BROKEN = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError")
"""Errors that tell of a mutant that is no program, and nothing of a test."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant."""

    mutant: Mutant
    outcome: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.outcome in {"killed", "left out"}

    def __str__(self) -> str:
        return (
            f"{self.mutant.name:>6}  {self.outcome:<9} {self.seconds:>5.1f} s  "
            f"{self.mutant.breaks}\n{'':27}{self.detail}"
        )


class Runner:
    """Runs mutants, some at once.

    Args:
        project: where ``src`` and ``tests`` are.
        tests: which tests each row has.
        slow: whether slow ones are run, too.
    """

    def __init__(self, project: Path, tests: Mapping[int, Sequence[str]], *, slow: bool) -> None:
        self._project = project
        self._slow = slow
        self._tests = {row: self._chosen(names) for row, names in tests.items()}
        self._copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        self._green: set[str] = set()

    def _chosen(self, tests: Sequence[str]) -> Sequence[str]:
        """Return the tests to run: fast ones first, since one that fails is enough."""
        chosen = [test for test in tests if self._slow or not is_slow(test)]
        return sorted(chosen, key=is_slow)

    def run(self, mutants: Sequence[Mutant]) -> Iterator[Result]:
        """Yield what becomes of each of *mutants*, in their order."""
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            for number in range(AT_ONCE):
                self._copies.put(Copy(self._project, Path(folder, str(number))))
            with ThreadPoolExecutor(AT_ONCE) as pool:
                started = time.monotonic()
                self._green = set().union(*pool.map(self._find_green, self._shares(mutants)))
                seconds = time.monotonic() - started
                print(f"{len(self._green)} tests pass without a mutant; {seconds:.0f} s\n")
                yield from pool.map(self._try, mutants)

    def _shares(self, mutants: Sequence[Mutant]) -> list[list[str]]:
        """Divide the tests, file by file, between those that run at once."""
        wanted = [mutant for mutant in mutants if self._slow or not mutant.slow]
        tests = sorted({test for mutant in wanted for test in self._tests[mutant.row]})
        files = sorted({test.partition("::")[0] for test in tests})
        return [
            [test for test in tests if files.index(test.partition("::")[0]) % AT_ONCE == share]
            for share in range(AT_ONCE)
        ]

    def _find_green(self, tests: Sequence[str]) -> Collection[str]:
        if not tests:
            return ()
        with self._copy() as copy:
            return copy.run(tests).passed

    def _try(self, mutant: Mutant) -> Result:
        if mutant.slow and not self._slow:
            return Result(mutant, "left out", "slow: --all runs it")
        tests = self._tests[mutant.row]
        red = [test for test in tests if junit_name(test) not in self._green]
        if red or not tests:
            return Result(mutant, "error", f"not green without it: {', '.join(red) or 'no test'}")
        started = time.monotonic()
        try:
            outcome, detail = self._hunt(mutant, tests)
        except BadMutant as error:
            outcome, detail = "error", str(error)
        return Result(mutant, outcome, detail, time.monotonic() - started)

    def _hunt(self, mutant: Mutant, tests: Sequence[str]) -> tuple[str, str]:
        # The changed module is loaded as a plugin of pytest first: if it cannot be imported,
        # there is no test that could take that for the failure it waits for.
        with self._copy() as copy, copy.mutated(mutant) as module:
            run = copy.run(tests, "-x", "-p", module, time_limit=TIME_LIMIT)
        if not (run.passed or run.failed or run.other):
            return "error", f"it cannot be imported: {run.last_line}"
        for name, message in run.failed.items():
            if message.startswith(BROKEN):
                return "error", f"{name}: {message}"
            return "killed", f"by {next(test for test in tests if junit_name(test) == name)}"
        if run.other:
            return "error", f"no test failed, but {', '.join(run.other)} could not run"
        return "survived", f"all of {', '.join(tests)}"

    @contextmanager
    def _copy(self) -> Iterator[Copy]:
        copy = self._copies.get()
        try:
            yield copy
        finally:
            self._copies.put(copy)


def is_slow(test: str) -> bool:
    """Tell whether *test* is left out unless everything is to run."""
    return not SLOW.isdisjoint({test, test.partition("::")[0]})


def find_gaps(tests: Mapping[int, Sequence[str]], mutants: Sequence[Mutant]) -> list[str]:
    """Say which rows have tests that nothing puts to the proof."""
    proven = {mutant.row for mutant in mutants} | read_equivalents().keys()
    return [f"row {row} has no mutant" for row in tests if row not in proven]


def main() -> int:
    """Run the mutants of the rows that the command line names, or of all."""
    parser = argparse.ArgumentParser(description="See whether tests notice broken requirements.")
    parser.add_argument("rows", metavar="ROW", nargs="*", type=int, help="number of a requirement")
    parser.add_argument("--all", action="store_true", help="run slow tests too")
    options = parser.parse_args()
    tests = {row.number: row.tests for row in read_requirements() if row.tests}
    if options.rows:
        tests = {row: tests.get(row, []) for row in options.rows}
    mutants = [mutant for mutant in read_mutants() if mutant.row in tests]
    started = time.monotonic()
    results = []
    for result in Runner(PROJECT, tests, slow=options.all).run(mutants):
        print(result, flush=True)
        results.append(result)
    return report(results, find_gaps(tests, mutants), time.monotonic() - started)


def report(results: Sequence[Result], gaps: Sequence[str], seconds: float) -> int:
    """Print the totals and what has to be mended; return the exit code."""
    bad = [result for result in results if not result.is_good]
    counts = [
        f"{sum(result.outcome == outcome for result in results)} {outcome}"
        for outcome in ("killed", "survived", "error", "left out")
    ]
    rows = len({result.mutant.row for result in results})
    print(f"\n{len(results)} mutants of {rows} rows: {', '.join(counts)}; {seconds:.0f} s")
    for line in [*map(str, bad), *gaps]:
        print(line)
    return 1 if bad or gaps else 0


if __name__ == "__main__":
    sys.exit(main())
