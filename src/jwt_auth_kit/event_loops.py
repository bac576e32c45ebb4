"""What each event loop has its own of: connections and locks work in the loop they began in."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ByLoop(Generic[T]):
    """Makes one object for each event loop, and forgets those of loops that are closed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._own: dict[asyncio.AbstractEventLoop, T] = {}

    def here(self) -> T:
        """Return the object of the running loop."""
        loop = asyncio.get_running_loop()
        own = self._own.get(loop)
        if own is None:
            # They refer to their loops, so weak keys would keep both for ever.
            for other in [each for each in [*self._own] if each.is_closed()]:
                self._own.pop(other, None)
            own = self._own[loop] = self._make()
        return own
