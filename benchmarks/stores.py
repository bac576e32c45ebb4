"""What a refresh costs, store by store: python benchmarks/stores.py fails where it costs too much.

One rotation is made in four ways, which run in turns:

- refresh: ``AuthKit.refresh``, all of it but HTTP, with the account in memory: the rotation, and
  beside it the check of one token and the signatures of two.
- store: the rotation: ``TokenStore.get``, ``decide()`` and ``compare_and_set``.
- floor: the texts of the same two statements through the same driver and the same pool without
  our code: ``exec_driver_sql`` on the engine of the store (on PostgreSQL without BEGIN and COMMIT,
  which one statement does not need), EVALSHA on its Redis client.
- bare: the same texts on open connections of the driver, without SQLAlchemy.

The growth limit is on refresh, the share of the floor on the rotation. Every rotation is of
another random session. PostgreSQL and Redis run without durability: waiting for a disk would hide
our share.
"""

import argparse
import asyncio
import base64
import gc
import hashlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg  # type: ignore[import-untyped]  # it has no stubs
import psycopg
from redis.asyncio import Redis
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from jwt_auth_kit import AuthKit, AuthSettings, KeyRing, MemoryTokenStore, MemoryUserStore
from jwt_auth_kit.sessions import Session, SessionChanges, decide
from jwt_auth_kit.stores.base import NewUser, StoredSession, TokenStore
from jwt_auth_kit.stores.redis import BUCKETS, RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    create_schema,
    epochs,
    sessions,
)

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import servers

MAX_GROWTH = 1.3
"""p50 with the most sessions over p50 with the fewest."""

MIN_SHARE = 0.6
"""Rate of the rotation over rate of the floor, with the most rotations in flight."""

SIZES = [1_000, 100_000, 1_000_000]
QUICK_SIZES = [1_000, 20_000]
IN_FLIGHT = (1, 16)
ROUNDS = 5
QUICK_ROUNDS = 3
ROTATIONS = 160
QUICK_ROTATIONS = 64
"""In each round."""

SESSIONS_PER_USER = 4
POOL = max(IN_FLIGHT)

READ = (
    "SELECT s.*, e.epoch AS user_epoch, e.sessions_from FROM auth_sessions s"
    " LEFT JOIN auth_epochs e ON e.user_id = s.user_id WHERE s.id = {} AND s.user_id = {}"
)
WRITE = (
    "UPDATE auth_sessions SET gen = {}, parent = {}, confirmed = {}, window_from = {},"
    " idle_expires_at = {}, last_seen_at = {}, version = {}"
    " WHERE id = {} AND user_id = {} AND version = {} AND revoked_at IS NULL"
)

KEYS = KeyRing.random()
SETTINGS = AuthSettings(refresh_ttl=timedelta(days=30))
BEGAN = datetime.now(UTC) - timedelta(hours=1)
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36"

Job = Callable[[], Awaitable[None]]
"""One rotation; what is not to be measured was done when it was made."""

Way = Callable[[Session, SessionChanges], Job]
"""Makes the rotation of a session that writes these changes."""

Connections = asyncio.LifoQueue[Any]


