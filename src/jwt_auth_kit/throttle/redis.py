"""Logs of attempts, and the networks accounts signed in from, in Redis."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from limits.storage import storage_from_string

from ..errors import StoreUnavailable
from ..event_loops import ByLoop
from ..redis_failures import describe
from .limits import MAX_NETWORKS, SALT_BYTES, Limit

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

KEY_PREFIX = "jwt_auth_kit:throttle"
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
            logger.error("Redis failed: %s", describe(error))  # noqa: TRY400 (keys)
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
