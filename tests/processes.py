"""Runs process_app in real uvicorn processes, and talks to them."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from sqlalchemy.ext.asyncio import create_async_engine

from jwt_auth_kit import StoreUnavailable
from jwt_auth_kit.stores.sqlalchemy import create_schema
from servers import START_SECONDS, free_port

STOP_SECONDS = 10.0


def make_tables(database: str) -> None:
    """Create the tables; a PostgreSQL that takes connections may still be starting."""
    asyncio.run(_make_tables(database))


class Processes:
    """A uvicorn, and the workers below it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.port = port
        self._process = process
        self._log = log

    def wait_for_workers(self, count: int) -> None:
        """Wait until *count* workers answer."""
        deadline = time.monotonic() + START_SECONDS
        while not self._alive(count):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def wait_for_death(self) -> int:
        """Wait until the process is gone; return what it ended with."""
        return self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        # By SIGINT uvicorn leaves through the interpreter's own exit, where coverage is written.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # workers that outlive their parent
            self._process.wait()

    def _alive(self, count: int) -> bool:
        """Tell whether a burst of requests, each on a connection of its own, meets all workers."""
        lines = [HTTPConnection("127.0.0.1", self.port, timeout=5) for _ in range(4 * count)]
        met = set()
        for line in lines:  # a connection that stays open keeps its worker
            with suppress(OSError, HTTPException):
                line.request("GET", "/health")
                answer = line.getresponse()
                answer.read()
                met.add(answer.headers["x-worker"])
        for line in lines:
            line.close()
        return len(met) == count


@contextmanager
def running(environment: Mapping[str, str], *, workers: int = 1) -> Iterator[Processes]:
    """Serve process_app on a free port of the loopback interface."""
    with TemporaryDirectory() as directory:
        port = free_port()
        log = Path(directory) / "log"
        options = ["--workers", str(workers)] if workers > 1 else []
        command = [sys.executable, "-W", "error", "-m", "uvicorn", "process_app:app", *options]
        command += ["--app-dir", str(Path(__file__).parent), "--no-access-log"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(port)],
                cwd=directory,
                env={**_clean_environment(), **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        processes = Processes(process, port, log)
        try:
            processes.wait_for_workers(workers)
            yield processes
        finally:
            processes.stop()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def worker(self) -> str:
        """Which process answered."""
        return self.headers["x-worker"]


class Line:
    """One connection that is kept open, so that it stays with its worker.

    An HTTP client library costs more than the server, and sixteen requests would no longer
    arrive at the same moment.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, headers, b"")

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        headers = {"Content-Type": "application/json", **headers}
        return await self._ask("POST", path, headers, json.dumps(body).encode())

    async def refresh(self, token: str, **headers: str) -> Answer:
        return await self.post("/auth/refresh", {"refresh_token": token}, **headers)

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        headers = {"Host": "test", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        text = await self._reader.readexactly(int(found.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), found, json.loads(text) if text else None)


@asynccontextmanager
async def lines_to(port: int, *, workers: int, each: int) -> AsyncIterator[Sequence[Line]]:
    """Open *each* connections to every one of *workers*."""
    lines: dict[str, list[Line]] = {}
    opened: list[Line] = []
    while len(lines) < workers or any(len(line) < each for line in lines.values()):
        assert len(opened) < 100 * workers * each, "some worker takes no connections"
        new = await asyncio.gather(*(Line.open(port) for _ in range(workers)))
        opened += new
        answers = await asyncio.gather(*(line.get("/health") for line in new))
        for line, answer in zip(new, answers, strict=True):
            lines.setdefault(answer.worker, []).append(line)
    # Neighbours in the list belong to different workers.
    yield [line for row in zip(*lines.values(), strict=False) for line in row][: workers * each]
    await asyncio.gather(*(line.close() for line in opened))


async def _make_tables(database: str) -> None:
    engine = create_async_engine(database)
    async with asyncio.timeout(START_SECONDS):
        for attempt in itertools.count(1):
            try:
                await create_schema(engine)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05 * attempt)
    await engine.dispose()


def _clean_environment() -> dict[str, str]:
    ours = ("JWT_", "DATABASE_URL", "TOKEN_STORE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
