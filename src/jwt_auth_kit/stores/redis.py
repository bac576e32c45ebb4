"""Sessions in Redis 7, single, replicated or as a cluster.

Needs the ``redis`` extra. All keys of a user carry one hash tag, one of 64 buckets, so each method
is one Lua script on one node of a cluster. Each bucket has a stream of its own, in which other
processes read what was revoked.
"""

import base64
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

try:
    import redis  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(
        'jwt_auth_kit.stores.redis needs redis: pip install "jwt-auth-kit[redis]"'
    ) from None
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from ..errors import StoreUnavailable
from ..sessions import TOMBSTONE, Session, SessionChanges
from .base import Epochs, Revocations, StaleLogin, StoredSession

logger = logging.getLogger("jwt_auth_kit")

FAILURES = (RedisError, RedisClusterException, OSError)
BUCKETS = 64
FEED_LIFE = timedelta(days=1)
"""How long a revocation stays in the stream; access tokens live shorter."""

FEED_OVERLAP = timedelta(seconds=60)
"""The clocks of processes differ by less than this; entries are read twice."""

_EPOCH_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = {field.name: field.type for field in fields(Session)}
_MOMENTS = frozenset(name for name in _FIELDS if name.endswith(("_at", "_from", "_time")))
_NUMBERS = frozenset({"epoch", "gen", "parent", "version"})

_ANNOUNCE = """
local function announce(feed, now, life, ...)
  -- Ids carry the time of the application, as the cursors do, and never go back.
  local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1]
  local at = tonumber(now)
  if last then at = math.max(at, tonumber(string.match(last[1], '^%d+'))) end
  local oldest = string.format('%.0f', at - life)
  redis.call('XADD', feed, 'MINID', '~', oldest, string.format('%.0f-*', at), ...)
end
local function end_session(key, reason, now)
  local state = redis.call('HMGET', key, 'version', 'revoked_at')
  if not state[1] or state[2] then return 0 end
  redis.call('HSET', key, 'revoked_at', now, 'revoke_reason', reason, 'version', state[1] + 1)
  return 1
end
"""

_EXPIRE = """
local function expire(session, index, session_id, at)
  redis.call('PEXPIREAT', session, at)
  redis.call('ZADD', index, at, session_id)
  if redis.call('PEXPIRETIME', index) < tonumber(at) then redis.call('PEXPIREAT', index, at) end
end
"""

_CREATE = (
    _EXPIRE
    + """
local session, index, epochs = KEYS[1], KEYS[2], KEYS[3]
local session_id, epoch, now, ends_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if tonumber(redis.call('HGET', epochs, 'sessions_from') or 0) > tonumber(epoch) then return 0 end
redis.call('HSET', session, unpack(ARGV, 5))
redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. now)
expire(session, index, session_id, ends_at)
return 1
"""
)

_GET = """
return {redis.call('HGETALL', KEYS[1]), redis.call('HMGET', KEYS[2], 'epoch', 'sessions_from')}
"""

_COMPARE_AND_SET = (
    _EXPIRE
    + """
local session, index = KEYS[1], KEYS[2]
local user_id, session_id, version, ends_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local state = redis.call('HMGET', session, 'user_id', 'version', 'revoked_at')
if state[1] ~= user_id or state[2] ~= version or state[3] then return 0 end
redis.call('HSET', session, 'version', version + 1, unpack(ARGV, 5))
if ends_at ~= '' then expire(session, index, session_id, ends_at) end
return 1
"""
)

_REVOKE = (
    _ANNOUNCE
    + """
local session, feed = KEYS[1], KEYS[2]
local user_id, session_id, reason, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local announced_at, life = ARGV[5], ARGV[6]
if redis.call('HGET', session, 'user_id') ~= user_id then return 0 end
if end_session(session, reason, now) == 0 then return 0 end
announce(feed, announced_at, life, 'session', session_id)
return 1
"""
)

_REVOKE_ALL = (
    _ANNOUNCE
    + """
local index, epochs, feed = KEYS[1], KEYS[2], KEYS[3]
local user_id, prefix, reason, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local announced_at, life = ARGV[5], ARGV[6]
local epoch = redis.call('HINCRBY', epochs, 'epoch', 1)
redis.call('HSET', epochs, 'sessions_from', epoch)
for _, session_id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
  -- Told one by one too: should a failover lose the epoch, it would be given a second time.
  if end_session(prefix .. session_id, reason, now) == 1 then
    announce(feed, announced_at, life, 'session', session_id)
  end
end
announce(feed, announced_at, life, 'user', user_id, 'epoch', epoch)
return epoch
"""
)

_VOID = (
    _ANNOUNCE
    + """
local epochs, feed = KEYS[1], KEYS[2]
local user_id, announced_at, life = ARGV[1], ARGV[2], ARGV[3]
local epoch = redis.call('HINCRBY', epochs, 'epoch', 1)
announce(feed, announced_at, life, 'user', user_id, 'epoch', epoch)
return epoch
"""
)

_LIST = """
local index, prefix = KEYS[1], ARGV[1]
local found = {}
for _, session_id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
  found[#found + 1] = redis.call('HGETALL', prefix .. session_id)
end
return {found, redis.call('HGET', KEYS[2], 'sessions_from') or '0'}
"""


