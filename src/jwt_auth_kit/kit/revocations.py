"""What was revoked: remembered in this process, and read from the others through the store."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from ..errors import RevokedToken, ServiceUnavailable, StoreUnavailable
from ..settings import WhenStale
from ..stores.base import Revocations

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

READ_TIMEOUT = 1.0  # seconds; a store that hangs must not hang every request
RETRY_AFTER = 1.0  # seconds before a feed that could not be read is tried again
MAX_ENTRIES = 100_000

K = TypeVar("K")
V = TypeVar("V")


class AgingDict(Generic[K, V]):
    """Remembers what is set for at least *keep*, and forgets it soon after.

    Entries live in two halves: when the newer one is as old as that, or full, it becomes the
    older one, and what was there is forgotten. So an entry needs no time of its own.
    """

    def __init__(self, *, keep: timedelta, most: int = MAX_ENTRIES) -> None:
        self._keep = keep
        self._most = most
        self._turned_at: datetime | None = None
        self._newer: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return what was set; None if nothing was, or if it is forgotten."""
        value = self._newer.get(key)
        return self._older.get(key) if value is None else value

    def set(self, key: K, value: V, now: datetime) -> None:
        """Remember *value* from now on."""
        self.turn(now)
        self._newer[key] = value

    def forget(self, key: K) -> None:
        """Forget what was set."""
        self._newer.pop(key, None)
        self._older.pop(key, None)

    def turn(self, now: datetime) -> None:
        """Forget what is old enough."""
        turned_at = self._turned_at
        if turned_at is None or now - turned_at >= 2 * self._keep:
            self._newer, self._older, self._turned_at = {}, {}, now
        elif now - turned_at >= self._keep or len(self._newer) >= self._most:
            self._newer, self._older, self._turned_at = {}, self._newer, now
        elif now < turned_at:  # the clock was set back: nothing would age until it caught up
            self._turned_at = now

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)


class RevocationFeed:
    """Ended sessions and raised epochs; looking one up costs a few dictionary reads.

    Args:
        keep: how long an entry matters, the longest life of an access token.
    """

    def __init__(self, *, keep: timedelta) -> None:
        # Without a bound: an entry that is forgotten too early would let a token pass.
        self._sessions: AgingDict[str, bool] = AgingDict(keep=keep, most=sys.maxsize)
        self._epochs: AgingDict[str, int] = AgingDict(keep=keep, most=sys.maxsize)

    def add_session(self, session_id: str, now: datetime) -> None:
        """Refuse the access tokens of a session from now on."""
        self._sessions.set(session_id, True, now)
        self._epochs.turn(now)

    def add_epoch(self, user_id: str, epoch: int, now: datetime) -> None:
        """Refuse a user's access tokens made below *epoch* from now on."""
        self._epochs.set(user_id, max(epoch, self._epochs.get(user_id) or 0), now)
        self._sessions.turn(now)

    def check(self, user_id: str, epoch: int, session_id: str | None) -> None:
        """Let a token of this user, epoch and session pass.

        Raises:
            RevokedToken: the session ended, or the user's rights changed since.
        """
        if session_id is not None and self._sessions.get(session_id):
            raise RevokedToken
        if epoch < self.epoch_of(user_id):
            raise RevokedToken

    def epoch_of(self, user_id: str) -> int:
        """Return the epoch below which a user's access tokens are refused here."""
        return self._epochs.get(user_id) or 0

    def forget_old(self, now: datetime) -> None:
        """Forget what matters to no access token any more."""
        self._sessions.turn(now)
        self._epochs.turn(now)

    def __len__(self) -> int:
        return len(self._sessions) + len(self._epochs)


class RevocationWatch:
    """Keeps a feed up with what other processes revoke, without a background task.

    The first request that finds the feed older than the interval reads the store, page after
    page; those that come meanwhile wait for the same read. Where there are more pages than the
    time for one read allows, the next request reads on behind them.

    Args:
        feed: what is kept up.
        read: reads what was revoked since a cursor.
        interval: how old the feed may get; zero reads before every request.
        when_stale: what happens while the store cannot be read: ``check`` asks the store about
            each token, ``reject`` answers 503, ``allow`` trusts what is known.
    """

    def __init__(
        self,
        feed: RevocationFeed,
        read: Callable[[str | None], Awaitable[Revocations]],
        *,
        interval: timedelta,
        when_stale: WhenStale,
    ) -> None:
        self._feed = feed
        self._read = read
        self._interval = interval.total_seconds()
        self._when_stale = when_stale
        self._cursor: str | None = None
        self._read_at: datetime | None = None
        self._fresh_until = float("-inf")
        self._retry_at = float("-inf")
        self._reading: asyncio.Task[bool] | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether the feed is young enough to be trusted alone."""
        return time.monotonic() < self._fresh_until

    async def catch_up(self, now: datetime) -> bool:
        """Bring the feed up to date; False if the caller has to ask the store itself.

        Raises:
            StoreUnavailable: the store cannot be read, and ``when_stale`` is ``reject``.
        """
        if await self._read_once(now) or self._when_stale == "allow":
            return True
        if self._when_stale == "reject":
            raise StoreUnavailable
        return False

    async def _read_once(self, now: datetime) -> bool:
        task = self._reading
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            if time.monotonic() < self._retry_at:
                return False
            self._reading = task = asyncio.create_task(self._update(now))
        # Shielded: a client that hangs up must not take the read away from the others.
        return await asyncio.shield(task)

    async def _update(self, now: datetime) -> bool:
        begun = time.monotonic()
        if self._read_at is not None and now < self._read_at:
            self._cursor = None  # the clock was set back: the cursor may stand in the future
        self._read_at = now
        try:
            while True:
                started = time.monotonic()
                async with asyncio.timeout(READ_TIMEOUT):
                    revoked = await self._read(self._cursor)
                self._take(revoked, now)
                if not revoked.has_more:
                    break
                if time.monotonic() - begun > READ_TIMEOUT / 2:
                    return self._has_backlog()
                await asyncio.sleep(0)  # other requests have their turn between two pages
        except (ServiceUnavailable, TimeoutError):
            logger.warning("The revocation feed could not be read; tokens are handled by "
                           "when_stale=%r until it can.", self._when_stale)  # fmt: skip
            self._retry_at = time.monotonic() + RETRY_AFTER
            return False
        # Also where nothing was revoked: a store that lost an epoch gives out lower ones again.
        self._feed.forget_old(now)
        self._fresh_until = started + self._interval
        return True

    def _has_backlog(self) -> bool:
        logger.warning("The revocation feed has a backlog; tokens are handled by "
                       "when_stale=%r until it is read.", self._when_stale)  # fmt: skip
        return False  # the next request reads on at once

    def _take(self, revoked: Revocations, now: datetime) -> None:
        for session_id in revoked.session_ids:
            self._feed.add_session(session_id, now)
        for user_id, epoch in revoked.epochs:
            self._feed.add_epoch(user_id, epoch, now)
        self._cursor = revoked.cursor
