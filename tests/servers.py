"""PostgreSQL, Redis and a Redis Cluster, each started for the tests and thrown away after them.

The programs come from Debian's packages (``scripts/test`` installs them). A missing one is a
failure, never a skip.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
NEEDS_PASSWORD = "host all locked 127.0.0.1/32 scram-sha-256\n"
"""The role that PostgreSQL asks for a password; all others are trusted."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A running server process that can be killed and started again on the same data."""

    def __init__(self, command: Sequence[str], port: int, user: str | None, log: Path) -> None:
        self.port = port
        self._command = command
        self._user = user
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        identity = {} if self._user is None else _identity(self._user)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **identity
            )
        _wait_for(self.port, self._process, self._log)

    def kill(self) -> None:
        """End it without any chance to tidy up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)  # PostgreSQL then ends its clients
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.kill()


def _list_children(parent: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                yield int(status.parent.name)


class PostgreSQL(Server):
    """PostgreSQL with one database, ``postgres``; anyone on the loopback interface may use it."""

    def kill(self) -> None:
        """End it, and the processes of its connections, which go on for a moment otherwise."""
        assert self._process is not None
        backends = list(_list_children(self._process.pid))
        super().kill()
        for pid in backends:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        """Start it and wait until it takes queries, not just connections."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                super().start()
                break
            except AssertionError:  # after a kill its memory is held for a moment
                assert time.monotonic() < deadline
                time.sleep(0.25)
        while subprocess.run(
            ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            assert time.monotonic() < deadline, "PostgreSQL does not come up"
            time.sleep(0.05)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it take connections and bytes, and answer nothing, as behind a lost network."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        parent = str(self._process.pid)
        children = subprocess.run(
            ["pgrep", "-P", parent], capture_output=True, text=True, check=False
        )
        for process_id in (parent, *children.stdout.split()):
            with suppress(ProcessLookupError):  # a backend that has just ended
                os.kill(int(process_id), number)

    def url(self, driver: str) -> str:
        return f"postgresql+{driver}://postgres@127.0.0.1:{self.port}/postgres"


@contextmanager
def postgresql(*, durable: bool = False) -> Iterator[PostgreSQL]:
    """Run PostgreSQL on an empty cluster; *durable* lets it survive a kill."""
    tools = Path(_output("pg_config", "--bindir"))
    port = free_port()
    with _folder() as folder:
        user = "postgres" if os.geteuid() == 0 else None  # initdb refuses root
        if user is not None:
            shutil.chown(folder, user, user)
        data = folder / "data"
        subprocess.run(
            [tools / "initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", data],
            check=True,
            capture_output=True,
            **({} if user is None else _identity(user)),
        )
        access = data / "pg_hba.conf"
        access.write_text(NEEDS_PASSWORD + access.read_text())
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "max_connections": "200",
        }
        if not durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [str(tools / "postgres"), "-D", str(data), "-p", str(port)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        server = PostgreSQL(command, port, user, folder / "log")
        server.start()
        try:
            yield server
        finally:
            server.stop()


class RedisServer(Server):
    """A single Redis."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def redis(*, durable: bool = False) -> Iterator[RedisServer]:
    """Run Redis; *durable* keeps an append-only file that survives a kill."""
    port = free_port()
    with _folder() as folder:
        server = RedisServer(
            _redis_command(port, folder, durable=durable), port, None, folder / "log"
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def redis_cluster(nodes: int = 3) -> Iterator[int]:
    """Run a Redis Cluster of masters; yield the port of the first."""
    with _folder() as folder, ExitStack() as running:
        ports = [free_port() for _ in range(nodes)]
        for port in ports:
            home = folder / str(port)
            home.mkdir()
            cluster = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
            command = _redis_command(port, home) + cluster + ["--cluster-node-timeout", "2000"]
            server = RedisServer(command, port, None, home / "log")
            server.start()
            running.callback(server.stop)
        addresses = [f"127.0.0.1:{port}" for port in ports]
        _output("redis-cli", "--cluster", "create", *addresses, "--cluster-yes")
        _wait_for_cluster(ports)
        yield ports[0]


def _redis_command(port: int, folder: Path, *, durable: bool = False) -> list[str]:
    append = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
    return [
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1"),
        *("--save", "", "--dir", str(folder)),
        *append,
    ]


def _wait_for_cluster(ports: Sequence[int]) -> None:
    deadline = time.monotonic() + START_SECONDS
    for port in ports:
        while "cluster_state:ok" not in _output("redis-cli", "-p", str(port), "cluster", "info"):
            assert time.monotonic() < deadline, "the cluster does not come up"
            time.sleep(0.05)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"no answer on port {port}: {log.read_text()}")


def _identity(user: str) -> dict[str, Any]:
    return {"user": user, "group": user, "extra_groups": []}


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jwt-auth-kit-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
