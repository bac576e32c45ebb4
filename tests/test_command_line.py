"""The command line: python -m jwt_auth_kit."""

import base64
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jwt_auth_kit import KeyRing
from jwt_auth_kit.__main__ import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "jwt_auth_kit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )


def test_secret_prints_a_secret_and_nothing_else() -> None:
    done = run("secret")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n")
    assert done.stdout.count("\n") == 1
    assert len(base64.b64decode(done.stdout.strip(), validate=True)) == 32


def test_a_printed_secret_is_good_enough_and_never_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(20):
        main(["secret"])

    secrets = capsys.readouterr().out.split()
    assert len({KeyRing.from_secret(secret).active.material for secret in secrets}) == 20


def test_without_a_command_the_usage_is_shown() -> None:
    done = run()

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: jwt-auth-kit")
    assert "secret" in done.stderr


@pytest.mark.parametrize("arguments", [["secrets"], ["secret", "more"], ["--secret"]])
def test_an_unknown_command_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_help_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    assert "JWT_SECRET_KEY" in capsys.readouterr().out


def test_the_installed_script_does_the_same() -> None:
    script = shutil.which("jwt-auth-kit", path=str(Path(sys.executable).parent))
    assert script is not None

    done = subprocess.run([script, "secret"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert len(base64.b64decode(done.stdout.strip(), validate=True)) == 32
