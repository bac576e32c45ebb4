"""WebSockets that end when their user's token does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import anyio
from fastapi import WebSocket, WebSocketDisconnect

from ..current_user import Authenticator, CurrentUser
from ..errors import AuthError
from .dependencies import CLOSE_CODES, chosen_protocol
from .installation import get_installation

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

CHECK_INTERVAL = timedelta(seconds=4)
INTERNAL_ERROR = 1011  # RFC 6455 section 7.4.1


@asynccontextmanager
async def accept_while_signed_in(
    websocket: WebSocket, user: CurrentUser, *, interval: timedelta = CHECK_INTERVAL
) -> AsyncIterator[None]:
    """Accept *websocket*, and close it with 4401 once the access token of *user* is over.

    A handshake is one request, and the connection after it may last for days. What stands inside
    is ended then, whatever it waits for. A client that leaves is seen by who receives or sends,
    and ends it quietly.

    Args:
        websocket: the connection that is asked for.
        user: who the dependency said is there.
        interval: how often to look for a revocation.
    """
    authenticator = get_installation(websocket).authenticator
    await websocket.accept(subprotocol=chosen_protocol(websocket))
    is_over = asyncio.Event()
    with anyio.CancelScope() as inside:
        watch = asyncio.create_task(
            _close_when_over(authenticator, websocket, user, interval, is_over, inside)
        )
        try:
            yield
        except WebSocketDisconnect:
            pass  # the client left, or was sent away
        except RuntimeError:  # "cannot send any more", to one who is being sent away
            if not is_over.is_set():
                raise
        finally:
            if not is_over.is_set():  # or else the client is still to be told why
                watch.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([watch])


async def _close_when_over(
    authenticator: Authenticator,
    websocket: WebSocket,
    user: CurrentUser,
    interval: timedelta,
    is_over: asyncio.Event,
    inside: anyio.CancelScope,
) -> None:
    code, reason = INTERNAL_ERROR, ""
    try:
        while True:
            await authenticator.recheck(user)
            seconds_left = user.seconds_left(authenticator.now())
            await asyncio.sleep(min(interval.total_seconds(), seconds_left + 1))
    except AuthError as error:
        code, reason = CLOSE_CODES.get(error.status, 1008), error.code
    except Exception:
        # Nobody looks for the end of the session any more, so the connection must not go on.
        logger.exception("A WebSocket is closed, because its user cannot be checked any more.")
    is_over.set()
    with suppress(RuntimeError, WebSocketDisconnect):  # the route or the client was faster
        await websocket.close(code, reason=reason)
    # What waits for something else than the client, a queue for example, does not see it go.
    inside.cancel()
