"""Completes an application's OpenAPI: the token URL, and the 401 of routes that need a user."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI
from starlette.routing import NoMatchFound, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import AuthErrorBody, NotAuthenticated, error_responses

SCHEME_NAME = "OAuth2PasswordBearer"
OPTIONAL = "jwt_auth_kit:optional"
"""Marks, where FastAPI keeps scopes, that a route also serves callers without a token."""

TOKEN_ROUTE = "jwt_auth_kit.token"

_root_path: ContextVar[str] = ContextVar("jwt_auth_kit_root_path", default="")


def complete_openapi(app: FastAPI) -> None:
    """Make ``app.openapi()`` right about authentication; done twice, it changes nothing more.

    A security scheme is one static object, but the token route may stand under a prefix, and
    the application under a mount, so the URL is only known when the document is asked for.
    """
    build = app.openapi
    if getattr(build, "completes_openapi", False):
        return

    def openapi() -> dict[str, Any]:
        return _completed(app, build(), _root_path.get() or app.root_path.rstrip("/"))

    openapi.completes_openapi = True  # type: ignore[attr-defined]
    app.openapi = openapi  # type: ignore[method-assign]
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


def _completed(app: FastAPI, schema: dict[str, Any], root_path: str) -> dict[str, Any]:
    schemes = schema.get("components", {}).get("securitySchemes", {})
    if SCHEME_NAME not in schemes:
        return schema
    components = {
        **schema["components"],
        "securitySchemes": {**schemes, SCHEME_NAME: _scheme(app, root_path)},
    }
    paths = {
        path: {method: _documented(operation) for method, operation in item.items()}
        for path, item in schema["paths"].items()
    }
    schemas = {**_error_schemas(), **components.get("schemas", {})}
    return {**schema, "components": {**components, "schemas": schemas}, "paths": paths}


def _scheme(app: FastAPI, root_path: str) -> dict[str, Any]:
    try:
        token_url = root_path + app.url_path_for(TOKEN_ROUTE)
    except NoMatchFound:  # the router is elsewhere; tokens are pasted
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return {
        "type": "oauth2",
        "flows": {
            "password": {"tokenUrl": token_url, "refreshUrl": token_url, "scopes": {}},
        },
    }


def _documented(operation: Any) -> Any:
    if not isinstance(operation, Mapping) or not _needs_user(operation):
        return operation
    responses = operation.get("responses", {})
    if not {"401", "4XX", "default"} & responses.keys():
        responses = {**responses, "401": _unauthorized()}
    return {**operation, "responses": responses, "security": _security(operation)}


def _security(operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Say an optional user as OpenAPI does: nothing, or a token."""
    requirements = operation["security"]
    if not any(OPTIONAL in scopes for item in requirements for scopes in item.values()):
        return list(requirements)
    named = [
        {name: [scope for scope in scopes if scope != OPTIONAL] for name, scopes in item.items()}
        for item in requirements
    ]
    return [{}, *named]


def _needs_user(operation: Mapping[str, Any]) -> bool:
    return any(SCHEME_NAME in requirement for requirement in operation.get("security", ()))


def _unauthorized() -> dict[str, Any]:
    response = error_responses(NotAuthenticated)[401]
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
