"""The ready-made router: register, login, refresh, logout, me and more under /auth."""

# No `from __future__ import annotations` here: FastAPI could not resolve annotations that name
# things local to a factory, and a body would silently become a query parameter.

import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from ..errors import (
    AuthError,
    BodyTooLarge,
    Busy,
    ConfigurationError,
    CrossSiteRequest,
    EmailTaken,
    ExpiredToken,
    InvalidCredentials,
    InvalidToken,
    NotAuthenticated,
    NotJSON,
    RefreshReused,
    RevokedToken,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRevoked,
    StoreUnavailable,
    TooManyAttempts,
    Unauthorized,
    WrongTokenType,
    error_responses,
)
from ..events import Client
from ..kit.session_manager import SignedIn
from ..passwords.policy import WeakPassword
from ..stores.base import MAX_LISTED, User, read_role
from .bodies import (
    LOGIN_EXAMPLES,
    PASSWORD_EXAMPLES,
    REFRESH_EXAMPLES,
    REGISTER_EXAMPLES,
    AuthLoginBody,
    AuthPasswordBody,
    AuthProfile,
    AuthRefreshBody,
    AuthRegisterBody,
    AuthSessionBody,
    AuthSessionInfo,
    AuthSignedInBody,
)
from .caching import send_cookies
from .checks import check_app
from .cross_site import check_body_type
from .dependencies import UserDep, get_credential_if_any, refuse
from .installation import (
    Credential,
    delete_strays,
    ensure_installed,
    get_installation,
    note_refusal,
)
from .oauth_form import (
    FORM,
    FORM_SCHEMA,
    AuthTokenBody,
    AuthTokenError,
    grant,
    is_form,
    read_form,
    refuse_grant,
)
from .openapi import DocumentedRoute, DocumentedRouter
from .operations import Operation, documented
from .protection import public
from .transports import NO_STORE, BearerTransport, CookieTransport, Transport, carrier_of

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

MAX_BODY_BYTES = 16_384
UNREADABLE_BODY = 400  # FastAPI's answer to a body that cannot even be parsed

ACCESS_ERRORS = (NotAuthenticated, ExpiredToken, InvalidToken, WrongTokenType, RevokedToken)
REFRESH_ERRORS = (
    NotAuthenticated,
    InvalidToken,
    WrongTokenType,
    SessionExpired,
    SessionRevoked,
    RefreshReused,
)
BODY_ERRORS = (BodyTooLarge, NotJSON)

AfterQuery = Annotated[
    str | None, Query(description="The id of a session; the list continues behind it.")
]

RefreshBody = Annotated[AuthRefreshBody | None, Body(openapi_examples=REFRESH_EXAMPLES)]

OPEN: dict[str, Any] = {"security": []}
OPTIONALLY_LOCKED: dict[str, Any] = {"security": [{}]}

_TRANSPORTS = "jwt_auth_kit_transports"


