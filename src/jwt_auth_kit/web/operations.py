"""What OpenAPI is told about routes of ours and FastAPI cannot know, and where they stand."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from re import findall
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.datastructures import DefaultPlaceholder

from .routing import FlatRoute, list_all_routes, list_routes

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
Place = tuple[str, str]
"""Path and method of an operation, as OpenAPI writes them."""

TAGS = {
    "auth": "Sign up, sign in, stay signed in and sign out; see and end sessions.",
    "keys": "The public keys that verify access tokens.",
}
"""Descriptions of the tags that our routers have by default."""

_MARK = "jwt_auth_kit_operation"


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of ours.

    Args:
        id: its plain operation id.
        is_guarded: whether the cross-site guard watches it although it needs no user.
        hands_out_tokens: whether it is the token endpoint of OAuth2.
        new_password: the field of its body that the password policy is about.
    """

    id: str
    is_guarded: bool = False
    hands_out_tokens: bool = False
    new_password: str | None = None


def documented(operation: Operation) -> Callable[[EndpointT], EndpointT]:
    """Decorate the function of a route with what OpenAPI is told about it."""

    def decorate(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _MARK, operation)
        return endpoint

    return decorate


def find_operation(route: FlatRoute) -> Operation | None:
    """Return what *route* was decorated with; None if it is not a route of ours."""
    return getattr(getattr(route, "endpoint", None), _MARK, None)


def find_token_path(app: FastAPI) -> str | None:
    """Return where *app*, or what is mounted in it, hands out tokens."""
    for path, route in list_all_routes(app):
        operation = find_operation(route)
        if operation is not None and operation.hands_out_tokens and "{" not in path:
            return path
    return None


def list_shown_routes(app: FastAPI) -> dict[Place, FlatRoute]:
    """List the routes of *app* that its OpenAPI shows."""
    return {
        (route.path_format, method.lower()): route
        for route in list_routes(app.router.routes)
        if getattr(route, "dependant", None) is not None
        and getattr(route, "include_in_schema", False)
        for method in route.methods
    }


def name_operations(routes: dict[Place, FlatRoute], taken: Iterable[str]) -> dict[Place, str]:
    """Name the operations of ours that the host does not name.

    A second include has a prefix, from what its path has in front that the first one lacks.
    """
    names: dict[Place, str] = {}
    used = set(taken)
    first: dict[str, str] = {}
    for place, operation in _list_unnamed(routes):
        path = place[0]
        choices = (operation.id, _prefix(operation.id, path, first.get(operation.id, path)))
        name = next((choice for choice in choices if choice not in used), None)
        first.setdefault(operation.id, path)
        if name is not None:  # otherwise FastAPI's own stays, which is unique
            used.add(name)
            names[place] = name
    return names


def _list_unnamed(routes: dict[Place, FlatRoute]) -> Iterator[tuple[Place, Operation]]:
    for place, route in routes.items():
        operation = find_operation(route)
        is_named = not isinstance(route.generate_unique_id_function, DefaultPlaceholder)
        if operation is not None and not is_named:
            yield place, operation


def _prefix(name: str, path: str, first: str) -> str:
    segments, others = path.split("/")[1:], first.split("/")[1:]
    while segments and others and segments[-1] == others[-1]:
        segments.pop()
        others.pop()
    words = findall(r"[A-Za-z0-9]+", " ".join(segments) or path.split("/")[1])
    start = "".join(word[:1].upper() + word[1:] for word in words)
    return start[:1].lower() + start[1:] + name[:1].upper() + name[1:]
