"""What the library imports is what it declares, and no version with a known hole is allowed."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE = ROOT / "src/jwt_auth_kit"

FIXED_IN = {
    "starlette": "1.3.1",  # CVE-2026-48710, -48817, -48818, -54282, -54283
    "cryptography": "50.0.0",  # CVE-2026-69247
    "idna": "3.7",  # CVE-2024-3651
}


def requirements(listed: list[str]) -> dict[str, Requirement]:
    parsed = map(Requirement, listed)
    return {canonicalize_name(each.name): each for each in parsed}


DECLARED = requirements(PROJECT["dependencies"])
EXTRAS = requirements([*chain(*PROJECT["optional-dependencies"].values())])
"""test_layers.py says which modules may import what these bring."""


def imported_packages(source: Path) -> Iterator[str]:
    """Names of the top-level packages that *source* imports, without those of Python and ours."""
    for node in ast.walk(ast.parse(source.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "jwt_auth_kit":
                yield top


def distributions(package: str) -> set[str]:
    return {canonicalize_name(name) for name in packages_distributions()[package]}


@pytest.mark.parametrize("source", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_what_a_module_imports_is_declared(source: Path) -> None:
    name = source.relative_to(PACKAGE).as_posix()
    allowed = DECLARED.keys() | EXTRAS.keys()
    if name.startswith("testing/"):
        allowed |= {"pytest"}  # whoever runs these tests has it

    undeclared = {each for each in imported_packages(source) if not distributions(each) & allowed}

    assert not undeclared


def test_what_is_declared_is_imported_or_keeps_an_advisory_out() -> None:
    imported = {each for source in PACKAGE.rglob("*.py") for each in imported_packages(source)}
    used = {name for each in imported for name in distributions(each)}

    assert not DECLARED.keys() - used - FIXED_IN.keys()


@pytest.mark.parametrize("name", FIXED_IN)
def test_no_version_with_a_known_advisory_is_allowed(name: str) -> None:
    lowest = [each.version for each in DECLARED[name].specifier if each.operator == ">="]

    assert lowest == [FIXED_IN[name]]


def test_fastapi_is_one_that_takes_this_starlette() -> None:
    # 0.132 asks for starlette below 1.
    assert not DECLARED["fastapi"].specifier.contains("0.132.0")
    assert DECLARED["fastapi"].specifier.contains("0.133.0")


PIP_AUDIT = """#!{python}
import pathlib, sys
if {report!r}:
    pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text({report!r})
else:
    print("Traceback", "requests.exceptions.ConnectionError: no route", sep="\\n", file=sys.stderr)
sys.exit({code})
"""
"""Stands in for pip-audit: it writes such reports and fails in such ways."""

CLEAN = {"name": "anyio", "version": "4.16.0", "vulns": []}
SKIPPED = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited"}
HOLE = {"id": "CVE-2026-48710", "fix_versions": ["1.0.1"], "aliases": [], "description": "Host"}
VULNERABLE = {"name": "starlette", "version": "0.52.0", "vulns": [HOLE]}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([CLEAN], 0, "no advisory is known for any of its 1 packages"),
        ([CLEAN, VULNERABLE], 1, "starlette 0.52.0: CVE-2026-48710, fixed in 1.0.1"),
        ([CLEAN, SKIPPED], 2, "could not be asked about 1 of 2 packages"),
        ([SKIPPED, VULNERABLE], 1, "could not be asked about 1 of 2 packages"),
        (None, 2, "not audited, pip-audit failed: requests.exceptions.ConnectionError: no route"),
    ],
    ids=["clean", "advisory", "skipped", "both", "unreachable"],
)
def test_the_audit_never_calls_safe_what_it_could_not_look_up(
    packages: list[dict[str, Any]] | None, code: int, said: str, tmp_path: Path
) -> None:
    report = "" if packages is None else json.dumps({"dependencies": packages})
    stand_in = tmp_path / "pip-audit"
    # pip-audit itself exits with 0 where it looked up nothing.
    its_code = int(packages is None or VULNERABLE in packages)
    stand_in.write_text(PIP_AUDIT.format(python=sys.executable, report=report, code=its_code))
    stand_in.chmod(0o755)

    done = subprocess.run(
        [sys.executable, ROOT / "scripts/audit", "requirements.txt"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, said in done.stdout) == (code, True), done.stdout + done.stderr
