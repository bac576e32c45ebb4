"""Limits on password guesses: per account and network, per network, and per account.

A limit keeps a log of its latest attempts. An attempt passes if each window that ends now holds
fewer than its amount, so no span of a window's length ever holds more, wherever it begins.
"""

import asyncio
import logging
import math
import secrets
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from ipaddress import IPv6Address, IPv6Network, ip_address
from types import ModuleType
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError as LimitsError
from limits.storage import storage_from_string

from .errors import ConfigurationError, StoreUnavailable, TooManyAttempts

logger = logging.getLogger("jwt_auth_kit")

KEY_PREFIX = "jwt_auth_kit:throttle"
MAX_SUBJECTS = 100_000  # that one process remembers for a limit
MAX_SPAN = timedelta(days=3650)
IPV6_BITS = 128
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password guess that was counted; hand it to ``confirm`` if the password was right."""

    id: str
    account: str
    network: str | None
    """None where the address of the caller is not known."""

    @property
    def pair(self) -> str:
        """The account as seen from the network; no network has a bar in its name."""
        return f"{self.network}|{self.account}"


class LoginThrottle:
    """Counts an attempt before its password is hashed, so parallel guesses cannot overshoot.

    Limits are written as ``10/minute; 50/day``: an attempt has to fit into each window.
    ``""`` is no limit. Callers whose address is not known are no network: they have the limit
    of the account alone.

    Args:
        storage: ``memory://`` counts for one process. ``redis://host:6379/0`` (also ``rediss``,
            ``redis+unix`` and ``redis+cluster``) counts for all and needs the ``redis`` extra.
        per_account_and_network: attempts on one account from one network.
        per_account: attempts on one account from all networks it has not signed in from.
        per_network: attempts from one network on all accounts.
        remember_networks: how long a sign-in exempts its network from *per_account*.
        ipv6_prefix: addresses that share this many bits are one network.

    Raises:
        ConfigurationError: the storage or a limit cannot be used.
    """

    def __init__(
        self,
        storage: str = "memory://",
        *,
        per_account_and_network: str = "10/minute; 30/hour; 50/day",
        per_account: str = "60/hour; 100/day",
        per_network: str = "100/10 minutes; 1000/day",
        remember_networks: timedelta = timedelta(days=90),
        ipv6_prefix: int = 64,
    ) -> None:
        if not timedelta(0) <= remember_networks <= MAX_SPAN:
            raise ConfigurationError(
                f"remember_networks is {remember_networks}, but has to be from zero (never "
                f"remember) to {MAX_SPAN.days} days."
            )
        if not 1 <= ipv6_prefix <= IPV6_BITS:
            raise ConfigurationError(
                f"ipv6_prefix is {ipv6_prefix}, but has to be from 1 to {IPV6_BITS}; "
                "providers give a customer 64 bits or fewer."
            )
        self._per_pair = _parse("per_account_and_network", per_account_and_network)
        self._per_account = _parse("per_account", per_account)
        self._per_network = _parse("per_network", per_network)
        self._remember_networks = remember_networks
        self._ipv6_prefix = ipv6_prefix
        self._logs = _open(storage)

    @classmethod
    def unlimited(cls) -> Self:
        """Make one that lets everything pass: behind a gateway with limits, and in tests."""
        return cls(
            per_account_and_network="",
            per_account="",
            per_network="",
            remember_networks=timedelta(0),
        )

    @property
    def is_shared(self) -> bool:
        """Whether processes count together; in memory each counts for itself."""
        return isinstance(self._logs, _RedisLogs)

    async def reserve(self, account: str, ip: str | None) -> Attempt:
        """Count an attempt on *account*, the same for accounts that do not exist.

        Raises:
            TooManyAttempts: a limit is reached; this attempt is counted nowhere.
            StoreUnavailable: Redis does not answer, so nobody may guess.
        """
        attempt = Attempt(secrets.token_hex(8), account, self._network(ip))
        counted: list[tuple[_Limit, str]] = []
        for limit, subject in await self._limits_on(attempt):
            wait = await self._logs.count(limit, subject, attempt.id)
            if wait > 0:
                # A client over his own limit must not use up what belongs to others.
                for other, other_subject in counted:
                    await self._logs.give_back(other, other_subject, attempt.id)
                raise TooManyAttempts(math.ceil(wait))
            counted.append((limit, subject))
        return attempt

    async def confirm(self, attempt: Attempt) -> None:
        """Take *attempt* off the counts, as its password was right, and remember its network.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self._logs.give_back(self._per_account, attempt.account, attempt.id)
        # A caller without an address may be anybody, so nothing is remembered of him.
        if attempt.network is None:
            return
        await self._logs.clear(self._per_pair, attempt.pair)
        await self._logs.give_back(self._per_network, attempt.network, attempt.id)
        if self._remember_networks:
            await self._logs.remember(attempt.pair, self._remember_networks)

    async def cancel(self, attempt: Attempt) -> None:
        """Take *attempt* off the counts, as nobody got to know whether its password was right.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self._logs.give_back(self._per_account, attempt.account, attempt.id)
        if attempt.network is not None:
            await self._logs.give_back(self._per_pair, attempt.pair, attempt.id)
            await self._logs.give_back(self._per_network, attempt.network, attempt.id)

    async def check_storage(self) -> None:
        """Read once from the storage.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self._logs.is_remembered("")

    async def aclose(self) -> None:
        """Close the connections to Redis; the next attempt would open new ones."""
        await self._logs.aclose()

    async def _limits_on(self, attempt: Attempt) -> list[tuple["_Limit", str]]:
        limits: list[tuple[_Limit, str]] = []
        # Were all callers without an address one network, the guesses of one of them would
        # soon refuse everybody. Only the limit of the account bounds them.
        if attempt.network is not None:
            limits += [(self._per_pair, attempt.pair), (self._per_network, attempt.network)]
        # Strangers can use up the account's limit, but not where its owner signs in from:
        # locking her out would otherwise cost 60 requests an hour.
        if self._per_account.windows and not await self._is_remembered(attempt):
            limits.append((self._per_account, attempt.account))
        return [(limit, subject) for limit, subject in limits if limit.windows]

    async def _is_remembered(self, attempt: Attempt) -> bool:
        return attempt.network is not None and await self._logs.is_remembered(attempt.pair)

    def _network(self, ip: str | None) -> str | None:
        try:
            address = ip_address(ip or "")
        except ValueError:
            return None
        if not isinstance(address, IPv6Address):
            return str(address)
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((address.packed, self._ipv6_prefix), strict=False))

    def __repr__(self) -> str:
        limits = (self._per_pair, self._per_account, self._per_network)
        options = ", ".join(f"{limit.name}={limit.notation!r}" for limit in limits)
        return f"{type(self).__name__}({self._logs!r}, {options})"


