"""The ready-made router: register, token, login, refresh, logout and me under /auth."""

# No `from __future__ import annotations` here: FastAPI could not resolve annotations that name
# things local to a factory, and a body would silently become a query parameter.

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal
from unicodedata import category
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .dependencies import (
    Installation,
    UserDep,
    ensure_installed,
    get_access_token,
    get_installation,
)
from .errors import (
    Busy,
    EmailTaken,
    ExpiredToken,
    InvalidCredentials,
    InvalidToken,
    NotAuthenticated,
    RefreshReused,
    RevokedToken,
    SessionExpired,
    SessionNotFound,
    SessionRevoked,
    StoreUnavailable,
    Unauthorized,
    WrongTokenType,
    error_responses,
)
from .events import Client
from .kit import check_email
from .openapi import OPTIONAL, TOKEN_ROUTE
from .passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, check_password
from .session_manager import SignedIn
from .transports import NO_STORE

MAX_USER_AGENT_LENGTH = 256
MAX_IP_LENGTH = 45
CONTROL = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
UNREADABLE_BODY = 400  # FastAPI's answer to a body that cannot even be parsed
MAX_FORM_BYTES = 16_384

ACCESS_ERRORS = (NotAuthenticated, ExpiredToken, InvalidToken, WrongTokenType, RevokedToken)
REFRESH_ERRORS = (
    NotAuthenticated,
    InvalidToken,
    WrongTokenType,
    SessionExpired,
    SessionRevoked,
    RefreshReused,
)


def _email(value: str) -> str:
    try:
        return check_email(value)
    except ValueError:
        raise PydanticCustomError("email", "Not a valid e-mail address") from None


def _password(value: str) -> str:
    try:
        check_password(value)
    except ValueError as error:
        raise PydanticCustomError("password_length", f"Not accepted: {error}") from None
    return value


def _printable(value: str) -> str:
    # Joiners are letters' neighbours in Persian and in emoji; what turns the direction of the
    # text around is for deceiving.
    if any(category(sign) in CONTROL or sign in BIDI_CONTROLS for sign in value):
        raise PydanticCustomError("not_printable", "Must not hold control characters")
    return value


Email = Annotated[
    str, Field(max_length=320, json_schema_extra={"format": "email"}), AfterValidator(_email)
]
Password = Annotated[str, Field(repr=False, json_schema_extra={"format": "password"})]
NewPassword = Annotated[
    str,
    Field(
        repr=False,
        json_schema_extra={
            "format": "password",
            "minLength": MIN_PASSWORD_LENGTH,
            "maxLength": MAX_PASSWORD_LENGTH,
        },
    ),
    AfterValidator(_password),
]
DisplayName = Annotated[str, Field(max_length=100), AfterValidator(_printable)]


class RegisterBody(BaseModel):
    """A new account. Anything else in the body, a role for example, is ignored."""

    email: Email
    password: NewPassword
    display_name: DisplayName | None = Field(
        default=None, description="By default the part of the address before the @."
    )


class LoginBody(BaseModel):
    """Who signs in."""

    email: Annotated[str, Field(max_length=320)]
    password: Annotated[Password, Field(max_length=1024)]


class RefreshBody(BaseModel):
    """The refresh token, where the client keeps it."""

    refresh_token: str | None = Field(default=None, repr=False)


class SignedInBody(BaseModel):
    """The user and the tokens of a session."""

    user_id: str
    email: str
    display_name: str | None
    role: str
    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Life of the access token in seconds.")]


class Profile(BaseModel):
    """The account of the caller, as it is now."""

    user_id: str
    email: str
    display_name: str | None
    role: str


class SessionInfo(BaseModel):
    """A device that is signed in."""

    id: str
    ip: str | None
    user_agent: str | None
    created_at: datetime
    last_seen_at: Annotated[
        datetime, Field(description="Moved when a token is refreshed or first used.")
    ]
    expires_at: Annotated[datetime, Field(description="When it ends unless it is refreshed.")]
    current: Annotated[bool, Field(description="Whether it is the one that asks.")]


