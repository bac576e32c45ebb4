"""The form of an OAuth2 token endpoint and its answers (RFC 6749 sections 4.3, 5 and 6)."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl

from fastapi import Request, Response
from pydantic import BaseModel, Field, JsonValue
from starlette.responses import JSONResponse

from ..kit.session_manager import SignedIn
from .bodies import EXAMPLE_EMAIL, EXAMPLE_PASSWORD, EXAMPLE_TOKEN, SecretBody
from .transports import NO_STORE

FORM = "application/x-www-form-urlencoded"
SECRET: dict[str, JsonValue] = {"format": "password"}


class AuthTokenForm(SecretBody):
    """The form of RFC 6749 sections 4.3.2 and 6."""

    grant_type: Literal["password", "refresh_token"] = Field(
        default="password", description="May be left out beside a username and a password."
    )
    username: str | None = None
    password: str | None = Field(default=None, repr=False, json_schema_extra=SECRET)
    refresh_token: str | None = Field(default=None, repr=False)
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = Field(default=None, repr=False, json_schema_extra=SECRET)


class AuthTokenBody(SecretBody):
    """Answer of the token endpoint (RFC 6749 section 5.1)."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"]
    expires_in: int
    scope: str = Field(
        default="", description="What was granted; left out where nobody asked and none is."
    )


class AuthTokenError(BaseModel):
    """Refusal of the token endpoint (RFC 6749 section 5.2)."""

    error: Literal["invalid_request", "invalid_grant", "unsupported_grant_type"]
    error_description: str


FORM_SCHEMA: Mapping[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": AuthTokenForm.model_json_schema(),
            "examples": {
                "password": {
                    "summary": "Sign in",
                    "value": {
                        "grant_type": "password",
                        "username": EXAMPLE_EMAIL,
                        "password": EXAMPLE_PASSWORD,
                    },
                },
                "refresh_token": {
                    "summary": "Refresh",
                    "value": {
                        "grant_type": "refresh_token",
                        "refresh_token": EXAMPLE_TOKEN,
                    },
                },
            },
        }
    },
}
"""The request body as OpenAPI documents it."""


def is_form(request: Request) -> bool:
    """Tell whether the body says that it is an urlencoded form."""
    media_type = request.headers.get("content-type", "").partition(";")[0]
    return media_type.strip().lower() == FORM


async def read_form(request: Request) -> dict[str, str] | None:
    """Read an urlencoded form; None if it repeats a parameter."""
    body = await request.body()
    pairs = parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True)
    form = dict(pairs)
    return form if len(form) == len(pairs) else None


def grant(signed_in: SignedIn, wanted_scope: str) -> Response:
    """Answer with tokens; scopes are those of the user, whatever the client wanted."""
    tokens = signed_in.tokens
    body = AuthTokenBody(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type=tokens.token_type,
        expires_in=tokens.expires_in,
    )
    if wanted_scope or signed_in.scopes:  # RFC 6749 section 5.1: said where it differs
        body.scope = " ".join(sorted(signed_in.scopes))
    return JSONResponse(body.model_dump(exclude_unset=True), headers=dict(NO_STORE))


def refuse_grant(error: str, description: str) -> Response:
    """Answer with an error."""
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status_code=400, headers=dict(NO_STORE))
