"""What a flood of wrong passwords does to everybody else: python benchmarks/flood.py.

Two uvicorn workers share PostgreSQL, and Redis for the throttle. A process of its own sends wrong
passwords as fast as they are refused, while this one asks /health and a protected route, each of
both workers fifty times a second. It fails where the 99th percentile of either reaches 100 ms,
or where one guess too many or too few was let through to the hashing of passwords.

The last flood has more clients than both queues of passwords hold, so that some are answered 503.
So many requests at once keep the event loops busy whatever they ask for: only its answers are
judged, not its times.

Load, servers and databases share the processors of one machine, so the figures are too bad
rather than too good: compare them with those of the first line, which has no flood.
"""

import argparse
import asyncio
import gc
import itertools
import logging
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Response
from sqlalchemy.ext.asyncio import create_async_engine

from jwt_auth_kit import Argon2Hasher, AuthKit, LoginThrottle, UserDep, auth_router, install
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import servers
from processes import Answer, Line, Processes, lines_to, make_tables

LIMIT = 100.0
"""Milliseconds that the 99th percentile has to stay below."""

WORKERS = 2
SECONDS = 20.0
LONGEST = 55.0
"""Seconds; past a minute the first window of a limit lets more guesses pass."""

PROBED = ("/health", "/private")
PROBES = 5
"""People that ask for each of these at each worker, each on a connection of their own."""

PAUSE = 0.1
"""Seconds from one of their requests to the next."""

UNLIMITED = "unlimited"
VICTIM = {"email": "ada@example.com", "password": "correct horse battery"}
WRONG = "another horse battery"

REFUSED = (401, "invalid_credentials")
THROTTLED = (429, "too_many_attempts")
BUSY = (503, "busy")

Reply = tuple[int, str]
"""Status and code."""

Times = dict[str, list[float]]
"""Milliseconds of the answers, by path."""


@dataclass(frozen=True)
class Flood:
    """Who guesses whose password."""

    name: str
    account: Callable[[int], str]
    network: Callable[[int], str]
    passing: int | None = None
    """Guesses that the default limits let pass in less than a minute; None without limits."""

    clients: int = 16
    is_timed: bool = True


def many_accounts(number: int) -> str:
    """Name another account each time."""
    return f"user{number}@example.com"


def many_networks(number: int) -> str:
    """Name another address each time."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


LIMITED = (
    Flood("1 account, 1 network", lambda _: VICTIM["email"], lambda _: "192.0.2.1", 10),
    Flood("many accounts, 1 network", many_accounts, lambda _: "192.0.2.2", 100),
    Flood("1 account, many networks", lambda _: "eve@example.com", many_networks, 60),
)
FREE = (
    Flood("no limits", many_accounts, many_networks),
    Flood("no limits, 256 clients", many_accounts, many_networks, clients=256, is_timed=False),
)
FLOODS = {flood.name: flood for flood in (*LIMITED, *FREE)}


def main() -> int:
    """Run every flood; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each flood")
    seconds = min(parser.parse_args().seconds, LONGEST)
    print(f"{WORKERS} uvicorn workers, {os.cpu_count()} processors, {seconds:.0f} s each, ms")
    print(HEADER)
    failures: list[str] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as generator:
        generator.submit(os.getpid).result()  # it has imported everything before it is needed
        for is_limited, floods in ((True, LIMITED), (False, FREE)):
            with site(is_limited=is_limited) as port:
                failures += asyncio.run(measure(port, floods, generator, seconds))
    for failure in failures:
        print(f"MISSED: {failure}")
    return 1 if failures else 0


async def measure(
    port: int, floods: Sequence[Flood], generator: Executor, seconds: float
) -> list[str]:
    """Run floods one after another and print what they did; return what was missed."""
    failures: list[str] = []
    async with lines_to(port, workers=WORKERS, each=1 + PROBES * len(PROBED)) as lines:
        observers, probes = lines[:WORKERS], lines[WORKERS:]
        signed_up = await observers[0].post("/auth/register", VICTIM)
        token = str(signed_up.body["access_token"])
        quiet = asyncio.create_task(asyncio.sleep(seconds / 2))
        failures += report("no flood", await probe(probes, token, quiet))
        for flood in floods:
            flooding = asyncio.create_task(run(flood, port, observers, generator, seconds))
            times = await probe(probes, token, flooding)
            tally = await flooding
            slow = report(flood.name, times, tally)
            failures += wrong(flood, tally) + (slow if flood.is_timed else [])
    return failures