class _Window(NamedTuple):
    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class _Limit:
    """Windows that an attempt has to fit into, all of them."""

    name: str
    notation: str
    windows: tuple[_Window, ...]

    @property
    def longest(self) -> int:
        return max(window.seconds for window in self.windows)


def _parse(name: str, notation: str) -> _Limit:
    try:
        items = parse_many(notation) if notation.strip() else []
    except ValueError:
        raise ConfigurationError(
            f"{name} is {notation!r}, which is no list of limits. "
            'Write for example "10/minute; 50/day", or "" for no limit.'
        ) from None
    return _Limit(name, notation, tuple(_window(name, item) for item in items))


def _window(name: str, item: RateLimitItem) -> _Window:
    seconds = item.get_expiry()
    if item.amount == 0:
        raise ConfigurationError(f'{name} would refuse every login; write "" for no limit.')
    if seconds > MAX_SPAN.total_seconds():
        raise ConfigurationError(f"{name} has a window of more than {MAX_SPAN.days} days.")
    return _Window(item.amount, seconds)


class _AttemptLogs(Protocol):
    """Keeps the logs; each method is one atomic step, and doing one twice changes nothing."""

    async def count(self, limit: _Limit, subject: str, attempt_id: str) -> float:
        """Count the attempt and return 0, or the seconds until one fits, and count nothing."""
        ...

    async def give_back(self, limit: _Limit, subject: str, attempt_id: str) -> None:
        """Take the attempt out of the log, if it is still there."""
        ...

    async def clear(self, limit: _Limit, subject: str) -> None:
        """Forget all attempts."""
        ...

    async def remember(self, pair: str, span: timedelta) -> None:
        """Let ``is_remembered`` be true for *span* from now on."""
        ...

    async def is_remembered(self, pair: str) -> bool:
        """Tell whether the account signed in from this network before."""
        ...

    async def aclose(self) -> None:
        """Close what was opened."""
        ...


