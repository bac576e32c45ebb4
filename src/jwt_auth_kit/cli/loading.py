"""The application a command works for: loaded by ``module:attribute``, and closed afterwards."""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ..errors import AuthError, ConfigurationError
from ..kit.auth_kit import AuthKit
from .terminal import OutputClosed

T = TypeVar("T")


class CommandFailed(Exception):
    """A command that was called rightly and could not be done; the text says why."""


def load(path: str, wanted: type[T]) -> T:
    """Import the object at *path*, ``module:attribute``, as an ASGI server would.

    Raises:
        ConfigurationError: there is none, or it is of another type.
    """
    module_name, _, attribute = path.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{path!r} cannot be loaded: {error}") from None
    except ValueError as error:  # what a settings class says may hold a password
        raise ConfigurationError(f"{path!r} cannot be loaded: {type(error).__name__}") from None
    if inspect.isfunction(found):
        found = found()
    while not isinstance(found, wanted) and hasattr(found, "app"):
        found = found.app  # middleware that was wrapped around an application
    if not isinstance(found, wanted):
        raise ConfigurationError(f"{path!r} is no {wanted.__name__} but {type(found).__name__}")
    return found


def load_kit(path: str) -> AuthKit:
    """Import the kit at *path*, or call the function there that makes one.

    Raises:
        ConfigurationError: there is none, or its module raises something.
    """
    try:
        return load(path, AuthKit)
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001  whatever the module raises
        raise ConfigurationError(f"{path!r} cannot be loaded: {type(error).__name__}") from None


def run_on(kit: AuthKit, work: Coroutine[Any, Any, T]) -> T:
    """Do *work* on *kit* in an event loop of its own, and close the kit and its stores.

    Raises:
        AuthError: as the kit raised it.
        CommandFailed: the work failed, or a store raised something of its own.
        ConfigurationError: as a store raised it.
    """
    try:
        return asyncio.run(_and_close(kit, work))
    except (AuthError, CommandFailed, ConfigurationError, OutputClosed):
        raise
    except Exception as error:  # noqa: BLE001  a store of the application's own
        # Its text is left out: that of a database quotes statements, hashes included.
        raise CommandFailed(f"the kit or a store of it raised {type(error).__name__}") from None


async def _and_close(kit: AuthKit, work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        await kit.aclose()
        for store in (kit.users, kit.tokens):
            if (close := getattr(store, "aclose", None)) is not None:
                await close()
