"""Keys change under load: four workers share a directory, and the command line changes it."""

import asyncio
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import jwt
import pytest

from apps import PASSWORD
from jwt_auth_kit import JWTManager, Key, KeyDirectory, KeyRing
from jwt_auth_kit.cli.main import main
from jwt_auth_kit.keys.ring import RELOAD_INTERVAL
from jwt_auth_kit.tokens.manager import CLOCK_SKEW
from processes import Answer, Line, lines_to, make_tables, running
from servers import postgresql

WORKERS = 4
CLIENTS = 6
ROUNDS = 8  # requests of a client to each worker with what one refresh gave
REQUESTS = 20_000
PERIOD = 0.35  # seconds between two refreshes of a client: busy, and room for other processes
LIFE = timedelta(seconds=10)  # of both tokens
YOUNG = 5  # seconds; a token is far from its end, even where processors are busy
LEAD = RELOAD_INTERVAL + timedelta(seconds=2)
SLACK = 1.5  # seconds
PATIENCE = 240  # seconds, where other programs take the processors


@dataclass(frozen=True)
class Site:
    """Four workers, and the directory of their keys."""

    port: int
    directory: Path
    environment: dict[str, str]

    async def keys(self, *arguments: str) -> str:
        """Run ``python -m jwt_auth_kit keys ...`` as an operator does."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "jwt_auth_kit", "keys", *arguments),
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        return printed.decode().strip()

    async def states(self) -> dict[str, str]:
        """What ``keys list`` says each key does."""
        rows = (await self.keys("list")).splitlines()[1:]
        return {row.split()[0]: row.split()[2] for row in rows}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("keys")
    KeyDirectory(directory).add_first(Key.generate())
    with ExitStack() as stack:
        database = stack.enter_context(postgresql()).url("asyncpg")
        make_tables(database)
        environment = {
            "DATABASE_URL": database,
            "JWT_KEYS_DIR": str(directory),
            "JWT_ACCESS_TTL": str(LIFE.total_seconds()),
            "JWT_REFRESH_TTL": str(LIFE.total_seconds()),
            "JWT_REUSE_WINDOW": "1",  # so that refreshes rotate before the session is idle
        }
        processes = stack.enter_context(running(environment, workers=WORKERS))
        yield Site(processes.port, directory, environment)


@dataclass
class Log:
    """What all clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[object] = field(default_factory=list)
    signed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Access tokens by worker and key."""

    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Requests that passed, by worker and key of the token."""

    refreshed_across: int = 0
    """Refresh tokens by the old key that got a successor by the new one."""

    def add(self, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        if answer.status not in {200, 201}:
            self.problems.append(answer)


@dataclass
class Client:
    """One who is signed in, with a line to every worker."""

    lines: Sequence[Line]
    log: Log
    refresh_token: str = ""

    async def sign_up(self, email: str) -> None:
        body = {"email": email, "password": PASSWORD}
        self._take(await self.lines[0].post("/auth/register", body))

    async def work(self, over: asyncio.Event) -> None:
        """Refresh at one worker after the other, and use the tokens at all of them."""
        token, taken_at = "", float("-inf")
        for worker in itertools.cycle(range(WORKERS)):
            if over.is_set() and self.log.statuses.total() >= REQUESTS:
                return
            before, until = token, taken_at + YOUNG
            presented, taken_at = self.refresh_token, time.monotonic()
            token = self._take(await self.lines[worker].refresh(presented))
            self.log.refreshed_across += key_of(presented) != key_of(self.refresh_token)
            for _ in range(ROUNDS - 1):
                await self._use(token)
            await self._use(before if time.monotonic() < until else token)
            await asyncio.sleep(max(0.0, taken_at + PERIOD - time.monotonic()))

    async def _use(self, token: str) -> None:
        header = f"Bearer {token}"
        answers = [line.get("/projects", Authorization=header) for line in self.lines]
        for answer in await asyncio.gather(*answers):
            self.log.add(answer)
            if answer.status == 200:
                self.log.accepted[answer.worker, key_of(token)] += 1

    def _take(self, answer: Answer) -> str:
        self.log.add(answer)
        assert answer.status in {200, 201}, answer
        self.refresh_token, token = answer.body["refresh_token"], str(answer.body["access_token"])
        self.log.signed[answer.worker, key_of(token)] += 1
        return token


def key_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_nobody_notices_that_a_key_comes_and_goes(site: Site) -> None:
    (old,) = (kid for kid, state in (await site.states()).items() if state == "active")
    ring = KeyRing.from_source(KeyDirectory(site.directory))
    endless = JWTManager(ring, access_ttl=timedelta(hours=1)).create_access_token({"user_id": "1"})
    log, over = Log(), asyncio.Event()
    started = time.monotonic()
    async with lines_to(site.port, workers=WORKERS, each=CLIENTS) as lines:
        clients = [Client(lines[WORKERS * n : WORKERS * (n + 1)], log) for n in range(CLIENTS)]
        for number, client in enumerate(clients):
            await client.sign_up(f"client{number}@example.com")
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as work:
            for client in clients:
                work.create_task(client.work(over))
            new, seen = await rotate(site, old)
            over.set()
        with_key_that_is_gone = {(await ask(line, endless)).status for line in lines}
    seconds = time.monotonic() - started

    by_key = {kid: total(log.accepted, kid) for kid in (old, new)}
    print(
        f"\n{log.statuses.total()} requests in {seconds:.0f} s, answers {dict(log.statuses)}; "
        f"states {seen}; tokens by the old key {total(log.signed, old)}, by the new one "
        f"{total(log.signed, new)}; accepted with the old key {by_key[old]}, with the new one "
        f"{by_key[new]}; {log.refreshed_across} refresh tokens by the old key got a successor"
    )
    assert log.problems == []
    assert log.statuses == {201: CLIENTS, 200: log.statuses.total() - CLIENTS}
    assert log.statuses.total() >= REQUESTS
    assert log.refreshed_across == CLIENTS
    assert with_key_that_is_gone == {401}
    assert seen == ["active next", "retiring active", "gone active"]
    every_worker = {(worker, kid) for worker, _ in log.signed for kid in (old, new)}
    assert len(every_worker) == 2 * WORKERS
    assert log.signed.keys() == log.accepted.keys() == every_worker


async def rotate(site: Site, old: str) -> tuple[str, list[str]]:
    """Take a key through its life; return the next one, and what both were called meanwhile."""
    new = await site.keys("new")
    takes_over = datetime.now(UTC) + LEAD
    await site.keys("activate", new, "--at", takes_over.isoformat())
    seen = []
    for moment in (datetime.now(UTC), takes_over, takes_over + LIFE + CLOCK_SKEW):
        await asyncio.sleep((moment - datetime.now(UTC)).total_seconds())
        states = await site.states()
        seen.append(f"{states[old]} {states[new]}")
    return new, seen


def total(counted: Counter[tuple[str, str]], key_id: str) -> int:
    return sum(count for (_, kid), count in counted.items() if kid == key_id)


async def test_a_revoked_key_fails_in_all_workers_within_their_interval(site: Site) -> None:
    ring = KeyRing.from_source(KeyDirectory(site.directory))
    stolen = ring.active.id
    token = JWTManager(ring).create_access_token({"user_id": "42"})
    refused: dict[str, float] = {}

    async with lines_to(site.port, workers=WORKERS, each=1) as lines:
        assert {(await ask(line, token)).status for line in lines} == {200}
        unknown = JWTManager(KeyRing.random()).create_access_token({"user_id": "42"})
        # It makes a worker read the directory, so this is the worst moment to revoke.
        assert {(await ask(line, unknown)).status for line in lines} == {401}
        watching = [asyncio.create_task(wait_until_refused(line, token)) for line in lines]
        await site.keys("revoke", stolen)
        revoked_at = time.monotonic()
        for task in watching:
            answer, moment = await task
            assert answer.body["detail"]["code"] == "invalid_token"
            refused[answer.worker] = moment - revoked_at
        ring = KeyRing.from_source(KeyDirectory(site.directory))
        successor = JWTManager(ring).create_access_token({"user_id": "42"})
        followed = {(await ask(line, successor)).status for line in lines}

    measured = ", ".join(f"{seconds:.2f}" for seconds in sorted(refused.values()))
    print(f"\nrefused by the workers {measured} s after the command had returned")
    assert len(refused) == WORKERS
    assert max(refused.values()) <= RELOAD_INTERVAL.total_seconds() + SLACK
    assert (await site.states())[stolen] == "revoked"
    assert key_of(successor) != stolen
    assert followed == {200}


async def ask(line: Line, token: str) -> Answer:
    return await line.get("/projects", Authorization=f"Bearer {token}")


async def wait_until_refused(line: Line, token: str) -> tuple[Answer, float]:
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await ask(line, token)
            if answer.status != 200:
                return answer, time.monotonic()
            await asyncio.sleep(0.02)


def test_a_ring_that_is_stale_by_less_than_the_lead_verifies_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def keys(*arguments: str) -> str:
        main(["keys", *arguments, "--dir", str(tmp_path)])
        return capsys.readouterr().out.strip()

    old, new, now = keys("new"), keys("new"), datetime.now(UTC)
    never = timedelta(days=1000)
    stale = KeyRing.from_source(KeyDirectory(tmp_path), interval=never)
    keys("activate", new, "--at", "+15m")
    fresh = KeyRing.from_source(KeyDirectory(tmp_path), interval=never)

    signers = set()
    for minutes in (0, 14, 16, 20):
        moment = now + timedelta(minutes=minutes)
        rings = [JWTManager(ring, clock=partial(as_it_is, moment)) for ring in (stale, fresh)]
        for signer in rings:
            token = signer.create_access_token({"user_id": "42"})
            signers.add((minutes, key_of(token)))
            assert [ring.verify_access_token(token)["sub"] for ring in rings] == ["42", "42"]

    assert stale.next_change(now, keep=never) is None, "it has not read the directory again"
    assert signers == {(0, old), (14, old), (16, old), (16, new), (20, old), (20, new)}


def as_it_is(moment: datetime) -> datetime:
    return moment
