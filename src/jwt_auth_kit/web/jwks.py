"""GET /.well-known/jwks.json: the public keys, for services that verify our tokens."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ..kit.auth_kit import AuthKit
from .installation import get_installation
from .openapi import DocumentedRoute, DocumentedRouter
from .operations import Operation, documented
from .protection import public

JWKS_PATH = "/.well-known/jwks.json"
MEDIA_TYPE = "application/jwk-set+json"  # RFC 7517 section 8.5.2
MAX_AGE = timedelta(minutes=10)


class AuthKeySet(BaseModel):
    """A JWK Set (RFC 7517 section 5) of public keys."""

    keys: list[dict[str, Any]]


class _JWKSetResponse(JSONResponse):
    media_type = MEDIA_TYPE


def create_jwks_router(*, path: str = JWKS_PATH) -> APIRouter:
    """Make a router with one route, the JWK Set of the application's kit.

    It answers 404 where the ring is symmetric: there is nothing to publish then.

    Args:
        path: where the route stands.
    """
    router = DocumentedRouter(tags=["keys"], route_class=DocumentedRoute)
    router.get(
        path,
        summary="List the public keys",
        response_model=AuthKeySet,
        response_class=_JWKSetResponse,
        responses={304: {"description": "Not changed"}, 404: {"description": "No public keys"}},
        openapi_extra={"security": []},
    )(show_public_keys)
    return router


@documented(Operation("getPublicKeys"))
@public
async def show_public_keys(request: Request) -> Response:
    """Show the public keys that verify, those to come included."""
    authenticator = get_installation(request).authenticator
    if not isinstance(authenticator, AuthKit):
        raise HTTPException(404, "There are no public keys")
    jwt = authenticator.jwt
    now, keep = jwt.now(), jwt.access_life
    keys = jwt.keys.public_jwks(now, keep=keep)
    # Where they were all revoked, an empty set says so; a 404 could be a fault on the way.
    if not keys and all(item.key.is_symmetric for item in jwt.keys.keys):
        # A cache would keep it by default (RFC 9111 section 4.2.2), and the first key may come.
        raise HTTPException(404, "There are no public keys", {"Cache-Control": "no-store"})
    answer = _JWKSetResponse({"keys": keys})
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": _cache_control(now, jwt.keys.next_change(now, keep=keep)),
    }
    if not _tags(request).isdisjoint({tag, "*"}):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


def _cache_control(now: datetime, next_change: datetime | None) -> str:
    """Let caches keep the set until it changes, and for some minutes at most."""
    age = MAX_AGE if next_change is None else min(MAX_AGE, next_change - now)
    return f"public, max-age={max(0, int(age.total_seconds()))}, must-revalidate"


def _tags(request: Request) -> set[str]:
    # Compared weakly (RFC 9110 section 13.1.2): who compresses on the way marks the tag so.
    tags = request.headers.get("if-none-match", "").split(",")
    return {tag.strip().removeprefix("W/") for tag in tags}
