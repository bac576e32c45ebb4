"""What is checked before an application serves: at its start, or with the first request."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from .caching import keep_private
from .cors import check_cors
from .decisions import begin
from .overrides import check_overrides
from .peers import remember_peers
from .routing import list_applications
from .signatures import check_signatures
from .transports import Transport

_STATE = "jwt_auth_kit_entrance"

Passing = Coroutine[Any, Any, None]
Router = Callable[[Scope, Receive, Send], Passing]


def watch_entrance(app: FastAPI, transports: Sequence[Transport] = ()) -> None:
    """Check *app* now, at its start, and with its first request, when all routes are there.

    Raises:
        ConfigurationError: a route of it would let callers choose who they are.
    """
    check_signatures(app)
    entrance = _open_entrance(app)
    entrance.is_checked = False
    entrance.transports = transports or entrance.transports
    remember_peers(app)  # behind the entrance nobody sees the connection


def put_gate(app: FastAPI, make_gate: Callable[[Router], Router]) -> None:
    """Put what *make_gate* makes between the entrance of *app* and its router."""
    entrance = _open_entrance(app)
    entrance.router = make_gate(entrance.router)


def _open_entrance(app: FastAPI) -> "Entrance":
    entrance: Entrance | None = getattr(app.state, _STATE, None)
    if entrance is None:
        entrance = Entrance(app, app.router.middleware_stack)
        setattr(app.state, _STATE, entrance)
        app.router.middleware_stack = entrance
        app.router.lifespan_context = _checked(entrance, app.router.lifespan_context)
    return entrance


class Entrance:
    """Stands between the middleware of an application and its router."""

    def __init__(self, app: FastAPI, router: Router) -> None:
        self._app = app
        self.router = router
        self.is_checked: bool = False
        self.transports: Sequence[Transport] = ()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Passing:
        """Pass a request on; it is no coroutine itself, since that would cost each one."""
        if not self.is_checked and scope["type"] != "lifespan":
            self.check()
            self.is_checked = True
        if self._app.dependency_overrides:
            check_overrides(self._app)
        if scope["type"] == "http":
            receive = begin(scope, receive)
        return self.router(scope, receive, keep_private(scope, send, self.transports))

    def check(self) -> None:
        """Refuse an application that must not run as it is."""
        check_signatures(self._app)
        check_cors(self._app, self.transports)
        for app in list_applications(self._app):  # what is mounted has overrides of its own
            _open_entrance(app)


def _checked(entrance: Entrance, lifespan: Any) -> Any:
    @asynccontextmanager
    async def check_and_run(running: Any) -> AsyncIterator[Any]:
        entrance.check()
        async with lifespan(running) as state:
            yield state

    return check_and_run
