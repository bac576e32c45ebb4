"""Whether time tells who has an account: python benchmarks/enumeration.py fails if it does.

Each round tries one password on an account that exists, on one that does not, and on one that is
disabled (there the right password too), in random order, over HTTP and against a uvicorn of its
own. Every answer is the same 401; their median times may differ by less than 5 %.

Sign-ups are timed beside: a taken address, which is told by its 409, and a new one, whose 201
makes a session more. Their medians are printed and not judged.
"""

import argparse
import asyncio
import logging
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

from jwt_auth_kit import AuthKit, LoginThrottle, auth_router, install
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
)

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import servers
from live import live_server
from processes import Line

LIMIT = 5.0
"""Percent by which the median of a kind may differ from that of unknown accounts."""

ROUNDS = 200
WARM_UP = 10
ACCOUNTS = 20
"""Of each kind, tried in turns, so that no account is special."""

RIGHT = "correct horse battery"
WRONG = "another horse battery"

UNLIMITED = "unlimited"
HIGH_LIMITS = "1000000/minute; 1000000/day"


@dataclass(frozen=True)
class Guess:
    """Somebody's password, as right as it is."""

    name: str
    owner: str
    password: str = WRONG

    def body(self, number: int) -> Mapping[str, str]:
        """Make the body of a login; all have one length."""
        return {"email": address(self.owner, number), "password": self.password}


GUESSES = (
    Guess("unknown account", "nobody"),
    Guess("known account", "someone"),
    Guess("disabled account", "disabled"),
    Guess("disabled, right password", "disabled", RIGHT),
)
UNKNOWN = GUESSES[0].name

TAKEN, NEW = "sign-up, taken address", "sign-up, new address"
STATUSES = {TAKEN: 409, NEW: 201}


def address(owner: str, number: int) -> str:
    """Return an e-mail address."""
    return f"{owner:x<8}{number:02}@example.com"


