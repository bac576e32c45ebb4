"""Overrides of our dependencies: a route asks of an overridden user what it asks of others."""

# No `from __future__ import annotations` here: FastAPI reads those of call_override.

from collections import UserDict
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Security
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.types import Message

CHECK = "jwt_auth_kit_check_override"
INSTEAD_OF = "jwt_auth_kit_instead_of"

Dependency = Callable[..., Any]
DependencyT = TypeVar("DependencyT", bound=Dependency)


def check_override_by(
    check: Callable[[Dependency], Dependency], *, instead_of: Dependency | None = None
) -> Callable[[DependencyT], DependencyT]:
    """Decorate a dependency: *check* is given what overrides it, and returns what runs instead.

    It may stand *instead_of* another one, so that overrides of that one are overrides of it.
    """

    def decorate(dependency: DependencyT) -> DependencyT:
        setattr(dependency, CHECK, check)
        setattr(dependency, INSTEAD_OF, instead_of or dependency)
        return dependency

    return decorate


class CheckedOverrides(UserDict[Dependency, Dependency]):
    """The overrides of an application, as tests write them and FastAPI finds them."""

    def __init__(self, overrides: Any) -> None:
        self.data = overrides  # not a copy: a test may keep the dict and change it later

    def get(self, dependency: Any, default: Any = None) -> Any:
        """Return the override; FastAPI, which gives the dependency as default, a checked one."""
        override = self.data.get(dependency, default)
        if default is not dependency:
            return override
        if override is dependency:
            override = self.data.get(getattr(dependency, INSTEAD_OF, dependency), dependency)
        check = getattr(dependency, CHECK, None)
        return override if check is None or override is dependency else check(override)


def check_overrides(app: FastAPI) -> None:
    """Let the overrides of *app* be checked, those of a new dict as well; each request asks."""
    if app.dependency_overrides and not isinstance(app.dependency_overrides, CheckedOverrides):
        checked: Any = CheckedOverrides(app.dependency_overrides)
        app.dependency_overrides = checked


async def call_override(
    connection: HTTPConnection, dependency: Dependency, scopes: Sequence[str] = ()
) -> Any:
    """Return what the override of *dependency* gives, which may have dependencies of its own."""
    check_overrides(connection.app)
    given: list[Any] = []

    async def take(value: Annotated[Any, Security(dependency, scopes=scopes)]) -> None:
        given.append(value)

    # Only FastAPI knows how to call it.
    route = APIRoute("/", take, dependency_overrides_provider=connection.app)
    scope = {**connection.scope, "type": "http", "method": "GET"}
    scope.pop("starlette.exception_handlers", None)
    await route.app(scope, _receive_nothing, _send_nowhere)
    return given[0]


async def _receive_nothing() -> Message:
    return {"type": "http.disconnect"}


async def _send_nowhere(message: Message) -> None: ...
