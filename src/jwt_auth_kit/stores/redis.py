"""Sessions in Redis 7, single, replicated or as a cluster.

Needs the ``redis`` extra. All keys of a user carry one hash tag, one of 64 buckets, so each method
is one Lua script on one node of a cluster. Each bucket has a stream of its own, in which other
processes read what was revoked.
"""

import asyncio
import base64
import logging
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

try:
    import redis
except ModuleNotFoundError:
    raise ImportError(
        'jwt_auth_kit.stores.redis needs redis: pip install "jwt-auth-kit[redis]"'
    ) from None
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, RedisClusterException, RedisError

from ..errors import ConfigurationError, StoreUnavailable
from ..redis_failures import describe
from ..sessions import TOMBSTONE, Session, SessionChanges
from .base import (
    FEED_LIFE,
    FEED_OVERLAP,
    FEED_PAGE,
    MAX_LISTED,
    TOO_MANY_SESSIONS,
    Epochs,
    Revocations,
    StaleLogin,
    StoredSession,
)
from .turns import Turns

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

FAILURES = (RedisError, RedisClusterException, OSError)
MAX_COMMANDS = 50
"""How many commands of a store run at once; a flood of requests is no flood of connections."""
PATIENCE = 5.0
"""Seconds that a command waits for its turn and for a connection that others hold."""
POOL_EXHAUSTED = "All connections of the client are in use. Raise its max_connections."
BUCKETS = 64
MORE = "+"
BATCH = 500
"""How many sessions one script ends; other clients of Redis are served in between."""

_EPOCH_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = {field.name: field.type for field in fields(Session)}
_MOMENTS = frozenset(name for name in _FIELDS if name.endswith(("_at", "_from", "_time")))
_NUMBERS = frozenset({"epoch", "gen", "parent", "known_gen", "version"})

_ANNOUNCE = """
local function announce(feed, now, life, ...)
  -- Ids carry the time of the application, as the cursors do, and never go back.
  local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1]
  local at = tonumber(now)
  if last then at = math.max(at, tonumber(string.match(last[1], '^%d+'))) end
  local oldest = string.format('%.0f', at - life)
  redis.call('XADD', feed, 'MINID', '~', oldest, string.format('%.0f-*', at), ...)
end
"""

_END = """
local function end_session(key, reason, now, forget_at)
  local state = redis.call('HMGET', key, 'version', 'revoked_at')
  if not state[1] or state[2] then return false end
  redis.call('HSET', key, 'revoked_at', now, 'revoke_reason', reason, 'version', state[1] + 1)
  if redis.call('PEXPIRETIME', key) > tonumber(forget_at) then
    redis.call('PEXPIREAT', key, forget_at)
  end
  return true
end
"""

_NEXT_EPOCH = """
local function next_epoch(epochs, now)
  -- The clock makes sure that an epoch which a failover lost is not given a second time.
  local last = tonumber(redis.call('HGET', epochs, 'epoch') or 0)
  local epoch = string.format('%.0f', math.max(last + 1, math.floor(now / 1000)))
  redis.call('HSET', epochs, 'epoch', epoch)
  return epoch
end
"""

_EXPIRE = """
local function expire(key, at)
  if redis.call('PEXPIRETIME', key) < tonumber(at) then redis.call('PEXPIREAT', key, at) end
end
"""

