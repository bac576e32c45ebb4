"""Password hashes: argon2id, made and checked off the event loop, and old hashes replaced."""

import os
import re
import secrets
import unicodedata
from typing import Literal, Protocol, Self, runtime_checkable

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from ..errors import ConfigurationError
from ..networks import IPV6_WIDE_PREFIX, get_network
from .pool import PasswordPool, Priority

MIN_MEMORY_COST = 19_456  # KiB: the minimum of OWASP's and ASVS's argon2id profiles with t=2
MIN_TIME_COST = 2
OWASP_PROFILES = ((47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5))
"""Memory in KiB and passes that OWASP's password storage cheat sheet calls equally strong."""
MAX_MEMORY_COST = 2**20  # KiB
MAX_TIME_COST = 20
MAX_ARGON2_WORK = 2**21  # KiB times passes: 2 GiB once, or 1 GiB twice, in about 4 seconds
MAX_PARALLELISM = 64
DEFAULT_THREADS = min(4, os.cpu_count() or 1)
MAX_QUEUE = 100

UnusableReason = Literal["no_password", "unreadable_hash"]

_ARGON2 = re.compile(
    r"(?:argon2)?(?P<native>\$argon2(?:id|i|d)(?:\$v=\d{1,3})?\$m=\d{1,10},t=\d{1,10},p=\d{1,8}"
    r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{6,})",  # RFC 9106 section 3.1: a tag has 4 bytes or more
    re.ASCII,
)
"""What argon2 writes, also with the name that Django puts before it."""


LOCKED = frozenset({"*", "*LK*", "*NP*"})
"""What stands in /etc/shadow in the place of a hash."""


class PasswordHasher(Protocol):
    """Makes and checks password hashes. Runs in a worker thread, so it must be thread-safe."""

    def hash(self, password: str) -> str:
        """Return a new hash of *password*, salt and parameters included."""
        ...

    def verify(self, password: str, password_hash: str) -> bool:
        """Tell whether *password* made *password_hash*; False for a hash of an unknown kind."""
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether *password_hash* is of an old kind or has old parameters."""
        ...


@runtime_checkable
class HashReader(Protocol):
    """What a PasswordHasher has besides if it can tell which hashes it knows."""

    def can_read(self, password_hash: str) -> bool:
        """Tell whether ``verify`` can check passwords against *password_hash*."""
        ...


class Argon2Hasher:
    """argon2id (RFC 9106) at OWASP's minimum: about 20 ms and 19 MiB a hash.

    Hashes that are stronger than new ones, from another library for example, are kept.

    Args:
        memory_cost: KiB.
        time_cost: passes over the memory.
        parallelism: lanes.

    Raises:
        ConfigurationError: weaker than OWASP's minimum.
    """

    def __init__(
        self,
        *,
        memory_cost: int = MIN_MEMORY_COST,
        time_cost: int = MIN_TIME_COST,
        parallelism: int = 1,
    ) -> None:
        if memory_cost < MIN_MEMORY_COST or time_cost < MIN_TIME_COST:
            raise ConfigurationError(
                f"argon2id needs memory_cost >= {MIN_MEMORY_COST} (KiB) and time_cost >= "
                f"{MIN_TIME_COST}, not {memory_cost} and {time_cost}."
            )
        self._argon2 = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism
        )

    @classmethod
    def weak_for_tests(cls) -> Self:
        """Make a hasher that costs microseconds, for the test suites of applications only."""
        hasher = cls()
        hasher._argon2 = argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST)
        return hasher

    @property
    def is_weak(self) -> bool:
        """Whether it was made for tests."""
        return self._argon2.memory_cost < MIN_MEMORY_COST

    def hash(self, password: str) -> str:
        """Hash *password* with a new random salt."""
        return self._argon2.hash(password)

    def can_read(self, password_hash: str) -> bool:
        """Tell whether *password_hash* is argon2, whole, and not too much work."""
        return self._read(password_hash) is not None

    def verify(self, password: str, password_hash: str) -> bool:
        """Check *password* in constant time; False for a hash that asks for too much work."""
        if self._read(password_hash) is None:
            return False
        try:
            return self._argon2.verify(_native(password_hash), password)
        except (Argon2Error, InvalidHashError, ValueError, OverflowError, MemoryError):
            return False

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether *password_hash* is weaker than new hashes in something, stronger in nothing.

        One that trades memory for passes is replaced if all profiles of OWASP are stronger.
        """
        stored = self._read(password_hash)
        return stored is None or self._is_outdated(stored)

    def _is_outdated(self, stored: argon2.Parameters) -> bool:
        if stored.type is not argon2.Type.ID or stored.version != argon2.low_level.ARGON2_VERSION:
            return True
        memory, passes = stored.memory_cost, stored.time_cost
        # Lanes are no strength: they share the memory, and an attacker fills all of them at once.
        if memory > self._argon2.memory_cost or passes > self._argon2.time_cost:
            is_traded = memory < self._argon2.memory_cost or passes < self._argon2.time_cost
            return is_traded and not any(memory >= m and passes >= t for m, t in OWASP_PROFILES)
        return (
            memory < self._argon2.memory_cost
            or passes < self._argon2.time_cost
            or stored.salt_len < self._argon2.salt_len
            or stored.hash_len < self._argon2.hash_len
        )

    def _read(self, password_hash: str) -> argon2.Parameters | None:
        """Return the parameters of *password_hash*; None where it is not one we check.

        Whoever can write to the user table must not be able to fill the memory or to hold the
        threads for minutes with one row.
        """
        if _ARGON2.fullmatch(password_hash) is None:
            return None
        stored = argon2.extract_parameters(_native(password_hash))
        is_possible = (
            stored.parallelism >= 1
            and stored.time_cost >= 1
            and stored.memory_cost >= 8 * stored.parallelism  # RFC 9106 section 3.1
        )
        own_work = self._argon2.memory_cost * self._argon2.time_cost
        is_affordable = (
            stored.memory_cost * stored.time_cost <= max(MAX_ARGON2_WORK, own_work)
            and stored.memory_cost <= max(MAX_MEMORY_COST, self._argon2.memory_cost)
            and stored.time_cost <= max(MAX_TIME_COST, self._argon2.time_cost)
            and stored.parallelism <= max(MAX_PARALLELISM, self._argon2.parallelism)
        )
        return stored if is_possible and is_affordable else None