def main() -> int:
    """Run everything; return the exit code."""
    options = _options()
    plan = Plan(options.sessions, options.rounds, QUICK_ROTATIONS if options.quick else ROTATIONS)
    started = time.perf_counter()
    users = asyncio.run(make_users(max(options.sessions) // SESSIONS_PER_USER))
    print(HEADER)
    failures = []
    for name in options.stores:
        with asyncio.Runner() as runner:
            results = runner.run(measure(name, plan, users))
        failures += report(name, results)
        gc.unfreeze()
    print(f"{time.perf_counter() - started:.0f} s")
    for failure in failures:
        print(f"MISSED: {failure}")
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=_sizes, help="such as 1000,100000")
    parser.add_argument("--stores", type=_names, default=list(STORES), help=",".join(STORES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="few sessions, few rounds")
    options = parser.parse_args()
    options.sessions = options.sessions or (QUICK_SIZES if options.quick else SIZES)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def _sizes(text: str) -> list[int]:
    sizes = sorted(int(part) for part in text.split(","))
    if sizes[0] < ROTATIONS:
        raise argparse.ArgumentTypeError(f"at least {ROTATIONS} each")
    return sizes


def _names(text: str) -> list[str]:
    if unknown := set(text.split(",")) - STORES.keys():
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}")
    return text.split(",")


# -- What is measured ------------------------------------------------------------------------


class Clock:
    """Stands still in a round, and then moves past the reuse window."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.moment

    def advance(self) -> None:
        """Let every refresh token that was just made be one that rotates."""
        self.moment += SETTINGS.reuse_window + timedelta(seconds=1)


@dataclass(kw_only=True)
class Target:
    """A store that holds *size* sessions, and the ways to rotate one of them."""

    size: int
    users: MemoryUserStore
    user_ids: Sequence[str]
    store: TokenStore
    floors: Mapping[str, Way]
    count: Callable[[Sequence[Job]], Awaitable["Counts"]]
    """Runs rotations and counts what arrives at the database."""

    clock: Clock = field(default_factory=Clock)
    spent: Counter[int] = field(default_factory=Counter)
    """How often each session was rotated."""

    def __post_init__(self) -> None:
        kit = AuthKit(
            users=self.users, tokens=self.store, settings=SETTINGS, keys=KEYS, clock=self.clock
        )
        self.ways = {
            "refresh": through_kit(kit),
            "store": through_store(self.store, self.clock),
            **self.floors,
        }

    def jobs(self, way: str, count: int) -> list[Job]:
        """Make rotations of *count* sessions, picked at random."""
        self.clock.advance()
        numbers = random.sample(range(self.size), count)
        jobs = [self._job(self.ways[way], number) for number in numbers]
        self.spent.update(numbers)
        return jobs

    def _job(self, way: Way, number: int) -> Job:
        session = self._session(number)
        return way(session, decided(session, self.clock(), sessions_from=0))

    async def check(self) -> None:
        """Require that every rotation was written, whichever way it went."""
        for number in random.sample(sorted(self.spent), min(100, len(self.spent))):
            session = self._session(number)
            stored = await self.store.get(session.user_id, session.id)
            assert stored is not None
            assert stored.session.gen == stored.session.version == session.gen

    def _session(self, number: int) -> Session:
        gen = 1 + self.spent[number]
        session = session_of(number, self.user_ids)
        return replace(session, gen=gen, parent=gen - 1, version=gen)


@dataclass(frozen=True, slots=True)
class Counts:
    """What some rotations cost."""

    rotations: int
    reads: int
    writes: int
    others: int = 0


def session_of(number: int, user_ids: Sequence[str]) -> Session:
    """Return session *number* as it began; the same one each time."""
    digest = hashlib.sha256(b"%d" % number).digest()
    return Session(
        id=base64.urlsafe_b64encode(digest[:16])[:22].decode(),
        user_id=user_ids[number // SESSIONS_PER_USER],
        epoch=0,
        salt=digest[16:],
        created_at=BEGAN,
        auth_time=BEGAN,
        expires_at=BEGAN + SETTINGS.session_ttl,
        idle_expires_at=BEGAN + SETTINGS.refresh_ttl,
        window_from=BEGAN,
        last_seen_at=BEGAN,
        ip="203.0.113.17",
        user_agent=USER_AGENT,
    )


def decided(session: Session, now: datetime, *, sessions_from: int) -> SessionChanges:
    """Return what a rotation writes."""
    decision = decide(
        session,
        session.gen,
        now,
        sessions_from=sessions_from,
        window=SETTINGS.reuse_window,
        idle_ttl=SETTINGS.refresh_ttl,
    )
    assert decision.outcome == "rotate"
    assert decision.changes is not None
    return decision.changes


def through_kit(kit: AuthKit) -> Way:
    """Rotate as the router does."""

    def make(session: Session, _: SessionChanges) -> Job:
        token = kit.jwt.create_session_refresh_token(session)

        async def rotate() -> None:
            signed_in = await kit.refresh(token)
            assert signed_in.tokens.refresh_token != token

        return rotate

    return make


def through_store(store: TokenStore, clock: Clock) -> Way:
    """Rotate without tokens and users."""

    def make(session: Session, _: SessionChanges) -> Job:
        async def rotate() -> None:
            stored = await store.get(session.user_id, session.id)
            assert stored is not None
            changes = decided(stored.session, clock(), sessions_from=stored.epochs.sessions_from)
            assert await store.compare_and_set(
                session.user_id, session.id, stored.session.version, changes
            )

        return rotate

    return make


async def make_users(count: int) -> tuple[MemoryUserStore, list[str]]:
    """Make accounts; return them with their ids."""
    users = MemoryUserStore()
    return users, [(await users.create(new_user(n))).id for n in range(count)]


def new_user(number: int) -> NewUser:
    """Return an account nobody signs in to."""
    return NewUser(
        email=f"user{number}@example.com", display_name="Ada Lovelace", password_hash="-"
    )


# -- Rounds ----------------------------------------------------------------------------------


@dataclass
class Figures:
    """What the rounds of one way, size and number in flight showed."""

    rates: list[float] = field(default_factory=list)
    p50s: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: Sequence[int]
    rounds: int
    rotations: int


@dataclass
class Results:
    """All figures of one store."""

    figures: dict[tuple[str, int, int], Figures]
    """By way, sessions and rotations in flight."""

    counts: dict[int, Counts]
    """By sessions."""


async def measure(name: str, plan: Plan, users: tuple[MemoryUserStore, list[str]]) -> Results:
    """Fill a store of each size, and measure them in turns."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = stack.enter_context(SERVERS[name]()) if name in SERVERS else folder
        targets = [
            await stack.enter_async_context(STORES[name](place, size, *users))
            for size in plan.sizes
        ]
        gc.collect()
        gc.freeze()  # else each full collection walks through a million sessions kept in memory
        counts = {t.size: await t.count(t.jobs("refresh", plan.rotations)) for t in targets}
        await run_rounds(targets, replace(plan, rounds=1))  # to warm up
        figures = await run_rounds(targets, plan)
        for target in targets:
            await target.check()
        return Results(figures, counts)


async def run_rounds(targets: Sequence[Target], plan: Plan) -> dict[tuple[str, int, int], Figures]:
    """Run every way on every target in turns, so that a busy moment hits them all."""
    cells = {
        (way, target.size, in_flight): (Figures(), target)
        for in_flight in IN_FLIGHT
        for target in targets
        for way in target.ways
    }
    for _ in range(plan.rounds):
        for (way, _size, in_flight), (figures, target) in cells.items():
            await run_round(target.jobs(way, plan.rotations), in_flight, figures)
    return {cell: figures for cell, (figures, _) in cells.items()}


async def run_round(jobs: Sequence[Job], in_flight: int, figures: Figures) -> None:
    """Run *jobs*, never more than *in_flight* at once."""
    waiting = iter(jobs)
    seconds: list[float] = []

    async def work() -> None:
        for job in waiting:
            start = time.perf_counter()
            await job()
            seconds.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    figures.rates.append(len(jobs) / (time.perf_counter() - start))
    figures.p50s.append(statistics.median(seconds))
    figures.milliseconds += [second * 1000 for second in seconds]


# -- The report ------------------------------------------------------------------------------

HEADER = f"""\
refresh, store, floor and bare: rotations a second; ms: of one refresh
r/f, s/f, r/b: refresh over floor, store over floor, refresh over bare; medians of the rounds
{"store":10} {"sessions":>9} {"in flight":>9} {"refresh":>8} {"p50 ms":>7} {"p99 ms":>7} \
{"store":>8} {"floor":>8} {"bare":>8} {"r/f":>5} {"s/f":>5} {"r/b":>5}"""


def report(name: str, results: Results) -> list[str]:
    """Print the figures of a store; return what they miss."""
    figures = results.figures
    for way, size, in_flight in figures:
        if way == "refresh":
            _print_row(name, size, in_flight, figures)
    failures = [f"{name}: {text}" for text in _miscounted(results.counts)]
    sizes = sorted(results.counts)
    for in_flight in IN_FLIGHT:
        # Another program on the machine only adds time, so the best rounds tell most.
        few, many = (
            min(figures["refresh", size, in_flight].p50s) for size in (sizes[0], sizes[-1])
        )
        grown = many / few
        print(
            f"{name:10} p50 at {sizes[-1]:,} over p50 at {sizes[0]:,}, {in_flight} in flight: "
            f"{grown:.2f}"
        )
        if grown > MAX_GROWTH:
            failures.append(
                f"{name}: p50 grows {grown:.2f}-fold with {in_flight} in flight, "
                f"not {MAX_GROWTH}-fold at most"
            )
    for size in sizes:
        share = _share("store", "floor", size, POOL, figures)
        if share is not None and share < MIN_SHARE:
            failures.append(
                f"{name}: {share:.2f} of the floor at {size:,} with {POOL} in flight, "
                f"not {MIN_SHARE} at least"
            )
    return failures


def _miscounted(counts: Mapping[int, Counts]) -> Iterator[str]:
    for size, count in counts.items():
        reads, writes, others = (
            number / count.rotations for number in (count.reads, count.writes, count.others)
        )
        print(f"{'':10} {size:>9,} a rotation: {reads:g} read, {writes:g} write, {others:g} others")
        if (reads, writes, others) != (1, 1, 0):
            yield f"not one read and one write a rotation at {size:,}"


def _print_row(
    name: str, size: int, in_flight: int, figures: Mapping[tuple[str, int, int], Figures]
) -> None:
    refresh = figures["refresh", size, in_flight]
    percentiles = statistics.quantiles(refresh.milliseconds, n=100, method="inclusive")
    rates = [_rate(way, size, in_flight, figures) for way in ("store", "floor", "bare")]
    shares = [
        _share(way, base, size, in_flight, figures)
        for way, base in (("refresh", "floor"), ("store", "floor"), ("refresh", "bare"))
    ]
    print(
        f"{name:10} {size:>9,} {in_flight:>9} {statistics.median(refresh.rates):>8,.0f} "
        f"{percentiles[49]:>7.2f} {percentiles[98]:>7.2f} "
        + " ".join(f"{'-' if rate is None else format(rate, ',.0f'):>8}" for rate in rates)
        + " "
        + " ".join(f"{'-' if share is None else format(share, '.2f'):>5}" for share in shares)
    )


def _rate(
    way: str, size: int, in_flight: int, figures: Mapping[tuple[str, int, int], Figures]
) -> float | None:
    found = figures.get((way, size, in_flight))
    return None if found is None else statistics.median(found.rates)


def _share(
    way: str, base: str, size: int, in_flight: int, figures: Mapping[tuple[str, int, int], Figures]
) -> float | None:
    if (base, size, in_flight) not in figures:
        return None
    return _ratio(figures[way, size, in_flight].rates, figures[base, size, in_flight].rates)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Compare round by round, since rounds that ran side by side saw the same machine."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


# -- Memory ----------------------------------------------------------------------------------


class CountedMemoryStore(MemoryTokenStore):
    """The memory store; it has no driver to ask what arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.writes = 0

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        """Count a read."""
        self.reads += 1
        return await super().get(user_id, session_id)

    async def compare_and_set(
        self, user_id: str, session_id: str, version: int, changes: SessionChanges
    ) -> bool:
        """Count a write."""
        self.writes += 1
        return await super().compare_and_set(user_id, session_id, version, changes)


@asynccontextmanager
async def memory(
    _: Any, size: int, users: MemoryUserStore, user_ids: Sequence[str]
) -> AsyncIterator[Target]:
    """Fill a memory store. It has no driver, so no floor either."""
    store = CountedMemoryStore()
    for number in range(size):
        await store.create(session_of(number, user_ids))

    async def count(jobs: Sequence[Job]) -> Counts:
        before = store.reads, store.writes
        for job in jobs:
            await job()
        return Counts(len(jobs), store.reads - before[0], store.writes - before[1])

    yield Target(size=size, users=users, user_ids=user_ids, store=store, floors={}, count=count)


# -- SQL -------------------------------------------------------------------------------------


def through_engine(engine: AsyncEngine, dialect: "Dialect") -> Way:
    """Rotate with two texts on *engine*."""
    # Switching the mode is free on PostgreSQL, and costs two turns of a thread on SQLite.
    mode = {} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    single = engine.execution_options(**mode)

    def make(session: Session, changes: SessionChanges) -> Job:
        read, write = dialect.parameters(session, changes)

        async def rotate() -> None:
            async with single.connect() as connection:
                (await connection.exec_driver_sql(dialect.read, read)).one()
            async with single.begin() as connection:
                assert (await connection.exec_driver_sql(dialect.write, write)).rowcount == 1

        return rotate

    return make


@dataclass(frozen=True)
class Dialect:
    """How a driver wants its statements."""

    read: str
    write: str
    moment: Callable[[datetime], Any]

    @classmethod
    def of(cls, mark: Callable[[int], str], moment: Callable[[datetime], Any]) -> "Dialect":
        """Write placeholder *n* as *mark* says."""
        marks = [mark(n) for n in range(1, 11)]
        return cls(READ.format(*marks), WRITE.format(*marks), moment)

    def parameters(
        self, session: Session, changes: SessionChanges
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return those of the read and those of the write."""
        values = [
            self.moment(value) if isinstance(value, datetime) else value
            for value in (
                changes["gen"],
                changes["parent"],
                changes["confirmed"],
                changes["window_from"],
                changes["idle_expires_at"],
                changes["last_seen_at"],
            )
        ]
        key = (session.id, session.user_id)
        return key, (*values, session.version + 1, *key, session.version)


def counted_by(engine: AsyncEngine) -> Callable[[Sequence[Job]], Awaitable[Counts]]:
    """Count the statements that reach the cursors of *engine*."""

    async def count(jobs: Sequence[Job]) -> Counts:
        seen: Counter[str] = Counter()

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen[statement.split(maxsplit=1)[0]] += 1

        event.listen(engine.sync_engine, "before_cursor_execute", note)
        for job in jobs:
            await job()
        event.remove(engine.sync_engine, "before_cursor_execute", note)
        reads, writes = seen.pop("SELECT"), seen.pop("UPDATE")
        return Counts(len(jobs), reads, writes, seen.total())

    return count


def rows_of(size: int, user_ids: Sequence[str], dialect: Dialect) -> Iterator[tuple[Any, ...]]:
    """Make the rows of ``auth_sessions``, in the order of its columns."""
    names = [column.name for column in sessions.columns]
    for number in range(size):
        session = session_of(number, user_ids)
        values = (getattr(session, name, None) for name in names)
        yield tuple(dialect.moment(v) if isinstance(v, datetime) else v for v in values)


def epochs_of(
    size: int, user_ids: Sequence[str], dialect: Dialect
) -> Iterator[tuple[str, int, int, Any]]:
    """Make the rows of ``auth_epochs``, one a user, as the first login does."""
    for user_id in user_ids[: size // SESSIONS_PER_USER]:
        yield user_id, 0, 0, dialect.moment(BEGAN)


@asynccontextmanager
async def open_connections(
    connect: Callable[[], Awaitable[Any]], count: int
) -> AsyncIterator[Connections]:
    """Keep *count* connections of a driver open."""
    idle = Connections()
    opened = [await connect() for _ in range(count)]
    for connection in opened:
        idle.put_nowait(connection)
    yield idle
    for connection in opened:
        await connection.close()


def through_driver(
    idle: Connections,
    dialect: Dialect,
    read_row: Callable[[Any, str, Any], Awaitable[Any]],
    write_row: Callable[[Any, str, Any], Awaitable[bool]],
) -> Way:
    """Rotate with two texts on connections that commit by themselves."""

    def make(session: Session, changes: SessionChanges) -> Job:
        read, write = dialect.parameters(session, changes)

        async def rotate() -> None:
            connection = await idle.get()
            assert await read_row(connection, dialect.read, read)
            idle.put_nowait(connection)
            connection = await idle.get()
            assert await write_row(connection, dialect.write, write)
            idle.put_nowait(connection)

        return rotate

    return make


# -- SQLite ----------------------------------------------------------------------------------

SQLITE = Dialect.of(lambda _: "?", lambda moment: f"{moment:%Y-%m-%d %H:%M:%S.%f}")
SQLITE_POOL = 5
"""What SQLAlchemy chooses; one alone can write, and more of them wait in its busy handler."""

PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL")


@asynccontextmanager
async def sqlite(
    folder: Path, size: int, users: MemoryUserStore, user_ids: Sequence[str]
) -> AsyncIterator[Target]:
    """Fill a file with a write-ahead log."""
    path = folder / f"{size}.sqlite3"
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=SQLITE_POOL, max_overflow=0
    )
    event.listen(engine.sync_engine, "connect", _tune)
    await create_schema(engine, users=False)
    _fill_sqlite(path, size, user_ids)
    async with open_connections(lambda: _connect_sqlite(path), SQLITE_POOL) as idle:
        bare = through_driver(idle, SQLITE, _read_aiosqlite, _write_aiosqlite)
        yield Target(
            size=size,
            users=users,
            user_ids=user_ids,
            store=SQLAlchemyTokenStore(engine),
            floors={"floor": through_engine(engine, SQLITE), "bare": bare},
            count=counted_by(engine),
        )
    await engine.dispose()


def _tune(connection: Any, _: Any) -> None:
    for pragma in PRAGMAS:
        connection.execute(pragma).close()


def _fill_sqlite(path: Path, size: int, user_ids: Sequence[str]) -> None:
    database = sqlite3.connect(path)
    for pragma in ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-1000000"):
        database.execute(pragma)
    for table, rows in (
        (sessions, rows_of(size, user_ids, SQLITE)),
        (epochs, epochs_of(size, user_ids, SQLITE)),
    ):
        marks = ", ".join("?" * len(table.columns))
        database.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
    database.commit()
    database.execute("ANALYZE")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


async def _connect_sqlite(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        await connection.execute(pragma)
    return connection


async def _read_aiosqlite(connection: aiosqlite.Connection, text: str, values: Any) -> Any:
    return await connection.execute_fetchall(text, values)


async def _write_aiosqlite(connection: aiosqlite.Connection, text: str, values: Any) -> bool:
    return (await connection.execute(text, values)).rowcount == 1


# -- PostgreSQL ------------------------------------------------------------------------------


def _same(moment: datetime) -> datetime:
    return moment


@dataclass(frozen=True)
class Driver:
    """A driver of PostgreSQL, by itself."""

    name: str
    dialect: Dialect
    connect: Callable[[str], Awaitable[Any]]
    read: Callable[[Any, str, Any], Awaitable[Any]]
    write: Callable[[Any, str, Any], Awaitable[bool]]


@asynccontextmanager
async def postgresql(
    driver: Driver,
    server: servers.PostgreSQL,
    size: int,
    users: MemoryUserStore,
    user_ids: Sequence[str],
) -> AsyncIterator[Target]:
    """Fill a database of its own."""
    engine = await _filled_postgresql(server, driver.name, size, user_ids)
    async with open_connections(lambda: driver.connect(_plain_url(engine)), POOL) as idle:
        bare = through_driver(idle, driver.dialect, driver.read, driver.write)
        yield Target(
            size=size,
            users=users,
            user_ids=user_ids,
            store=SQLAlchemyTokenStore(engine),
            floors={"floor": through_engine(engine, driver.dialect), "bare": bare},
            count=counted_by(engine),
        )
    await engine.dispose()


async def _filled_postgresql(
    server: servers.PostgreSQL, driver: str, size: int, user_ids: Sequence[str]
) -> AsyncEngine:
    url = make_url(server.url(driver)).set(database=f"sessions_{size}")
    default = await _once_it_is_up(server.url("asyncpg").replace("+asyncpg", ""))
    await default.execute(f"CREATE DATABASE {url.database}")
    await default.close()
    engine = create_async_engine(url, pool_size=POOL, max_overflow=0)
    await create_schema(engine, users=False)
    filler = await asyncpg.connect(_plain_url(engine))
    await filler.copy_records_to_table(
        sessions.name, records=rows_of(size, user_ids, ASYNCPG.dialect), timeout=300
    )
    await filler.copy_records_to_table(
        epochs.name, records=epochs_of(size, user_ids, ASYNCPG.dialect)
    )
    await filler.execute("VACUUM ANALYZE")
    await filler.execute("CHECKPOINT")
    await filler.close()
    return engine


def _plain_url(engine: AsyncEngine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string()


async def _once_it_is_up(url: str) -> Any:
    """Connect; the port is open a moment before the database answers."""
    for _ in range(200):
        try:
            return await asyncpg.connect(url)
        except asyncpg.CannotConnectNowError:
            await asyncio.sleep(0.05)
    raise AssertionError("PostgreSQL does not come up")


async def _read_asyncpg(connection: Any, text: str, values: Any) -> Any:
    return await connection.fetchrow(text, *values)


async def _write_asyncpg(connection: Any, text: str, values: Any) -> bool:
    return bool(await connection.execute(text, *values) == "UPDATE 1")


async def _connect_psycopg(url: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(url, autocommit=True)


async def _read_psycopg(connection: Any, text: str, values: Any) -> Any:
    return await (await connection.execute(text, values)).fetchone()


async def _write_psycopg(connection: Any, text: str, values: Any) -> bool:
    return bool((await connection.execute(text, values)).rowcount == 1)


ASYNCPG = Driver(
    "asyncpg", Dialect.of("${}".format, _same), asyncpg.connect, _read_asyncpg, _write_asyncpg
)
PSYCOPG = Driver(
    "psycopg",
    Dialect.of(lambda _: "%s", _same),
    _connect_psycopg,
    _read_psycopg,
    _write_psycopg,
)


# -- Redis -----------------------------------------------------------------------------------


class Recorder:
    """Stands in for a Redis client and keeps the call of a script instead of making it."""

    def __init__(self) -> None:
        self.script = ""
        self.arguments: list[Any] = []

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]:
        """Return what keeps the calls of *script*."""

        async def keep(keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
            self.script, self.arguments = script, [len(keys), *keys, *args]
            return [[], [None, None]]

        return keep


def recorded(recorder: Recorder, call: Awaitable[Any]) -> tuple[str, list[Any]]:
    """Return the script that *call* would run, and its arguments."""
    steps = call.__await__()
    try:
        next(steps)
    except StopIteration:
        return recorder.script, recorder.arguments
    raise AssertionError("a recorder never waits")


def through_client(client: Any, shas: Mapping[str, str]) -> Way:
    """Rotate with two EVALSHA; Redis has no layer between its client and the store."""
    recorder = Recorder()
    store = RedisTokenStore(recorder)  # type: ignore[arg-type]  # all of a client it needs here

    def make(session: Session, changes: SessionChanges) -> Job:
        user_id, session_id = session.user_id, session.id
        get, read = recorded(recorder, store.get(user_id, session_id))
        compare_and_set, write = recorded(
            recorder, store.compare_and_set(user_id, session_id, session.version, changes)
        )

        async def rotate() -> None:
            assert await client.evalsha(shas[get], *read)
            assert await client.evalsha(shas[compare_and_set], *write) == 1

        return rotate

    return make


@asynccontextmanager
async def redis(
    server: servers.RedisServer, size: int, users: MemoryUserStore, user_ids: Sequence[str]
) -> AsyncIterator[Target]:
    """Fill a numbered database of its own."""
    client = await _empty_database(server.port)
    shas = await _fill_redis(client, size, user_ids)
    yield Target(
        size=size,
        users=users,
        user_ids=user_ids,
        store=RedisTokenStore(client),
        floors={"floor": through_client(client, shas)},
        count=counted_by_redis(client),
    )
    await client.aclose()


async def _empty_database(port: int) -> Any:
    for number in range(16):
        client: Any = Redis(port=port, db=number)
        if await client.dbsize() == 0:
            return client
        await client.aclose()
    raise AssertionError("more sizes than databases")


async def _fill_redis(client: Any, size: int, user_ids: Sequence[str]) -> Mapping[str, str]:
    """Create sessions, a thousand in each packet; return the hashes of the store's scripts."""
    shas = {script: await client.script_load(script) for script in _scripts(user_ids)}
    database = client.connection_pool.connection_kwargs["db"]
    port = client.connection_pool.connection_kwargs["port"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"SELECT %d\r\n" % database)
    assert await reader.readline() == b"+OK\r\n"
    packets = _create_packets(size, user_ids, shas)
    while chunk := list(islice(packets, 1000)):
        writer.write(b"".join(chunk))
        expected = b"*0\r\n" * len(chunk)
        assert await reader.readexactly(len(expected)) == expected
    writer.close()
    await writer.wait_closed()
    return shas


def _scripts(user_ids: Sequence[str]) -> Iterator[str]:
    session = session_of(0, user_ids)
    recorder = Recorder()
    store = RedisTokenStore(recorder)  # type: ignore[arg-type]  # all of a client it needs here
    yield recorded(recorder, store.create(session))[0]
    yield recorded(recorder, store.get(session.user_id, session.id))[0]
    yield recorded(recorder, store.compare_and_set(session.user_id, session.id, 1, {"gen": 2}))[0]


def _create_packets(size: int, user_ids: Sequence[str], shas: Mapping[str, str]) -> Iterator[bytes]:
    """Make what RedisTokenStore.create sends, by replacing in one call what differs."""
    recorder = Recorder()
    store = RedisTokenStore(recorder)  # type: ignore[arg-type]  # all of a client it needs here
    templates: dict[int, bytes] = {}
    for number in range(size):
        session = session_of(number, user_ids)
        bucket = zlib.crc32(session.user_id.encode()) % BUCKETS
        if bucket not in templates:
            script, arguments = recorded(recorder, store.create(session))
            packet = _packet("EVALSHA", shas[script], *arguments)
            for text, mark in zip(_texts(session), MARKS, strict=True):
                packet = packet.replace(text, mark)
            templates[bucket] = packet
        packet = templates[bucket]
        for mark, text in zip(MARKS, _texts(session), strict=True):
            packet = packet.replace(mark, text)
        yield packet


MARKS = (b"<user>", b"<session>", b"<salt>")


def _texts(session: Session) -> tuple[bytes, bytes, bytes]:
    """Return what differs from session to session; each is always of the same length."""
    return session.user_id.encode(), session.id.encode(), base64.b64encode(session.salt)


def _packet(*words: Any) -> bytes:
    encoded = [str(word).encode() for word in words]
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def counted_by_redis(client: Any) -> Callable[[Sequence[Job]], Awaitable[Counts]]:
    """Count the scripts Redis ran, by the one command in each that no other of them has."""

    async def count(jobs: Sequence[Job]) -> Counts:
        await client.config_resetstat()
        for job in jobs:
            await job()
        stats = await client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        reads, writes = calls.get("hgetall", 0), calls.get("hset", 0)
        return Counts(len(jobs), reads, writes, calls["evalsha"] - reads - writes)

    return count


STORES: Mapping[str, Callable[..., Any]] = {
    "memory": memory,
    "sqlite": sqlite,
    "asyncpg": partial(postgresql, ASYNCPG),
    "psycopg": partial(postgresql, PSYCOPG),
    "redis": redis,
}
SERVERS: Mapping[str, Callable[[], Any]] = {
    "asyncpg": servers.postgresql,
    "psycopg": servers.postgresql,
    "redis": servers.redis,
}


if __name__ == "__main__":
    raise SystemExit(main())
