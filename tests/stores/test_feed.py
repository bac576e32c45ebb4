"""The feed of revocations where there are many: it is read to its end, whatever its length."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from redis.asyncio import Redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from apps import EMAIL, PASSWORD, make_kit
from engines import engine_on
from jwt_auth_kit import (
    AuthKit,
    MemoryTokenStore,
    RevokedToken,
    Session,
    SignedIn,
    StoreUnavailable,
    TokenStore,
)
from jwt_auth_kit.stores.base import FEED_PAGE, Revocations
from jwt_auth_kit.stores.redis import BUCKETS, RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema, sessions

MANY = 60_000
KEEP = timedelta(minutes=15)
PATIENCE = 60  # seconds, for a machine that is busy; the pages stop coming long before

Fill = Callable[[datetime], Awaitable[None]]
"""Ends 60,000 sessions one by one at a moment and in the seconds before it."""


Crowded = tuple[TokenStore, Fill]

COLUMNS = (
    "INSERT INTO auth_sessions (id, user_id, epoch, salt, created_at, auth_time, expires_at, "
    "idle_expires_at, window_from, last_seen_at, gen, parent, confirmed, revoked_at, "
    "revoke_reason, version, announced_at) "
)
SQLITE = COLUMNS + (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 60000) "
    "SELECT 'ended-' || n, 'somebody', 0, x'00', :now, :now, :now, :now, :now, :now, 1, 0, 0, "
    ":now, 'logged_out', 2, strftime('%Y-%m-%d %H:%M:', :now) || "
    "printf('%02d.%06d', 10 + n / 2000, n / 3) FROM numbers"
)
POSTGRESQL = COLUMNS + (
    "SELECT 'ended-' || n, 'somebody', 0, '\\x00', now, now, now, now, now, now, 1, 0, false, "
    "now, 'logged_out', 2, now - make_interval(secs => (60000 - n) / 3 / 2000.0) "
    "FROM generate_series(1, 60000) AS n, (SELECT CAST(:now AS timestamptz) AS now) AS moment"
)


async def fill_sql(engine: AsyncEngine, statement: str, now: datetime) -> None:
    moment = now if statement is POSTGRESQL else now.strftime("%Y-%m-%d %H:%M:%S.%f")
    async with engine.begin() as connection:
        await connection.execute(text(statement), {"now": moment})


async def fill_redis(client: Redis, now: datetime) -> None:
    bucket = crc32(b"somebody") % BUCKETS
    milliseconds = int(now.timestamp() * 1000)
    await client.eval(
        "for n = 1, 60000 do redis.call('XADD', KEYS[1], string.format('%.0f-*', "
        "ARGV[1] - 20000 + math.floor(n / 3)), 'session', 'ended-' .. n) end",
        1,
        f"auth:{{auth-{bucket}}}:revoked",
        str(milliseconds),
    )


class Watched:
    """A store that counts how its feed is read."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self.sizes: list[int] = []
        self.cursors: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def revoked_since(self, *arguments: Any, **options: Any) -> Revocations:
        page: Revocations = await self._store.revoked_since(*arguments, **options)
        self.sizes.append(len(page.session_ids) + len(page.epochs))
        self.cursors.append(page.cursor)
        return page


class Many:
    """What holds on every database."""

    async def test_sixty_thousand_ended_sessions_are_read_in_pages_and_to_the_end(
        self, crowded: Crowded
    ) -> None:
        store, fill = crowded
        there = make_kit(tokens=store)
        good, bad = await sign_in_twice(there)
        await fill(there.now())
        await there.logout(bad.tokens.refresh_token, "refresh")
        watched: Any = Watched(store)
        here = make_kit(
            users=there.users, tokens=watched, keys=there.jwt.keys,
            settings={"when_stale": "reject", "revocation_interval": 300},
        )  # fmt: skip

        await authenticate(here, good)
        with pytest.raises(RevokedToken):
            await here.authenticate(bad.tokens.access_token)

        await close(here, there)
        assert sum(watched.sizes) > MANY
        assert max(watched.sizes) <= 2 * FEED_PAGE
        assert len(set(watched.cursors)) == len(watched.cursors)

    async def test_after_a_long_feed_a_new_revocation_is_still_told(self, crowded: Crowded) -> None:
        store, fill = crowded
        there = make_kit(tokens=store)
        good, bad = await sign_in_twice(there)
        await fill(there.now())
        here = make_kit(
            users=there.users, tokens=store, keys=there.jwt.keys,
            settings={"when_stale": "reject", "revocation_interval": 0},
        )  # fmt: skip
        await authenticate(here, bad)

        await there.logout(bad.tokens.refresh_token, "refresh")

        with pytest.raises(RevokedToken):
            await authenticate(here, bad)
        await authenticate(there, good)
        await close(here, there)