class RedisTokenStore:
    """Keeps each session in a hash that Redis expires by itself, a day after its end.

    Args:
        client: a ``redis.asyncio`` client, single or cluster, with or without
            ``decode_responses``. Configure its timeouts; the store adds none.
        prefix: begins every key, so that several applications can share a database.
    """

    def __init__(self, client: Redis | RedisCluster, *, prefix: str = "auth") -> None:
        self._client: Any = client
        self._prefix = prefix
        self._create = self._client.register_script(_CREATE)
        self._get = self._client.register_script(_GET)
        self._compare_and_set = self._client.register_script(_COMPARE_AND_SET)
        self._revoke = self._client.register_script(_REVOKE)
        self._revoke_all = self._client.register_script(_REVOKE_ALL)
        self._void = self._client.register_script(_VOID)
        self._list = self._client.register_script(_LIST)

    async def create(self, session: Session) -> None:
        """See TokenStore.create."""
        key = self._keys(session.user_id)
        ends_at = _tombstone_end(session.ends_at)
        now = _milliseconds(session.created_at)
        values = _encode({name: getattr(session, name) for name in _FIELDS})
        with _translated:
            created = await self._create(
                keys=[key.session(session.id), key.index, key.epochs],
                args=[session.id, session.epoch, now, ends_at, *values],
            )
        if not created:
            raise StaleLogin

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        """See TokenStore.get."""
        key = self._keys(user_id)
        with _translated:
            found, epochs = await self._get(keys=[key.session(session_id), key.epochs])
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
        ends_at = "" if idle_end is None else _tombstone_end(idle_end)
        with _translated:
            written = await self._compare_and_set(
                keys=[key.session(session_id), key.index],
                args=[user_id, session_id, version, ends_at, *_encode(changes)],
            )
        return bool(written)

    async def revoke(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        """See TokenStore.revoke."""
        key = self._keys(user_id)
        with _translated:
            ended = await self._revoke(
                keys=[key.session(session_id), key.feed],
                args=[user_id, session_id, reason, _text(now), _milliseconds(now), _FEED_LIFE],
            )
        return bool(ended)

    async def revoke_all(self, user_id: str, reason: str, now: datetime) -> int:
        """See TokenStore.revoke_all."""
        key = self._keys(user_id)
        with _translated:
            epoch = await self._revoke_all(
                keys=[key.index, key.epochs, key.feed],
                args=[
                    *(user_id, key.session(""), reason, _text(now)),
                    *(_milliseconds(now), _FEED_LIFE),
                ],
            )
        return int(epoch)

    async def void_access_tokens(self, user_id: str, now: datetime) -> int:
        """See TokenStore.void_access_tokens."""
        key = self._keys(user_id)
        with _translated:
            epoch = await self._void(
                keys=[key.epochs, key.feed], args=[user_id, _milliseconds(now), _FEED_LIFE]
            )
        return int(epoch)

    async def epochs(self, user_id: str) -> Epochs:
        """See TokenStore.epochs."""
        with _translated:
            values = await self._client.hmget(
                self._keys(user_id).epochs, ["epoch", "sessions_from"]
            )
        return _epochs(values)

    async def list_by_user(self, user_id: str, now: datetime) -> Sequence[Session]:
        """See TokenStore.list_by_user."""
        key = self._keys(user_id)
        with _translated:
            found, sessions_from = await self._list(
                keys=[key.index, key.epochs], args=[key.session("")]
            )
        sessions = [session for session in map(_decode, found) if session is not None]
        live = [s for s in sessions if s.is_live(now, sessions_from=int(sessions_from))]
        return sorted(live, key=lambda session: session.created_at, reverse=True)

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        """See TokenStore.revoked_since."""
        since = cursor or str(_milliseconds(now - keep - FEED_OVERLAP))
        async with self._client.pipeline(transaction=False) as pipeline:
            for bucket in range(BUCKETS):
                pipeline.xrange(self._feed(bucket), min=since)
            with _translated:
                answers = await pipeline.execute()
        entries = [_texts(values) for answer in answers for _, values in answer]
        return Revocations(
            session_ids=[entry["session"] for entry in entries if "session" in entry],
            epochs=[(e["user"], int(e["epoch"])) for e in entries if "user" in e],
            cursor=str(_milliseconds(now - FEED_OVERLAP)),
        )

    async def purge(self, before: datetime, limit: int) -> int:  # noqa: ARG002
        """See TokenStore.purge; Redis expires sessions by itself, so there is nothing to do."""
        return 0

    async def aclose(self) -> None:
        """Close the client: for programs that share it with nothing else."""
        await self._client.aclose()

    def _keys(self, user_id: str) -> "_Keys":
        bucket = zlib.crc32(user_id.encode()) % BUCKETS
        return _Keys(self._tag(bucket), user_id, self._feed(bucket))

    def _tag(self, bucket: int) -> str:
        return f"{self._prefix}:{{{self._prefix}-{bucket}}}"

    def _feed(self, bucket: int) -> str:
        return f"{self._tag(bucket)}:revoked"


class _Keys:
    """The names of one user's keys."""

    def __init__(self, tag: str, user_id: str, feed: str) -> None:
        self._tag = tag
        self.index = f"{tag}:sessions:{user_id}"
        self.epochs = f"{tag}:epochs:{user_id}"
        self.feed = feed

    def session(self, session_id: str) -> str:
        return f"{self._tag}:session:{session_id}"


class _Translation:
    """Turns a failure of Redis into the library's own error, here and nowhere else."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, FAILURES):
            logger.error("Redis failed: %s", kind.__name__)  # no keys in the log
            raise StoreUnavailable from None


_translated = _Translation()


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


_FEED_LIFE = int(FEED_LIFE.total_seconds() * 1000)


def _tombstone_end(end: datetime) -> int:
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
