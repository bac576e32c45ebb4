"""Turns: so many calls run at once, and the others wait in the order in which they came."""

import asyncio
from weakref import WeakKeyDictionary


class Turns:
    """An async context manager that lets *places* tasks in at once.

    Each event loop has places of its own, so one that ended with tasks inside takes none along.

    Args:
        places: how many may be inside.
        patience: the seconds after which a task that waits gets a ``TimeoutError``.
    """

    def __init__(self, places: int, *, patience: float) -> None:
        self._places = places
        self._patience = patience
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    async def __aenter__(self) -> None:
        places = self._here()
        if not places.locked():
            await places.acquire()
            return
        async with asyncio.timeout(self._patience):
            await places.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._here().release()

    def _here(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        places = self._by_loop.get(loop)
        if places is None:
            places = self._by_loop[loop] = asyncio.Semaphore(self._places)
        return places
