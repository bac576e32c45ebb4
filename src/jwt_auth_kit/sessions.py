"""One session per login, and the rule that decides what a refresh token may still do.

A session counts generations. Each rotation makes the next one, and the refresh token of a
generation is a pure function of the session and the generation, so it can be given again when
an answer was lost. ``docs/security.md`` explains the rule and what it does not cover.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self, TypedDict

from .trusted_values import Hidden, TrustedValue

TOMBSTONE = timedelta(days=1)
"""How long an ended session is kept, so that its tokens are told why they fail."""

REWRITE_AFTER = timedelta(seconds=1)
"""A repeated answer moves the window at most this often, to spare the store."""

MOST_AHEAD = timedelta(seconds=60)
"""Clocks of servers differ by less; a window that begins later is one of a clock set right."""


class SessionChanges(TypedDict, total=False):
    """The fields of a session that may change; identity and absolute end never do."""

    gen: int
    parent: int
    confirmed: bool
    known_gen: int
    window_from: datetime
    idle_expires_at: datetime
    last_seen_at: datetime
    auth_time: datetime
    """Moves when the user proves again to be one, within the session; a refresh leaves it."""

    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(TrustedValue):
    """One login on one device. Moments are aware UTC datetimes."""

    id: str
    user_id: str
    epoch: int
    """The user's epoch at the login; a session that began below ``sessions_from`` is dead."""

    salt: Hidden[bytes] = field(repr=False)
    """Never leaves the store; without it a leaked signing key makes no refresh token."""

    created_at: datetime
    auth_time: datetime
    expires_at: datetime
    """The absolute end; it never moves."""

    idle_expires_at: datetime
    window_from: datetime
    """Start of the window in which the current and the parent generation get the same answer."""

    last_seen_at: datetime
    gen: int = 1
    """The newest generation."""

    parent: int = 0
    """The generation whose use made ``gen``, so the one the client is known to hold."""

    confirmed: bool = False
    """Somebody was seen to hold ``gen``."""

    known_gen: int = 0
    """The newest generation the store had when it adopted ``gen``; 0 if it never adopted one.

    What lies between the two was handed out, and the writes that told how were lost.
    """

    ip: str | None = None
    """Where the newest refresh token was given: at the login, or at the last rotation."""

    user_agent: str | None = None
    revoked_at: datetime | None = None
    revoke_reason: str | None = None
    version: int = 1

    @classmethod
    def start(
        cls,
        user_id: str,
        now: datetime,
        *,
        epoch: int,
        idle_ttl: timedelta,
        absolute_ttl: timedelta,
        ip: str | None = None,
        user_agent: str | None = None,
    ) -> Self:
        """Begin a session at *now*, with a fresh id and salt of 128 bits each."""
        return cls(
            id=secrets.token_urlsafe(16),
            user_id=user_id,
            epoch=epoch,
            salt=secrets.token_bytes(16),
            created_at=now,
            auth_time=now,
            expires_at=now + absolute_ttl,
            idle_expires_at=min(now + idle_ttl, now + absolute_ttl),
            window_from=now,
            last_seen_at=now,
            ip=ip,
            user_agent=user_agent,
        )

    def refresh_id(self, gen: int) -> str:
        """Make the ``jti`` of the refresh token of generation *gen*.

        It needs the salt, so a thief of the signing key alone cannot make one, and the token
        is signed, so a thief of the database alone cannot either.
        """
        tag = hmac.digest(self.salt, f"{self.id}.{gen}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(tag[:18]).decode()

    @property
    def ends_at(self) -> datetime:
        """The idle or the absolute end, whichever comes first."""
        return min(self.idle_expires_at, self.expires_at)

    def is_live(self, now: datetime, *, sessions_from: int) -> bool:
        """Tell whether the session may still be used at *now*."""
        return self.revoked_at is None and now < self.ends_at and self.epoch >= sessions_from

    def is_from_the_future(self, now: datetime) -> bool:
        """Tell whether the window was begun by a clock that was wrong."""
        return self.window_from - now > MOST_AHEAD

    def is_lost(self, gen: int) -> bool:
        """Tell whether the store lost what became of generation *gen*, before it adopted ours."""
        return max(self.parent, 1) <= self.known_gen <= gen < self.gen

    def is_orphan(self, gen: int) -> bool:
        """Tell whether a RENEW replaced generation *gen*, as far as the store knows."""
        return self.parent < gen < self.gen and not self.is_lost(gen)

    def changed(self, changes: SessionChanges) -> Self:
        """Return the session as the store holds it once *changes* are written."""
        return replace(self, **changes, version=self.version + 1)


class Outcome(StrEnum):
    """What becomes of a refresh (or, for CONFIRM, of an access token that is first seen)."""

    KEEP = "keep"
    """New access token, same refresh token."""

    ROTATE = "rotate"
    """The next generation."""

    REPLAY = "replay"
    """The same successor again: another tab, or an answer that was lost."""

    RENEW = "renew"
    """The client never used what it was given, and late: a new successor, the old one orphaned."""

    ADOPT = "adopt"
    """The token is newer than the row: the store lost a write, so take the token's word."""

    CONFIRM = "confirm"
    """The client is seen to hold the newest generation."""

    REUSE = "reuse"
    """A spent token came back: end the session."""

    DEAD = "dead"
    """The session is over."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome, and what has to be written for it."""

    outcome: Outcome
    changes: SessionChanges | None = None


def decide(  # noqa: PLR0911  one return for each row of the table
    session: Session,
    presented_gen: int,
    now: datetime,
    *,
    sessions_from: int,
    window: timedelta,
    idle_ttl: timedelta,
) -> Decision:
    """Decide what a refresh token of generation *presented_gen* gets.

    The caller has checked the token and the user. Losing a compare-and-set race means to read
    the session again and to decide again.
    """
    if not session.is_live(now, sessions_from=sessions_from):
        return Decision(Outcome.DEAD)
    in_window = now <= session.window_from + window
    if presented_gen == session.gen:
        return _keep(session, now) if in_window else _advance(session, now, idle_ttl)
    if presented_gen > session.gen:
        return _adopt(session, presented_gen, now, idle_ttl)
    if presented_gen != session.parent and not session.is_lost(presented_gen):
        # Spent long ago; or an orphan: it was handed out, its receiver kept silent, and a RENEW
        # replaced it. Two parties hold branches of one session, so one of them is a thief.
        return Decision(Outcome.REUSE)
    if in_window:
        return _replay(session, now)
    if not session.confirmed:
        return _renew(session, now, idle_ttl)
    return Decision(Outcome.REUSE)


def confirm(session: Session, seen_gen: int, now: datetime, *, sessions_from: int) -> Decision:
    """Decide what the first sight of an access token of generation *seen_gen* means."""
    if not session.is_live(now, sessions_from=sessions_from):
        return Decision(Outcome.DEAD)
    if session.is_orphan(seen_gen):
        # Whoever uses an orphan generation is not the one who asked again for a successor.
        return Decision(Outcome.REUSE)
    if seen_gen == session.gen and not session.confirmed:
        changes = SessionChanges(confirmed=True, window_from=now, last_seen_at=now)
        return Decision(Outcome.CONFIRM, changes)
    return Decision(Outcome.KEEP)


def _keep(session: Session, now: datetime) -> Decision:
    if session.confirmed and not session.is_from_the_future(now):
        return Decision(Outcome.KEEP)
    return Decision(Outcome.KEEP, SessionChanges(confirmed=True, window_from=now, last_seen_at=now))


def _advance(session: Session, now: datetime, idle_ttl: timedelta) -> Decision:
    changes = _successor(session, now, idle_ttl)
    return Decision(Outcome.ROTATE, {**changes, "parent": session.gen})


def _renew(session: Session, now: datetime, idle_ttl: timedelta) -> Decision:
    # The parent stays: it is what the client holds. Handing out the old successor again without
    # end would let a thief and the victim take turns for ever; a new one makes the silent
    # holder of the old one show up as an orphan.
    return Decision(Outcome.RENEW, _successor(session, now, idle_ttl))


def _successor(session: Session, now: datetime, idle_ttl: timedelta) -> SessionChanges:
    return SessionChanges(
        gen=session.gen + 1,
        confirmed=False,
        window_from=now,
        idle_expires_at=min(now + idle_ttl, session.expires_at),
        last_seen_at=now,
    )


def _replay(session: Session, now: datetime) -> Decision:
    # A window that never ends would let a thief repeat a spent token until the clock catches up.
    if session.is_from_the_future(now):
        return Decision(Outcome.REPLAY, SessionChanges(window_from=now))
    if session.confirmed or now - session.window_from < REWRITE_AFTER:
        return Decision(Outcome.REPLAY)
    return Decision(Outcome.REPLAY, SessionChanges(window_from=now))


def _adopt(session: Session, presented_gen: int, now: datetime, idle_ttl: timedelta) -> Decision:
    changes = _successor(session, now, idle_ttl)
    adopted = SessionChanges(
        gen=presented_gen,
        # A RENEW may be what was lost. Then another tab still holds the parent of before.
        parent=session.gen if session.confirmed else session.parent,
        confirmed=True,
        known_gen=session.gen,
    )
    return Decision(Outcome.ADOPT, {**changes, **adopted})
