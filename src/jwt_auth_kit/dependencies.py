"""What routes depend on: require_user, require_admin and their kin, and install()."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, NoReturn, TypeVar

from fastapi import Depends, FastAPI, Security, WebSocket, WebSocketException
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.routing import Mount, Router

from .clients import read_client
from .current_user import Authenticator, CurrentUser
from .errors import (
    AuthError,
    ConfigurationError,
    Forbidden,
    InsufficientRole,
    InsufficientScope,
    InvalidToken,
    NotAuthenticated,
    NotOwner,
    RecentLoginRequired,
)
from .events import Client
from .kit import AuthKit
from .openapi import OPTIONAL, SCHEME_NAME, complete_openapi
from .settings import AuthSettings
from .transports import WEBSOCKET_PROTOCOL, BearerTransport, Transport
from .verifier import TokenVerifier

CLOSE_CODES = {401: 4401, 403: 4403, 503: 1013}
"""How a WebSocket is closed instead; 4000 and up are for applications (RFC 6455 section 7.4.2)."""

_STATE = "jwt_auth_kit"

AuthenticatorT = TypeVar("AuthenticatorT", bound=Authenticator)


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, and the way it came."""

    token: str = field(repr=False)
    transport: Transport


@dataclass(frozen=True, slots=True)
class Installation:
    """What tells in an application who is asking, and how tokens reach it."""

    authenticator: Authenticator
    transports: Sequence[Transport]

    @property
    def kit(self) -> AuthKit:
        """The kit, for what needs its stores.

        Raises:
            ConfigurationError: the application only verifies tokens.
        """
        if isinstance(self.authenticator, AuthKit):
            return self.authenticator
        raise ConfigurationError(
            "This application only verifies tokens, so it has no accounts and no sessions. "
            "Routes that need them belong to the service that has install(app, AuthKit(...))."
        )

    def read_access_token(self, connection: HTTPConnection) -> Credential | None:
        """Return the access token of a request, whichever transport carries it."""
        for transport in self.transports:
            token = transport.read_access_token(connection)
            if token is not None:
                return Credential(token, transport)
        return None

    def read_client(self, connection: HTTPConnection) -> Client:
        """Tell where a request came from, past the proxies that are trusted."""
        return read_client(connection, self.authenticator.settings.trusted_proxies)


def install(
    app: FastAPI,
    authenticator: AuthenticatorT,
    *,
    transports: Sequence[Transport] = (BearerTransport(),),
) -> AuthenticatorT:
    """Let the routes of *app* use *authenticator*; return it.

    Args:
        app: the application, or a mounted one that is to have its own.
        authenticator: an ``AuthKit``; or a ``TokenVerifier``, where another service issues tokens.
        transports: where access tokens are looked for, in order; the first one answers logins.

    Raises:
        ConfigurationError: there is no transport.
    """
    if not transports:
        raise ConfigurationError("install() needs a transport, BearerTransport() for example.")
    installation = Installation(authenticator, tuple(transports))
    setattr(app.state, _STATE, installation)
    # An application mounted below this one finds the kit here: of its parents a request shows
    # only the outermost router.
    setattr(app.router, _STATE, installation)
    complete_openapi(app, [transport.cookie_name for transport in transports])
    return authenticator


def get_installation(connection: HTTPConnection) -> Installation:
    """Find what was installed in the application of *connection*; see ``get_auth``."""
    installation = _find_installation(connection)
    if installation is not None:
        return installation
    app = connection.app
    if connection.scope.get("router") not in (None, app.router):
        raise ConfigurationError(
            f"The mounted application {app.title!r} has no AuthKit, and the one it is mounted in "
            "has none or cannot be told. Call install(sub_app, kit) with the kit it should use."
        )
    return ensure_installed(app)


def _find_installation(connection: HTTPConnection) -> Installation | None:
    app = connection.app
    installation: Installation | None = getattr(app.state, _STATE, None)
    outermost = connection.scope.get("router")
    if installation is None and outermost is not None and _is_mounted(app, outermost):
        installation = getattr(outermost, _STATE, None)
    return installation


def _is_mounted(app: FastAPI, router: Router) -> bool:
    """Tell whether *app* stands directly in *router*; between further ones kits could differ."""
    return any(isinstance(route, Mount) and route.app is app for route in router.routes)


def ensure_installed(app: FastAPI) -> Installation:
    """Return what *app* has installed, and before that install what the environment asks for."""
    if getattr(app.state, _STATE, None) is None:
        settings = AuthSettings()
        only_verifies = settings.jwks_url is not None
        kit = TokenVerifier(settings=settings) if only_verifies else AuthKit(settings=settings)
        install(app, kit)
    installation: Installation = getattr(app.state, _STATE)
    return installation


async def get_auth(connection: HTTPConnection) -> AuthKit:
    """Return the kit of the application: a dependency for routes of your own.

    Raises:
        ConfigurationError: a mounted application has none, the environment holds no key, or the
            application only verifies tokens.
    """
    return get_installation(connection).kit


async def get_client(connection: HTTPConnection) -> Client:
    """Return the client of a request: a dependency for login routes of your own.

    The address is that of the peer, or the one that the proxies in ``JWT_TRUSTED_PROXIES`` report.
    """
    return get_installation(connection).read_client(connection)


ClientDep = Annotated[Client, Depends(get_client)]
"""Parameter type: ``async def route(client: ClientDep)``."""


