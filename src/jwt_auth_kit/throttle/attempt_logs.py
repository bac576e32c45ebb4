"""Logs of attempts, and the networks accounts signed in from: in this process or in Redis.

A limit keeps a log of its latest attempts. An attempt passes if each window that ends now holds
fewer than its amount, so no span of a window's length ever holds more, wherever it begins.
"""

import asyncio
import logging
import secrets
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError as LimitsError
from limits.storage import storage_from_string

from ..errors import ConfigurationError, StoreUnavailable
from ..event_loops import ByLoop
from .remembered_networks import RememberedNetworks

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

KEY_PREFIX = "jwt_auth_kit:throttle"
MAX_SUBJECTS = 100_000  # that one process remembers for a limit
MAX_NETWORKS = 100  # that are remembered of one account, in Redis too
MAX_SPAN = timedelta(days=3650)
SALT_BYTES = 32
SALT_AGE = 60.0  # seconds until Redis is asked again
ANSWER_TIMEOUT = 2.0  # seconds; a Redis that hangs must not hang every login
COMMAND_TIMEOUT = 5.0  # for its turn, connecting, greeting, once more
MAX_COMMANDS = 10  # at once; the others wait for their turn
REDIS_PORT = 6379
REDIS_URLS = {
    "redis": "redis://user:password@host:6379/0",
    "rediss": "rediss://user:password@host:6379/0",
    "redis+unix": "redis+unix:///run/redis.sock?db=0",
    "redis+cluster": "redis+cluster://user:password@host1:6379,host2:6379",
}
"""What is accepted beside ``memory://``: an example of each scheme."""


class Window(NamedTuple):
    """So many attempts in so many seconds."""

    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Limit:
    """Windows that an attempt has to fit into, all of them."""

    name: str
    notation: str
    windows: tuple[Window, ...]

    @property
    def longest(self) -> int:
        """The seconds after which an attempt counts nowhere."""
        return max(window.seconds for window in self.windows)


def parse_limit(name: str, notation: str) -> Limit:
    """Read a limit in the notation of the library ``limits``.

    Raises:
        ConfigurationError: it is not one; the message names it as *name*.
    """
    try:
        items = parse_many(notation) if notation.strip() else []
    except ValueError:
        raise ConfigurationError(
            f"{name} is {notation!r}, which is no list of limits. "
            'Write for example "10/minute; 50/day", or "" for no limit.'
        ) from None
    return Limit(name, notation, tuple(_window(name, item) for item in items))


def _window(name: str, item: RateLimitItem) -> Window:
    seconds = item.get_expiry()
    if item.amount == 0:
        raise ConfigurationError(f'{name} would refuse every login; write "" for no limit.')
    if seconds > MAX_SPAN.total_seconds():
        raise ConfigurationError(f"{name} has a window of more than {MAX_SPAN.days} days.")
    return Window(item.amount, seconds)


class AttemptLogs(Protocol):
    """Keeps the logs; each method is one atomic step, and doing one twice changes nothing."""

    async def count(self, limit: Limit, subject: str, attempt_id: str) -> float:
        """Count the attempt and return 0, or the seconds until one fits, and count nothing."""
        ...

    async def give_back(self, limit: Limit, subject: str, attempt_id: str) -> None:
        """Take the attempt out of the log, if it is still there."""
        ...

    async def clear(self, limit: Limit, subject: str) -> None:
        """Forget all attempts."""
        ...

    async def salt(self) -> bytes:
        """Return what accounts are hashed with; all who count here get the same."""
        ...

    async def remember(
        self, account: str, network: str, span: timedelta, *, alone: bool = False
    ) -> None:
        """Let ``is_remembered`` be true for *span* from now on; *alone* forgets the others."""
        ...

    async def is_remembered(self, account: str, network: str) -> bool:
        """Tell whether the account signed in from this network before."""
        ...

    async def forget_networks(self, account: str) -> None:
        """Forget where the account signed in from."""
        ...

    async def aclose(self) -> None:
        """Close what was opened."""
        ...


def open_logs(storage: str) -> AttemptLogs:
    """Return the logs that *storage* names.

    Raises:
        ConfigurationError: there is no such storage, or its client is missing.
    """
    url = storage.removeprefix("async+")
    scheme, separator, _ = url.partition("://")
    if scheme == "memory" and separator:
        return MemoryLogs()
    if scheme not in REDIS_URLS:
        schemes = ", ".join(f"{name}://" for name in REDIS_URLS)
        raise ConfigurationError(f"The throttle counts in memory://, {schemes} and nowhere else.")
    try:
        redis = import_module("redis")
    except ImportError:
        raise ConfigurationError(
            f'{scheme}:// needs redis: pip install "jwt-auth-kit[redis]"'
        ) from None
    try:
        return RedisLogs(redis, scheme, url)
    except (LimitsError, ValueError):  # their messages hold the URL, so perhaps a password
        raise ConfigurationError(
            f"The {scheme}:// URL of the throttle is not complete; it looks like "
            f"{REDIS_URLS[scheme]}"
        ) from None


