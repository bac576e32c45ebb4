"""What type checkers say to users of the library: mypy, pyright and ty, in their strict modes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from test_docs import PROJECT, README, read_blocks

BIN = Path(sys.executable).parent

CHECKERS = {
    "mypy": ("mypy", "--strict"),
    "pyright": ("pyright",),
    "ty": ("ty", "check", "--python", sys.prefix),
}
by_checker = pytest.mark.parametrize("checker", CHECKERS)


def run(checker: str, *arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = CHECKERS[checker]
    # The warning asks the network for a newer version.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        [str(BIN / command[0]), *command[1:], *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@by_checker
def test_a_host_application_with_its_own_user_class_and_store_type_checks(checker: str) -> None:
    result = run(checker, *(["tests/typing"] if checker == "mypy" else []))

    assert result.returncode == 0, result.stdout + result.stderr


@by_checker
def test_the_code_of_the_readme_type_checks(checker: str, tmp_path: Path) -> None:
    blocks = [block.text for block in read_blocks(README) if block.kind == "python"]
    for number, block in enumerate(blocks):
        # The page leaves out types where they teach nothing.
        text = block.replace("lifespan(app):", "lifespan(app: FastAPI) -> AsyncGenerator[None]:")
        text = "from collections.abc import AsyncGenerator\n" + text if text != block else text
        (tmp_path / f"main{number}.py").write_text(text)

    result = run(checker, *map(str, sorted(tmp_path.iterdir())))

    assert blocks
    assert result.returncode == 0, result.stdout + result.stderr


def test_everything_the_library_exports_has_a_type() -> None:
    result = run("pyright", "--verifytypes", "jwt_auth_kit", "--ignoreexternal", "--outputjson")
    report = json.loads(result.stdout)["typeCompleteness"]

    lacking = [
        each["name"]
        for each in report["symbols"]
        if each["isTypeAmbiguous"] or not each["isTypeKnown"]
    ]

    assert report["symbols"]
    assert lacking == []
    assert report["completenessScore"] == 1
