"""Four worker processes on one store: refreshes, logouts and revocations at the same moment."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine

from apps import EMAIL, PASSWORD
from jwt_auth_kit import Argon2Hasher, AuthKit, AuthSettings, KeyRing, SignedIn, TokenStore
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
)
from processes import Answer, Line, lines_to, make_tables, running
from servers import postgresql, redis

WORKERS = 4
TABS = 16
REFRESH_ROUNDS = 200
LOGOUT_ROUNDS = 100
LATEST_REVOCATION = 5.0


@dataclass(frozen=True)
class Site:
    """Four workers, and what a kit of our own needs to share their store."""

    name: str
    port: int
    database: str
    redis: str | None
    secret: str

    @asynccontextmanager
    async def kit(self) -> AsyncIterator[AuthKit]:
        """Make a kit a minute behind, so that its tokens are past the reuse window."""
        engine = create_async_engine(self.database)
        store: TokenStore = SQLAlchemyTokenStore(engine)
        client = Redis.from_url(self.redis) if self.redis else None
        if client is not None:
            store = RedisTokenStore(client)
        yield AuthKit(
            users=SQLAlchemyUserStore(engine),
            tokens=store,
            settings=AuthSettings(max_sessions=None),  # a session for each round
            keys=KeyRing.from_secret(self.secret),
            hasher=Argon2Hasher.weak_for_tests(),
            on_event=lambda event: None,
            clock=lambda: datetime.now(UTC) - timedelta(minutes=1),
        )
        if client is not None:
            await client.aclose()
        await engine.dispose()


@pytest.fixture(scope="module", params=["postgresql", "redis"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with ExitStack() as stack:
        database = stack.enter_context(postgresql()).url("asyncpg")
        make_tables(database)
        url = stack.enter_context(redis()).url if request.param == "redis" else None
        secret = make_secret()
        environment = {"DATABASE_URL": database, "JWT_SECRET_KEY": secret}
        if url is not None:
            environment["TOKEN_STORE_URL"] = url
        processes = stack.enter_context(running(environment, workers=WORKERS))
        yield Site(request.param, processes.port, database, url, secret)


@pytest.fixture
async def kit(site: Site) -> AsyncIterator[AuthKit]:
    async with site.kit() as kit:
        yield kit


async def sessions_of(kit: AuthKit, count: int) -> Sequence[SignedIn]:
    """Sign one person in on *count* devices."""
    if await kit.users.get_by_email(EMAIL) is None:
        await kit.create_user(EMAIL, PASSWORD)
    signed_in: list[SignedIn] = []
    while len(signed_in) < count:
        signed_in += await asyncio.gather(*(kit.login(EMAIL, PASSWORD) for _ in range(10)))
    return signed_in[:count]


async def test_sixteen_refreshes_of_one_token_at_once_get_one_successor(
    site: Site, kit: AuthKit
) -> None:
    sessions = await sessions_of(kit, REFRESH_ROUNDS)
    statuses: Counter[int] = Counter()
    tries: Counter[int] = Counter()
    workers: Counter[str] = Counter()
    successors: list[set[str]] = []
    started = time.monotonic()

    async with lines_to(site.port, workers=WORKERS, each=TABS // WORKERS) as tabs:
        for session in sessions:
            token = session.tokens.refresh_token
            answers = await asyncio.gather(*(tab.refresh(token) for tab in tabs))
            statuses.update(answer.status for answer in answers)
            tries.update(int(answer.headers["x-tries"]) for answer in answers)
            workers.update(answer.worker for answer in answers)
            successors.append({answer.body.get("refresh_token") for answer in answers})

    seconds = time.monotonic() - started
    print(
        f"\n{site.name}: {REFRESH_ROUNDS} rounds of {TABS} refreshes in {seconds:.1f} s: "
        f"answers {dict(statuses)}, compare-and-set tries {dict(sorted(tries.items()))}, "
        f"requests by worker {sorted(workers.values())}"
    )
    requests = REFRESH_ROUNDS * TABS
    assert statuses == {200: requests}
    assert all(len(tokens) == 1 for tokens in successors)
    assert len(set.union(*successors)) == REFRESH_ROUNDS
    assert sum(count for tried, count in tries.items() if tried <= 2) >= 0.99 * requests
    assert len(workers) == WORKERS
    generations = [await generation(kit, session) for session in sessions]
    assert generations == [2] * REFRESH_ROUNDS


async def generation(kit: AuthKit, signed_in: SignedIn) -> int:
    stored = await kit.tokens.get(str(signed_in.user.id), signed_in.session_id)
    assert stored is not None
    return stored.session.gen


async def test_nothing_survives_a_logout_that_races_six_refreshes(site: Site, kit: AuthKit) -> None:
    sessions = await sessions_of(kit, LOGOUT_ROUNDS)
    refreshed: Counter[int] = Counter()
    logged_out: Counter[int] = Counter()
    afterwards: Counter[int] = Counter()

    async with lines_to(site.port, workers=WORKERS, each=2) as lines:
        for number, session in enumerate(sessions):
            token = session.tokens.refresh_token
            first, *others = random.sample(lines, 7)
            requests = [line.refresh(token) for line in others]
            place = number % 7
            requests.insert(place, log_out(first, token))
            answers = await asyncio.gather(*requests)
            logged_out[answers.pop(place).status] += 1
            refreshed.update(answer.status for answer in answers)
            held = {answer.body.get("refresh_token", token) for answer in answers} | {token}
            late = [await random.choice(lines).refresh(kept) for kept in held]
            afterwards.update(answer.status for answer in late)

    print(
        f"\n{site.name}: {LOGOUT_ROUNDS} logouts {dict(logged_out)} racing 6 refreshes each "
        f"{dict(refreshed)}; tokens held afterwards {dict(afterwards)}"
    )
    assert logged_out == {204: LOGOUT_ROUNDS}
    assert set(refreshed) <= {200, 401}
    assert set(afterwards) == {401}


async def log_out(line: Line, token: str) -> Answer:
    return await line.post("/auth/logout", {"refresh_token": token})


async def test_a_logout_reaches_every_worker_within_five_seconds(site: Site, kit: AuthKit) -> None:
    (session,) = await sessions_of(kit, 1)

    accepted_at, refused_at = await follow(site, session)

    slowest = max(accepted_at, default=0.0)
    print(
        f"\n{site.name}: slowest acceptance {slowest:.2f} s after the logout "
        f"({len(accepted_at)} accepted, {len(refused_at)} refused)"
    )
    assert slowest <= LATEST_REVOCATION
    assert refused_at


async def follow(site: Site, session: SignedIn) -> tuple[list[float], list[float]]:
    """Log out through one worker and ask all of them; return when requests passed or did not."""
    accepted_at: list[float] = []
    refused_at: list[float] = []
    token = session.tokens.access_token
    informed: set[str] = set()
    while len(informed) < WORKERS:  # each has a fresh feed then, the worst moment to revoke
        informed |= {answer.worker for _, answer in await burst(site, token)}
    line = await Line.open(site.port)
    revoked_at = time.monotonic()
    ended = await log_out(line, session.tokens.refresh_token)
    await line.close()
    assert ended.status == 204
    refusing = {ended.worker}

    while len(refusing) < WORKERS or time.monotonic() < revoked_at + LATEST_REVOCATION + 0.5:
        for sent_at, answer in await burst(site, token):
            assert answer.status in {200, 401}
            moments = accepted_at if answer.status == 200 else refused_at
            moments.append(sent_at - revoked_at)
            if answer.status == 401:
                refusing.add(answer.worker)
            else:  # who knows does not forget, and the worker of the logout knows at once
                assert answer.worker not in refusing
        assert time.monotonic() < revoked_at + 30, "some worker never answered"
        await asyncio.sleep(0.02)
    return accepted_at, refused_at


async def burst(site: Site, token: str) -> list[tuple[float, Answer]]:
    """Ask on new connections, many at once so that no worker takes them all."""
    return await asyncio.gather(*(ask(site, token) for _ in range(2 * WORKERS)))


async def ask(site: Site, token: str) -> tuple[float, Answer]:
    line = await Line.open(site.port)
    sent_at = time.monotonic()
    answer = await line.get("/projects", Authorization=f"Bearer {token}")
    await line.close()
    return sent_at, answer
