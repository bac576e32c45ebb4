"""WebSockets that end when their user's token does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from fastapi import WebSocket, WebSocketDisconnect

from .dependencies import CLOSE_CODES, chosen_protocol, get_installation
from .errors import AuthError
from .kit import AuthKit, CurrentUser

CHECK_INTERVAL = timedelta(seconds=4)


@asynccontextmanager
async def accept_while_signed_in(
    websocket: WebSocket, user: CurrentUser, *, interval: timedelta = CHECK_INTERVAL
) -> AsyncIterator[None]:
    """Accept *websocket*, and close it with 4401 once the access token of *user* is over.

    A handshake is one request, and the connection after it may last for days. Let what receives
    and sends stand inside; a disconnect ends it quietly.

    Args:
        websocket: the connection that is asked for.
        user: who the dependency said is there.
        interval: how often to look for a revocation.
    """
    kit = get_installation(websocket).kit
    await websocket.accept(subprotocol=chosen_protocol(websocket))
    watch = asyncio.create_task(_close_when_over(kit, websocket, user, interval))
    try:
        yield
    except WebSocketDisconnect:
        pass  # the client left, or was sent away
    except RuntimeError:  # "cannot send any more", if it was sent away just before
        if not watch.done():
            raise
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _close_when_over(
    kit: AuthKit, websocket: WebSocket, user: CurrentUser, interval: timedelta
) -> None:
    try:
        while True:
            await kit.recheck(user)
            await asyncio.sleep(min(interval.total_seconds(), kit.seconds_left(user) + 1))
    except AuthError as error:
        with suppress(RuntimeError):  # the route closed it in the meantime
            await websocket.close(CLOSE_CODES.get(error.status, 1008), reason=error.code)
