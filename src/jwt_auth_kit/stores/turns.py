"""Turns: so many calls run at once, and the others wait in the order in which they came."""

import asyncio

from ..event_loops import ByLoop


class Turns:
    """An async context manager that lets *places* tasks of an event loop in at once.

    Args:
        places: how many may be inside.
        patience: the seconds after which a task that waits gets a ``TimeoutError``.
    """

    def __init__(self, places: int, *, patience: float) -> None:
        self._patience = patience
        self._places = ByLoop(lambda: asyncio.Semaphore(places))

    async def __aenter__(self) -> None:
        places = self._places.here()
        if not places.locked():
            await places.acquire()
            return
        async with asyncio.timeout(self._patience):
            await places.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._places.here().release()
