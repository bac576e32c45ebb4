"""What routes depend on: require_user, require_admin and their kin."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Security, WebSocket, WebSocketException
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from ..current_user import Authenticator, CurrentUser
from ..errors import (
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
from ..events import Client
from ..kit.auth_kit import AuthKit
from .decisions import decide_once, decided_first, end_beginning
from .installation import Credential, find_installation, get_installation
from .openapi import BearerScheme
from .overrides import Dependency, call_override, check_override_by
from .transports import WEBSOCKET_PROTOCOL

CLOSE_CODES = {401: 4401, 403: 4403, 503: 1013}
"""How a WebSocket is closed instead; 4000 and up are for applications (RFC 6455 section 7.4.2)."""


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


def _check_override(override: Dependency, *, is_optional: bool = False) -> Dependency:
    """Make a dependency that gives what *override* does, if the route lets that user pass.

    FastAPI runs an override in the place of the dependency, so scopes of the route would be
    asked of nobody: a test that expects 403 could not fail.
    """

    async def give_checked_user(
        connection: HTTPConnection, scopes: SecurityScopes, user: Annotated[Any, Depends(override)]
    ) -> Any:
        wanted = scopes.scopes
        if user is None and not is_optional:
            await refuse(connection, NotAuthenticated())
        if user is not None:
            await _check_scopes(connection, user, wanted)
        return user

    return give_checked_user


def _check_override_of_optional(override: Dependency) -> Dependency:
    return _check_override(override, is_optional=True)


async def _check_scopes(connection: HTTPConnection, user: Any, wanted: Collection[str]) -> None:
    if not set(wanted).issubset(_scopes_of(user)):
        known = user if isinstance(user, CurrentUser) else None
        await refuse(connection, InsufficientScope([*wanted]), known)


def _scopes_of(user: Any) -> Collection[str]:
    scopes: Collection[str] = getattr(user, "scopes", ())
    return scopes.split() if isinstance(scopes, str) else scopes


class _GetCurrentUser(BearerScheme):
    """The user of the access token.

    Args:
        is_optional: return None where no token was sent.

    Raises:
        NotAuthenticated: no token was sent.
        InvalidToken: it is expired, revoked, or not one of ours.
    """

    def __init__(self, *, is_optional: bool = False) -> None:
        self.is_optional = is_optional

    async def __call__(
        self, connection: HTTPConnection, scopes: SecurityScopes
    ) -> CurrentUser | None:
        if self.is_optional and get_current_user in connection.app.dependency_overrides:
            # The first request of an application without install(): its overrides are unchecked.
            overridden: CurrentUser | None = await call_override(connection, self, scopes.scopes)
            return overridden
        end_beginning(connection.scope)
        try:
            user = await find_user(connection)
            if user is None and not self.is_optional:
                raise NotAuthenticated
        except AuthError as error:
            await refuse(connection, error)
        wanted = scopes.scopes
        if user is not None and wanted:
            await _check_scopes(connection, user, wanted)
        return user


async def find_user(connection: HTTPConnection) -> CurrentUser | None:
    """Return who sent the access token of a request; None where none was sent.

    What was found first holds for the whole request: a token may expire during an upload.

    Raises:
        InvalidToken: it is not good.
        CrossSiteRequest: another web site made the browser send it.
    """
    installation = get_installation(connection)
    credential = installation.read_access_token(connection)
    if credential is None:
        return None
    authenticator, token = installation.authenticator, credential.token
    client = partial(installation.read_client, connection)
    return await decide_once(
        connection.scope,
        authenticator,
        token,
        partial(authenticator.authenticate, token, client=client),
    )


class _GetCredentialIfAny(BearerScheme):
    """The access token as it was sent, unchecked; None where none was, or none that can be read."""

    is_optional = True

    async def __call__(self, connection: HTTPConnection) -> Credential | None:
        try:
            return get_installation(connection).read_access_token(connection)
        except InvalidToken:
            return None
        except AuthError as error:
            await refuse(connection, error)


async def refuse(
    connection: HTTPConnection, error: AuthError, user: CurrentUser | None = None
) -> NoReturn:
    """Answer with *error*; a 403 is noted in the audit trail, a WebSocket is closed."""
    installation = find_installation(connection)
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


get_current_user: _GetCurrentUser = decided_first(
    check_override_by(_check_override)(_GetCurrentUser())
)
"""Dependency: the signed-in user; 401 without one. Override it to sign a test in."""

require_user: _GetCurrentUser = get_current_user
"""The same object as ``get_current_user``, named for routes that only need the check."""

_get_user_if_any: _GetCurrentUser = decided_first(
    check_override_by(_check_override_of_optional, instead_of=get_current_user)(
        _GetCurrentUser(is_optional=True)
    )
)

get_credential_if_any: _GetCredentialIfAny = _GetCredentialIfAny()

UserDep = Annotated[CurrentUser, Depends(get_current_user)]
"""Parameter type: ``async def route(user: UserDep)``."""


@decided_first
@check_override_by(_check_override)
async def require_session(connection: HTTPConnection, user: UserDep) -> CurrentUser:
    """Dependency: the user as the stores know them now, for routes that cannot wait a moment.

    It reads the session and the account at each request.

    Raises:
        RevokedToken: the session ended or the user's rights changed, in whatever process.
        SessionRevoked: the account is gone or disabled.
    """
    try:
        authenticator = get_installation(connection).authenticator
        return await decide_once(
            connection.scope, user, "session", partial(authenticator.authenticate_now, user)
        )
    except AuthError as error:
        await refuse(connection, error, user)


SessionDep = Annotated[CurrentUser, Depends(require_session)]
"""Parameter type: ``async def route(user: SessionDep)``."""


def require_recent_login(max_age: timedelta) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets users pass who signed in at most *max_age* ago; 401 for others.

    Refreshing does not count as signing in.
    """

    @decided_first
    @check_override_by(_check_override)
    async def check_age(connection: HTTPConnection, user: UserDep) -> CurrentUser:
        authenticator = get_installation(connection).authenticator
        # The moment the request began: a long upload does not make its login an old one.
        now = await decide_once(connection.scope, user, "now", partial(_tell_time, authenticator))
        if user.auth_time is None or now - user.auth_time > max_age:
            await refuse(connection, RecentLoginRequired(), user)
        return user

    return check_age


