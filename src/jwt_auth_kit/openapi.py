"""Completes an application's OpenAPI: the token URL, and the 401 of routes that need a user."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI
from starlette.routing import NoMatchFound, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .bodies import TOKEN_FIELDS, AuthSignedInBody
from .cross_site import SAFE_METHODS
from .errors import (
    AuthError,
    AuthErrorBody,
    CrossSiteRequest,
    NotAuthenticated,
    NotJSON,
    error_responses,
)

SCHEME_NAME = "OAuth2PasswordBearer"
COOKIE_SCHEME_NAME = "CookieAuth"
GUARDED = "x-jwt-auth-kit-guarded"
"""Marks an operation that the cross-site guard watches although it needs no user."""

OPTIONAL = "jwt_auth_kit:optional"
"""Marks, where FastAPI keeps scopes, that a route also serves callers without a token."""

LENIENT = "jwt_auth_kit:lenient"
"""Marks that such a route takes a bad token for none, so that it never answers 401."""

TOKEN_ROUTE = "jwt_auth_kit.token"

_root_path: ContextVar[str] = ContextVar("jwt_auth_kit_root_path", default="")


def complete_openapi(app: FastAPI, cookie_names: Sequence[str | None]) -> None:
    """Make ``app.openapi()`` right about authentication; the last call counts.

    A security scheme is one static object, but the token route may stand under a prefix, and
    the application under a mount, so the URL is only known when the document is asked for.

    Args:
        app: the application.
        cookie_names: of each transport, the cookie of its access token; None for a header.
    """
    is_first = not hasattr(app.openapi, "incomplete")
    build = getattr(app.openapi, "incomplete", app.openapi)

    def openapi() -> dict[str, Any]:
        root_path = _root_path.get() or app.root_path.rstrip("/")
        return _Completion(app, root_path, cookie_names).complete(build())

    openapi.incomplete = build  # type: ignore[attr-defined]
    app.openapi = openapi  # type: ignore[method-assign]
    if not is_first:
        return
    for route in app.router.routes:
        if isinstance(route, Route) and route.path == app.openapi_url:
            route.app = _remember_root_path(route.app)


def _remember_root_path(endpoint: ASGIApp) -> ASGIApp:
    async def remember(scope: Scope, receive: Receive, send: Send) -> None:
        token = _root_path.set(scope.get("root_path", "").rstrip("/"))
        try:
            await endpoint(scope, receive, send)
        finally:
            _root_path.reset(token)

    return remember


class _Completion:
    """What is done to the document of one application."""

    def __init__(self, app: FastAPI, root_path: str, cookie_names: Sequence[str | None]) -> None:
        self._schemes: dict[str, Any] = {}
        self._cookies = [name for name in cookie_names if name is not None]
        if None in cookie_names:
            self._schemes[SCHEME_NAME] = _scheme(app, root_path)
        if self._cookies:
            self._schemes[COOKIE_SCHEME_NAME] = {
                "type": "apiKey",
                "in": "cookie",
                "name": self._cookies[0],
            }
        self._has_bodies = None in cookie_names

    def complete(self, schema: dict[str, Any]) -> dict[str, Any]:
        components = schema.get("components", {})
        if SCHEME_NAME not in components.get("securitySchemes", {}):
            return schema
        others = {
            name: scheme
            for name, scheme in components["securitySchemes"].items()
            if name != SCHEME_NAME
        }
        schemas = {**_error_schemas(), **components.get("schemas", {})}
        if AuthSignedInBody.__name__ in schemas:
            schemas[AuthSignedInBody.__name__] = self._signed_in(schemas[AuthSignedInBody.__name__])
        paths = {
            path: {method: self._documented(method, item[method]) for method in item}
            for path, item in schema["paths"].items()
        }
        return {
            **schema,
            "components": {
                **components,
                "securitySchemes": {**others, **self._schemes},
                "schemas": schemas,
            },
            "paths": paths,
        }

    def _signed_in(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Say which of the token fields are there: all, none, or those of the transport."""
        fields = dict(schema["properties"])
        for name in TOKEN_FIELDS:
            field = fields.pop(name)
            if self._has_bodies:
                fields[name] = {key: field[key] for key in field if key != "default"}
        required = list(schema["required"])
        if not self._cookies:
            required += TOKEN_FIELDS
        return {**schema, "properties": fields, "required": required}

    def _documented(self, method: str, operation: Any) -> Any:
        if not isinstance(operation, Mapping):
            return operation
        completed = {name: operation[name] for name in operation if name != GUARDED}
        responses = dict(operation.get("responses", {}))
        needs_user = _needs_user(operation)
        if needs_user:
            completed["security"] = self._security(operation["security"])
            is_lenient = LENIENT in _scopes(operation["security"])
            if not is_lenient and not {"401", "4XX", "default"} & responses.keys():
                responses["401"] = _response(NotAuthenticated)
        is_guarded = needs_user or GUARDED in operation
        if self._cookies and is_guarded:
            is_safe = method.upper() in SAFE_METHODS
            for error in (CrossSiteRequest,) if is_safe else (CrossSiteRequest, NotJSON):
                responses.setdefault(str(error.status), _response(error))
        return {**completed, "responses": responses}

    def _security(self, requirements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Name every way a token may come; an optional user is also nothing."""
        scopes = _scopes(requirements)
        wanted = [scope for scope in scopes if scope not in {OPTIONAL, LENIENT}]
        others = [dict(item) for item in requirements if SCHEME_NAME not in item]
        ours = [{name: wanted} for name in self._schemes]
        return [*([{}] if OPTIONAL in scopes else []), *ours, *others]


def has_token_route(app: FastAPI) -> bool:
    """Tell whether *app* hands out tokens."""
    return _token_path(app) is not None


def _token_path(app: FastAPI) -> str | None:
    try:
        return app.url_path_for(TOKEN_ROUTE)
    except NoMatchFound:
        return None


def _scheme(app: FastAPI, root_path: str) -> dict[str, Any]:
    token_path = _token_path(app)
    if token_path is None:  # the router is elsewhere; tokens are pasted
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    token_url = root_path + token_path
    return {
        "type": "oauth2",
        "flows": {
            "password": {"tokenUrl": token_url, "refreshUrl": token_url, "scopes": {}},
        },
    }


def _needs_user(operation: Mapping[str, Any]) -> bool:
    return any(SCHEME_NAME in requirement for requirement in operation.get("security", ()))


def _scopes(requirements: Sequence[Mapping[str, Any]]) -> list[str]:
    return [scope for item in requirements for scope in item.get(SCHEME_NAME, ())]


def _response(error: type[AuthError]) -> dict[str, Any]:
    response = error_responses(error)[error.status]
    media = {"schema": {"$ref": "#/components/schemas/AuthErrorBody"}, **_json(response)}
    return {
        "description": response["description"],
        "headers": response["headers"],
        "content": {"application/json": media},
    }


def _json(response: Mapping[str, Any]) -> dict[str, Any]:
    media: dict[str, Any] = response["content"]["application/json"]
    return media


def _error_schemas() -> dict[str, Any]:
    schema = AuthErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = schema.pop("$defs")
    return {**definitions, "AuthErrorBody": schema}
