"""Deny by default: every route of an application requires a user unless it is marked public."""

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeVar

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Host, Match, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import AuthError, ConfigurationError
from .dependencies import find_user, get_current_user
from .entrance import put_gate, watch_entrance
from .openapi import complete_openapi
from .overrides import call_override
from .routing import FlatRoute, list_routes

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

_MARK = "jwt_auth_kit_public"
_STATE = "jwt_auth_kit_protection"
_CHECKED = "jwt_auth_kit.checked"
"""Where a request keeps the endpoint it may reach, or ``_ALL``."""

_ALL = object()
_ANSWERS = {"http.response.start", "websocket.accept"}
_SUCCESS = range(200, 300)
_STARLETTE_ROUTES = (Route, WebSocketRoute, Mount, Host)


def public(endpoint: EndpointT) -> EndpointT:
    """Mark *endpoint*, the function of a route or a mounted application, as open to everybody.

    It stands above or below ``@app.get``, and above decorators that make a function of their own;
    where nothing is denied by default it does nothing.

    Raises:
        ConfigurationError: it is nothing that could be marked, a path for example.
    """
    try:
        # Itself, since functools.wraps copies marks: a private function that is made from a
        # public one must not be public by that.
        setattr(endpoint, _MARK, endpoint)
    except AttributeError:
        raise ConfigurationError(
            f"public() marks functions and applications, not {endpoint!r}."
        ) from None
    return endpoint


def deny_by_default(app: FastAPI, *, public_paths: Sequence[str] = ()) -> None:
    """Let every route of *app* require a user, unless it is ``public`` or under a public path.

    Call it right after ``FastAPI()``.

    Args:
        app: the application; what is mounted in it requires a user too.
        public_paths: paths as routes declare them, ``"/docs"`` or ``"/static"``; each opens
            what is declared there and below. ``"/"`` opens what stands at the root, nothing else.

    Raises:
        ConfigurationError: there are routes already, or a path is not one.
    """
    if find_protection(app) is not None:
        raise ConfigurationError("deny_by_default() was called for this application before.")
    if any(_is_of_fastapi(route) for route in app.router.routes):
        raise ConfigurationError(
            "deny_by_default() comes too late for the routes this application has already. "
            "Call it right after FastAPI()."
        )
    protection = Protection(app, public_paths)
    setattr(app.state, _STATE, protection)
    app.router.dependencies.insert(0, Depends(protection))
    watch_entrance(app)
    # In front of the router and behind all middleware, so that nothing can change a path after
    # it was checked, and CORS and the handlers of errors apply to refusals too.
    put_gate(app, partial(_Gate, protection))
    document = complete_openapi(app)
    document.list_locked = partial(_locked_operations, app, protection)


class Protection:
    """What is public in an application; a dependency that stops what the gate has not seen."""

    def __init__(self, app: FastAPI, public_paths: Sequence[str]) -> None:
        self._app = app
        self._public_paths = _check_public_paths(public_paths)

    def is_public(self, route: FlatRoute) -> bool:
        """Tell whether *route* is open to everybody, as far as this application is concerned."""
        return _is_marked(_endpoint(route)) or self.is_public_path(getattr(route, "path", None))

    def is_public_path(self, path: str | None) -> bool:
        """Tell whether what is declared at *path* is open to everybody."""
        # The declared path decides, never the requested one: no way to write a request, with
        # dots, slashes or percent signs, makes a private route match a public path.
        if path is None:
            return False
        return any(
            path.rstrip("/") == opened or (opened and path.startswith(f"{opened}/"))
            for opened in self._public_paths
        )

    async def check(self, connection: HTTPConnection) -> bool:
        """Require a user for the route that *connection* is about to reach; False without one.

        Raises: as ``get_current_user``.
        """
        scope = connection.scope
        scope[_CHECKED] = _ALL if await self._is_signed_in(connection) else None
        if scope[_CHECKED] is _ALL:
            return True
        route = _find_route(self._app.router.routes, scope)
        if route is None:
            return False
        if not self.is_public(route) and not requires_user(route, self._app.dependency_overrides):
            await self._require_user(connection)
        scope[_CHECKED] = _endpoint(route)
        return True

    async def __call__(self, connection: HTTPConnection) -> None:
        """Require a user where something else answers than what was checked."""
        scope = connection.scope
        checked = scope.get(_CHECKED)
        if checked is _ALL or (checked is not None and checked is scope.get("endpoint")):
            return
        if not self.is_public_path(_frontend_path(scope)):
            await self._require_user(connection)
        scope[_CHECKED] = _ALL

    async def _is_signed_in(self, connection: HTTPConnection) -> bool:
        """Tell whether the token is good, which spares most requests the search for the route."""
        if get_current_user in self._app.dependency_overrides:
            return False
        try:
            return await find_user(connection) is not None
        except (AuthError, ConfigurationError):
            return False  # public routes do not mind, and for the others it is raised again

    async def _require_user(self, connection: HTTPConnection) -> None:
        if get_current_user not in self._app.dependency_overrides:
            await get_current_user(connection, SecurityScopes())
            return
        await call_override(connection, get_current_user)