async def _tell_time(authenticator: Authenticator) -> datetime:
    return authenticator.now()


@check_override_by(_check_override_of_optional)
async def get_optional_user(
    user: Annotated[CurrentUser | None, Depends(_get_user_if_any)],
) -> CurrentUser | None:
    """Dependency: the signed-in user; None where no token was sent. A bad one is still a 401."""
    return user


def require_role(*roles: str) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets users with one of *roles* pass; 403 for others."""
    if not roles:
        raise ConfigurationError("require_role() needs a role.")
    allowed = frozenset(roles)

    @decided_first
    @check_override_by(_check_override)
    async def check_role(connection: HTTPConnection, user: UserDep) -> CurrentUser:
        if user.role not in allowed:
            await refuse(connection, InsufficientRole(), user)
        return user

    return check_role


def require_scopes(*scopes: str) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets users pass whose token has all *scopes*; 403 for others."""
    if not scopes:
        raise ConfigurationError("require_scopes() needs a scope.")

    @decided_first
    @check_override_by(_check_override)
    async def check_scopes(
        connection: HTTPConnection,
        user: Annotated[CurrentUser, Security(get_current_user, scopes=scopes)],
    ) -> CurrentUser:
        await _check_scopes(connection, user, scopes)
        return user

    return check_scopes


require_admin: Callable[..., Awaitable[CurrentUser]] = require_role("admin")
"""Dependency: a user with the role ``admin``; 403 for others."""

AdminDep = Annotated[CurrentUser, Depends(require_admin)]
"""Parameter type: ``async def route(admin: AdminDep)``."""


def require_owner(parameter: str, *, admin: bool = False) -> Callable[..., Awaitable[CurrentUser]]:
    """Make a dependency that lets only the user named by a path parameter pass; 403 for others.

    Args:
        parameter: name of the path parameter that holds the owner's id.
        admin: let administrators pass too.
    """

    @decided_first
    @check_override_by(_check_override)
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
