"""Completes an application's OpenAPI with what FastAPI cannot know about authentication."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.models import HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityBaseModel
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .completion import SCHEME_NAME, Completion, Document

_STATE = "jwt_auth_kit_openapi"

_root_path: ContextVar[str] = ContextVar("jwt_auth_kit_root_path", default="")


class BearerScheme(SecurityBase):
    """A dependency that OpenAPI shows as a lock.

    Its model is static and so says only what is true in every application. Where the token route
    stands is filled in when the document is asked for.
    """

    scheme_name = SCHEME_NAME
    model: SecurityBaseModel = HTTPBearer(bearerFormat="JWT")
    is_optional: bool = False


class DocumentedRoute(APIRoute):
    """A route of ours. It completes the document of the application it is copied into."""

    # FastAPI before 0.137 copies the routes of a router that is included.
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _complete_document_of(self)


class DocumentedRouter(APIRouter):
    """A router of ours. It completes the document of the application that includes it."""

    # FastAPI has no hook for this. From 0.137 it asks every router that is about to be included
    # whether it contains the one that includes it, and routers within routers pass that on.
    # Where it does not, install() and the lifespan do the same.
    def _contains_router(self, router: APIRouter, *arguments: Any) -> bool:
        _complete_document_of(router)
        return super()._contains_router(router, *arguments)


def _complete_document_of(holder: APIRouter | APIRoute) -> None:
    if isinstance(holder.dependency_overrides_provider, FastAPI):
        complete_openapi(holder.dependency_overrides_provider)


def complete_openapi(app: FastAPI) -> Document:
    """Make ``app.openapi()`` right about authentication; return what it depends on.

    A security scheme is one static object, but the token route may stand under a prefix, and
    the application under a mount, so the URL is only known when the document is asked for.
    """
    document = _open_document(app)
    if not getattr(app.openapi, "is_complete", False):
        app.openapi = _completed(app, document)  # type: ignore[method-assign]
    return document


def _completed(app: FastAPI, document: Document) -> Callable[[], dict[str, Any]]:
    build = app.openapi

    def openapi() -> dict[str, Any]:
        root_path = _root_path.get() or app.root_path.rstrip("/")
        return Completion(app, document, root_path).complete(build())

    openapi.is_complete = True  # type: ignore[attr-defined]
    return openapi


def _open_document(app: FastAPI) -> Document:
    if not hasattr(app.state, _STATE):
        setattr(app.state, _STATE, Document())
        for route in app.router.routes:
            if isinstance(route, Route) and route.path == app.openapi_url:
                route.app = _served(app, route.app)
    document: Document = getattr(app.state, _STATE)
    return document


def _served(app: FastAPI, endpoint: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        complete_openapi(app)  # the application may have got a function of its own meanwhile
        token = _root_path.set(scope.get("root_path", "").rstrip("/"))
        try:
            await endpoint(scope, receive, send)
        finally:
            _root_path.reset(token)

    return serve
