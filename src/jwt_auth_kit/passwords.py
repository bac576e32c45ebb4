"""Password hashes: argon2id, made and checked off the event loop, and old hashes replaced."""

import os
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from typing import Protocol, Self, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from .errors import Busy, ConfigurationError

T = TypeVar("T")

MIN_MEMORY_COST = 19_456  # KiB: the minimum of OWASP's and ASVS's argon2id profiles with t=2
MIN_TIME_COST = 2
OWASP_PROFILES = ((47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5))
"""Memory in KiB and passes that OWASP's password storage cheat sheet calls equally strong."""
MAX_MEMORY_COST = 2**20  # KiB
MAX_TIME_COST = 20
MAX_PARALLELISM = 64
DEFAULT_THREADS = min(4, os.cpu_count() or 1)
MAX_QUEUE = 100
OLD_SCHEMES = ("bcrypt", "pbkdf2_sha256", "sha512_crypt", "django_pbkdf2_sha256")
"""passlib's names for what old user tables hold most often."""


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

    def verify(self, password: str, password_hash: str) -> bool:
        """Check *password* in constant time; False for a hash that asks for too much work."""
        if self._read(password_hash) is None:
            return False
        try:
            return self._argon2.verify(password_hash, password)
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
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
        try:
            stored = argon2.extract_parameters(password_hash)
        except InvalidHashError:
            return None
        is_affordable = (
            stored.memory_cost <= max(MAX_MEMORY_COST, self._argon2.memory_cost)
            and stored.time_cost <= max(MAX_TIME_COST, self._argon2.time_cost)
            and stored.parallelism <= max(MAX_PARALLELISM, self._argon2.parallelism)
        )
        return stored if is_affordable else None


class PasslibHasher:
    """Checks old hashes through passlib; new ones, and all after the next login, are argon2id.

    Needs the ``passlib`` extra (or a passlib of your own).

    Args:
        schemes: names of passlib's handlers the user table holds.
        primary: makes the new hashes.

    Raises:
        ConfigurationError: passlib is missing or does not know a scheme.
    """

    def __init__(
        self,
        schemes: Sequence[str] = OLD_SCHEMES,
        *,
        primary: PasswordHasher | None = None,
    ) -> None:
        try:
            from passlib.context import CryptContext  # noqa: PLC0415  an optional extra
        except ImportError:
            raise ConfigurationError(
                "PasslibHasher needs passlib: pip install 'jwt-auth-kit[passlib]'"
            ) from None
        try:
            self._old = CryptContext(schemes=list(schemes))
        except KeyError as error:
            raise ConfigurationError(f"passlib does not know a scheme: {error}") from None
        self._primary = primary or Argon2Hasher()

    def hash(self, password: str) -> str:
        """Hash *password* with the primary hasher."""
        return self._primary.hash(password)

    def verify(self, password: str, password_hash: str) -> bool:
        """Check *password* with whatever made *password_hash*."""
        if self._is_old(password_hash):
            try:
                return bool(self._old.verify(password, password_hash))
            except ValueError:  # bcrypt refuses more than 72 bytes, others a NUL
                return False
        return self._primary.verify(password, password_hash)

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether a login should replace *password_hash*: every old one."""
        return self._is_old(password_hash) or self._primary.needs_rehash(password_hash)

    def _is_old(self, password_hash: str) -> bool:
        return self._old.identify(password_hash) is not None


class Passwords:
    """Runs a hasher in a small pool of threads, so that a login never holds up other requests.

    Args:
        hasher: what makes and checks hashes.
        threads: passwords worked on at once; each takes the hasher's memory.
        queue: passwords that may wait; past that a login is answered 503 at once.
    """

    def __init__(
        self, hasher: PasswordHasher, *, threads: int = DEFAULT_THREADS, queue: int = MAX_QUEUE
    ) -> None:
        self.hasher = hasher
        self._threads = threads
        self._queue = queue
        self._inside = 0
        self._limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar(
            f"jwt_auth_kit.passwords.{id(self)}"
        )
        # Checked where there is no hash, with the parameters of new hashes, so that the time of
        # an answer does not tell whether an account exists.
        self._decoy = hasher.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """Hash *password*.

        Raises:
            Busy: the queue is full.
            ValueError: it holds half a surrogate pair, which no text does.
        """
        text = normalize_password(password)
        try:
            text.encode()
        except UnicodeEncodeError:  # it would show the password to whoever shows the error
            raise ValueError("a password is text, which can be written as UTF-8") from None
        return await self._run(self.hasher.hash, text)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Check *password*; with no hash, take the same time and return False.

        Raises:
            Busy: the queue is full.
        """
        text = normalize_password(password)
        matches = await self._run(self.hasher.verify, text, password_hash or self._decoy)
        # An empty hash is no hash: the decoy was checked, and must not open an account.
        return matches and bool(password_hash)

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether a login should replace *password_hash*."""
        return self.hasher.needs_rehash(password_hash)

    async def _run(self, function: Callable[..., T], *arguments: str) -> T:
        if self._inside >= self._threads + self._queue:
            raise Busy
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(function, *arguments, limiter=self._pool())
        finally:
            self._inside -= 1

    def _pool(self) -> anyio.CapacityLimiter:
        """Return the limiter of the running event loop; one cannot be shared between loops."""
        limiter = self._limiter.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(self._threads)
            self._limiter.set(limiter)
        return limiter


def normalize_password(password: str) -> str:
    """Return *password* in NFC (NIST SP 800-63B section 3.1.1.2).

    The same key presses give different code points on different systems.
    """
    return unicodedata.normalize("NFC", password)