class _Gate:
    """Checks a request before *router* chooses its route."""

    def __init__(self, protection: Protection, router: ASGIApp) -> None:
        self._protection = protection
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            connection: HTTPConnection = Request(scope, receive)
        elif scope["type"] == "websocket":
            connection = WebSocket(scope, receive, send)
        else:
            await self._router(scope, receive, send)
            return

        async def send_checked(message: Message) -> None:
            # Nothing was found, so 404 is due. Should there be an answer all the same, as from
            # the frontends of FastAPI 0.138, which know no dependencies, it stays here.
            if message["type"] in _ANSWERS and message.get("status", 200) in _SUCCESS:
                await self._protection(connection)
            await send(message)

        is_found = await self._protection.check(connection)
        await self._router(scope, receive, send if is_found else send_checked)


def find_protection(app: ASGIApp) -> Protection | None:
    """Return what ``deny_by_default`` gave *app*; None where it was not called."""
    protection: Protection | None = getattr(getattr(app, "state", None), _STATE, None)
    return protection


def requires_user(route: FlatRoute, overrides: Container[Any] = ()) -> bool:
    """Tell whether a dependency of *route* is ``get_current_user``, other than an optional one.

    A dependency in *overrides* does not run, so what it depends on is not required by it.
    """
    dependant = getattr(route, "dependant", None)
    return dependant is not None and _depends_on_user(dependant, overrides)


def _depends_on_user(dependant: Any, overrides: Container[Any]) -> bool:
    for dependency in dependant.dependencies:
        if dependency.call is get_current_user:
            return True
        if dependency.call not in overrides and _depends_on_user(dependency, overrides):
            return True
    return False


def _find_route(routes: Sequence[BaseRoute], scope: Scope) -> FlatRoute | None:
    """Return the route that a router of *routes* chooses; None where it answers 404 or 405."""
    match, route = _match(routes, scope)
    if route is not None and not isinstance(route, _STARLETTE_ROUTES):
        match, route = _match(list_routes([route]), scope)
    # A partial match is a path of another method; the routes of Starlette and FastAPI say 405.
    if match is Match.PARTIAL and isinstance(getattr(route, "original_route", route), Route):
        return None
    return route


def _match(routes: Iterable[FlatRoute], scope: Scope) -> tuple[Match, FlatRoute | None]:
    partial = None
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return match, route
        if match is Match.PARTIAL and partial is None:
            partial = route
    return Match.NONE if partial is None else Match.PARTIAL, partial


def _endpoint(route: FlatRoute) -> Any:
    """Return what a request has as its ``endpoint`` once the router has chosen *route*."""
    endpoint = getattr(route, "endpoint", None)
    return getattr(route, "app", None) if endpoint is None else endpoint


def _is_marked(endpoint: Any) -> bool:
    # Not getattr(): a class or an instance must not inherit the mark from a public base.
    mark = getattr(endpoint, "__dict__", {}).get(_MARK)
    if mark is None:
        return False
    is_its_own = mark is getattr(endpoint, "__func__", endpoint)
    if not is_its_own:
        _tell_of_a_copied_mark(getattr(endpoint, "__qualname__", repr(endpoint)))
    return is_its_own


@cache
def _tell_of_a_copied_mark(name: str) -> None:
    logger.warning(
        "%s requires a user, although it is made from a public function. If it should be open, "
        "put @public above its other decorators.",
        name,
    )


def _is_of_fastapi(route: BaseRoute) -> bool:
    return not isinstance(route, _STARLETTE_ROUTES) or hasattr(route, "dependant")


def _check_public_paths(paths: Sequence[str]) -> list[str]:
    if isinstance(paths, str):
        raise ConfigurationError(f"public_paths is a list: [{paths!r}].")
    for path in paths:
        if not path.startswith("/") or "//" in path:
            raise ConfigurationError(f"{path!r} is no path; write it as a route does: /docs.")
    return [path.rstrip("/") for path in paths]


def _frontend_path(scope: Scope) -> str | None:
    """Return where the frontend is declared that serves a request; None if none does."""
    rest = scope.get("fastapi", {}).get("frontend_path")
    if not isinstance(rest, str):
        return None
    path: str = scope["path"].removesuffix(rest)
    return path.removeprefix(scope.get("root_path", "").rstrip("/")).rstrip("/")


def _locked_operations(app: FastAPI, protection: Protection) -> Iterator[tuple[str, str]]:
    seen = set[tuple[str, str]]()
    for route in list_routes(app.router.routes):
        for method in getattr(route, "methods", None) or ():
            operation = (route.path_format, method.lower())
            # Of two routes with one path, the first is the one that is reached.
            if operation not in seen and not protection.is_public(route):
                yield operation
            seen.add(operation)
