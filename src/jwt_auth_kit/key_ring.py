"""KeyRing: which key signs now, and which ones verify."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from .errors import ConfigurationError
from .keys import HOW_TO_MAKE_A_SECRET, Key

logger = logging.getLogger("jwt_auth_kit")

KeyState = Literal["draft", "next", "active", "retiring", "gone", "revoked"]

ALWAYS = datetime.min.replace(tzinfo=UTC)
RELOAD_INTERVAL = timedelta(seconds=5)
UNKNOWN_KEY_INTERVAL = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey:
    """A key with the moments that decide what it does; None is never."""

    key: Key
    published_at: datetime | None = None
    """From here on it verifies, and stands in the JWK Set."""
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
            return "retiring" if now < self.retired_at + keep else "gone"  # type: ignore[operator]
        if _is_past(self.activate_at, now):
            return "active"
        return "next" if _is_past(self.published_at, now) else "draft"


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
    def from_source(cls, source: KeySource, *, interval: timedelta = RELOAD_INTERVAL) -> "KeyRing":
        """Make a ring of what *source* holds, now and whenever it changes.

        Args:
            source: where the keys are.
            interval: how often to look for changes, at most.

        Raises:
            ConfigurationError: they cannot be read, or none of them may sign.
        """
        ring = cls.__new__(cls)
        ring._follow(source, interval)
        ring.signer(datetime.now(UTC))
        return ring

    @property
    def active(self) -> Key:
        """The key that signs now."""
        return self.signer(datetime.now(UTC))

    @property
    def keys(self) -> Sequence[RingKey]:
        """All keys, in the order in which they sign."""
        self._look_for_changes()
        return self._keys

    def signer(self, now: datetime) -> Key:
        """Return the key that signs at *now*.

        Raises:
            ConfigurationError: there is none.
        """
        self._look_for_changes()
        for item in reversed(self._keys):
            if item.key.can_sign and item.state(now, keep=timedelta(0)) == "active":
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
        if not isinstance(key_id, str):
            return None
        self._look_for_changes()
        if key_id not in self._by_id:
            self._look_for_changes(UNKNOWN_KEY_INTERVAL)
        item = self._by_id.get(key_id)
        if item is None or item.state(now, keep=keep) not in {"next", "active", "retiring"}:
            return None
        return item.key

    def public_jwks(self, now: datetime, *, keep: timedelta) -> list[dict[str, Any]]:
        """Return the public keys that verify at *now*, as JWKs; symmetric ones are left out."""
        return [
            item.key.public_jwk()
            for item in self.keys
            if not item.key.is_symmetric
            and item.state(now, keep=keep) in {"next", "active", "retiring"}
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
                None if item.retired_at is None else item.retired_at + keep,
            )
            if moment is not None and moment > now
        ]
        return min(moments, default=None)

    def _follow(self, source: KeySource, interval: timedelta) -> None:
        self._source = source
        self._stamp = source.stamp()
        self._use(source.load())
        self._interval = interval.total_seconds()
        self._looked_at = time.monotonic()
        self._looking = threading.Lock()

    def _use(self, items: Sequence[RingKey]) -> None:
        """Put *items* in the order in which they sign; each ends where the next one begins."""
        signing = sorted(
            (item for item in items if item.activate_at is not None),
            key=lambda item: (item.activate_at, item.key.id),
        )
        followers = [item.activate_at for item in signing[1:]]
        ended = [
            replace(item, retired_at=_earliest(item.retired_at, follower))
            for item, follower in zip(signing, [*followers, None], strict=True)
        ]
        self._keys = [*ended, *(item for item in items if item.activate_at is None)]
        self._by_id: Mapping[str, RingKey] = {item.key.id: item for item in self._keys}
        if len(self._by_id) < len(self._keys):
            raise ConfigurationError("Two keys of the ring have one id.")

    def _look_for_changes(self, interval: float | None = None) -> None:
        now = time.monotonic()
        if now - self._looked_at < (self._interval if interval is None else interval):
            return
        if not self._looking.acquire(blocking=False):
            return  # another thread does it
        try:
            self._looked_at = now
            stamp = self._source.stamp()
            if stamp != self._stamp:
                self._use(self._source.load())
                self._stamp = stamp
        except ConfigurationError as error:
            logger.error("The keys stay as they are: %s", error)  # noqa: TRY400
        finally:
            self._looking.release()

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(f'{item.key.algorithm} {item.key.id}' for item in self._keys)})"


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
