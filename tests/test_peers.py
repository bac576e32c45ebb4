"""Who connected to a real uvicorn, whatever the client writes and whatever uvicorn believes.

Clients of one machine have different addresses of the loopback network. To uvicorn they are
strangers, but for 127.0.0.1, which it believes by itself.
"""

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from websockets.sync.client import connect

from apps import Events, make_app, make_kit
from jwt_auth_kit import ClientDep, deny_by_default, install
from live import running

STRANGER = "127.0.0.2"
PROXIES = FIRST_PROXY, SECOND_PROXY = "127.0.0.3", "127.0.0.4"
LOCAL = "127.0.0.1"
VISITOR = "203.0.113.9"

BELIEFS: dict[str, dict[str, Any]] = {
    "uvicorn-believes-its-machine": {},
    "uvicorn-believes-nobody": {"proxy_headers": False},
    "uvicorn-believes-everybody": {"forwarded_allow_ips": "*"},
}


@dataclass(frozen=True)
class Site:
    """A uvicorn that runs."""

    address: Any
    events: Events

    def ask(
        self, *forwarded: str, source: str = STRANGER, path: str = "/client", body: str = ""
    ) -> Any:
        """Send a request over a connection from *source*; ``ME`` in a header is its own address.

        Returns: what the JSON of the answer says.
        """
        with closing(self._connect(source)) as connection:
            me = "{}:{}".format(*connection.getsockname()) if self._is_tcp else ""
            lines = [
                f"{'POST' if body else 'GET'} {path} HTTP/1.1",
                "Host: test",
                "Connection: close",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                *(f"X-Forwarded-For: {value.replace('ME', me)}" for value in forwarded),
            ]
            connection.sendall("\r\n".join([*lines, "", body]).encode())
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def ask_by_websocket(self, forwarded: str, source: str) -> str:
        with (
            self._connect(source) as connection,
            connect(
                "ws://test/socket",
                sock=connection,
                additional_headers={"X-Forwarded-For": forwarded},
            ) as websocket,
        ):
            return str(websocket.recv())

    @property
    def _is_tcp(self) -> bool:
        return isinstance(self.address, tuple)

    def _connect(self, source: str) -> socket.socket:
        connection = socket.socket(socket.AF_INET if self._is_tcp else socket.AF_UNIX)
        if self._is_tcp:
            connection.bind((source, 0))
        connection.connect(self.address)
        return connection


def make_site(events: Events, trusted: Sequence[str]) -> FastAPI:
    settings = {"trusted_proxies": list(trusted)}
    app = make_app(make_kit(on_event=events, settings=settings))

    @app.get("/client")
    async def show(client: ClientDep) -> str | None:
        return client.ip

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, client: ClientDep) -> None:
        await websocket.accept()
        await websocket.send_text(str(client.ip))
        await websocket.close()

    return app


@contextmanager
def serve(app: Any, events: Events | None = None, **options: Any) -> Iterator[Site]:
    """Run *app* in a uvicorn of its own, which listens on a free port of 127.0.0.1."""
    with running(app, **options) as address:
        yield Site(address, Events() if events is None else events)


def served(*trusted: str) -> Callable[[pytest.FixtureRequest], Iterator[Site]]:
    def run(request: pytest.FixtureRequest) -> Iterator[Site]:
        events = Events()
        with serve(make_site(events, trusted), events, **BELIEFS[request.param]) as site:
            yield site

    return run


direct = pytest.fixture(scope="module", params=BELIEFS, name="direct")(served())
behind_proxies = pytest.fixture(scope="module", params=BELIEFS, name="behind_proxies")(
    served(*PROXIES)
)

FORGERIES = {
    "no header": [],
    "another address": ["6.6.6.6"],
    "another address with a port": ["6.6.6.6:1234"],
    "its own first": [f"{STRANGER}, 6.6.6.6"],
    "its own first, with its port": ["ME, 6.6.6.6"],
    "its own last, with its port": ["6.6.6.6, ME"],
    "its own alone, with its port": ["ME"],
    "its own, mapped to IPv6": [f"::ffff:{STRANGER}, 6.6.6.6"],
    "its own, in brackets with a zone": [f"[::ffff:{STRANGER}%eth0]:5, 6.6.6.6"],
    "its own in one header, another in the next": [f"{STRANGER}", "6.6.6.6"],
    "a trusted proxy": [f"6.6.6.6, {FIRST_PROXY}"],
    "the machine itself": ["127.0.0.1:1"],
    "port zero": ["6.6.6.6:0"],
    "a port below zero": ["6.6.6.6:-5"],
    "IPv6": ["[2001:db8::1]:7, 2001:db8::2"],
    "rubbish": ["<script>, ]1.1.1.1["],
    "nothing": [""],
    "fifty headers": [f"10.0.0.{number}" for number in range(50)],
}

forgeries = pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())


@forgeries
@pytest.mark.parametrize("source", [STRANGER, LOCAL])
def test_who_connects_directly_is_seen_as_who_connected(
    direct: Site, source: str, forged: list[str]
) -> None:
    assert direct.ask(*forged, source=source) == source


