"""Refuses routes that would read a user, or another value of ours, from the request."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, PydanticUserError, TypeAdapter

from ..errors import ConfigurationError
from ..settings import AuthSettings
from ..trusted_values import describe_cure, is_trusted
from .routing import FlatRoute, list_all_routes

PARAMETERS = ("path_params", "query_params", "header_params", "cookie_params", "body_params")


def check_signatures(app: FastAPI) -> None:
    """Look at the routes of *app*, those of included routers and mounted applications as well.

    Raises:
        ConfigurationError: a client could say who it is, or where it comes from.
    """
    check = _Check()
    for path, route in list_all_routes(app):
        for parameter, kind in check.list_filled(getattr(route, "dependant", None)):
            raise ConfigurationError(
                f"{_methods(route)} {path} reads its parameter {parameter!r} from the request, "
                f"so every caller could choose the {kind.__name__} there. {describe_cure(kind)}"
            )


class _Check:
    """Looks at each annotation once, since models may be large."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, type | None]] = {}

    def list_filled(self, dependant: Any) -> Iterator[tuple[str, type]]:
        """List the parameters that hold a value of ours, those of dependencies as well."""
        if dependant is None:
            return
        for dependency in dependant.dependencies:
            call = _called(dependency.call)
            if isinstance(call, type) and _is_filled(call):  # Depends(CurrentUser)
                yield str(dependency.name), call
            yield from self.list_filled(dependency)
        for place in PARAMETERS:
            for field in getattr(dependant, place):
                kind = self._find(field.field_info.annotation)
                if kind is not None:
                    yield field.name, kind

    def _find(self, annotation: Any) -> type | None:
        if id(annotation) not in self._known:
            self._known[id(annotation)] = (annotation, _find_value(annotation))
        return self._known[id(annotation)][1]


def _called(call: Any) -> Any:
    while isinstance(call, partial):
        call = call.func
    return call


def _find_value(annotation: Any) -> type | None:
    """Return the first class of ours that is a part of *annotation*, of a model for example."""
    try:
        schema = TypeAdapter(annotation).core_schema
    except PydanticUserError:  # a class of the host, read by a validator beside it
        return None
    return next(_list_classes(schema), None)


def _list_classes(schema: Any) -> Iterator[type]:
    """List the classes of ours that pydantic would make by *schema*."""
    if isinstance(schema, Mapping):
        for name, value in schema.items():
            if name in {"cls", "function"} and isinstance(value, type) and _is_filled(value):
                yield value
            elif name not in {"metadata", "serialization", "default"}:
                yield from _list_classes(value)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from _list_classes(item)


def _is_filled(kind: type) -> bool:
    """Tell whether *kind*, or what it inherits from, is a value of ours and no body of a route."""
    if issubclass(kind, BaseModel) and not issubclass(kind, AuthSettings):
        return False
    return any(is_trusted(base) and not _is_protocol(base) for base in kind.__mro__)


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _methods(route: FlatRoute) -> str:
    return "/".join(sorted(getattr(route, "methods", None) or ["WS"]))