# -- The probe -------------------------------------------------------------------------------


async def probe(lines: Sequence[Line], token: str, until: asyncio.Task[object]) -> Times:
    """Ask each path of each worker until a task is done."""
    times: Times = {path: [] for path in PROBED}
    # Neighbours among the lines belong to different workers.
    paths = [path for _ in range(PROBES) for path in PROBED for _ in range(WORKERS)]
    await asyncio.gather(
        *(
            probe_path(line, path, token, until, times[path])
            for line, path in zip(lines, paths, strict=True)
        )
    )
    return times


async def probe_path(
    line: Line, path: str, token: str, until: asyncio.Task[object], times: list[float]
) -> None:
    """Ask one path at fixed moments, or later if the answer before comes later."""
    await asked(line, path, token)
    due = time.perf_counter() + random.uniform(0, PAUSE)
    while not until.done():
        # A request that had to wait for the answer before it has waited since it was due, or
        # slow answers would hide how many they are. Waking up late is not the server's fault.
        start = due
        if due > time.perf_counter():
            await asyncio.sleep(due - time.perf_counter())
            start = time.perf_counter()
        await asked(line, path, token)
        times.append((time.perf_counter() - start) * 1000)
        due += PAUSE


async def asked(line: Line, path: str, token: str) -> Answer:
    """Ask, and require an answer that is right."""
    answer = await line.get(path, Authorization=f"Bearer {token}")
    assert answer.status == 200, answer
    return answer


# -- The flood -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tally:
    """What came of a flood."""

    replies: Counter[Reply]
    hashes: int
    load: float
    """Processors that the generator used."""

    work: Sequence[float]
    """Processors that each worker used."""


@dataclass(frozen=True)
class Observation:
    """What a worker did since its start."""

    hashes: int
    seconds: float
    """On processors."""