class _Entry(NamedTuple):
    at: float
    attempt_id: str


class MemoryLogs:
    """Logs in this process. Safe under threads and event loops.

    The memory storages of ``limits`` walk all their keys at an increment, so each guess would
    cost more the more accounts an attacker has tried. Here every call takes constant time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of each limit, by subject; the one that was counted last comes last.
        self._logs: defaultdict[str, OrderedDict[str, list[_Entry]]] = defaultdict(OrderedDict)
        self._networks = RememberedNetworks(most_of_account=MAX_NETWORKS, most=MAX_SUBJECTS)
        self._salt = secrets.token_bytes(SALT_BYTES)

    async def count(self, limit: Limit, subject: str, attempt_id: str) -> float:
        with self._lock:
            now = time.monotonic()
            logs = self._logs[limit.name]
            log = logs.get(subject, [])
            waits = (
                log[-amount].at + seconds - now
                for amount, seconds in limit.windows
                if len(log) >= amount
            )
            wait = max(waits, default=0.0)
            if wait > 0:
                return wait
            logs[subject] = [entry for entry in log if entry.at + limit.longest > now]
            logs[subject].append(_Entry(now, attempt_id))
            logs.move_to_end(subject)
            self._forget_old_logs(logs, now - limit.longest)
            return 0.0

    @staticmethod
    def _forget_old_logs(logs: OrderedDict[str, list[_Entry]], before: float) -> None:
        # Two for each one that comes: old ones melt away, and no call has to walk them all.
        for _ in range(2):
            oldest = next(iter(logs.values()))
            if oldest[-1].at <= before or len(logs) > MAX_SUBJECTS:
                logs.popitem(last=False)

    async def give_back(self, limit: Limit, subject: str, attempt_id: str) -> None:
        with self._lock:
            log = self._logs[limit.name].pop(subject, [])
            if left := [entry for entry in log if entry.attempt_id != attempt_id]:
                self._logs[limit.name][subject] = left

    async def clear(self, limit: Limit, subject: str) -> None:
        with self._lock:
            self._logs[limit.name].pop(subject, None)

    async def salt(self) -> bytes:
        return self._salt

    async def remember(
        self, account: str, network: str, span: timedelta, *, alone: bool = False
    ) -> None:
        with self._lock:
            if alone:
                self._networks.forget(account)
            now = time.monotonic()
            self._networks.add(account, network, now + span.total_seconds(), now)

    async def is_remembered(self, account: str, network: str) -> bool:
        with self._lock:
            return time.monotonic() < self._networks.until(account, network)

    async def forget_networks(self, account: str) -> None:
        with self._lock:
            self._networks.forget(account)

    async def aclose(self) -> None:
        pass

    def __repr__(self) -> str:
        return "'memory://'"


_COUNT = """
local log, attempt_id, longest = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = 0
for i = 3, #ARGV, 2 do
  local amount, span = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local blocking = redis.call('ZRANGE', log, amount - 1, amount - 1, 'REV', 'WITHSCORES')
  if blocking[2] then wait = math.max(wait, blocking[2] + span - now) end
end
if wait > 0 then return wait end
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - longest)
redis.call('ZADD', log, now, attempt_id)
redis.call('PEXPIRE', log, longest)
return 0
"""


_REMEMBER = """
local networks, network, life, most, alone = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if alone == '1' then redis.call('DEL', networks) end
redis.call('ZREMRANGEBYSCORE', networks, '-inf', now)
redis.call('ZADD', networks, now + life, network)
redis.call('ZREMRANGEBYRANK', networks, 0, -most - 1)
redis.call('PEXPIRE', networks, life)
"""

_IS_REMEMBERED = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) > now and 1 or 0
"""


class _Client:
    """A client of Redis, which works in one event loop."""

    def __init__(self, redis: Any) -> None:
        self.redis = redis
        # A flood of logins must not become a flood of connections.
        self.places = asyncio.Semaphore(MAX_COMMANDS)
        self.count = redis.register_script(_COUNT)
        self.remember = redis.register_script(_REMEMBER)
        self.is_remembered = redis.register_script(_IS_REMEMBERED)