class TokenBody(BaseModel):
    """Answer of the token endpoint (RFC 6749 section 5.1)."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"]
    expires_in: int


class OAuthError(BaseModel):
    """Refusal of the token endpoint (RFC 6749 section 5.2)."""

    error: Literal["invalid_request", "invalid_grant", "unsupported_grant_type"]
    error_description: str


class TokenForm(BaseModel):
    """The form of RFC 6749 sections 4.3.2 and 6."""

    grant_type: Literal["password", "refresh_token"]
    username: str | None = None
    password: str | None = Field(default=None, json_schema_extra={"format": "password"})
    refresh_token: str | None = None
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = Field(default=None, json_schema_extra={"format": "password"})


class QuietRoute(APIRoute):
    """A route whose 422 never repeats the input, which may hold a password."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def handle_quietly(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                problems = [_without_input(problem) for problem in error.errors()]
            except HTTPException as error:
                if error.status_code != UNREADABLE_BODY:
                    raise
                problems = [{"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error"}]
            raise RequestValidationError(problems)

        return handle_quietly


def create_auth_router(
    *, prefix: str = "/auth", tags: Sequence[str | Enum] = ("auth",), registration: bool = True
) -> APIRouter:
    """Make the router.

    Args:
        prefix: where the routes stand.
        tags: their tags in OpenAPI.
        registration: whether people may sign themselves up.
    """
    router = APIRouter(
        prefix=prefix, tags=list(tags), route_class=QuietRoute, lifespan=_install_on_start
    )
    if registration:
        router.post(
            "/register",
            status_code=201,
            responses=error_responses(EmailTaken, Busy, StoreUnavailable),
        )(register)
    router.post("/login", responses=error_responses(InvalidCredentials, Busy, StoreUnavailable))(
        login
    )
    router.post(
        "/token",
        name=TOKEN_ROUTE,
        summary="Token",
        response_model=TokenBody,
        responses={
            400: {"model": OAuthError, "description": "Refused"},
            **error_responses(Busy, StoreUnavailable),
        },
        openapi_extra={"requestBody": _form_schema()},
    )(token)
    router.post("/refresh", responses=error_responses(*REFRESH_ERRORS, StoreUnavailable))(refresh)
    router.post(
        "/logout",
        status_code=204,
        responses=error_responses(NotAuthenticated, InvalidToken, StoreUnavailable),
    )(logout)
    router.get("/me", responses=error_responses(*ACCESS_ERRORS, SessionRevoked, StoreUnavailable))(
        me
    )
    for_users = error_responses(*ACCESS_ERRORS, StoreUnavailable)
    router.post("/logout-all", status_code=204, responses=for_users)(logout_all)
    router.get("/sessions", responses=for_users)(list_sessions)
    router.delete(
        "/sessions/{session_id}",
        status_code=204,
        responses=for_users | error_responses(SessionNotFound),
    )(end_session)
    return router


async def register(body: RegisterBody, request: Request, response: Response) -> SignedInBody:
    """Make an account and sign it in."""
    installation = get_installation(request)
    signed_in = await installation.kit.register(
        body.email,
        body.password,
        display_name=body.display_name,
        client=get_client(request),
    )
    return _answer(installation, response, signed_in)


async def login(body: LoginBody, request: Request, response: Response) -> SignedInBody:
    """Sign in with e-mail and password."""
    installation = get_installation(request)
    signed_in = await installation.kit.login(body.email, body.password, client=get_client(request))
    return _answer(installation, response, signed_in)


async def token(request: Request) -> Response:
    """Sign in or refresh as an OAuth2 client does (RFC 6749 sections 4.3 and 6).

    Meant for OAuth2 client libraries and for the Authorize button of the API docs.
    """
    # No cookie is ever set here: a form can be posted from any web site, and a cookie would
    # sign the visitor in to the attacker's account.
    form = await _read_form(request)
    if form is None:
        return _refuse("invalid_request", "Send one form with each parameter once")
    kit, client = get_installation(request).kit, get_client(request)
    grant_type = form.get("grant_type", "")
    try:
        if grant_type == "password" and {"username", "password"} <= form.keys():
            signed_in = await kit.login(form["username"], form["password"], client=client)
        elif grant_type == "refresh_token" and "refresh_token" in form:
            signed_in = await kit.refresh(form["refresh_token"], client=client)
        elif grant_type in {"password", "refresh_token", ""}:
            return _refuse("invalid_request", "A required parameter is missing")
        else:
            return _refuse("unsupported_grant_type", "Use password or refresh_token")
    except Unauthorized as error:
        return _refuse("invalid_grant", error.message)
    tokens = signed_in.tokens
    body = TokenBody(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type=tokens.token_type,
        expires_in=tokens.expires_in,
    )
    return JSONResponse(body.model_dump(), headers=dict(NO_STORE))


