"""Operations of a store that run to their end, also where the request that asked is cancelled.

A database driver that is stopped half-way may keep a statement, and with it a lock, until the
garbage collector comes by. A database that is silent is given up after a while, though.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

import anyio

from ..errors import StoreUnavailable
from .failures import SILENT

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

GRACE = 0.5
"""Seconds that a cancelled caller, and an event loop that ends, wait for an operation."""

INSISTENCE = 6.0
"""Seconds after which an operation is cancelled once more. psycopg tells the server of the first
cancellation, for five seconds, and waits for its answer again."""

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Operations:
    """The operations of a store; each runs in a task of its own, which nobody else cancels.

    The task has a copy of the caller's context variables.

    Args:
        timeout: how long one may take; None for any time.
    """

    def __init__(self, timeout: timedelta | None = None) -> None:
        self._seconds = None if timeout is None else timeout.total_seconds()
        self._abandoned: set[asyncio.Task[Any]] = set()  # the event loop holds no reference

    async def run(self, operation: Coroutine[Any, Any, T]) -> T:
        """Return what *operation* returns; a cancelled caller leaves it to run.

        Raises:
            StoreUnavailable: it took too long, and is cancelled.
        """
        task = _Operation(operation)
        try:
            await asyncio.wait([task], timeout=self._seconds)
            if task.done():
                return task.result()
        except asyncio.CancelledError:
            await self._abandon(task)
            raise
        else:
            # Drivers do not end it by themselves: a server that is frozen, or behind a lost
            # network, keeps its own timeouts to itself.
            self._keep(task)
            task.cancel()
            logger.error("The database failed: no answer in %s seconds. %s", self._seconds, SILENT)
            raise StoreUnavailable(SILENT)
        finally:
            del task  # else an error that it raised refers to itself

    async def _abandon(self, task: "asyncio.Task[Any]") -> None:
        self._keep(task)
        # Most operations end in a few milliseconds, so that none is left behind where the event
        # loop ends with the request. A cancelled scope of anyio cancels again and again.
        with anyio.move_on_after(GRACE, shield=True):
            await asyncio.wait([task])

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: "asyncio.Task[Any]") -> None:
        self._abandoned.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreUnavailable):  # which was logged
            logger.warning(
                "A store operation whose request was cancelled ended with %s.", type(error).__name__
            )


class _Operation(asyncio.Task[T]):
    """A task that an event loop waits for at its end: it cancels all that is left."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the operation if it does not end soon."""
        self.get_loop().call_later(GRACE, self._stop, msg)
        return False

    def _stop(self, msg: Any | None) -> None:
        if not self.done():
            super().cancel(msg)
            self.get_loop().call_later(INSISTENCE, self._stop, msg)


def complete_operations(store: C) -> C:
    """Let each public coroutine method of a class run to its end, by its ``_operations``."""
    for name, method in list(vars(store).items()):
        if iscoroutinefunction(method) and not name.startswith("_"):
            setattr(store, name, _completed(method))
    return store


def _completed(method: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Any]:
    @wraps(method)
    async def run(self: Any, *arguments: Any, **options: Any) -> T:
        operations: Operations = self._operations
        return await operations.run(method(self, *arguments, **options))

    return run
