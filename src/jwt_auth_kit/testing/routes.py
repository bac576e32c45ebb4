"""A list of what an application shows to everybody, for a test that keeps it short."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Host, Mount, Router, WebSocketRoute
from starlette.types import ASGIApp

from ..web.protection import Protection, find_protection, requires_user
from ..web.routing import FlatRoute, list_routes


def unprotected_routes(app: FastAPI) -> list[str]:
    """List the routes of *app* that need no token, sorted; no request is made.

    Routes that stay out of OpenAPI are listed too: ``["GET /docs", "POST /auth/login", "WS /feed",
    "MOUNT /static"]``. Of a mounted application whose routes can be seen, those are listed.
    Middleware and handlers of errors are no routes: what they answer is not seen.
    """
    return sorted(set(_list_open(app, app.router.routes, "")))


def _list_open(app: ASGIApp, routes: Sequence[BaseRoute], place: str) -> Iterator[str]:
    protection = find_protection(app)
    overrides = getattr(app, "dependency_overrides", ())
    for route in list_routes(routes):
        is_open = protection is None or protection.is_public(route)
        if is_open and not requires_user(route, overrides):
            yield from _describe(route, place)
    router = getattr(app, "router", None)
    if isinstance(router, Router):
        yield from _list_open_frontends(router, protection, place)


def _describe(route: FlatRoute, place: str) -> Iterator[str]:
    kind = getattr(route, "original_route", route)
    if isinstance(kind, Mount | Host):
        inner = place + (route.host if isinstance(kind, Host) else route.path)
        if route.routes:
            yield from _list_open(route.app, route.routes, inner)
        else:
            yield f"MOUNT {inner or '/'}"
    elif isinstance(kind, WebSocketRoute):
        yield f"WS {place}{route.path}"
    else:
        methods = set(getattr(route, "methods", None) or {"ANY"})
        if "GET" in methods:
            methods.discard("HEAD")  # Starlette adds it
        for method in methods:
            yield f"{method} {place}{getattr(route, 'path', None) or kind}"


def _list_open_frontends(
    router: Router, protection: Protection | None, place: str
) -> Iterator[str]:
    for path, frontend in _list_frontends(router):
        is_open = protection is None or protection.is_public_path(path)
        if is_open and not requires_user(frontend):
            yield f"FRONTEND {place}{path}"


def _list_frontends(router: Router) -> Iterator[tuple[str, Any]]:
    """List where frontends stand, each with what has its dependencies."""
    for group in _list_apart(router):
        yield from _place("", group, group)
    for route in router.routes:
        # FastAPI has no public way to those of included routers. A test tells if this one is gone.
        list_contexts = getattr(route, "effective_low_priority_routes", list)
        for context in list_contexts():
            prefix = getattr(context, "frontend_prefix", "")
            yield from _place(prefix, context.starlette_route or context.original_route, context)


def _list_apart(router: Router) -> Iterator[Any]:
    """List the routes that FastAPI keeps apart from the others, in a list without a public name."""
    others = (router.routes, getattr(router, "callbacks", None))
    for value in vars(router).values():
        if isinstance(value, list) and not any(value is other for other in others):
            yield from (item for item in value if isinstance(item, BaseRoute))


def _place(prefix: str, group: Any, holder: Any) -> Iterator[tuple[str, Any]]:
    for frontend in group.routes:
        yield (prefix + frontend.path).rstrip("/") or "/", holder