class TestManyOnSQLite(Many):
    @pytest.fixture
    async def crowded(self, tmp_path: Path) -> AsyncIterator[Crowded]:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine)
            yield SQLAlchemyTokenStore(engine), partial(fill_sql, engine, SQLITE)


class TestManyOnPostgreSQL(Many):
    @pytest.fixture
    async def crowded(self, postgresql_engine: AsyncEngine) -> Crowded:
        fill = partial(fill_sql, postgresql_engine, POSTGRESQL)
        return SQLAlchemyTokenStore(postgresql_engine), fill


class TestManyOnRedis(Many):
    @pytest.fixture
    async def crowded(self, redis: Redis) -> Crowded:
        return RedisTokenStore(redis), partial(fill_redis, redis)


async def sign_in_twice(kit: AuthKit) -> tuple[SignedIn, SignedIn]:
    return await kit.register(EMAIL, PASSWORD), await kit.login(EMAIL, PASSWORD)


async def close(*kits: AuthKit) -> None:
    for kit in kits:
        await kit.aclose()


async def authenticate(kit: AuthKit, signed_in: SignedIn) -> None:
    """Ask again while the feed is being read, as the requests of a busy site do."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await kit.authenticate(signed_in.tokens.access_token)
            except StoreUnavailable:  # a page that took too long is read a second later
                await asyncio.sleep(0.01)
            else:
                return


class Slow(MemoryTokenStore):
    """Takes so long for a page that a few of them are more than the time limit of a read."""

    async def revoked_since(self, *arguments: Any, **options: Any) -> Revocations:
        await asyncio.sleep(0.4)
        return await super().revoked_since(*arguments, **options)


@pytest.mark.parametrize("when_stale", ["check", "reject", "allow"])
async def test_a_backlog_that_takes_longer_than_a_read_may_is_read_all_the_same(
    when_stale: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Slow()
    there = make_kit(tokens=tokens)
    good, bad = await sign_in_twice(there)
    for _ in range(4 * FEED_PAGE):
        await tokens.void_access_tokens("somebody", there.now())
    await there.logout(bad.tokens.refresh_token, "refresh")
    here = make_kit(
        users=there.users, tokens=tokens, keys=there.jwt.keys,
        settings={"when_stale": when_stale, "revocation_interval": 300},
    )  # fmt: skip

    outcomes = [await outcome(here, bad) for _ in range(10)]

    assert outcomes[0] == {"check": "revoked", "reject": "503", "allow": "passed"}[when_stale]
    assert outcomes[-1] == "revoked"
    assert await outcome(here, good) == "passed"
    assert "has a backlog" in caplog.text


async def outcome(kit: AuthKit, signed_in: SignedIn) -> str:
    try:
        await kit.authenticate(signed_in.tokens.access_token)
    except RevokedToken:
        return "revoked"
    except StoreUnavailable:
        return "503"
    return "passed"


async def test_the_memory_store_forgets_no_revocation_while_its_token_may_live() -> None:
    store, now = MemoryTokenStore(), datetime.now(UTC)
    lost = session_of("ann", now)
    await store.create(lost)
    cursor = (await store.revoked_since(None, now, keep=KEEP)).cursor
    await store.revoke("ann", lost.id, "logged_out", now)

    for _ in range(110_000):
        await store.void_access_tokens("somebody", now)

    assert lost.id in await read_on(store, cursor, now)


async def test_the_memory_store_forgets_old_revocations_and_cursors_stay_good() -> None:
    store, now = MemoryTokenStore(), datetime.now(UTC)
    cursor = (await store.revoked_since(None, now, keep=KEEP)).cursor
    for _ in range(100):
        await store.void_access_tokens("old", now)
    ended = session_of("ann", now)
    await store.create(ended)

    later = now + timedelta(days=1, minutes=1)
    await store.revoke("ann", ended.id, "logged_out", later)

    page = await store.revoked_since(cursor, later, keep=KEEP)
    assert (list(page.session_ids), list(page.epochs)) == ([ended.id], [])


async def read_on(store: TokenStore, cursor: str | None, now: datetime) -> set[str]:
    """Return the ids that are told from *cursor* to the end."""
    told: set[str] = set()
    has_more = True
    while has_more:
        page = await store.revoked_since(cursor, now, keep=KEEP)
        told |= set(page.session_ids)
        cursor, has_more = page.cursor, page.has_more
    return told


def session_of(user_id: str, now: datetime) -> Session:
    days = timedelta(days=7)
    return Session.start(user_id, now, epoch=0, idle_ttl=days, absolute_ttl=days)


class TestAFailoverOfRedis:
    async def test_what_is_revoked_after_it_is_told_though_its_place_is_before_the_cursor(
        self, redis: Redis
    ) -> None:
        store, now = RedisTokenStore(redis), datetime.now(UTC)
        lost, told = session_of("ann", now), session_of("ann", now)
        await store.create(lost)
        await store.create(told)
        await store.revoke("ann", lost.id, "logged_out", now + timedelta(seconds=20))
        cursor = (await store.revoked_since(None, now, keep=KEEP)).cursor

        await redis.delete(f"auth:{{auth-{crc32(b'ann') % BUCKETS}}}:revoked")
        await store.revoke("ann", told.id, "logged_out", now)

        assert await read_on(store, cursor, now) == {told.id}

    async def test_a_lost_stream_is_looked_for_once(self, redis: Redis) -> None:
        store, now = RedisTokenStore(redis), datetime.now(UTC)
        await store.void_access_tokens("ann", now)
        cursor = (await store.revoked_since(None, now, keep=KEEP)).cursor
        await redis.flushdb()

        pages = [await store.revoked_since(cursor, now, keep=KEEP)]
        pages.append(await store.revoked_since(pages[0].cursor, now, keep=KEEP))

        assert [page.has_more for page in pages] == [True, False]

    @pytest.mark.parametrize("change", ["revoke_all", "void_access_tokens"])
    async def test_an_epoch_it_lost_is_not_given_a_second_time(
        self, redis: Redis, change: str
    ) -> None:
        store, now = RedisTokenStore(redis), datetime.now(UTC)
        lost = await store.revoke_all("ann", "logged_out_everywhere", now)
        await redis.flushdb()

        reason = ["logged_out_everywhere"] if change == "revoke_all" else []
        again = await getattr(store, change)("ann", *reason, now + timedelta(seconds=1))

        assert again > lost


async def test_an_epoch_that_a_failover_of_postgresql_lost_is_not_given_a_second_time(
    postgresql_engine: AsyncEngine,
) -> None:
    store, now = SQLAlchemyTokenStore(postgresql_engine), datetime.now(UTC)
    lost = await store.revoke_all("ann", "logged_out_everywhere", now)
    async with postgresql_engine.begin() as connection:
        await connection.execute(text("DELETE FROM auth_epochs"))

    again = await store.revoke_all("ann", "logged_out_everywhere", now + timedelta(seconds=1))

    assert again > lost


class TestMoreThanOneStepEnds:
    async def test_an_end_of_all_is_one_entry_and_each_session_says_why(self, redis: Redis) -> None:
        store, now = RedisTokenStore(redis), datetime.now(UTC)
        ids = await many_on_redis(store, now)

        epoch = await store.revoke_all("ann", "password_changed", now)

        page = await store.revoked_since(None, now, keep=KEEP)
        assert (list(page.session_ids), list(page.epochs)) == ([], [("ann", epoch)])
        stored = [await store.get("ann", session_id) for session_id in ids[::25]]
        assert [each and each.session.revoke_reason for each in stored] == ["password_changed"] * 44

    async def test_the_others_end_on_redis(self, redis: Redis) -> None:
        store, now = RedisTokenStore(redis), datetime.now(UTC)

        await assert_others_end(store, await many_on_redis(store, now), now)

    async def test_the_others_end_on_sqlite(self, tmp_path: Path) -> None:
        now = datetime.now(UTC)
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine)
            store = SQLAlchemyTokenStore(engine)
            await store.create(session_of("ann", now))  # makes the row of epochs
            rows = [asdict(session_of("ann", now)) for _ in range(1100)]
            async with engine.begin() as connection:
                await connection.execute(insert(sessions), rows)

            await assert_others_end(store, [row["id"] for row in rows], now)

    async def test_the_others_end_in_memory(self) -> None:
        store, now = MemoryTokenStore(), datetime.now(UTC)
        live = [session_of("ann", now) for _ in range(1100)]
        for session in live:
            await store.create(session)

        await assert_others_end(store, [session.id for session in live], now)


async def many_on_redis(store: TokenStore, now: datetime) -> list[str]:
    live = [session_of("ann", now) for _ in range(1100)]
    for start in range(0, len(live), 20):
        await asyncio.gather(*(store.create(each) for each in live[start : start + 20]))
    return [session.id for session in live]


async def assert_others_end(store: TokenStore, ids: list[str], now: datetime) -> None:
    kept = ids.pop(600)

    ended = await store.revoke_others("ann", kept, "logged_out", now)

    assert set(ids) <= set(ended)
    assert kept not in ended
    assert [session.id for session in await store.list_by_user("ann", now)] == [kept]
    assert await read_on(store, None, now) == set(ended)