def _open(storage: str) -> _AttemptLogs:
    url = storage.removeprefix("async+")
    scheme, separator, _ = url.partition("://")
    if scheme == "memory" and separator:
        return _MemoryLogs()
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
        return _RedisLogs(redis, scheme, url)
    except (LimitsError, ValueError):  # their messages hold the URL, so perhaps a password
        raise ConfigurationError(
            f"The {scheme}:// URL of the throttle is not complete; it looks like "
            f"{REDIS_URLS[scheme]}"
        ) from None


class _Entry(NamedTuple):
    at: float
    attempt_id: str


class _MemoryLogs:
    """Logs in this process. Safe under threads and event loops.

    The memory storages of ``limits`` walk all their keys at an increment, so each guess would
    cost more the more accounts an attacker has tried. Here every call takes constant time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of each limit, by subject; the one that was counted last comes last.
        self._logs: defaultdict[str, OrderedDict[str, list[_Entry]]] = defaultdict(OrderedDict)
        self._remembered_until: OrderedDict[str, float] = OrderedDict()

    async def count(self, limit: _Limit, subject: str, attempt_id: str) -> float:
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

    async def give_back(self, limit: _Limit, subject: str, attempt_id: str) -> None:
        with self._lock:
            log = self._logs[limit.name].pop(subject, [])
            if left := [entry for entry in log if entry.attempt_id != attempt_id]:
                self._logs[limit.name][subject] = left

    async def clear(self, limit: _Limit, subject: str) -> None:
        with self._lock:
            self._logs[limit.name].pop(subject, None)

    async def remember(self, pair: str, span: timedelta) -> None:
        with self._lock:
            self._remembered_until[pair] = time.monotonic() + span.total_seconds()
            self._remembered_until.move_to_end(pair)
            if len(self._remembered_until) > MAX_SUBJECTS:
                self._remembered_until.popitem(last=False)

    async def is_remembered(self, pair: str) -> bool:
        with self._lock:
            return time.monotonic() < self._remembered_until.get(pair, 0.0)

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


class _RedisLogs:
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
        # A flood of logins must not become a flood of connections.
        self._places = asyncio.Semaphore(MAX_COMMANDS)
        self._client = storage.bridge.get_connection()
        self._count = self._client.register_script(_COUNT)

    async def count(self, limit: _Limit, subject: str, attempt_id: str) -> float:
        windows = [
            number for amount, seconds in limit.windows for number in (amount, seconds * 1000)
        ]
        wait = await self._ask(
            self._count,
            keys=[_key(limit, subject)],
            args=[attempt_id, limit.longest * 1000, *windows],
        )
        return float(wait) / 1000

    async def give_back(self, limit: _Limit, subject: str, attempt_id: str) -> None:
        await self._ask(self._client.zrem, _key(limit, subject), attempt_id)

    async def clear(self, limit: _Limit, subject: str) -> None:
        await self._ask(self._client.delete, _key(limit, subject))

    async def remember(self, pair: str, span: timedelta) -> None:
        await self._ask(self._client.set, _remembered(pair), 1, px=span)

    async def is_remembered(self, pair: str) -> bool:
        return bool(await self._ask(self._client.exists, _remembered(pair)))

    async def aclose(self) -> None:
        await self._ask(self._client.aclose)

    async def _ask(
        self, command: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT), self._places:
                return await command(*arguments, **options)
        except self._failures as error:
            logger.error("Redis failed: %s", type(error).__name__)  # noqa: TRY400 (keys)
            raise StoreUnavailable from None

    def __repr__(self) -> str:
        return f"'{self._scheme}://...'"


def _complete(scheme: str, url: str) -> str:
    """Add the port that goes without saying; some versions of ``limits`` insist on one."""
    parts = urlsplit(url)
    if not (parts.path if scheme == "redis+unix" else parts.hostname):
        raise ValueError("nowhere to connect to")
    if scheme not in {"redis", "rediss"} or parts.port is not None:
        return url
    return parts._replace(netloc=f"{parts.netloc}:{REDIS_PORT}").geturl()


def _key(limit: _Limit, subject: str) -> str:
    return f"{KEY_PREFIX}:{limit.name}:{subject}"


def _remembered(pair: str) -> str:
    return f"{KEY_PREFIX}:remembered:{pair}"
