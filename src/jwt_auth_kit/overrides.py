"""Overrides of our dependencies: a route asks of an overridden user what it asks of others."""

from collections import UserDict
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI

CHECK = "jwt_auth_kit_check_override"

Dependency = Callable[..., Any]
DependencyT = TypeVar("DependencyT", bound=Dependency)


def check_override_by(
    check: Callable[[Dependency], Dependency],
) -> Callable[[DependencyT], DependencyT]:
    """Decorate a dependency: *check* is given what overrides it, and returns what runs instead."""

    def decorate(dependency: DependencyT) -> DependencyT:
        setattr(dependency, CHECK, check)
        return dependency

    return decorate


class CheckedOverrides(UserDict[Dependency, Dependency]):
    """The overrides of an application, as tests write them and FastAPI finds them."""

    def __init__(self, overrides: Any) -> None:
        self.data = overrides  # not a copy: a test may keep the dict and change it later

    def get(self, dependency: Any, default: Any = None) -> Any:
        """Return the override; FastAPI, which gives the dependency as default, a checked one."""
        override = self.data.get(dependency, default)
        if default is not dependency or override is dependency:
            return override
        check = getattr(dependency, CHECK, None)
        return override if check is None else check(override)


def check_overrides(app: FastAPI) -> None:
    """Let the overrides of *app* be checked, those of a new dict as well; each request asks."""
    if app.dependency_overrides and not isinstance(app.dependency_overrides, CheckedOverrides):
        checked: Any = CheckedOverrides(app.dependency_overrides)
        app.dependency_overrides = checked
