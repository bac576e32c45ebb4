"""How long a login takes: python benchmarks/login.py prints milliseconds, fails above the limit."""

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from live import live_server

LIMIT = 300.0
WARM_UP = 5
SEQUENTIAL = 50
AT_ONCE = 12
ROUNDS = 5
CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery"}


def main() -> int:
    """Run both measurements; return the exit code."""
    with live_server(UVICORN_LOG_LEVEL="warning") as url:
        sequential, at_once = asyncio.run(measure(url))
    print("ms a login, one uvicorn worker, SQLite, argon2id m=19 MiB t=2 p=1")
    slowest = max(
        report(f"{SEQUENTIAL} one after another", sequential),
        report(f"{AT_ONCE} at once, {ROUNDS} rounds", at_once),
    )
    if slowest <= LIMIT:
        return 0
    print(f"too slow: p95 is over {LIMIT:.0f} ms")
    return 1


async def measure(url: str) -> tuple[Sequence[float], Sequence[float]]:
    """Return the milliseconds of each login: first one by one, then many at once."""
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        (await client.post("/auth/register", json=CREDENTIALS)).raise_for_status()
        for _ in range(WARM_UP):
            await log_in(client)
        sequential = [await log_in(client) for _ in range(SEQUENTIAL)]
        rounds = [
            await asyncio.gather(*(log_in(client) for _ in range(AT_ONCE))) for _ in range(ROUNDS)
        ]
    return sequential, [figure for figures in rounds for figure in figures]


async def log_in(client: httpx.AsyncClient) -> float:
    """Log in and return the milliseconds it took."""
    start = time.perf_counter()
    (await client.post("/auth/login", json=CREDENTIALS)).raise_for_status()
    return (time.perf_counter() - start) * 1000


def report(name: str, figures: Sequence[float]) -> float:
    """Print the 50th and 95th percentile; return the latter."""
    percentiles = statistics.quantiles(figures, n=100, method="inclusive")
    p50, p95 = percentiles[49], percentiles[94]
    print(f"{name:24} p50 {p50:6.1f}   p95 {p95:6.1f}")
    return p95


if __name__ == "__main__":
    raise SystemExit(main())
