"""A home-made TokenStore: sessions in a SQLite file, with the standard library alone."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection, Error, connect
from typing import Any, TypeVar

from jwt_auth_kit import Session, StoreUnavailable
from jwt_auth_kit.sessions import SessionChanges
from jwt_auth_kit.stores.base import (
    FEED_PAGE,
    Epochs,
    Revocations,
    StaleLogin,
    StoredSession,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, user_id TEXT, ended_at TEXT, data TEXT);
CREATE INDEX IF NOT EXISTS sessions_of_a_user ON sessions (user_id);
CREATE INDEX IF NOT EXISTS ended_sessions ON sessions (ended_at);
CREATE TABLE IF NOT EXISTS epochs (user_id TEXT PRIMARY KEY, epoch INTEGER, sessions_from INTEGER);
CREATE TABLE IF NOT EXISTS failures (user_id TEXT PRIMARY KEY, failures INTEGER);
CREATE TABLE IF NOT EXISTS feed
  (number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, session_id TEXT, user_id TEXT, epoch INTEGER);
"""
T = TypeVar("T")


def step(method: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Run a method in a thread, in a transaction that no other one can come into."""

    def run(store: "SQLiteStore", *args: Any, **options: Any) -> T:
        try:
            with closing(connect(store.path, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                result = method(store, db, *args, **options)
                db.execute("COMMIT")  # closing without it rolls back
                return result
        except Error:
            raise StoreUnavailable from None

    return lambda *args, **options: asyncio.to_thread(run, *args, **options)


class SQLiteStore:
    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(connect(path)) as db:
            db.executescript(SCHEMA)

    @step
    def create(self, db: Connection, session: Session, *, most: int | None = None) -> Sequence[str]:
        user_id, now = session.user_id, session.created_at
        first = read_epochs(db, user_id).sessions_from
        if session.epoch < first:
            raise StaleLogin
        write(db, session)
        if most is None:
            return []
        others = [s for s in read(db, user_id).values() if s.is_live(now, sessions_from=first)]
        others = sorted((s for s in others if s.id != session.id), key=age, reverse=True)
        return end_some(db, others[most - 1 :], "too_many_sessions", now)

    @step
    def get(self, db: Connection, user_id: str, session_id: str) -> StoredSession | None:
        session = read(db, user_id).get(session_id)
        return None if session is None else StoredSession(session, read_epochs(db, user_id))

    @step
    def compare_and_set(
        self, db: Connection, user_id: str, session_id: str, version: int, changes: SessionChanges
    ) -> bool:
        session = read(db, user_id).get(session_id)
        if session is None or session.version != version or session.revoked_at is not None:
            return False
        write(db, session.changed(changes))
        return True

    @step
    def revoke(
        self, db: Connection, user_id: str, session_id: str, reason: str, now: datetime
    ) -> bool:
        session = read(db, user_id).get(session_id)
        return session is not None and bool(end_some(db, [session], reason, now))

    @step
    def revoke_all(self, db: Connection, user_id: str, reason: str, now: datetime) -> int:
        epoch = raise_epoch(db, user_id, now)
        db.execute("UPDATE epochs SET sessions_from = epoch WHERE user_id = ?", (user_id,))
        for session in read(db, user_id).values():
            end(db, session, reason, now)
        return epoch

    @step
    def revoke_others(
        self, db: Connection, user_id: str, keep: str | None, reason: str, now: datetime
    ) -> Sequence[str]:
        others = [session for session in read(db, user_id).values() if session.id != keep]
        return end_some(db, others, reason, now)

    @step
    def void_access_tokens(self, db: Connection, user_id: str, now: datetime) -> int:
        return raise_epoch(db, user_id, now)

    @step
    def epochs(self, db: Connection, user_id: str) -> Epochs:
        return read_epochs(db, user_id)

    @step
    def list_by_user(
        self,
        db: Connection,
        user_id: str,
        now: datetime,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> Sequence[Session]:
        first, known = read_epochs(db, user_id).sessions_from, read(db, user_id)
        live = [s for s in known.values() if s.is_live(now, sessions_from=first)]
        if after is not None:  # a KeyError is the LookupError that the protocol asks for
            live = [session for session in live if age(session) < age(known[after])]
        return sorted(live, key=age, reverse=True)[:limit]

    @step
    def revoked_since(
        self, db: Connection, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        # There is one writer at a time, so no number turns up after a higher one. The first
        # read begins earlier than asked for, because clocks differ.
        number, since = int(cursor or 0), "" if cursor else to_text(now - 2 * keep)
        query = (
            "SELECT number, session_id, user_id, epoch FROM feed"
            " WHERE number > ? AND at >= ? ORDER BY number LIMIT ?"
        )
        news = db.execute(query, (number, since, FEED_PAGE)).fetchall()
        return Revocations(
            session_ids=[session_id for _, session_id, _, _ in news if session_id is not None],
            epochs=[(user_id, epoch) for _, _, user_id, epoch in news if user_id is not None],
            cursor=str(max([number, *(row[0] for row in news)])),
            has_more=len(news) == FEED_PAGE,
        )

    @step
    def purge(self, db: Connection, before: datetime, limit: int) -> int:
        db.execute("DELETE FROM feed WHERE at < ?", (to_text(before),))
        ended = "SELECT id FROM sessions WHERE ended_at < ? LIMIT ?"
        ids = db.execute(ended, (to_text(before), limit)).fetchall()
        db.executemany("DELETE FROM sessions WHERE id = ?", ids)
        return len(ids)

    @step
    def count_failure(self, db: Connection, user_id: str) -> int:
        number = read_failures(db, user_id) + 1
        db.execute("REPLACE INTO failures VALUES (?, ?)", (user_id, number))
        return number

    @step
    def failures(self, db: Connection, user_id: str) -> int:
        return read_failures(db, user_id)

    @step
    def clear_failures(self, db: Connection, user_id: str, *, below: int | None = None) -> None:
        if below is None or read_failures(db, user_id) < below:
            db.execute("DELETE FROM failures WHERE user_id = ?", (user_id,))


def read(db: Connection, user_id: str) -> dict[str, Session]:
    rows = db.execute("SELECT id, data FROM sessions WHERE user_id = ?", (user_id,))
    return {session_id: decode(data) for session_id, data in rows.fetchall()}


def write(db: Connection, session: Session) -> None:
    ended_at = min(session.ends_at, session.revoked_at or session.ends_at)
    data = json.dumps(asdict(session), default=to_text)
    row = (session.id, session.user_id, to_text(ended_at), data)
    db.execute("REPLACE INTO sessions VALUES (?, ?, ?, ?)", row)


def age(session: Session) -> tuple[datetime, str]:
    return session.created_at, session.id


def end(db: Connection, session: Session, reason: str, now: datetime) -> bool:
    if session.revoked_at is None:
        write(db, replace(session.changed({}), revoked_at=now, revoke_reason=reason))
    return session.revoked_at is None


def end_some(db: Connection, some: Sequence[Session], reason: str, now: datetime) -> Sequence[str]:
    ended = [session.id for session in some if end(db, session, reason, now)]
    news = [(to_text(now), session_id) for session_id in ended]
    db.executemany("INSERT INTO feed (at, session_id) VALUES (?, ?)", news)
    return ended


def read_epochs(db: Connection, user_id: str) -> Epochs:
    row = db.execute("SELECT epoch, sessions_from FROM epochs WHERE user_id = ?", (user_id,))
    return Epochs(*row.fetchone() or (0, 0))


def read_failures(db: Connection, user_id: str) -> int:
    row = db.execute("SELECT failures FROM failures WHERE user_id = ?", (user_id,)).fetchone()
    return row[0] if row else 0


def raise_epoch(db: Connection, user_id: str, now: datetime) -> int:
    epoch, sessions_from = read_epochs(db, user_id)
    db.execute("REPLACE INTO epochs VALUES (?, ?, ?)", (user_id, epoch + 1, sessions_from))
    news = (to_text(now), user_id, epoch + 1)
    db.execute("INSERT INTO feed (at, user_id, epoch) VALUES (?, ?, ?)", news)
    return epoch + 1


def decode(data: str) -> Session:
    values = json.loads(data)
    for name, text in values.items():
        if text is not None and name.endswith(("_at", "_from", "_time")):
            values[name] = datetime.fromisoformat(text)
    return Session(**{**values, "salt": bytes.fromhex(values["salt"])})


def to_text(value: datetime | bytes) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.astimezone(UTC).isoformat(timespec="microseconds")  # sorts as time does
