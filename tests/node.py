"""A Node process for tests, which is asked and answers in lines of JSON."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INTEROP = ROOT / "tests/interop"


@dataclass(frozen=True, slots=True)
class Node:
    """A script that runs."""

    process: subprocess.Popen[str]

    def ask(self, question: str, **details: Any) -> dict[str, Any]:
        """Send a question and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"question": question, **details}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """Wait for the next line of the script.

        Raises:
            RuntimeError: the script ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("The script ended; its standard error says why.")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def node(script: str, **environment: str) -> Iterator[Node]:
    """Run a *script* of ``interop``, with variables that differ from ours.

    It ends with its standard input, so it does not outlive us.
    """
    assert (INTEROP / "node_modules").exists(), "jose is missing: (cd tests/interop && npm ci)"
    process = subprocess.Popen(
        [ROOT / "scripts/node", "node", INTEROP / script],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Node(process)
        finally:
            process.kill()
