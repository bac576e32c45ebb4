"""Finds CORS middleware that lets strangers use an application's cookies."""

import gc
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Host, Mount
from starlette.types import Receive, Scope, Send

from ..errors import ConfigurationError
from .transports import CookieTransport, Transport

FOREIGN_ORIGINS = (
    "null",  # a sandboxed frame on any page
    *(f"{scheme}://evil.example{port}" for scheme in ("https", "http") for port in ("", ":8443")),
    *(f"https://evil.{domain}" for domain in ("com", "net", "org", "io", "dev", "app", "co.uk")),
    # Where everybody gets a name.
    *(f"https://evil.{host}" for host in ("vercel.app", "netlify.app", "github.io", "pages.dev")),
)
"""Origins that no application means to trust; patterns like ``.+`` and ``https?://.*`` do."""

REFUSAL = (
    "CORSMiddleware lets every web site read what your users' cookies open. Name the origins: "
    'allow_origins=["https://app.example.com"].'
)

MAX_DEPTH = 100


def check_cors(app: FastAPI, transports: Sequence[Transport]) -> None:
    """Refuse cookies beside CORS middleware that lets strangers use them.

    Raises:
        ConfigurationError: any web site could read what the cookies of its visitor open.
    """
    if not any(isinstance(each, CookieTransport) for each in transports):
        return
    if any(map(allows_strangers, find_cors(app))):
        raise ConfigurationError(REFUSAL)


def find_cors(app: FastAPI) -> Iterator[CORSMiddleware]:
    """List the CORS middleware of *app*, and what stands around it."""
    for middleware in app.user_middleware:
        make: Any = middleware.cls
        if _is_cors(make):
            yield make(_nothing, *middleware.args, **middleware.kwargs)
    # `app = CORSMiddleware(app)` leaves no trace in what it wraps, but instances refer to their
    # class. All objects of the process are looked through for that, in C: 50 ms for a million.
    kinds = set(_list_kinds(CORSMiddleware))
    for candidate in gc.get_referrers(*kinds):
        if type(candidate) in kinds and _leads_to(candidate.app, app):
            yield candidate


def _list_kinds(kind: type[CORSMiddleware]) -> Iterator[type[CORSMiddleware]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _list_kinds(narrower)


def _is_cors(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, CORSMiddleware)


def allows_strangers(cors: CORSMiddleware) -> bool:
    """Tell whether *cors* lets a page of a foreign origin send cookies and read the answer."""
    return any(_allows(cors, origin) for origin in FOREIGN_ORIGINS)


def _allows(cors: CORSMiddleware, origin: str) -> bool:
    # Asked like a browser asks, so that a subclass answers for itself.
    asked = Headers({"origin": origin, "access-control-request-method": "GET"})
    answered = cors.preflight_response(request_headers=asked).headers
    return (
        answered.get("access-control-allow-origin") == origin
        and answered.get("access-control-allow-credentials") == "true"
    )


def _leads_to(inner: Any, app: FastAPI) -> bool:
    """Tell whether requests to *inner*, middleware or a router, may reach *app*."""
    for _ in range(MAX_DEPTH):
        if inner is app:
            return True
        if hasattr(inner, "routes"):
            mounts = [route for route in inner.routes if isinstance(route, Mount | Host)]
            return any(_leads_to(mount.app, app) for mount in mounts)
        if not hasattr(inner, "app"):
            return False
        inner = inner.app
    return False


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None: ...
