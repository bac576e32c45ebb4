"""Stores in the memory of one process: for tests, demos and the first ten minutes."""

import asyncio
import threading
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush, nlargest, nsmallest
from itertools import islice
from operator import itemgetter

from ..errors import EmailTaken
from ..sessions import Session, SessionChanges
from ..trusted_values import Hidden, TrustedValue
from .base import (
    FEED_LIFE,
    FEED_OVERLAP,
    FEED_PAGE,
    MAX_LISTED,
    TOO_MANY_SESSIONS,
    Epochs,
    NewUser,
    Revocations,
    StaleLogin,
    StoredSession,
)

BATCH = 1000
"""How many sessions are marked as ended in one go; other requests run in between."""

NO_EPOCHS = Epochs(0, 0)


class MemoryTokenStore:
    """Keeps sessions in a dict; a restart ends them all. Safe under threads and tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, dict[str, Session]] = defaultdict(dict)
        self._open: dict[str, set[str]] = defaultdict(set)
        """Ids of the sessions that were not revoked, so that the others cost nothing."""

        self._ends: list[tuple[datetime, str, str]] = []
        """A heap of when sessions end; an entry may be too early, never too late."""

        self._epochs: dict[str, Epochs] = {}
        self._feed: list[tuple[datetime, str, str | int]] = []
        self._forgotten = 0
        """How many entries the feed has dropped at its beginning."""
        self._failures: dict[str, int] = {}

    async def create(self, session: Session, *, most: int | None = None) -> Sequence[str]:
        """See TokenStore.create."""
        with self._lock:
            if session.epoch < self._epochs.get(session.user_id, NO_EPOCHS).sessions_from:
                raise StaleLogin
            self._sessions[session.user_id][session.id] = session
            self._open[session.user_id].add(session.id)
            heappush(self._ends, (session.ends_at, session.user_id, session.id))
            return [] if most is None else self._make_room(session, most)

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        """See TokenStore.get."""
        with self._lock:
            session = self._find(user_id, session_id)
            if session is None:
                return None
            return StoredSession(session, self._epochs.get(user_id, NO_EPOCHS))

    async def compare_and_set(
        self, user_id: str, session_id: str, version: int, changes: SessionChanges
    ) -> bool:
        """See TokenStore.compare_and_set."""
        with self._lock:
            session = self._find(user_id, session_id)
            if session is None or session.version != version or session.revoked_at is not None:
                return False
            self._sessions[user_id][session_id] = session.changed(changes)
            return True

    async def revoke(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        """See TokenStore.revoke."""
        with self._lock:
            return self._revoke(user_id, session_id, reason, now)

    async def revoke_all(self, user_id: str, reason: str, now: datetime) -> int:
        """See TokenStore.revoke_all."""
        with self._lock:
            epoch = self._epochs.get(user_id, NO_EPOCHS).epoch + 1
            self._epochs[user_id] = Epochs(epoch, epoch)
            self._announce(user_id, epoch, now)
            dead = sorted(self._open.get(user_id, ()))
        # The epoch has ended them; what is left is to note when and why, a few at a time.
        for batch in _batches(dead):
            with self._lock:
                for session_id in batch:
                    self._mark(user_id, session_id, reason, now)
            await asyncio.sleep(0)
        return epoch

    async def revoke_others(
        self, user_id: str, keep: str | None, reason: str, now: datetime
    ) -> Sequence[str]:
        """See TokenStore.revoke_others."""
        with self._lock:
            others = sorted(self._open.get(user_id, set()) - {keep})
            return [each for each in others if self._revoke(user_id, each, reason, now)]

    async def void_access_tokens(self, user_id: str, now: datetime) -> int:
        """See TokenStore.void_access_tokens."""
        with self._lock:
            epochs = self._epochs.get(user_id, NO_EPOCHS)
            self._epochs[user_id] = Epochs(epochs.epoch + 1, epochs.sessions_from)
            self._announce(user_id, epochs.epoch + 1, now)
            return epochs.epoch + 1

    async def epochs(self, user_id: str) -> Epochs:
        """See TokenStore.epochs."""
        with self._lock:
            return self._epochs.get(user_id, NO_EPOCHS)

    async def list_by_user(
        self, user_id: str, now: datetime, *, limit: int = MAX_LISTED, after: str | None = None
    ) -> Sequence[Session]:
        """See TokenStore.list_by_user."""
        with self._lock:
            live = self._live(user_id, now)
            if after is not None:
                behind = self._find(user_id, after)
                if behind is None:
                    raise LookupError("no such session")
                live = [session for session in live if _age(session) < _age(behind)]
        return nlargest(limit, live, key=_age)

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        """See TokenStore.revoked_since."""
        with self._lock:
            first = self._count_before(now - keep - FEED_OVERLAP)
            start = first if cursor is None else max(int(cursor) - self._forgotten, 0)
            entries = self._feed[start : start + FEED_PAGE]
            end = start + len(entries)
            return Revocations(
                session_ids=[mark for _, _, mark in entries if isinstance(mark, str)],
                epochs=[(user_id, mark) for _, user_id, mark in entries if isinstance(mark, int)],
                cursor=str(self._forgotten + end),
                has_more=end < len(self._feed),
            )

    async def count_failure(self, user_id: str) -> int:
        """See FailureStore.count_failure."""
        with self._lock:
            self._failures[user_id] = self._failures.get(user_id, 0) + 1
            return self._failures[user_id]

    async def failures(self, user_id: str) -> int:
        """See FailureStore.failures."""
        with self._lock:
            return self._failures.get(user_id, 0)

    async def clear_failures(self, user_id: str, *, below: int | None = None) -> None:
        """See FailureStore.clear_failures."""
        with self._lock:
            if below is None or self._failures.get(user_id, 0) < below:
                self._failures.pop(user_id, None)

    async def purge(self, before: datetime, limit: int) -> int:
        """See TokenStore.purge."""
        deleted = 0
        with self._lock:
            while deleted < limit and self._ends and self._ends[0][0] < before:
                _, user_id, session_id = heappop(self._ends)
                session = self._find(user_id, session_id)
                if session is None:
                    continue
                if _end(session) < before:
                    self._delete(session)
                    deleted += 1
                else:  # it was refreshed
                    heappush(self._ends, (_end(session), user_id, session_id))
        return deleted

    def _find(self, user_id: str, session_id: str) -> Session | None:
        return self._sessions.get(user_id, {}).get(session_id)

    def _make_room(self, new: Session, most: int) -> Sequence[str]:
        if len(self._open[new.user_id]) <= most:
            return []
        live = self._live(new.user_id, new.created_at)
        older = nsmallest(len(live) - most, (s for s in live if s.id != new.id), key=_age)
        for session in older:
            self._revoke(session.user_id, session.id, TOO_MANY_SESSIONS, new.created_at)
        return [session.id for session in older]

    def _live(self, user_id: str, now: datetime) -> list[Session]:
        sessions = self._sessions.get(user_id, {})
        first = self._epochs.get(user_id, NO_EPOCHS).sessions_from
        ids = self._open.get(user_id, ())
        return [sessions[each] for each in ids if sessions[each].is_live(now, sessions_from=first)]

    def _revoke(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        if not self._mark(user_id, session_id, reason, now):
            return False
        self._announce(user_id, session_id, now)
        return True

    def _mark(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        session = self._find(user_id, session_id)
        if session is None or session.revoked_at is not None:
            return False
        self._sessions[user_id][session_id] = replace(
            session, revoked_at=now, revoke_reason=reason, version=session.version + 1
        )
        self._open[user_id].discard(session_id)
        heappush(self._ends, (now, user_id, session_id))
        return True

    def _delete(self, session: Session) -> None:
        user_id = session.user_id
        del self._sessions[user_id][session.id]
        self._open[user_id].discard(session.id)
        if not self._sessions[user_id]:
            del self._sessions[user_id], self._open[user_id]

    def _announce(self, user_id: str, mark: str | int, now: datetime) -> None:
        at = max(now, self._feed[-1][0]) if self._feed else now
        self._feed.append((at, user_id, mark))
        old = self._count_before(at - FEED_LIFE)
        if old > len(self._feed) // 2:
            del self._feed[:old]
            self._forgotten += old

    def _count_before(self, moment: datetime) -> int:
        return bisect_left(self._feed, moment, key=itemgetter(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUser(TrustedValue):
    """An account in memory."""

    id: str
    email: str
    display_name: str
    role: str = "user"
    is_active: bool = True
    password_hash: Hidden[str | None] = field(default=None, repr=False)


class MemoryUserStore:
    """Keeps accounts in a dict; a restart loses them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, MemoryUser] = {}
        self._ids: dict[str, str] = {}

    async def get_by_id(self, user_id: str) -> MemoryUser | None:
        """See UserStore.get_by_id."""
        return self._users.get(user_id)

    async def get_by_email(self, email: str) -> MemoryUser | None:
        """See UserStore.get_by_email."""
        return self._users.get(self._ids.get(email, ""))

    async def create(self, user: NewUser) -> MemoryUser:
        """See UserStore.create."""
        account = MemoryUser(
            id=str(uuid.uuid4()),
            email=user.email,
            display_name=user.display_name,
            role=user.role,
            password_hash=user.password_hash,
        )
        with self._lock:
            if user.email in self._ids:
                raise EmailTaken
            self._ids[user.email] = account.id
            self._users[account.id] = account
        return account

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        """See UserStore.set_password_hash."""
        with self._lock:
            user = self._users.get(user_id)
            if user is None or user.password_hash != expected:
                return False
            self._users[user_id] = replace(user, password_hash=new)
            return True

    async def sample_password_hashes(self, limit: int) -> Sequence[str | None]:
        """See PasswordHashSampler.sample_password_hashes."""
        with self._lock:
            return [user.password_hash for user in islice(self._users.values(), limit)]

    async def set_role(self, user_id: str, role: str) -> bool:
        """See UserStore.set_role."""
        with self._lock:
            user = self._users.get(user_id)
            if user is not None:
                self._users[user_id] = replace(user, role=role)
            return user is not None

    async def set_active(self, user_id: str, *, active: bool) -> bool:
        """See UserStore.set_active."""
        with self._lock:
            user = self._users.get(user_id)
            if user is not None:
                self._users[user_id] = replace(user, is_active=active)
            return user is not None


def _age(session: Session) -> tuple[datetime, str]:
    return session.created_at, session.id


def _end(session: Session) -> datetime:
    return min(session.ends_at, session.revoked_at or session.ends_at)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