async def refresh(
    request: Request, response: Response, body: RefreshBody | None = None
) -> SignedInBody:
    """Get a new access token, and the refresh token to use next time.

    Two requests with one refresh token, at the same moment or after a lost answer, get the
    same successor.
    """
    installation = get_installation(request)
    refresh_token = _read_refresh_token(installation, request, body)
    if refresh_token is None:
        raise NotAuthenticated
    signed_in = await installation.kit.refresh(refresh_token, client=get_client(request))
    return _answer(installation, response, signed_in)


async def logout(
    request: Request,
    response: Response,
    access_token: Annotated[str | None, Security(get_access_token, scopes=[OPTIONAL])],
    body: RefreshBody | None = None,
) -> None:
    """End the session of the access token, of the refresh token, or of both.

    As in RFC 7009 section 2.2, a token that is not valid any more is no error.
    """
    installation = get_installation(request)
    refresh_token = _read_refresh_token(installation, request, body)
    if access_token is None and refresh_token is None:
        raise NotAuthenticated
    client = get_client(request)
    if refresh_token is not None:
        await installation.kit.logout(refresh_token, "refresh", client=client)
    if access_token is not None:
        await installation.kit.logout(access_token, "access", client=client)
    for transport in installation.transports:
        transport.clear(response)


async def me(user: UserDep, request: Request, response: Response) -> Profile:
    """Show the caller's account."""
    response.headers.update(NO_STORE)
    account = await get_installation(request).kit.get_user(user.id)
    return Profile(
        user_id=str(account.id),
        email=account.email,
        display_name=account.display_name,
        role=account.role,
    )


async def list_sessions(user: UserDep, request: Request, response: Response) -> list[SessionInfo]:
    """List the caller's live sessions, newest first: one for each device signed in."""
    response.headers.update(NO_STORE)
    sessions = await get_installation(request).kit.list_sessions(user.id)
    return [
        SessionInfo(
            id=session.id,
            ip=session.ip,
            user_agent=session.user_agent,
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            expires_at=session.ends_at,
            current=session.id == user.session_id,
        )
        for session in sessions
    ]


async def end_session(session_id: str, user: UserDep, request: Request) -> None:
    """End one of the caller's sessions, on a lost phone for example."""
    kit = get_installation(request).kit
    if not await kit.end_session(user.id, session_id, client=get_client(request)):
        raise SessionNotFound


async def logout_all(user: UserDep, request: Request, response: Response) -> None:
    """End all of the caller's sessions, this one included."""
    installation = get_installation(request)
    await installation.kit.logout_all(user.id, client=get_client(request))
    for transport in installation.transports:
        transport.clear(response)


def get_client(request: Request) -> Client:
    """Tell where *request* came from, for the audit trail."""
    user_agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))
    return Client(
        ip=request.client.host[:MAX_IP_LENGTH] if request.client else None,
        user_agent=user_agent[:MAX_USER_AGENT_LENGTH] or None,
    )


@asynccontextmanager
async def _install_on_start(app: FastAPI) -> AsyncIterator[None]:
    """Find a wrong configuration at the start, and finish writes at the end."""
    installation = ensure_installed(app)
    try:
        yield
    finally:
        await installation.kit.aclose()


def _answer(installation: Installation, response: Response, signed_in: SignedIn) -> SignedInBody:
    response.headers.update(NO_STORE)
    installation.transports[0].write(response, signed_in)
    user, tokens = signed_in.user, signed_in.tokens
    return SignedInBody(
        user_id=str(user.id),
        email=user.email,
        display_name=user.display_name,
        role=user.role,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type=tokens.token_type,
        expires_in=tokens.expires_in,
    )


def _read_refresh_token(
    installation: Installation, request: Request, body: RefreshBody | None
) -> str | None:
    sent = None if body is None else body.refresh_token
    for transport in installation.transports:
        refresh_token = transport.read_refresh_token(request, sent)
        if refresh_token is not None:
            return refresh_token
    return None


async def _read_form(request: Request) -> dict[str, str] | None:
    """Read an urlencoded form; None if it is none, too long, or repeats a parameter."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return None
    pairs = parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True)
    form = dict(pairs)
    return form if len(form) == len(pairs) else None


def _refuse(error: str, description: str) -> Response:
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status_code=400, headers=dict(NO_STORE))


def _without_input(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: problem[name] for name in ("type", "loc", "msg")}


def _form_schema() -> dict[str, Any]:
    content = {"application/x-www-form-urlencoded": {"schema": TokenForm.model_json_schema()}}
    return {"required": True, "content": content}


auth_router = create_auth_router()
"""The router with its defaults; one object serves any number of applications."""