class RedisLogs:
    """Logs in Redis, each one sorted set, which Redis forgets by itself.

    An increment of ``limits`` cannot be taken back with certainty: its window may have ended
    meanwhile, and the next one would get a guess too many. A member of a set can.
    """

    def __init__(self, redis: ModuleType, scheme: str, url: str) -> None:
        self._scheme = scheme
        self._failures = (
            redis.exceptions.RedisError,
            redis.exceptions.RedisClusterException,
            OSError,  # and TimeoutError
        )
        self._clients = ByLoop(lambda: _Client(_open(redis, scheme, url)))
        _open(redis, scheme, url)  # refuses a URL at once; it does not connect
        self._salt: bytes | None = None
        self._salt_until = 0.0

    async def count(self, limit: Limit, subject: str, attempt_id: str) -> float:
        windows = [
            number for amount, seconds in limit.windows for number in (amount, seconds * 1000)
        ]
        wait = await self._ask(
            self._clients.here().count,
            keys=[_key(limit, subject)],
            args=[attempt_id, limit.longest * 1000, *windows],
        )
        return float(wait) / 1000

    async def give_back(self, limit: Limit, subject: str, attempt_id: str) -> None:
        await self._ask(self._clients.here().redis.zrem, _key(limit, subject), attempt_id)

    async def clear(self, limit: Limit, subject: str) -> None:
        await self._ask(self._clients.here().redis.delete, _key(limit, subject))

    async def salt(self) -> bytes:
        if self._salt is None or time.monotonic() >= self._salt_until:
            self._salt = await self._agree_on_salt(self._salt)
            self._salt_until = time.monotonic() + SALT_AGE
        return self._salt

    async def _agree_on_salt(self, known: bytes | None) -> bytes:
        """Return the salt in Redis; where there is none, or none any more, put one there."""
        key = f"{KEY_PREFIX}:salt"
        own = known or secrets.token_hex(SALT_BYTES).encode()
        await self._ask(self._clients.here().redis.set, key, own, nx=True)
        salt = (
            await self._ask(self._clients.here().redis.get, key) or own
        )  # somebody flushed it just now
        return salt if isinstance(salt, bytes) else str(salt).encode()

    async def remember(
        self, account: str, network: str, span: timedelta, *, alone: bool = False
    ) -> None:
        life = max(1, span // timedelta(milliseconds=1))
        arguments = [network, life, MAX_NETWORKS, int(alone)]
        await self._ask(self._clients.here().remember, keys=[_networks(account)], args=arguments)

    async def is_remembered(self, account: str, network: str) -> bool:
        return bool(
            await self._ask(
                self._clients.here().is_remembered, keys=[_networks(account)], args=[network]
            )
        )

    async def forget_networks(self, account: str) -> None:
        await self._ask(self._clients.here().redis.delete, _networks(account))

    async def aclose(self) -> None:
        await self._ask(self._clients.here().redis.aclose)

    async def _ask(
        self, command: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT), self._clients.here().places:
                return await command(*arguments, **options)
        except self._failures as error:
            logger.error("Redis failed: %s", type(error).__name__)  # noqa: TRY400 (keys)
            raise StoreUnavailable from None

    def __repr__(self) -> str:
        return f"'{self._scheme}://...'"


def _open(redis: ModuleType, scheme: str, url: str) -> Any:
    """Make a client; it connects when it is first used."""
    # Once more at once, for connections that died with an earlier Redis. Some versions of
    # the client pause for seconds in between, and every login would wait.
    lost = redis.exceptions.ConnectionError
    once_more: Any = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1, (lost,))
    on_error: Any = [lost]
    storage: Any = storage_from_string(
        f"async+{_complete(scheme, url)}",
        implementation="redispy",
        socket_timeout=ANSWER_TIMEOUT,
        socket_connect_timeout=ANSWER_TIMEOUT,
        retry=once_more,
        retry_on_error=on_error,
    )
    return storage.bridge.get_connection()


def _complete(scheme: str, url: str) -> str:
    """Add the port that goes without saying; some versions of ``limits`` insist on one."""
    parts = urlsplit(url)
    if not (parts.path if scheme == "redis+unix" else parts.hostname):
        raise ValueError("nowhere to connect to")
    if scheme not in {"redis", "rediss"} or parts.port is not None:
        return url
    return parts._replace(netloc=f"{parts.netloc}:{REDIS_PORT}").geturl()


def _key(limit: Limit, subject: str) -> str:
    return f"{KEY_PREFIX}:{limit.name}:{subject}"


def _networks(account: str) -> str:
    return f"{KEY_PREFIX}:networks:{account}"