async def run(
    flood: Flood, port: int, observers: Sequence[Line], generator: Executor, seconds: float
) -> Tally:
    """Let the generator send a flood."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    before = [await observe(line) for line in observers]
    replies, load = await loop.run_in_executor(generator, send, port, flood.name, seconds)
    after = [await observe(line) for line in observers]
    span = time.perf_counter() - started
    return Tally(
        replies,
        hashes=sum(worker.hashes for worker in after) - sum(worker.hashes for worker in before),
        load=load / span,
        work=[(b.seconds - a.seconds) / span for a, b in zip(before, after, strict=True)],
    )


async def observe(line: Line) -> Observation:
    """Ask a worker what it did."""
    return Observation(**(await line.get("/observation")).body)


def send(port: int, name: str, seconds: float) -> tuple[Counter[Reply], float]:
    """Send a flood from this process; return the replies and the processor time it took."""
    started = time.process_time()
    replies = asyncio.run(send_all(port, FLOODS[name], seconds))
    return replies, time.process_time() - started


async def send_all(port: int, flood: Flood, seconds: float) -> Counter[Reply]:
    """Guess on every line at once."""
    numbers = itertools.count()
    async with lines_to(port, workers=WORKERS, each=flood.clients // WORKERS) as lines:
        end = time.monotonic() + seconds
        counts = await asyncio.gather(*(guess(flood, line, numbers, end) for line in lines))
    return sum(counts, Counter[Reply]())


async def guess(flood: Flood, line: Line, numbers: Iterator[int], end: float) -> Counter[Reply]:
    """Guess without a pause until *end*."""
    replies = Counter[Reply]()
    while time.monotonic() < end:
        number = next(numbers)
        body = {"email": flood.account(number), "password": WRONG}
        forwarded = {"X-Forwarded-For": flood.network(number)}
        answer = await line.post("/auth/login", body, **forwarded)
        reply = answer.status, str(answer.body["detail"]["code"])
        if reply != REFUSED:
            assert int(answer.headers["retry-after"]) >= 1, answer
        replies[reply] += 1
    return replies


# -- The report ------------------------------------------------------------------------------

HEADER = f"""\
{"":24} {"/health":^20} {"protected route":^20} {"answers":^41} {"processors":^14}
{"":24} {"   p50    p99    max " * 2}guesses    401    429    503 hashes  workers  flood"""


def report(name: str, times: Times, tally: Tally | None = None) -> list[str]:
    """Print a line; return which paths were too slow."""
    percentiles = {path: statistics.quantiles(times[path], n=100) for path in PROBED}
    columns = [
        f"{percentiles[path][49]:6.1f} {percentiles[path][98]:6.1f} {max(times[path]):6.1f}"
        for path in PROBED
    ]
    if tally is not None:
        counts = [tally.replies[reply] for reply in (REFUSED, THROTTLED, BUSY)]
        columns += [f"{count:6}" for count in (tally.replies.total(), *counts, tally.hashes)]
        columns += ["+".join(f"{work:.1f}" for work in tally.work).rjust(8), f"{tally.load:6.1f}"]
    print(f"{name:24} {' '.join(columns)}", flush=True)
    return [
        f"{name}: {path} has a p99 of {percentiles[path][98]:.0f} ms"
        for path in PROBED
        if percentiles[path][98] >= LIMIT
    ]


def wrong(flood: Flood, tally: Tally) -> list[str]:
    """Return what is wrong with the answers."""
    refused = tally.replies[REFUSED]
    expected = {REFUSED, THROTTLED} if flood.passing is not None else {REFUSED, BUSY}
    found = []
    if tally.replies.keys() - expected:
        found.append(f"{flood.name}: unexpected answers in {dict(tally.replies)}")
    if flood.passing is not None and refused != flood.passing:
        found.append(f"{flood.name}: {refused} guesses passed, not {flood.passing}")
    if tally.hashes != refused:
        found.append(f"{flood.name}: {tally.hashes} hashes for {refused} answers")
    return found


# -- What is served --------------------------------------------------------------------------


class CountingHasher(Argon2Hasher):
    """Counts the passwords it checks."""

    def __init__(self) -> None:
        super().__init__()
        self.checked = 0
        self._lock = threading.Lock()

    def verify(self, password: str, password_hash: str) -> bool:
        """Check *password*."""
        with self._lock:
            self.checked += 1
        return super().verify(password, password_hash)


def make_app() -> FastAPI:
    """Make the application; uvicorn calls it in each worker."""
    logging.basicConfig(filename="log")  # where login_failed goes; the folder is a passing one
    hasher = CountingHasher()
    app = FastAPI(lifespan=partial(lifespan, hasher))
    app.include_router(auth_router)

    @app.get("/health")
    async def health(response: Response) -> str:
        response.headers["X-Worker"] = str(os.getpid())
        return "ok"

    @app.get("/private")
    async def private(user: UserDep) -> str:
        return user.id

    @app.get("/observation")
    async def observation() -> Observation:
        return Observation(hasher.checked, time.process_time())

    return app


@asynccontextmanager
async def lifespan(hasher: CountingHasher, app: FastAPI) -> AsyncIterator[None]:
    """Open the stores that the environment names."""
    engine = create_async_engine(os.environ["DATABASE_URL"])
    kit = AuthKit(
        users=SQLAlchemyUserStore(engine),
        tokens=SQLAlchemyTokenStore(engine),
        hasher=hasher,
        throttle=make_throttle(os.environ["THROTTLE"]),
    )
    install(app, kit)
    # Else each full collection walks through all that was imported and stops the worker for some
    # 80 ms, in a flood every few seconds.
    gc.collect()
    gc.freeze()
    yield
    await engine.dispose()


def make_throttle(storage: str) -> LoginThrottle:
    """Make the default one, or one without limits."""
    return LoginThrottle.unlimited() if storage == UNLIMITED else LoginThrottle(storage)


@contextmanager
def site(*, is_limited: bool) -> Iterator[int]:
    """Run the workers, and what they share; give their port."""
    with ExitStack() as stack:
        database = stack.enter_context(servers.postgresql()).url("asyncpg")
        make_tables(database)
        redis = stack.enter_context(servers.redis())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, log = servers.free_port(), folder / "log of uvicorn"
        environment = {
            "DATABASE_URL": database,
            "THROTTLE": redis.url if is_limited else UNLIMITED,
            "JWT_SECRET_KEY": make_secret(),
            # The generator is the proxy, which says from which network a guess comes.
            "JWT_TRUSTED_PROXIES": "127.0.0.1",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*UVICORN, "--host", "127.0.0.1", "--port", str(port)],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        workers = Processes(process, port, log)
        stack.callback(workers.stop)
        workers.wait_for_workers(WORKERS)
        yield port


UVICORN = (
    *(sys.executable, "-m", "uvicorn", f"{Path(__file__).stem}:make_app", "--factory"),
    *("--app-dir", str(Path(__file__).parent), "--workers", str(WORKERS), "--no-access-log"),
    *("--no-proxy-headers", "--timeout-keep-alive", str(int(10 * LONGEST))),
)


if __name__ == "__main__":
    raise SystemExit(main())
