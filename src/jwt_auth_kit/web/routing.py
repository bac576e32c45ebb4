"""The routes of an application, those of included routers and mounted applications as well."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI, routing
from starlette.routing import BaseRoute, Host, Mount
from starlette.types import Scope

FlatRoute = Any
"""A BaseRoute, or what FastAPI shows in its place where the route is one of an included router."""


def list_routes(routes: Sequence[BaseRoute]) -> Iterator[FlatRoute]:
    """List *routes*, and in the place of an included router those that it has."""
    # FastAPI kept copies of them in one list before 0.137.
    list_contexts = getattr(routing, "iter_route_contexts", iter)
    for route in list_contexts(routes):
        yield getattr(route, "starlette_route", None) or route


def list_all_routes(app: Any, place: str = "") -> Iterator[tuple[str, FlatRoute]]:
    """List the routes of *app* with their paths, and those of what is mounted in it."""
    for route in list_routes(find_routes(app)):
        path = place + str(getattr(route, "path", ""))
        yield path, route
        if is_mount(route):
            yield from list_all_routes(route.app, path)


def list_applications(app: Any) -> Iterator[FastAPI]:
    """List *app* and the FastAPI applications that are mounted in it."""
    if isinstance(app, FastAPI):
        yield app
    for route in list_routes(find_routes(app)):
        if is_mount(route):
            yield from list_applications(unwrap(route.app))


def find_dependant(scope: Scope) -> Any:
    """Return what the route of a request depends on; None where a router has not chosen one."""
    route = scope.get("route")
    context = scope.get("fastapi", {}).get("effective_route_context")
    if context is not None and context.original_route is route:  # one of an included router
        return context.dependant
    return getattr(route, "dependant", None)


def is_mount(route: FlatRoute) -> bool:
    """Tell whether *route* leads to another application."""
    return isinstance(getattr(route, "original_route", route), Mount | Host)


def find_routes(app: Any) -> Sequence[BaseRoute]:
    """Return the routes of *app*; none where it is something else than a router."""
    routes: Sequence[BaseRoute] = getattr(unwrap(app), "routes", ())
    return routes


def unwrap(app: Any) -> Any:
    """Return the application inside of middleware."""
    while not hasattr(app, "routes") and hasattr(app, "app"):
        app = app.app
    return app
