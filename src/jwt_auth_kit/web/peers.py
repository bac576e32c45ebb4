"""Tells who connected, also where the server shows what X-Forwarded-For says in its place."""

from collections.abc import Awaitable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ..networks import parse_address

_PEER = "jwt_auth_kit.peer"
"""Where a request keeps the host that connected; None for a unix socket."""

UNIX_SOCKET = None


def remember_peers(app: Starlette) -> None:
    """Let each request of *app* keep who connected, before any middleware sees it."""
    build = app.build_middleware_stack
    if hasattr(build, "remembers_peers"):
        return

    def build_middleware_stack() -> ASGIApp:
        return _PeerMemory(build())

    build_middleware_stack.remembers_peers = True  # type: ignore[attr-defined]
    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]
    if app.middleware_stack is not None:  # the application runs already
        app.middleware_stack = _PeerMemory(app.middleware_stack)


def get_peer(connection: HTTPConnection) -> str | None:
    """Return the host that connected; None for a unix socket, and where it cannot be known."""
    scope = connection.scope
    if _PEER in scope:
        peer: str | None = scope[_PEER]
        return peer
    client, server = connection.client, scope.get("server")
    if client is None or _is_unix_socket(server):
        return UNIX_SOCKET
    if server and _is_loopback(server) and not _is_loopback(client):
        return str(server[0])  # only this machine itself connects to its loopback interface
    # No connection comes from port 0, or from anything but an address: servers that take an
    # address from a header write such clients.
    if client.port in {0, "0"} or parse_address(client.host) is None:
        return None
    return client.host


class _PeerMemory:
    """Keeps the peer in the scope of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        peername = _peername(receive)
        if peername is not None:
            is_address = isinstance(peername, list | tuple)
            scope.setdefault(_PEER, peername[0] if is_address else UNIX_SOCKET)
        return self._app(scope, receive, send)


def _peername(receive: Receive) -> Any:
    """Return the remote end of the connection behind *receive*, if uvicorn reads from it.

    An attacker names an address with a port, and uvicorn (0.46 and later) makes it the client
    of the scope, where it looks like any other. With ``--forwarded-allow-ips="*"`` every client
    can do so. What the socket says cannot be written by anybody.
    """
    cycle = getattr(receive, "__self__", None)
    if not type(cycle).__module__.startswith("uvicorn."):
        return None
    get_extra_info = getattr(getattr(cycle, "transport", None), "get_extra_info", None)
    return None if get_extra_info is None else get_extra_info("peername")


def _is_unix_socket(server: Any) -> bool:
    return server is not None and server[1] is None


def _is_loopback(end: Any) -> bool:
    address = None if end is None else parse_address(end[0])
    return address is not None and address.is_loopback
