"""What every test gets: asyncio, and no environment of the machine it runs on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from jwt_auth_kit.web.proxy_signs import PLATFORMS, SERVER_VARIABLES

if TYPE_CHECKING:  # most tests need no browser, and can do without the time it takes to import one
    from playwright.sync_api import Browser

    from browsers import Visitor

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
    """A JWT_ variable, or a .env file where the tests are run, must not change what they see.

    Neither must the platform they run on.
    """
    ours = [name for name in os.environ if name.upper().startswith("JWT_")]
    platform = [name for name in (*PLATFORMS, *SERVER_VARIABLES) if name in os.environ]
    for name in (*ours, *platform):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser for the tests of one module, which are all plain functions."""
    from browsers import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def visitor(browser: "Browser") -> Iterator["Visitor"]:
    """Somebody with a browser profile of their own."""
    from browsers import visit

    with visit(browser) as visitor:
        yield visitor