def _native(password_hash: str) -> str:
    """Take away the name that Django puts before what argon2 wrote."""
    return password_hash.removeprefix("argon2")


class Passwords:
    """Runs a hasher in a small pool of threads, so that a login never holds up other requests.

    Args:
        hasher: what makes and checks hashes.
        threads: passwords worked on at once; each takes the hasher's memory.
        queue: passwords that may wait. When it is full, whoever holds most of it is answered 503:
            sign-ups before logins, and the network with most passwords before the others.
    """

    def __init__(
        self, hasher: PasswordHasher, *, threads: int = DEFAULT_THREADS, queue: int = MAX_QUEUE
    ) -> None:
        self.hasher = hasher
        self._pool = PasswordPool(threads=threads, queue=queue)
        # Checked where there is no hash, with the parameters of new hashes, so that the time of
        # an answer does not tell whether an account exists.
        self._decoy = hasher.hash(secrets.token_urlsafe(32))

    async def hash(
        self, password: str, *, ip: str | None = None, priority: Priority = "login"
    ) -> str:
        """Hash *password*.

        Args:
            password: the password.
            ip: the address of the caller; networks take turns.
            priority: ``sign_up`` for a new account; logins go before it.

        Raises:
            Busy: the queue is full.
            ValueError: it holds half a surrogate pair, which no text does.
        """
        text = normalize_password(password)
        try:
            text.encode()
        except UnicodeEncodeError:  # it would show the password to whoever shows the error
            raise ValueError("a password is text, which can be written as UTF-8") from None
        network = get_network(ip, IPV6_WIDE_PREFIX)
        return await self._pool.run(self.hasher.hash, text, network=network, priority=priority)

    async def verify(
        self, password: str, password_hash: str | None, *, ip: str | None = None
    ) -> bool:
        """Check *password*; without a hash that can be read, take the same time and return False.

        Args:
            password: the password.
            password_hash: what the account has stored.
            ip: the address of the caller; networks take turns.

        Raises:
            Busy: the queue is full.
        """
        return await self._pool.run(
            check_password,
            self.hasher,
            password,
            password_hash,
            self._decoy,
            network=get_network(ip, IPV6_WIDE_PREFIX),
            priority="login",
        )

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether a login should replace *password_hash*."""
        return self.hasher.needs_rehash(password_hash)


def normalize_password(password: str) -> str:
    """Return *password* in NFC (NIST SP 800-63B section 3.1.1.2).

    The same key presses give different code points on different systems.
    """
    return unicodedata.normalize("NFC", password)


def check_password(
    hasher: PasswordHasher, password: str, password_hash: str | None, decoy: str
) -> bool:
    """Check *password*; where there is no hash to check it against, do the same work on *decoy*.

    Other programs hashed passwords as they were typed, so a spelling that is not NFC is tried
    too. The decoy and new hashes get the same two tries: the work depends on the password alone.
    """
    is_usable = password_hash is not None and why_unusable(hasher, password_hash) is None
    checked = password_hash if password_hash is not None and is_usable else decoy
    spellings = dict.fromkeys((normalize_password(password), password))
    matches = any(hasher.verify(spelling, checked) for spelling in spellings)
    return matches and is_usable


def why_unusable(hasher: PasswordHasher, password_hash: str | None) -> UnusableReason | None:
    """Return why no password can match *password_hash*; None where one can, as far as is known."""
    # Django writes ! and random characters where there is no password.
    if not password_hash or password_hash.startswith("!") or password_hash in LOCKED:
        return "no_password"
    if isinstance(hasher, HashReader) and not hasher.can_read(password_hash):
        return "unreadable_hash"
    return None
