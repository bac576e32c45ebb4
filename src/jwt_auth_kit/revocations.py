"""What was revoked: remembered in this process, and read from the others through the store."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from .errors import RevokedToken, ServiceUnavailable, StoreUnavailable
from .settings import WhenStale
from .stores.base import Revocations

logger = logging.getLogger("jwt_auth_kit")

RETRY_AFTER = 1.0  # seconds before a feed that could not be read is tried again


class RevocationFeed:
    """Ended sessions and raised epochs; looking one up costs a few set and dict look-ups.

    Entries live in two halves: when the newer one is as old as an access token can get, it
    becomes the older one and what was there is forgotten. So an entry needs no time of its own.

    Args:
        keep: how long an entry matters, the longest life of an access token.
    """

    def __init__(self, *, keep: timedelta) -> None:
        self._keep = keep
        self._turned_at: datetime | None = None
        self._sessions: set[str] = set()
        self._older_sessions: set[str] = set()
        self._epochs: dict[str, int] = {}
        self._older_epochs: dict[str, int] = {}

    def add_session(self, session_id: str, now: datetime) -> None:
        """Refuse the access tokens of a session from now on."""
        self._turn(now)
        self._sessions.add(session_id)

    def add_epoch(self, user_id: str, epoch: int, now: datetime) -> None:
        """Refuse a user's access tokens made below *epoch* from now on."""
        self._turn(now)
        self._epochs[user_id] = max(epoch, self._epochs.get(user_id, 0))

    def check(self, user_id: str, epoch: int, session_id: str | None) -> None:
        """Let a token of this user, epoch and session pass.

        Raises:
            RevokedToken: the session ended, or the user's rights changed since.
        """
        if session_id in self._sessions or session_id in self._older_sessions:
            raise RevokedToken
        if epoch < self._epochs.get(user_id, 0) or epoch < self._older_epochs.get(user_id, 0):
            raise RevokedToken

    def __len__(self) -> int:
        return sum(
            map(len, (self._sessions, self._older_sessions, self._epochs, self._older_epochs))
        )

    def _turn(self, now: datetime) -> None:
        if self._turned_at is None:
            self._turned_at = now
        if now - self._turned_at < self._keep:
            return
        is_long_ago = now - self._turned_at >= 2 * self._keep
        self._older_sessions = set() if is_long_ago else self._sessions
        self._older_epochs = {} if is_long_ago else self._epochs
        self._sessions, self._epochs = set(), {}
        self._turned_at = now


class RevocationWatch:
    """Keeps a feed up with what other processes revoke, without a background task.

    The first request that finds the feed older than the interval reads the store; those that
    come meanwhile wait for the same read.

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
        started = time.monotonic()
        try:
            revoked = await self._read(self._cursor)
        except ServiceUnavailable:
            logger.warning("The revocation feed could not be read; tokens are handled by "
                           "when_stale=%r until it can.", self._when_stale)  # fmt: skip
            self._retry_at = time.monotonic() + RETRY_AFTER
            return False
        for session_id in revoked.session_ids:
            self._feed.add_session(session_id, now)
        for user_id, epoch in revoked.epochs:
            self._feed.add_epoch(user_id, epoch, now)
        self._cursor = revoked.cursor
        self._fresh_until = started + self._interval
        return True
