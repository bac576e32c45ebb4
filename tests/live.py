"""Real servers for tests and benchmarks: uvicorn in a process or a thread of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn

from jwt_auth_kit.cli.main import make_secret

ROOT = Path(__file__).parents[1]
FULLSTACK = "examples.fullstack.main:app"
OUR_VARIABLES = ("JWT_", "DATABASE_URL", "ADMIN_")
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


@contextmanager
def live_server(app: str = FULLSTACK, *, app_dir: Path = ROOT, **environment: str) -> Iterator[str]:
    """Serve *app* on a free loopback port and yield its base URL.

    The server has a fresh secret and, as its working directory, an empty one, which is where
    the example keeps its SQLite file. It writes its log to our standard error, so pytest shows
    it with the test that failed.

    Args:
        app: what uvicorn imports.
        app_dir: where it is imported from.
        environment: variables that differ from ours.

    Raises:
        RuntimeError: the server did not start.
    """
    with TemporaryDirectory() as directory, _reserved_port() as port:
        command = [sys.executable, "-W", "error", "-m", "uvicorn", app]
        process = subprocess.Popen(
            [*command, "--app-dir", str(app_dir), "--host", "127.0.0.1", "--port", str(port)],
            cwd=directory,
            env={**_clean_environment(), "JWT_SECRET_KEY": make_secret(), **environment},
            stdout=sys.__stderr__,
        )
        try:
            _wait_until_it_answers(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


@contextmanager
def running(app: Any, **options: Any) -> Iterator[Any]:
    """Run *app* in a uvicorn in a thread, and yield the address it listens on.

    Args:
        app: an application, not a path to one.
        options: as ``uvicorn.Config`` takes them; a free port of 127.0.0.1 by default.
    """
    server = uvicorn.Server(uvicorn.Config(app, **{"port": 0, "log_config": None, **options}))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not server.started:
            assert thread.is_alive(), "uvicorn did not start"
            assert time.monotonic() < deadline, "uvicorn did not start"
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Find a port and keep it.

    As long as a socket is bound to it, nobody else is given it; the server may listen on it
    still, since neither socket minds the other (SO_REUSEADDR).
    """
    with socket() as reservation:
        reservation.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        yield reservation.getsockname()[1]


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode}; see its log above.")
        if _answers(port):
            return
        time.sleep(0.05)
    raise RuntimeError(f"The server did not answer within {START_TIMEOUT} s; see its log above.")


def _answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT)) as connection:
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except OSError:
            return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    # By SIGINT uvicorn leaves through the interpreter's own exit, where coverage is written.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