class QuietRoute(DocumentedRoute):
    """A route whose 422 never repeats the input, which may hold a password.

    Bodies over 16 KiB are refused before they are read to the end.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer so that no browser takes the answer, an error included, for anything else."""

        async def send_as_it_is(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await super().handle(scope, receive, send_as_it_is)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def handle_quietly(request: Request) -> Response:
            try:
                return await handle(Request(request.scope, _limited(request.receive)))
            except RequestValidationError as error:
                problems = error.errors()
            except HTTPException as error:
                if error.status_code != UNREADABLE_BODY:
                    raise
                problems = [{"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error"}]
            raise RequestValidationError([_without_input(problem) for problem in problems])

        return handle_quietly


def create_auth_router(
    *,
    prefix: str = "/auth",
    tags: Sequence[str | Enum] = ("auth",),
    registration: bool = True,
    transport: Transport | None = None,
) -> APIRouter:
    """Make the router.

    Args:
        prefix: where the routes stand.
        tags: their tags in OpenAPI.
        registration: whether people may sign themselves up.
        transport: the one of the installed transports that this router answers by; by default
            the first.
    """
    router = DocumentedRouter(
        prefix=prefix,
        tags=list(tags),
        route_class=QuietRoute,
        lifespan=_start_with(transport),
        dependencies=[] if transport is None else [Depends(_answer_by(transport))],
    )
    for_credentials = error_responses(*BODY_ERRORS, TooManyAttempts, Busy, StoreUnavailable)
    from_own_pages = [Depends(require_json), Depends(require_own_page)]
    if registration:
        router.post(
            "/register",
            status_code=201,
            summary="Sign up",
            response_model_exclude_unset=True,
            responses=error_responses(EmailTaken) | for_credentials,
            dependencies=from_own_pages,
            openapi_extra=OPEN,
        )(register)
    router.post(
        "/login",
        summary="Sign in",
        response_model_exclude_unset=True,
        responses=error_responses(InvalidCredentials) | for_credentials,
        dependencies=from_own_pages,
        openapi_extra=OPEN,
    )(login)
    router.post(
        "/token",
        summary="Sign in or refresh as an OAuth2 client",
        response_model=AuthTokenBody,
        responses={
            400: {"model": AuthTokenError, "description": "Refused"},
            **error_responses(
                CrossSiteRequest, BodyTooLarge, TooManyAttempts, Busy, StoreUnavailable
            ),
        },
        openapi_extra={"requestBody": FORM_SCHEMA, **OPEN},
    )(token)
    router.post(
        "/refresh",
        summary="Refresh the tokens",
        response_model_exclude_unset=True,
        responses=error_responses(*REFRESH_ERRORS, *BODY_ERRORS, StoreUnavailable),
        dependencies=[Depends(require_json)],
        openapi_extra=OPEN,
    )(refresh)
    router.post(
        "/logout",
        status_code=204,
        summary="Sign out",
        responses=error_responses(NotAuthenticated, *BODY_ERRORS, StoreUnavailable),
        dependencies=[Depends(require_json)],
        openapi_extra=OPTIONALLY_LOCKED,
    )(logout)
    for_users = error_responses(*ACCESS_ERRORS, StoreUnavailable)
    router.get(
        "/me",
        summary="Show your account",
        responses=for_users | error_responses(*ACCESS_ERRORS, SessionRevoked),
    )(me)
    router.get(
        "/session",
        summary="Tell who is signed in, if anybody",
        responses=error_responses(StoreUnavailable),
        openapi_extra=OPTIONALLY_LOCKED,
    )(show_session)
    router.post(
        "/password",
        summary="Change your password",
        response_model_exclude_unset=True,
        responses=error_responses(*ACCESS_ERRORS, InvalidCredentials) | for_credentials,
        dependencies=[Depends(require_json)],
    )(change_password)
    router.post("/logout-all", status_code=204, summary="Sign out everywhere", responses=for_users)(
        logout_all
    )
    router.get(
        "/sessions",
        summary="List your sessions",
        responses=for_users | error_responses(SessionNotFound),
    )(list_sessions)
    router.delete(
        "/sessions", status_code=204, summary="End your other sessions", responses=for_users
    )(end_other_sessions)
    router.delete(
        "/sessions/{session_id}",
        status_code=204,
        summary="End one of your sessions",
        responses=for_users | error_responses(SessionNotFound),
    )(end_session)
    return router


async def require_json(request: Request) -> None:
    """Dependency: a JSON body, or none; 415 for others."""
    check_body_type(request)


async def require_own_page(request: Request) -> None:
    """Dependency: 403 where cookies are to be set and a page of another site asks for it."""
    try:
        _answering(request)[0].guard(request)
    except AuthError as error:
        await refuse(request, error)


@documented(Operation("register", is_guarded=True, new_password="password"))
@public
async def register(
    body: Annotated[AuthRegisterBody, Body(openapi_examples=REGISTER_EXAMPLES)],
    request: Request,
    response: Response,
) -> AuthSignedInBody:
    """Make an account and sign it in."""
    installation = get_installation(request)
    client = installation.read_client(request)
    with _policy_of("password"):
        signed_in = await installation.kit.register(
            body.email,
            body.password,
            display_name=body.display_name,
            client=client,
            carrier=carrier_of(_answering(request)[0]),
        )
    await _end_replaced_session(request, client)
    return _answer(request, response, signed_in)


@documented(Operation("login", is_guarded=True))
@public
async def login(
    body: Annotated[AuthLoginBody, Body(openapi_examples=LOGIN_EXAMPLES)],
    request: Request,
    response: Response,
) -> AuthSignedInBody:
    """Sign in with e-mail and password."""
    installation = get_installation(request)
    client = installation.read_client(request)
    carrier = carrier_of(_answering(request)[0])
    signed_in = await installation.kit.login(
        body.email, body.password, client=client, carrier=carrier
    )
    await _end_replaced_session(request, client)
    return _answer(request, response, signed_in)


@documented(Operation("createToken", hands_out_tokens=True))
@public
async def token(request: Request) -> Response:
    """Sign in or refresh as an OAuth2 client does (RFC 6749 sections 4.3 and 6).

    Meant for OAuth2 client libraries and for the Authorize button of the API docs.
    """
    # No cookie is ever read or set here: a form can be posted from any web site, and a cookie
    # would sign the visitor in to the attacker's account.
    installation = get_installation(request)
    try:
        for transport in installation.transports:
            transport.guard_form(request)
    except CrossSiteRequest as error:
        await refuse(request, error)
    if not is_form(request):
        return refuse_grant("invalid_request", f"Send Content-Type: {FORM}")
    form = await read_form(request)
    if form is None:
        return refuse_grant("invalid_request", "Send each parameter once")
    kit, client = installation.kit, installation.read_client(request)
    has_password = {"username", "password"} <= form.keys()
    # The form of FastAPI's OAuth2PasswordRequestForm leaves grant_type out.
    grant_type = form.get("grant_type") or ("password" if has_password else "")
    try:
        if grant_type == "password" and has_password:
            signed_in = await kit.login(form["username"], form["password"], client=client)
        elif grant_type == "refresh_token" and "refresh_token" in form:
            signed_in = await kit.refresh(form["refresh_token"], client=client)
        elif grant_type in {"password", "refresh_token", ""}:
            return refuse_grant("invalid_request", "A required parameter is missing")
        else:
            return refuse_grant("unsupported_grant_type", "Use password or refresh_token")
    except Unauthorized as error:
        return refuse_grant("invalid_grant", error.message)
    return grant(signed_in, form.get("scope", ""))


@documented(Operation("refresh", is_guarded=True))
@public
async def refresh(
    request: Request, response: Response, body: RefreshBody = None
) -> AuthSignedInBody:
    """Get a new access token, and the refresh token to use next time.

    Two requests with one refresh token, at the same moment or after a lost answer, get the
    same successor.
    """
    installation = get_installation(request)
    try:
        credential = _read_refresh_token(request, body)
    except AuthError as error:
        await refuse(request, error)
    if credential is None:
        raise NotAuthenticated
    client = installation.read_client(request)
    signed_in = await installation.kit.refresh(
        credential.token, client=client, carrier=carrier_of(credential.transport)
    )
    return _answer(request, response, signed_in, credential.transport)


@documented(Operation("logout", is_guarded=True))
@public
async def logout(
    request: Request,
    response: Response,
    _: Annotated[Credential | None, Depends(get_credential_if_any)],
    body: RefreshBody = None,
) -> None:
    """End the session of the access token, of the refresh token, or of both.

    As in RFC 7009 section 2.2, an invalid token is not an error, not even a forged one.
    """
    installation = get_installation(request)
    client = installation.read_client(request)
    try:
        sent = _find_tokens(request, body)
        if not sent:
            await _leave(request, response)
    except AuthError as error:
        await refuse(request, error)
    for transport in {id(each.transport): each.transport for each in sent}.values():
        transport.clear(response)
        delete_strays(request, transport)
    try:
        for credential in sent:
            await installation.kit.logout(credential.token, client=client)
    except ServiceUnavailable:
        # Somebody else may use this browser next, and cannot be stopped later. The session goes
        # on, and the answer says so, but nobody holds its tokens.
        send_cookies(request.scope, response)
        raise


@documented(Operation("getMe"))
async def me(user: UserDep, request: Request, response: Response) -> AuthProfile:
    """Show the caller's account."""
    response.headers.update(NO_STORE)
    return _profile(await get_installation(request).kit.get_user(user.id))


@documented(Operation("getSession"))
@public
async def show_session(
    request: Request,
    response: Response,
    access: Annotated[Credential | None, Depends(get_credential_if_any)],
) -> AuthSessionBody:
    """Tell who is signed in; nobody is no error, so a page can ask this first.

    It changes nothing, except that a spent refresh token ends its session. Where the access token
    is over and the refresh token is not, ``expires_in`` is 0 and ``user`` null until the page has
    refreshed.
    """
    response.headers.update(NO_STORE)
    installation = get_installation(request)
    kit, client = installation.kit, installation.read_client(request)
    if access is not None:
        try:
            user = await kit.authenticate(access.token, client=client)
            account = await kit.get_user(user.id)
        except InvalidToken:
            pass
        else:
            return AuthSessionBody(user=_profile(account), expires_in=user.seconds_left(kit.now()))
    try:
        refresh_token = _find_refresh_cookie(request)
    except CrossSiteRequest as error:
        await refuse(request, error)
    if refresh_token is not None and await kit.is_refreshable(refresh_token, client=client):
        return AuthSessionBody(user=None, expires_in=0)
    return AuthSessionBody(user=None, expires_in=None)


@documented(Operation("changePassword", new_password="new_password"))
async def change_password(
    body: Annotated[AuthPasswordBody, Body(openapi_examples=PASSWORD_EXAMPLES)],
    user: UserDep,
    request: Request,
    response: Response,
) -> AuthSignedInBody:
    """Change the caller's password; every other session ends, this one goes on as a new one."""
    installation = get_installation(request)
    sent = installation.read_access_token(request)
    transport = _answering(request)[0] if sent is None else sent.transport
    with _policy_of("new_password"):
        signed_in = await installation.kit.change_password(
            user.id,
            body.current_password,
            body.new_password,
            client=installation.read_client(request),
            carrier=carrier_of(transport),
        )
    return _answer(request, response, signed_in, transport)


@documented(Operation("listSessions"))
async def list_sessions(
    user: UserDep, request: Request, response: Response, after: AfterQuery = None
) -> Annotated[list[AuthSessionInfo], Field(max_length=MAX_LISTED)]:
    """List the caller's live sessions, newest first: one for each device signed in.

    An answer holds at most 100. To get those behind it, repeat the request with the id of its
    last session as ``after``, until an answer is empty.
    """
    response.headers.update(NO_STORE)
    sessions = await get_installation(request).kit.list_sessions(user.id, after=after)
    return [
        AuthSessionInfo(
            id=session.id,
            ip=session.ip,
            user_agent=session.user_agent,
            created_at=session.created_at,
            last_seen_at=max(session.created_at, _in_hours(session.last_seen_at)),
            expires_at=_in_hours(session.ends_at),
            current=session.id == user.session_id,
        )
        for session in sessions
    ]


@documented(Operation("endOtherSessions"))
async def end_other_sessions(user: UserDep, request: Request) -> None:
    """End all of the caller's sessions but this one."""
    installation = get_installation(request)
    await installation.kit.end_other_sessions(user, client=installation.read_client(request))


@documented(Operation("endSession"))
async def end_session(session_id: str, user: UserDep, request: Request, response: Response) -> None:
    """End one of the caller's sessions, on a lost phone for example."""
    installation = get_installation(request)
    client = installation.read_client(request)
    if not await installation.kit.end_session(user.id, session_id, client=client):
        raise SessionNotFound
    if session_id == user.session_id:
        _sign_out(request, response)


@documented(Operation("logoutAll"))
async def logout_all(user: UserDep, request: Request, response: Response) -> None:
    """End all of the caller's sessions, this one included."""
    installation = get_installation(request)
    await installation.kit.logout_all(user.id, client=installation.read_client(request))
    _sign_out(request, response)


def _start_with(
    transport: Transport | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Find a wrong configuration at the start, and finish writes at the end."""
        installation = ensure_installed(app)
        if transport is not None and transport not in installation.transports:
            raise ConfigurationError(
                "create_auth_router(transport=...) needs one of the transports that "
                "install(app, kit, transports=[...]) was given."
            )
        check_app(app)
        try:
            yield
        finally:
            await installation.kit.aclose()

    return lifespan


def _answer_by(transport: Transport) -> Callable[[Request], Coroutine[Any, Any, None]]:
    async def choose_transport(request: Request) -> None:
        setattr(request.state, _TRANSPORTS, (transport,))

    return choose_transport


def _answering(request: Request) -> Sequence[Transport]:
    """Return the transports of the router that *request* came to; the first answers logins."""
    transports: Sequence[Transport] | None = getattr(request.state, _TRANSPORTS, None)
    return transports or get_installation(request).transports


def _answer(
    request: Request,
    response: Response,
    signed_in: SignedIn,
    transport: Transport | None = None,
) -> AuthSignedInBody:
    """Give the tokens by *transport*, the way the client's own token came."""
    transport = transport or _answering(request)[0]
    response.headers.update(NO_STORE)
    delete_strays(request, transport)
    transport.write(response, signed_in)
    profile, tokens = _profile(signed_in.user).model_dump(), signed_in.tokens
    if transport.cookie_name is not None:
        return AuthSignedInBody(**profile, expires_in=tokens.expires_in)
    return AuthSignedInBody(
        **profile,
        expires_in=tokens.expires_in,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type=tokens.token_type,
    )


async def _end_replaced_session(request: Request, client: Client) -> None:
    """End the session that a browser was in before, even if it was somebody else's (ASVS 7.2.4)."""
    if _answering(request)[0].cookie_name is None:
        return
    try:
        for transport in _answering(request):
            for replaced in _refresh_tokens(request, transport, None):
                await get_installation(request).kit.logout(replaced, client=client)
    except InvalidToken:  # a transport of the application's own cannot read it
        return
    except ServiceUnavailable:
        logger.warning("A replaced session could not be ended; it ends by itself.")


def _sign_out(request: Request, response: Response) -> None:
    """Take the cookies back whose session was just ended."""
    sent = get_installation(request).read_access_token(request)
    if sent is not None:
        sent.transport.clear(response)


async def _leave(request: Request, response: Response) -> None:
    """Log out a client without tokens: its cookies may have ended before it did."""
    transport = _answering(request)[0]
    # Beside an Authorization header of any scheme cookies are not read. Deleting them would look
    # like a logout, and their session would go on.
    if transport.cookie_name is None or "authorization" in request.headers:
        raise NotAuthenticated
    transport.guard(request)
    transport.clear(response)


def _find_tokens(request: Request, body: AuthRefreshBody | None) -> list[Credential]:
    """Return all tokens that came with a logout, the refresh token first.

    Of a cookie that is there twice each value counts. Nothing tells which is ours, and a logout
    that ends nothing would leave the user signed in. A body hides no cookie for the same reason,
    and the token in it counts although tokens travel in cookies.
    """
    sent = None if body is None else body.refresh_token
    found = [
        (token, transport)
        for transport in _answering(request)
        for token in _refresh_tokens(request, transport, sent)
    ]
    if sent is not None and all(token != sent for token, _ in found):
        found.insert(0, (sent, BearerTransport()))
    found += [
        (token, transport)
        for transport in get_installation(request).transports
        for token in _access_tokens(request, transport)
    ]
    return [Credential(token, transport) for token, transport in found]


def _refresh_tokens(request: Request, transport: Transport, sent: str | None) -> Collection[str]:
    if isinstance(transport, CookieTransport):
        return transport.read_refresh_tokens(request)
    token = transport.read_refresh_token(request, sent)
    return () if token is None else (token,)


def _access_tokens(request: Request, transport: Transport) -> Collection[str]:
    if isinstance(transport, CookieTransport):
        return transport.read_access_tokens(request)
    token = transport.read_access_token(request)
    return () if token is None else (token,)


def _read_refresh_token(request: Request, body: AuthRefreshBody | None) -> Credential | None:
    sent = None if body is None else body.refresh_token
    for transport in _answering(request):
        try:
            refresh_token = transport.read_refresh_token(request, sent)
        except InvalidToken:
            note_refusal(request, transport)
            raise
        if refresh_token is not None:
            return Credential(refresh_token, transport)
    return None


def _find_refresh_cookie(request: Request) -> str | None:
    try:
        credential = _read_refresh_token(request, None)
    except InvalidToken:
        return None
    return None if credential is None else credential.token


def _in_hours(moment: datetime) -> datetime:
    # Both move with a rotation. A thief who could read them to the second would know when the
    # owner is away, and when to refresh so that neither is in the reuse window of the other.
    return moment.replace(minute=0, second=0, microsecond=0)


def _profile(account: User) -> AuthProfile:
    return AuthProfile(
        user_id=str(account.id),
        email=account.email,
        display_name=account.display_name,
        role=read_role(account),
    )


@contextmanager
def _policy_of(field: str) -> Iterator[None]:
    """Make a refusal of the password policy the 422 of a body's *field*."""
    try:
        yield
    except WeakPassword as error:
        problem = {"type": "weak_password", "loc": ("body", field), "msg": f"Not accepted: {error}"}
        raise RequestValidationError([problem]) from None


def _limited(receive: Receive) -> Receive:
    received = 0

    async def receive_some() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise BodyTooLarge
        return message

    return receive_some


def _without_input(problem: dict[str, Any]) -> dict[str, Any]:
    # A handler of the application may read error["input"], so the name stays.
    return {"input": None, **{name: problem[name] for name in ("type", "loc", "msg")}}


auth_router: APIRouter = create_auth_router()
"""The router with its defaults; one object serves any number of applications."""
