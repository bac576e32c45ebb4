"""Puts a kit or a verifier into an application, and finds it there again: install()."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Mount, Router

from ..current_user import Authenticator
from ..errors import ConfigurationError, InvalidToken, KeysUnavailable, StoreUnavailable
from ..events import Client
from ..kit.auth_kit import AuthKit
from ..settings import AuthSettings
from ..tokens.verifier import TokenVerifier
from .caching import note_cookie, send_cookies
from .clients import read_client
from .entrance import watch_entrance
from .openapi import complete_openapi
from .transports import BearerTransport, CookieTransport, Transport

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
            try:
                token = transport.read_access_token(connection)
            except InvalidToken:
                note_refusal(connection, transport)
                raise
            if token is not None:
                if transport.cookie_name is not None:
                    note_cookie(connection.scope)
                return Credential(token, transport)
        return None

    def read_client(self, connection: HTTPConnection) -> Client:
        """Tell where a request came from, past the proxies that are trusted."""
        return read_client(connection, self.authenticator.settings.trusted_proxies)


def note_refusal(connection: HTTPConnection, transport: Transport) -> None:
    """Let the answer to a cookie that was refused be private, and delete what stood beside it."""
    if transport.cookie_name is not None:
        note_cookie(connection.scope)
    delete_strays(connection, transport)


def delete_strays(connection: HTTPConnection, transport: Transport) -> None:
    """Delete cookies that share a name with ours, whatever answers the request."""
    if isinstance(transport, CookieTransport):
        strays = Response()
        transport.clear_strays(connection, strays)
        send_cookies(connection.scope, strays)


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
        ConfigurationError: there is no transport, an argument is something else, or a route
            would read the user from the request.
    """
    _check_arguments(app, authenticator, transports)
    watch_entrance(app, transports)
    installation = Installation(authenticator, tuple(transports))
    setattr(app.state, _STATE, installation)
    # An application mounted below this one finds the kit here: of its parents a request shows
    # only the outermost router.
    setattr(app.router, _STATE, installation)
    _document(app, installation)
    return authenticator


def _check_arguments(app: object, authenticator: object, transports: object) -> None:
    if not isinstance(app, FastAPI):
        raise ConfigurationError(
            f"install() takes the FastAPI application first, not {type(app).__name__}. "
            "Write install(app, kit)."
        )
    if isinstance(authenticator, type) or not hasattr(authenticator, "authenticate"):
        given = getattr(authenticator, "__name__", type(authenticator).__name__)
        raise ConfigurationError(
            f"install() cannot use {given} to tell who is asking. Write install(app, AuthKit())."
        )
    if not isinstance(transports, Sequence) or isinstance(transports, str):
        raise ConfigurationError(
            "transports is a list. Write install(app, kit, transports=[CookieTransport()])."
        )
    if not transports:
        raise ConfigurationError("install() needs a transport, BearerTransport() for example.")


def _document(app: FastAPI, installation: Installation) -> None:
    document = complete_openapi(app)
    document.cookie_names = [transport.cookie_name for transport in installation.transports]
    authenticator = installation.authenticator
    if isinstance(authenticator, AuthKit):
        document.password_policy = authenticator.password_policy
        document.unavailable = StoreUnavailable
    elif isinstance(authenticator, TokenVerifier):
        document.unavailable = KeysUnavailable if authenticator.reads_keys else None
    else:
        document.unavailable = None


def get_installation(connection: HTTPConnection) -> Installation:
    """Find what was installed in the application of *connection*; see ``get_auth``."""
    installation = find_installation(connection)
    if installation is not None:
        return installation
    app = connection.app
    if connection.scope.get("router") not in (None, app.router):
        raise ConfigurationError(
            f"The mounted application {app.title!r} has no AuthKit, and the one it is mounted in "
            "has none or cannot be told. Call install(sub_app, kit) with the kit it should use."
        )
    return ensure_installed(app)


def find_installation(connection: HTTPConnection) -> Installation | None:
    """Find what was installed in the application of *connection*; None where nothing was."""
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