# A user's sessions that were not revoked stand in two sorted sets: `open`, by when they began,
# and `ends`, by when they end unless they are refreshed.
_CREATE = (
    _ANNOUNCE
    + _END
    + _EXPIRE
    + """
local session, open, ends, epochs, feed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session_id, epoch, began_at, ends_at, forget_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local past, batch, most, prefix = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local reason, now, ended_forget_at, life = ARGV[10], ARGV[11], ARGV[12], ARGV[13]
if tonumber(redis.call('HGET', epochs, 'sessions_from') or 0) > tonumber(epoch) then return 0 end
redis.call('HSET', session, unpack(ARGV, 14))
redis.call('PEXPIREAT', session, forget_at)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', past, 'LIMIT', 0, batch)) do
  redis.call('ZREM', open, old)
  redis.call('ZREM', ends, old)
end
redis.call('ZADD', open, began_at, session_id)
redis.call('ZADD', ends, ends_at, session_id)
expire(open, forget_at)
expire(ends, forget_at)
local ended = {}
if most == '' then return ended end
local live = redis.call('ZCOUNT', ends, '(' .. now, '+inf')
local surplus = math.min(live - most, tonumber(batch))
if surplus <= 0 then return ended end
local left = surplus
-- Among the oldest may be the new one, and those that ended by time a moment ago.
local over = redis.call('ZCARD', open) - live
for _, old in ipairs(redis.call('ZRANGE', open, 0, surplus + over)) do
  local is_live = tonumber(redis.call('ZSCORE', ends, old)) > tonumber(now)
  if left > 0 and is_live and old ~= session_id then
    left = left - 1
    redis.call('ZREM', open, old)
    redis.call('ZREM', ends, old)
    if end_session(prefix .. old, reason, began_at, ended_forget_at) then
      announce(feed, now, life, 'session', old)
      ended[#ended + 1] = old
    end
  end
end
return ended
"""
)

_GET = """
return {redis.call('HGETALL', KEYS[1]), redis.call('HMGET', KEYS[2], 'epoch', 'sessions_from')}
"""

_COMPARE_AND_SET = (
    _EXPIRE
    + """
local session, open, ends = KEYS[1], KEYS[2], KEYS[3]
local user_id, session_id, version = ARGV[1], ARGV[2], ARGV[3]
local ends_at, forget_at = ARGV[4], ARGV[5]
local state = redis.call('HMGET', session, 'user_id', 'version', 'revoked_at')
if state[1] ~= user_id or state[2] ~= version or state[3] then return 0 end
redis.call('HSET', session, 'version', version + 1, unpack(ARGV, 6))
if ends_at ~= '' then
  redis.call('PEXPIREAT', session, forget_at)
  redis.call('ZADD', ends, 'XX', ends_at, session_id)
  expire(open, forget_at)
  expire(ends, forget_at)
end
return 1
"""
)

_REVOKE = (
    _ANNOUNCE
    + _END
    + """
local session, open, ends, feed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user_id, session_id, reason, now, forget_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local announced_at, life = ARGV[6], ARGV[7]
if redis.call('HGET', session, 'user_id') ~= user_id then return 0 end
if not end_session(session, reason, now, forget_at) then return 0 end
redis.call('ZREM', open, session_id)
redis.call('ZREM', ends, session_id)
announce(feed, announced_at, life, 'session', session_id)
return 1
"""
)

_REVOKE_ALL = (
    _ANNOUNCE
    + _NEXT_EPOCH
    + """
local open, ends, ended, epochs, feed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user_id, announced_at, life = ARGV[1], ARGV[2], ARGV[3]
local epoch = next_epoch(epochs, announced_at)
redis.call('HSET', epochs, 'sessions_from', epoch)
if redis.call('EXISTS', open) == 1 then redis.call('RENAME', open, ended) end
redis.call('UNLINK', ends)
announce(feed, announced_at, life, 'user', user_id, 'epoch', epoch)
return epoch
"""
)

_NOTE_ENDS = (
    _END
    + """
local ended = KEYS[1]
local prefix, reason, now, forget_at, batch = unpack(ARGV)
local popped = redis.call('ZPOPMIN', ended, batch)
for i = 1, #popped, 2 do end_session(prefix .. popped[i], reason, now, forget_at) end
return redis.call('ZCARD', ended)
"""
)

_REVOKE_OTHERS = (
    _ANNOUNCE
    + _END
    + """
local open, ends, feed = KEYS[1], KEYS[2], KEYS[3]
local prefix, keep, reason, now, forget_at, batch = unpack(ARGV, 1, 6)
local announced_at, life = ARGV[7], ARGV[8]
local ended = {}
for _, session_id in ipairs(redis.call('ZRANGE', open, 0, batch)) do
  if session_id ~= keep then
    redis.call('ZREM', open, session_id)
    redis.call('ZREM', ends, session_id)
    if end_session(prefix .. session_id, reason, now, forget_at) then
      announce(feed, announced_at, life, 'session', session_id)
      ended[#ended + 1] = session_id
    end
  end
end
return {ended, redis.call('ZCARD', open) - (redis.call('ZSCORE', open, keep) and 1 or 0)}
"""
)