class _Bearer(SecurityBase):
    """A dependency that OpenAPI shows as a lock; ``complete_openapi`` fills in the URL."""

    scheme_name = SCHEME_NAME
    model = OAuth2(flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/token", scopes={})))


class _GetCurrentUser(_Bearer):
    """The user of the access token.

    Raises:
        NotAuthenticated: no token was sent.
        InvalidToken: it is expired, revoked, or not one of ours.
    """

    async def __call__(
        self, connection: HTTPConnection, scopes: SecurityScopes
    ) -> CurrentUser | None:
        installation = get_installation(connection)
        try:
            credential = installation.read_access_token(connection)
            if credential is not None:
                user = await installation.authenticator.authenticate(credential.token)
            elif OPTIONAL in scopes.scopes:
                return None
            else:
                raise NotAuthenticated
        except AuthError as error:
            await refuse(connection, error)
        wanted = [scope for scope in scopes.scopes if scope != OPTIONAL]
        if wanted and not user.scopes.issuperset(wanted):
            await refuse(connection, InsufficientScope(wanted), user)
        return user


class _GetCredential(_Bearer):
    """The access token as it was sent, unchecked; None where none was.

    Args:
        is_lenient: take one that cannot be read for none.
    """

    def __init__(self, *, is_lenient: bool = False) -> None:
        self._is_lenient = is_lenient

    async def __call__(self, connection: HTTPConnection) -> Credential | None:
        try:
            return get_installation(connection).read_access_token(connection)
        except AuthError as error:
            if self._is_lenient and isinstance(error, InvalidToken):
                return None
            await refuse(connection, error)


async def refuse(
    connection: HTTPConnection, error: AuthError, user: CurrentUser | None = None
) -> NoReturn:
    """Answer with *error*; a 403 is noted in the audit trail, a WebSocket is closed."""
    installation = _find_installation(connection)
    if isinstance(error, Forbidden) and installation is not None:
        await installation.authenticator.audit.record(
            "access_denied",
            None if user is None else user.id,
            session_id=None if user is None else user.session_id,
            client=installation.read_client(connection),
            reason=error.code,
        )
    if not isinstance(connection, WebSocket):
        raise error
    # A browser tells a page why only if the handshake went well. Other sites get no handshake.
    if not isinstance(error, Forbidden):
        await connection.accept(subprotocol=chosen_protocol(connection))
    raise WebSocketException(CLOSE_CODES.get(error.status, 1008), reason=error.code)


def chosen_protocol(websocket: WebSocket) -> str | None:
    """Return the subprotocol to accept with: never the token, which is offered beside it."""
    offered = websocket.scope.get("subprotocols", ())
    return WEBSOCKET_PROTOCOL if WEBSOCKET_PROTOCOL in offered else None


get_current_user = _GetCurrentUser()
"""Dependency: the signed-in user; 401 without one. Override it to sign a test in."""

require_user = get_current_user
"""The same object as ``get_current_user``, named for routes that only need the check."""

get_credential = _GetCredential()
get_credential_if_any = _GetCredential(is_lenient=True)

UserDep = Annotated[CurrentUser, Depends(get_current_user)]
"""Parameter type: ``async def route(user: UserDep)``."""


async def require_session(connection: HTTPConnection, user: UserDep) -> CurrentUser:
    """Dependency: the user as the stores know them now, for routes that cannot wait a moment.

    It reads the session and the account at each request.

    Raises:
        RevokedToken: the session ended or the user's rights changed, in whatever process.
        SessionRevoked: the account is gone or disabled.
    """
    try:
        return await get_installation(connection).authenticator.authenticate_now(user)
    except AuthError as error:
        await refuse(connection, error, user)


SessionDep = Annotated[CurrentUser, Depends(require_session)]
"""Parameter type: ``async def route(user: SessionDep)``."""


def require_recent_login(max_age: timedelta) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets users pass who signed in at most *max_age* ago; 401 for others.

    Refreshing does not count as signing in.
    """

    async def check_age(connection: HTTPConnection, user: UserDep) -> CurrentUser:
        now = get_installation(connection).authenticator.now()
        if user.auth_time is None or now - user.auth_time > max_age:
            await refuse(connection, RecentLoginRequired(), user)
        return user

    return check_age


async def get_optional_user(
    user: Annotated[CurrentUser | None, Security(get_current_user, scopes=[OPTIONAL])],
) -> CurrentUser | None:
    """Dependency: the signed-in user; None where no token was sent. A bad one is still a 401."""
    return user


def require_role(*roles: str) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets users with one of *roles* pass; 403 for others."""
    if not roles:
        raise ConfigurationError("require_role() needs a role.")
    allowed = frozenset(roles)

    async def check_role(connection: HTTPConnection, user: UserDep) -> CurrentUser:
        if user.role not in allowed:
            await refuse(connection, InsufficientRole(), user)
        return user

    return check_role


require_admin = require_role("admin")
"""Dependency: a user with the role ``admin``; 403 for others."""

AdminDep = Annotated[CurrentUser, Depends(require_admin)]
"""Parameter type: ``async def route(admin: AdminDep)``."""


def require_owner(parameter: str, *, admin: bool = False) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets only the user named by a path parameter pass; 403 for others.

    Args:
        parameter: name of the path parameter that holds the owner's id.
        admin: let administrators pass too.
    """

    async def check_owner(connection: HTTPConnection, user: UserDep) -> CurrentUser:
        if parameter not in connection.path_params:
            raise ConfigurationError(
                f"require_owner({parameter!r}) is used on a route whose path has no "
                f"{{{parameter}}}."
            )
        is_owner = str(connection.path_params[parameter]) == user.id
        if not is_owner and not (admin and user.role == "admin"):
            await refuse(connection, NotOwner(), user)
        return user

    return check_owner