def main() -> int:
    """Run every set-up; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    print(f"{rounds} rounds, one uvicorn worker, argon2id m=19 MiB t=2 p=1; ms")
    largest = 0.0
    for name, environment in SET_UPS.items():
        with environment() as variables, served(variables) as url:
            port = urlsplit(url).port or 0
            times = asyncio.run(measure(port, rounds))
            sign_ups = asyncio.run(measure_sign_ups(port, rounds))
        largest = max(largest, report(name, times))
        report_sign_ups(sign_ups)
    if largest < LIMIT:
        return 0
    print(f"MISSED: medians differ by {largest:.1f} %, {LIMIT:.0f} % or more")
    return 1


async def measure(port: int, rounds: int) -> Mapping[str, Sequence[float]]:
    """Return the milliseconds of each answer."""
    times: dict[str, list[float]] = defaultdict(list)
    line = await Line.open(port)
    for number in range(WARM_UP + rounds):
        for guess in random.sample(GUESSES, len(GUESSES)):
            times[guess.name].append(await refusal(line, guess.body(number % ACCOUNTS)))
    await line.close()
    return {name: figures[WARM_UP:] for name, figures in times.items()}


async def measure_sign_ups(port: int, rounds: int) -> Mapping[str, Sequence[float]]:
    """Return the milliseconds of each sign-up, of taken and of new addresses in turns."""
    times: dict[str, list[float]] = defaultdict(list)
    line = await Line.open(port)
    for number in range(WARM_UP + rounds):
        emails = {TAKEN: address("someone", number % ACCOUNTS), NEW: f"new{number}@example.com"}
        for kind in random.sample(tuple(STATUSES), len(STATUSES)):
            body = {"email": emails[kind], "password": RIGHT}
            start = time.perf_counter()
            answer = await line.post("/auth/register", body)
            times[kind].append((time.perf_counter() - start) * 1000)
            assert answer.status == STATUSES[kind], answer
    await line.close()
    return {name: figures[WARM_UP:] for name, figures in times.items()}


def report_sign_ups(times: Mapping[str, Sequence[float]]) -> None:
    """Print the quartiles of each kind."""
    for kind in STATUSES:
        columns = " ".join(f"{each:6.2f}" for each in statistics.quantiles(times[kind], n=4))
        print(f"  {kind:28} {columns}")


async def refusal(line: Line, body: Mapping[str, str]) -> float:
    """Try to log in and return the milliseconds until it is refused."""
    start = time.perf_counter()
    answer = await line.post("/auth/login", body)
    took = (time.perf_counter() - start) * 1000
    assert answer.status == 401, answer
    assert answer.body["detail"]["code"] == "invalid_credentials", answer
    return took


def report(name: str, times: Mapping[str, Sequence[float]]) -> float:
    """Print the quartiles of each kind; return the largest difference of medians in percent."""
    print(f"\n{name:30}    p25    p50    p75   p50 against unknown")
    usual = statistics.median(times[UNKNOWN])
    differences = []
    for guess in GUESSES:
        quartiles = statistics.quantiles(times[guess.name], n=4)
        difference = (quartiles[1] / usual - 1) * 100
        error = math.hypot(*(median_error(times[kind]) for kind in (UNKNOWN, guess.name)))
        differences.append(abs(difference))
        columns = " ".join(f"{quartile:6.2f}" for quartile in quartiles)
        print(f"  {guess.name:28} {columns} {difference:+6.2f} % (+- {error / usual:.1%})")
    return max(differences)


def median_error(figures: Sequence[float]) -> float:
    """Return how far by chance, as a standard deviation, the median is from where it should be."""
    low, _, high = statistics.quantiles(figures, n=4)
    return 0.93 * (high - low) / math.sqrt(len(figures))


# -- What is served --------------------------------------------------------------------------


def make_app() -> FastAPI:
    """Make the application; uvicorn calls it."""
    logging.basicConfig(filename="log")  # where login_failed goes; the folder is a passing one
    app = FastAPI(lifespan=lifespan)
    app.include_router(auth_router)
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the stores that the environment names, and make the accounts."""
    engine = create_async_engine(os.environ["DATABASE_URL"])
    kit = AuthKit(
        users=SQLAlchemyUserStore(engine),
        tokens=SQLAlchemyTokenStore(engine),
        throttle=make_throttle(os.environ["THROTTLE"]),
    )
    install(app, kit)
    await create_schema(engine)
    for number in range(ACCOUNTS):
        await kit.create_user(address("someone", number), RIGHT)
        disabled = await kit.create_user(address("disabled", number), RIGHT)
        await kit.disable_user(str(disabled.id))
    yield
    await engine.dispose()


def make_throttle(storage: str) -> LoginThrottle:
    """Make one that refuses nobody here; with a *storage* it counts all the same."""
    if storage == UNLIMITED:
        return LoginThrottle.unlimited()
    return LoginThrottle(
        storage,
        per_account_and_network=HIGH_LIMITS,
        per_account=HIGH_LIMITS,
        per_network=HIGH_LIMITS,
        sign_ups_per_network=HIGH_LIMITS,
    )


def served(variables: Mapping[str, str]) -> AbstractContextManager[str]:
    """Run uvicorn; give the URL."""
    return live_server(
        f"{Path(__file__).stem}:make_app",
        app_dir=Path(__file__).parent,
        UVICORN_FACTORY="true",
        UVICORN_LOG_LEVEL="warning",
        **variables,
    )


@contextmanager
def on_sqlite(throttle: str) -> Iterator[Mapping[str, str]]:
    """Name a new SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"DATABASE_URL": f"sqlite+aiosqlite:///{folder}/db", "THROTTLE": throttle}


@contextmanager
def on_servers() -> Iterator[Mapping[str, str]]:
    """Run PostgreSQL, and Redis for the throttle."""
    with ExitStack() as stack:
        database = stack.enter_context(servers.postgresql())
        redis = stack.enter_context(servers.redis())
        yield {"DATABASE_URL": database.url("asyncpg"), "THROTTLE": redis.url}


SET_UPS = {
    "SQLite, no throttle": lambda: on_sqlite(UNLIMITED),
    "SQLite, throttle in memory": lambda: on_sqlite("memory://"),
    "PostgreSQL, throttle in Redis": on_servers,
}


if __name__ == "__main__":
    raise SystemExit(main())