_VOID = (
    _ANNOUNCE
    + _NEXT_EPOCH
    + """
local epochs, feed = KEYS[1], KEYS[2]
local user_id, announced_at, life = ARGV[1], ARGV[2], ARGV[3]
local epoch = next_epoch(epochs, announced_at)
announce(feed, announced_at, life, 'user', user_id, 'epoch', epoch)
return epoch
"""
)

_LIST = """
local open, behind, epochs = KEYS[1], KEYS[2], KEYS[3]
local prefix, user_id, after, began_at, limit = unpack(ARGV)
if after ~= '' and began_at == '' then
  local known = redis.call('HMGET', behind, 'user_id', 'created_at')
  if known[1] ~= user_id then return 0 end
  began_at = known[2]
end
local same = 0
if after == '' then began_at = '+inf' else same = redis.call('ZCOUNT', open, began_at, began_at) end
local ids = redis.call('ZREVRANGEBYSCORE', open, began_at, '-inf', 'LIMIT', 0, limit + same)
local found, last = {}, ''
for i, session_id in ipairs(ids) do
  if (i > same or session_id < after) and #found < tonumber(limit) then
    found[#found + 1] = redis.call('HGETALL', prefix .. session_id)
    last = session_id
  end
end
local sessions_from = redis.call('HGET', epochs, 'sessions_from') or '0'
return {found, sessions_from, last, last ~= '' and redis.call('ZSCORE', open, last) or ''}
"""

_CLEAR_FAILURES = """
local failures, below = KEYS[1], ARGV[1]
local number = tonumber(redis.call('GET', failures) or 0)
if below == '' or number < tonumber(below) then redis.call('DEL', failures) end
"""