@forgeries
@pytest.mark.parametrize("source", [STRANGER, LOCAL])
def test_who_passes_the_trusted_proxies_by_is_seen_as_who_connected(
    behind_proxies: Site, source: str, forged: list[str]
) -> None:
    assert behind_proxies.ask(*forged, source=source) == source


@pytest.mark.parametrize(
    "written", ["", "6.6.6.6, ", f"{FIRST_PROXY}, ", f"{VISITOR}, 6.6.6.6:1, ", "rubbish, "]
)
def test_behind_a_trusted_proxy_it_is_the_address_that_the_proxy_added(
    behind_proxies: Site, written: str
) -> None:
    assert behind_proxies.ask(f"{written}{VISITOR}", source=FIRST_PROXY) == VISITOR
    assert behind_proxies.ask(f"{written}{VISITOR}:4711", source=FIRST_PROXY) == VISITOR


def test_behind_two_trusted_proxies_it_is_the_address_that_the_outer_one_added(
    behind_proxies: Site,
) -> None:
    for hops in (f"6.6.6.6, {VISITOR}, {FIRST_PROXY}", f"{VISITOR}, {FIRST_PROXY}:80"):
        assert behind_proxies.ask(hops, source=SECOND_PROXY) == VISITOR


def test_a_websocket_is_from_who_connected_too(direct: Site, behind_proxies: Site) -> None:
    for source in (STRANGER, LOCAL):
        assert direct.ask_by_websocket("6.6.6.6:1", source) == source
        assert behind_proxies.ask_by_websocket("6.6.6.6:1", source) == source

    assert behind_proxies.ask_by_websocket(f"6.6.6.6, {VISITOR}", FIRST_PROXY) == VISITOR


def test_eighty_invented_addresses_are_one_in_the_audit_trail_and_for_the_limits(
    behind_proxies: Site,
) -> None:
    behind_proxies.events.clear()

    for number in range(80):
        body = json.dumps({"email": f"user{number}@example.com", "password": "wrong"})
        behind_proxies.ask(f"ME, 10.9.8.{number}", path="/auth/login", body=body)

    assert len(behind_proxies.events) == 80
    assert {event.ip for event in behind_proxies.events} == {STRANGER}


@pytest.mark.parametrize("belief", BELIEFS.values(), ids=BELIEFS.keys())
def test_behind_a_unix_socket_it_is_the_address_that_the_proxy_added(
    belief: dict[str, Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "app.sock")
    with serve(make_site(Events(), PROXIES), uds=path, **belief) as site:
        assert site.ask(f"6.6.6.6:1, {VISITOR}") == VISITOR

    with serve(make_site(Events(), []), uds=path, **belief) as site:
        assert site.ask("6.6.6.6:1") is None


class Passing(BaseHTTPMiddleware):
    """Hides the server's connection from what is below."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


EVERYBODY = BELIEFS["uvicorn-believes-everybody"]


def test_middleware_of_the_application_hides_no_peer() -> None:
    app = make_site(Events(), PROXIES)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts="*")
    app.add_middleware(Passing)

    with serve(app, **EVERYBODY) as site:
        assert site.ask("ME, 6.6.6.6:1") == STRANGER
        assert site.ask(f"6.6.6.6:1, {VISITOR}", source=FIRST_PROXY) == VISITOR


def test_a_kit_that_is_installed_while_the_application_starts_sees_the_peers() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        install(app, make_kit())
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/client")
    async def show(client: ClientDep) -> str | None:
        return client.ip

    with serve(app, **EVERYBODY) as site:
        assert site.ask("ME, 6.6.6.6:1") == STRANGER


def test_a_mounted_application_with_its_own_kit_sees_the_peers() -> None:
    outer = make_site(Events(), [])
    outer.add_middleware(Passing)
    outer.mount("/inner", make_site(Events(), PROXIES))

    with serve(outer, **EVERYBODY) as site:
        assert site.ask("ME, 6.6.6.6:1", path="/inner/client") == STRANGER
        assert site.ask(VISITOR, path="/inner/client", source=FIRST_PROXY) == VISITOR


def test_a_wrapper_around_the_application_that_hides_the_connection_forges_no_address() -> None:
    with serve(Passing(make_site(Events(), PROXIES))) as site:
        for source in (STRANGER, LOCAL):
            assert site.ask("6.6.6.6:1", source=source) == source
            assert site.ask("ME, 6.6.6.6:1", source=source) == source
        assert site.ask(f"6.6.6.6:1, {VISITOR}", source=FIRST_PROXY) == VISITOR


def test_a_mounted_application_sees_the_peers_where_the_outer_one_only_denies() -> None:
    outer = FastAPI()
    deny_by_default(outer, public_paths=["/inner"])
    outer.mount("/inner", make_site(Events(), PROXIES))

    with serve(outer, **EVERYBODY) as site:
        assert site.ask("ME, 6.6.6.6:1", path="/inner/client") == STRANGER


def test_the_second_install_of_an_application_changes_nothing_here() -> None:
    app = make_site(Events(), [])
    install(app, make_kit(settings={"trusted_proxies": list(PROXIES)}))

    with serve(app, **EVERYBODY) as site:
        assert site.ask("ME, 6.6.6.6:1") == STRANGER
        assert site.ask(VISITOR, source=FIRST_PROXY) == VISITOR
