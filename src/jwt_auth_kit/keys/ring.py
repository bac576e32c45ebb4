"""KeyRing: which key signs now, and which ones verify."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, Literal, Protocol

from ..errors import ConfigurationError
from ..trusted_values import TrustedValue
from .key import HOW_TO_MAKE_A_SECRET, Key

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

KeyState = Literal["draft", "next", "active", "retiring", "gone", "revoked"]

ALWAYS = datetime.min.replace(tzinfo=UTC)
RELOAD_INTERVAL = timedelta(seconds=5)
UNKNOWN_KEY_INTERVAL = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey(TrustedValue):
    """A key with the moments that decide what it does; None is never."""

    key: Key
    published_at: datetime | None = None
    """From here on it verifies, and stands in the JWK Set; always, where only the moment is set
    at which it signs."""
    activate_at: datetime | None = None
    """From here on it signs, until a later key does."""
    retired_at: datetime | None = None
    """From here on it signs no more; set by hand, or where a later key is activated."""
    revoked_at: datetime | None = None
    """From here on nothing it signed is good."""

    def state(self, now: datetime, *, keep: timedelta) -> KeyState:
        """Tell what it does at *now*; tokens live as long as *keep*."""
        if _is_past(self.revoked_at, now):
            return "revoked"
        if _is_past(self.retired_at, now):
            return "retiring" if self.verifies(now, keep=keep) else "gone"
        if _is_past(self.activate_at, now):
            return "active"
        return "next" if self.verifies(now, keep=keep) else "draft"

    def verifies(self, now: datetime, *, keep: timedelta) -> bool:
        """Tell whether a token it signed may be good at *now*; tokens live as long as *keep*."""
        if not _is_past(self.published_at, now) and not self._is_known_unpublished(now):
            return False
        if self.revoked_at is not None and self.revoked_at <= now:
            return False
        return self.retired_at is None or now - keep < self.retired_at

    def _is_known_unpublished(self, now: datetime) -> bool:
        # What signs verifies, and before that too if nobody said from when on: the clock of
        # another process may be ahead.
        if self.published_at is None:
            return self.activate_at is not None
        return _is_past(self.activate_at, now)

    def signs(self, now: datetime) -> bool:
        """Tell whether it may sign at *now*."""
        return (
            self.key.can_sign
            and _is_past(self.activate_at, now)
            and not _is_past(self.retired_at, now)
            and not _is_past(self.revoked_at, now)
        )


class KeySource(Protocol):
    """Where the keys of a ring are kept: a directory, a vault ..."""

    def stamp(self) -> object:
        """Return something that changes when the keys do; it is asked for every few seconds."""
        ...

    def load(self) -> Sequence[RingKey]:
        """Return the keys.

        Raises:
            ConfigurationError: they cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Keys that never change."""

    keys: Sequence[RingKey]

    def stamp(self) -> object:
        return None

    def load(self) -> Sequence[RingKey]:
        return self.keys


class KeyRing:
    """The keys of an issuer: one signs; those before and after it verify.

    Args:
        active: signs.
        retiring: verify only, those to come and those that have been.
    """

    def __init__(self, active: Key, retiring: Iterable[Key] = ()) -> None:
        others = [RingKey(key=key, published_at=ALWAYS) for key in retiring]
        first = RingKey(key=active, published_at=ALWAYS, activate_at=ALWAYS)
        self._follow(_Fixed([first, *others]), timedelta.max)

    @classmethod
    def from_secret(cls, secret: str | None) -> "KeyRing":
        """Make a ring of one HS256 key; *secret* is base64, usually JWT_SECRET_KEY.

        Raises:
            ConfigurationError: it is missing or weak; the message says how to make one.
        """
        if not secret:
            raise ConfigurationError(f"JWT_SECRET_KEY is not set. {HOW_TO_MAKE_A_SECRET}")
        return cls(Key.from_secret(secret))

    @classmethod
    def random(cls) -> "KeyRing":
        """Make a ring of one new HS256 key, for tests: no other process and no restart knows it."""
        return cls(Key.generate("HS256"))

    @classmethod
    def from_source(
        cls,
        source: KeySource,
        *,
        interval: timedelta = RELOAD_INTERVAL,
        must_sign: bool = True,
    ) -> "KeyRing":
        """Make a ring of what *source* holds, now and whenever it changes.

        Args:
            source: where the keys are.
            interval: how often to look for changes, at most.
            must_sign: False for a service that only verifies, with public keys for example.

        Raises:
            ConfigurationError: they cannot be read, or none of them signs and one must.
        """
        ring = cls.__new__(cls)
        ring._follow(source, interval)
        if must_sign:
            ring.signer(datetime.now(UTC))  # the one error that would show at a login only
        return ring

    @property
    def active(self) -> Key:
        """The key that signs now."""
        return self.signer(datetime.now(UTC))

    @property
    def keys(self) -> Sequence[RingKey]:
        """All keys, each with the moment at which a later one takes over."""
        if time.monotonic() >= self._due:
            self._look_for_changes()
        return list(self._by_id.values())

    def signer(self, now: datetime) -> Key:
        """Return the key that signs at *now*.

        Raises:
            ConfigurationError: there is none.
        """
        if time.monotonic() >= self._due:
            self._look_for_changes()
        for item in self._signing:
            if item.signs(now):
                return item.key
        raise ConfigurationError(
            "No key of the ring signs. Activate one: python -m jwt_auth_kit keys activate KID"
        )

    def find(self, key_id: Any, now: datetime, *, keep: timedelta) -> Key | None:
        """Return the key that a token names, if it verifies at *now*.

        A name that is not known makes the ring look for new keys, at most once a second.

        Args:
            key_id: the ``kid`` of a token; whatever the token holds there is safe to pass.
            now: the moment.
            keep: how long tokens live; a key verifies that much longer than it signs.
        """
        item = self._find(key_id)
        return item.key if item is not None and item.verifies(now, keep=keep) else None

    def find_unrevoked(self, key_id: Any, now: datetime) -> Key | None:
        """Return the key that a token names unless it is revoked at *now*; see ``find``.

        Another server's clock may have let it sign earlier or later than ours says.
        """
        item = self._find(key_id)
        return None if item is None or _is_past(item.revoked_at, now) else item.key

    def public_jwks(self, now: datetime, *, keep: timedelta) -> list[dict[str, Any]]:
        """Return the public keys that verify at *now*, as JWKs; symmetric ones are left out."""
        return [
            item.key.public_jwk()
            for item in self.keys
            if not item.key.is_symmetric and item.verifies(now, keep=keep)
        ]

    def next_change(self, now: datetime, *, keep: timedelta) -> datetime | None:
        """Return when a key changes its state next by itself; None for never."""
        moments = [
            moment
            for item in self.keys
            for moment in (
                item.published_at,
                item.activate_at,
                item.revoked_at,
                _later(item.retired_at, keep),
            )
            if moment is not None and moment > now
        ]
        return min(moments, default=None)

    def _find(self, key_id: Any) -> RingKey | None:
        if not isinstance(key_id, str):
            return None
        if time.monotonic() >= self._due:
            self._look_for_changes()
        item = self._by_id.get(key_id)
        if item is None:
            self._look_for_changes(UNKNOWN_KEY_INTERVAL, wait=True)
            item = self._by_id.get(key_id)
        return item

    def _follow(self, source: KeySource, interval: timedelta) -> None:
        self._source = source
        self._interval = interval.total_seconds()
        self._looking = threading.Lock()
        self._problem = ""
        self._looked_at = time.monotonic()
        self._due = self._looked_at + self._interval
        self._stamp = source.stamp()
        self._use(source.load())

    def _use(self, items: Sequence[RingKey]) -> None:
        ordered = in_order(items)
        by_id = {item.key.id: item for item in ordered}
        if len(by_id) < len(ordered):
            raise ConfigurationError("Two keys of the ring have one id (kid).")
        # Whoever reads meanwhile sees all of the old keys or all of the new ones, at each name.
        self._by_id: Mapping[str, RingKey] = by_id
        self._signing = [item for item in reversed(ordered) if _will_sign(item)]

    def _look_for_changes(self, interval: float | None = None, *, wait: bool = False) -> None:
        interval = self._interval if interval is None else interval
        if not self._looking.acquire(blocking=wait):
            return  # another thread does it
        try:
            now = time.monotonic()
            if now - self._looked_at >= interval:
                self._looked_at, self._due = now, now + self._interval
                self._reload()
        finally:
            self._looking.release()

    def _reload(self) -> None:
        try:
            stamp = self._source.stamp()
            if stamp != self._stamp:
                self._use(self._source.load())
                self._stamp = stamp
            problem = ""
        except ConfigurationError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001
            # A source of the application's own; what it says may hold what it read.
            problem = f"the source raised {type(error).__name__}"
        if problem and problem != self._problem:
            logger.error("The keys could not be read again and stay as they are: %s", problem)
        self._problem = problem

    def __repr__(self) -> str:
        keys = (f"{item.key.algorithm} {item.key.id}" for item in self._by_id.values())
        return f"KeyRing({', '.join(keys)})"


def in_order(items: Iterable[RingKey]) -> Sequence[RingKey]:
    """Return *items* in the order in which they sign; each ends where the next one begins."""
    will_sign: dict[bool, list[RingKey]] = {True: [], False: []}
    for item in items:
        will_sign[_will_sign(item)].append(item)
    signing = sorted(will_sign[True], key=lambda item: (item.activate_at, item.key.id))
    ends = [follower.activate_at for follower in signing[1:]]
    ended = [
        replace(item, retired_at=_earliest(item.retired_at, end))
        for item, end in zip_longest(signing, ends)
    ]
    return [*ended, *will_sign[False]]


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _will_sign(item: RingKey) -> bool:
    """Tell whether it signs at some time; one that was stopped before must not end another."""
    begins = item.activate_at
    return begins is not None and item.signs(begins)


def _later(moment: datetime | None, span: timedelta) -> datetime | None:
    try:
        return None if moment is None else moment + span
    except OverflowError:
        return None  # it was to last for ever


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