class RedisTokenStore:
    """Keeps each session in a hash that Redis expires by itself, a day after its end.

    Args:
        client: a ``redis.asyncio`` client, single or cluster, with or without
            ``decode_responses``. Configure its timeouts. Commands wait up to five seconds while
            all of its connections are in use.
        prefix: begins every key, so that several applications can share a database.

    Raises:
        ConfigurationError: *client* is synchronous, or no client at all.
    """

    def __init__(self, client: Redis | RedisCluster, *, prefix: str = "auth") -> None:
        _check_client(client)
        self._client: Any = client
        self._prefix = prefix
        self._turns = Turns(min(MAX_COMMANDS, _max_connections(client)), patience=PATIENCE)
        self._create = self._client.register_script(_CREATE)
        self._get = self._client.register_script(_GET)
        self._compare_and_set = self._client.register_script(_COMPARE_AND_SET)
        self._revoke = self._client.register_script(_REVOKE)
        self._revoke_all = self._client.register_script(_REVOKE_ALL)
        self._note_ends = self._client.register_script(_NOTE_ENDS)
        self._revoke_others = self._client.register_script(_REVOKE_OTHERS)
        self._void = self._client.register_script(_VOID)
        self._list = self._client.register_script(_LIST)
        self._clear_failures = self._client.register_script(_CLEAR_FAILURES)

    async def create(self, session: Session, *, most: int | None = None) -> Sequence[str]:
        """See TokenStore.create."""
        key = self._keys(session.user_id)
        now = session.created_at
        values = _encode({name: getattr(session, name) for name in _FIELDS})
        ended = await self._ask(
            self._create,
            keys=[key.session(session.id), key.open, key.ends, key.epochs, key.feed],
            args=[
                *(session.id, session.epoch, _text(now)),
                *(_milliseconds(session.ends_at), _forget_at(session.ends_at)),
                *(_milliseconds(now - FEED_OVERLAP), BATCH, most or "", key.session("")),
                *(TOO_MANY_SESSIONS, _milliseconds(now), _forget_at(now), _FEED_LIFE),
                *values,
            ],
        )
        if ended == 0:
            raise StaleLogin
        return [_as_text(session_id) for session_id in ended]

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        """See TokenStore.get."""
        key = self._keys(user_id)
        found, epochs = await self._ask(self._get, keys=[key.session(session_id), key.epochs])
        session = _decode(found)
        if session is None or session.user_id != user_id:
            return None
        return StoredSession(session, _epochs(epochs))

    async def compare_and_set(
        self, user_id: str, session_id: str, version: int, changes: SessionChanges
    ) -> bool:
        """See TokenStore.compare_and_set."""
        key = self._keys(user_id)
        idle_end = changes.get("idle_expires_at")
        ends: list[Any] = ["", ""]
        if idle_end is not None:
            ends = [_milliseconds(idle_end), _forget_at(idle_end)]
        written = await self._ask(
            self._compare_and_set,
            keys=[key.session(session_id), key.open, key.ends],
            args=[user_id, session_id, version, *ends, *_encode(changes)],
        )
        return bool(written)

    async def revoke(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        """See TokenStore.revoke."""
        key = self._keys(user_id)
        ended = await self._ask(
            self._revoke,
            keys=[key.session(session_id), key.open, key.ends, key.feed],
            args=[
                *(user_id, session_id, reason, _text(now), _forget_at(now)),
                *(_milliseconds(now), _FEED_LIFE),
            ],
        )
        return bool(ended)

    async def revoke_all(self, user_id: str, reason: str, now: datetime) -> int:
        """See TokenStore.revoke_all."""
        key = self._keys(user_id)
        epoch = await self._ask(
            self._revoke_all,
            keys=[key.open, key.ends, key.ended, key.epochs, key.feed],
            args=[user_id, _milliseconds(now), _FEED_LIFE],
        )
        with suppress(StoreUnavailable):
            await self._say_why(key, reason, now)
        return int(epoch)

    async def revoke_others(
        self, user_id: str, keep: str | None, reason: str, now: datetime
    ) -> Sequence[str]:
        """See TokenStore.revoke_others."""
        key = self._keys(user_id)
        ended: list[str] = []
        left = 1
        while left:
            batch, left = await self._ask(
                self._revoke_others,
                keys=[key.open, key.ends, key.feed],
                args=[
                    *(key.session(""), keep or "", reason, _text(now), _forget_at(now)),
                    *(BATCH, _milliseconds(now), _FEED_LIFE),
                ],
            )
            ended += map(_as_text, batch)
        return ended

    async def void_access_tokens(self, user_id: str, now: datetime) -> int:
        """See TokenStore.void_access_tokens."""
        key = self._keys(user_id)
        epoch = await self._ask(
            self._void, keys=[key.epochs, key.feed], args=[user_id, _milliseconds(now), _FEED_LIFE]
        )
        return int(epoch)

    async def epochs(self, user_id: str) -> Epochs:
        """See TokenStore.epochs."""
        names = ["epoch", "sessions_from"]
        values = await self._ask(self._client.hmget, self._keys(user_id).epochs, names)
        return _epochs(values)

    async def list_by_user(
        self, user_id: str, now: datetime, *, limit: int = MAX_LISTED, after: str | None = None
    ) -> Sequence[Session]:
        """See TokenStore.list_by_user."""
        key = self._keys(user_id)
        if after == "":  # the script takes it for the beginning
            raise LookupError("no such session")
        behind, began_at = after or "", ""
        live: list[Session] = []
        while True:  # more than once where sessions ended by time
            page = await self._ask(
                self._list,
                keys=[key.open, key.session(behind), key.epochs],
                args=[key.session(""), user_id, behind, began_at, limit],
            )
            if not page:
                raise LookupError("no such session")
            found, sessions_from = page[0], int(page[1])
            behind, began_at = _as_text(page[2]), _as_text(page[3])
            sessions = [session for session in map(_decode, found) if session is not None]
            live += [s for s in sessions if s.is_live(now, sessions_from=sessions_from)]
            if len(live) >= limit or len(found) < limit:
                return live[:limit]

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        """See TokenStore.revoked_since."""
        start = str(_milliseconds(now - keep - FEED_OVERLAP))
        places = cursor.split() if cursor else [start] * BUCKETS
        crowded = sum(place.endswith(MORE) for place in places)
        counts = [_share(place, crowded) for place in places]
        answers = await self._ask(self._read_feeds, places, counts)
        pages = [_page(*each) for each in zip(places, answers, counts, strict=True)]
        entries = [_texts(values) for page, _ in pages for _, values in page]
        return Revocations(
            session_ids=[entry["session"] for entry in entries if "session" in entry],
            epochs=[(e["user"], int(e["epoch"])) for e in entries if "user" in e],
            cursor=" ".join(place for _, place in pages),
            has_more=any(place.endswith(MORE) for _, place in pages),
        )

    async def count_failure(self, user_id: str) -> int:
        """See FailureStore.count_failure."""
        return int(await self._ask(self._client.incr, self._keys(user_id).failures))

    async def failures(self, user_id: str) -> int:
        """See FailureStore.failures."""
        return int(await self._ask(self._client.get, self._keys(user_id).failures) or 0)

    async def clear_failures(self, user_id: str, *, below: int | None = None) -> None:
        """See FailureStore.clear_failures."""
        limit = "" if below is None else below
        await self._ask(self._clear_failures, keys=[self._keys(user_id).failures], args=[limit])

    async def purge(self, before: datetime, limit: int) -> int:  # noqa: ARG002
        """See TokenStore.purge; Redis expires sessions by itself, so there is nothing to do."""
        return 0

    async def aclose(self) -> None:
        """Close the client: for programs that share it with nothing else."""
        await self._client.aclose()

    async def _say_why(self, key: "_Keys", reason: str, now: datetime) -> None:
        """Note in each session that fell to an end of all when and why, a few at a time."""
        left = 1
        while left:
            left = await self._ask(
                self._note_ends,
                keys=[key.ended],
                args=[key.session(""), reason, _text(now), _forget_at(now), BATCH],
            )

    async def _read_feeds(self, places: Sequence[str], counts: Sequence[int]) -> Any:
        async with self._client.pipeline(transaction=False) as pipeline:
            for bucket, (place, count) in enumerate(zip(places, counts, strict=True)):
                pipeline.xrange(self._feed(bucket), min=place.removesuffix(MORE), count=count)
            return await pipeline.execute()

    async def _ask(
        self, command: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        """Run *command* when it is its turn; its failure becomes the library's own error."""
        give_up_at = time.monotonic() + PATIENCE
        try:
            async with self._turns:
                return await _once_connected(give_up_at, command, *arguments, **options)
        except FAILURES as error:
            is_exhausted = _is_exhausted(error)
            cause = f"{type(error).__name__}. {POOL_EXHAUSTED}" if is_exhausted else describe(error)
            logger.error("Redis failed: %s", cause)  # noqa: TRY400 (keys)
            raise StoreUnavailable from None

    def _keys(self, user_id: str) -> "_Keys":
        bucket = zlib.crc32(user_id.encode()) % BUCKETS
        return _Keys(self._tag(bucket), user_id, self._feed(bucket))

    def _tag(self, bucket: int) -> str:
        return f"{self._prefix}:{{{self._prefix}-{bucket}}}"

    def _feed(self, bucket: int) -> str:
        return f"{self._tag(bucket)}:revoked"


# A cursor holds a place in each bucket's stream: the id of the last entry that was read, or a
# moment in milliseconds; MORE behind it says that there is more to read at once.


def _share(place: str, crowded: int) -> int:
    """Return how many entries of a bucket to read; those with a backlog share a page."""
    return FEED_PAGE // (crowded if place.endswith(MORE) else BUCKETS) + 1


def _page(place: str, answer: Sequence[Any], asked: int) -> tuple[Sequence[Any], str]:
    """Return the entries behind *place*, and the place behind them."""
    place = place.removesuffix(MORE)
    more = MORE if len(answer) == asked else ""
    moment, is_entry, _ = place.partition("-")
    if not is_entry:
        return answer, (_as_text(answer[-1][0]) if answer else place) + more
    if not answer or _as_text(answer[0][0]) != place:
        # Our place is gone: it is older than the stream is long, or a failover lost the stream's
        # end, and what was written since may stand before it.
        return [], str(int(moment) - _OVERLAP) + MORE
    return answer[1:], _as_text(answer[-1][0]) + more


class _Keys:
    """The names of one user's keys."""

    def __init__(self, tag: str, user_id: str, feed: str) -> None:
        self._tag = tag
        self.open = f"{tag}:open:{user_id}"
        self.ends = f"{tag}:ends:{user_id}"
        self.ended = f"{tag}:ended:{user_id}"
        self.epochs = f"{tag}:epochs:{user_id}"
        self.failures = f"{tag}:failures:{user_id}"
        self.feed = feed

    def session(self, session_id: str) -> str:
        return f"{self._tag}:session:{session_id}"


async def _once_connected(
    give_up_at: float, command: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
) -> Any:
    """Run *command*, again while others hold all connections of the client: nothing was sent."""
    while True:
        try:
            return await command(*arguments, **options)
        except RedisConnectionError as error:
            if not _is_exhausted(error) or time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(random.uniform(0.005, 0.02))  # noqa: S311  no secret


def _check_client(client: object) -> None:
    # A wrapper of the application's own is as good.
    is_synchronous = isinstance(client, redis.Redis | redis.RedisCluster)
    if is_synchronous or not hasattr(client, "register_script"):
        kind = "the synchronous one" if is_synchronous else type(client).__name__
        raise ConfigurationError(
            f"RedisTokenStore needs a client of redis.asyncio, not {kind}. Make it with "
            'redis.asyncio.Redis.from_url("redis://localhost:6379/0").'
        )


def _max_connections(client: Any) -> int:
    """Return how many connections *client* may open; those of a cluster, to each node."""
    if isinstance(client, RedisCluster):
        return int(client.connection_kwargs.get("max_connections", MAX_COMMANDS))
    pool = getattr(client, "connection_pool", None)  # a wrapper around a client may have none
    return int(getattr(pool, "max_connections", MAX_COMMANDS))


def _is_exhausted(error: BaseException | None) -> bool:
    """Tell whether *error* says that all connections of the client are in use."""
    # Before redis-py 6 the pool of a single Redis had no class for it.
    return isinstance(error, MaxConnectionsError) or str(error) == "Too many connections"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


_FEED_LIFE = int(FEED_LIFE.total_seconds() * 1000)
_OVERLAP = int(FEED_OVERLAP.total_seconds() * 1000)


def _forget_at(end: datetime) -> int:
    return _milliseconds(end + TOMBSTONE)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return str((value - _EPOCH_ZERO) // timedelta(microseconds=1))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(int(value)) if isinstance(value, bool) else str(value)


def _encode(values: Mapping[str, Any]) -> list[str]:
    """Make the name-value list of HSET; what is None stays away."""
    present = ((name, _text(value)) for name, value in values.items() if value is not None)
    return [text for pair in present for text in pair]


def _decode(answer: Any) -> Session | None:
    if not answer:
        return None
    is_mapping = isinstance(answer, Mapping)  # as commands return it; scripts give a flat list
    pairs = answer.items() if is_mapping else zip(answer[::2], answer[1::2], strict=True)
    values: dict[str, Any] = {}
    for key, value in pairs:
        name, read = _READERS[key]
        values[name] = read(value)
    return Session(**values)


def _moment(value: Any) -> datetime:
    return _EPOCH_ZERO + timedelta(microseconds=int(value))


def _truth(value: Any) -> bool:
    return value in {b"1", "1"}


def _texts(answer: Any) -> dict[str, str]:
    """Read a mapping as scripts (a flat list) and commands (a dict) return it."""
    if isinstance(answer, Mapping):
        return {_as_text(name): _as_text(value) for name, value in answer.items()}
    flat = [_as_text(item) for item in answer]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _epochs(values: Sequence[Any]) -> Epochs:
    epoch, sessions_from = (int(value or 0) for value in values)
    return Epochs(epoch, sessions_from)


def _reader(name: str) -> Callable[[Any], Any]:
    if name in _MOMENTS:
        return _moment
    if name in _NUMBERS:
        return int
    if name == "salt":
        return base64.b64decode
    return _truth if name == "confirmed" else _as_text


_READERS: Mapping[Any, tuple[str, Callable[[Any], Any]]] = {
    key: (name, _reader(name)) for name in _FIELDS for key in (name, name.encode())
}
"""By the name as clients return it, with and without ``decode_responses``."""
