"""What every test gets: asyncio, and no environment of the machine it runs on."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["databases"]

# How fast examples are made and run says something about the machine, and nothing about us.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def without_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A JWT_ variable, or a .env file where the tests are run, must not change what they see."""
    for name in [name for name in os.environ if name.upper().startswith("JWT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
