"""Where a request came from: only trusted proxies may say."""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from apps import EMAIL, PASSWORD, Events, make_app, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    AuthSettings,
    ClientDep,
    ConfigurationError,
    KeyRing,
    TokenVerifier,
    get_auth,
    install,
)
from jwt_auth_kit.web.clients import _warn_of_forwarded_addresses, read_client

PEER = ("192.0.2.1", 51234)
PROXY = ("10.0.0.5", 51234)
UNIX_SOCKET = None
OVERWRITTEN = ("6.6.6.6", 0)
OVERWRITTEN_BY_GRANIAN = ("6.6.6.6", "0")
OVERWRITTEN_WITH_PORT = ("6.6.6.6", 1)
MAPPED = ("::ffff:10.0.0.5", 51234)


def address(
    peer: tuple[str, int | str] | None,
    *forwarded: str,
    trusted: Sequence[str] = (),
    server: tuple[str, int | None] | None = None,
) -> str | None:
    headers = [(b"x-forwarded-for", hop.encode()) for hop in forwarded]
    scope = {"type": "http", "client": peer, "server": server, "headers": headers}
    connection = HTTPConnection(scope)
    return read_client(connection, [ip_network(network) for network in trusted]).ip


@pytest.mark.parametrize("forged", ["6.6.6.6", "127.0.0.1", "10.0.0.5", "rubbish", ""])
def test_who_connects_directly_cannot_choose_an_address(forged: str) -> None:
    assert address(PEER, forged) == "192.0.2.1"
    assert address(PEER, forged, trusted=["10.0.0.0/8"]) == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        (["203.0.113.9, rubbish"], "10.0.0.5"),
        (["rubbish, 203.0.113.9"], "203.0.113.9"),
        (["10.0.0.7"], "10.0.0.7"),
        ([""], "10.0.0.5"),
        ([], "10.0.0.5"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:DB8:0::1"], "2001:db8::1"),
    ],
)
def test_behind_trusted_proxies_it_is_the_last_address_that_is_not_theirs(
    forwarded: list[str], expected: str
) -> None:
    assert address(PROXY, *forwarded, trusted=["10.0.0.0/8"]) == expected


@pytest.mark.parametrize("header", ["6.6.6.6", "6.6.6.6:1", "6.6.6.6:1, 203.0.113.9"])
def test_an_address_the_server_took_from_the_header_is_not_believed(header: str) -> None:
    assert address(OVERWRITTEN, header) is None
    assert address(OVERWRITTEN_BY_GRANIAN, header) is None

    behind = address(OVERWRITTEN, f"{header}, 198.51.100.7", trusted=["10.0.0.5"])
    assert behind == "198.51.100.7"


@pytest.mark.parametrize("forged", ["192.0.2.1", "192.0.2.1:51234", "::ffff:192.0.2.1%x"])
def test_a_client_that_names_its_own_address_first_is_still_the_one_that_connected(
    forged: str,
) -> None:
    for header in (forged, f"{forged}, 6.6.6.6", f"6.6.6.6, {forged}"):
        assert address(PEER, header) == "192.0.2.1"
        assert address(PEER, header, trusted=["10.0.0.0/8"]) == "192.0.2.1"


@pytest.mark.parametrize("peer", [OVERWRITTEN, OVERWRITTEN_WITH_PORT])
@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_only_the_machine_itself_connects_to_its_loopback_interface(
    peer: tuple[str, int], loopback: str
) -> None:
    server, name = (loopback, 8000), loopback.removeprefix("::ffff:")
    header = "6.6.6.6:1"

    assert address(peer, header, server=server) == name
    assert address(peer, header, trusted=["10.0.0.5"], server=server) == name
    assert address(peer, f"{header}, 198.51.100.7", trusted=[name], server=server) == "198.51.100.7"


@pytest.mark.parametrize("peer", [OVERWRITTEN, OVERWRITTEN_WITH_PORT])
def test_no_client_of_a_unix_socket_has_an_address(peer: tuple[str, int]) -> None:
    server = ("/run/app.sock", None)

    assert address(peer, "6.6.6.6:1", server=server) is None
    behind = address(peer, "6.6.6.6:1, 203.0.113.9", trusted=["10.0.0.5"], server=server)
    assert behind == "203.0.113.9"


def test_headers_of_other_names_are_not_read() -> None:
    scope = {
        "type": "http",
        "client": PROXY,
        "headers": [(b"forwarded", b"for=6.6.6.6"), (b"x-real-ip", b"6.6.6.6")],
    }

    client = read_client(HTTPConnection(scope), [ip_network("10.0.0.0/8")])

    assert client.ip == "10.0.0.5"


@pytest.mark.parametrize("text", ["<img src=x>", "x" * 400])
def test_text_that_is_no_address_never_becomes_one(text: str) -> None:
    assert address((text, 5), f"{text}:5") is None
    assert address((text, 5), f"{text}:5", trusted=["10.0.0.5"]) is None
    assert len(address((text, 5)) or "") <= 45


def test_a_proxy_is_known_in_both_spellings_of_its_address() -> None:
    assert address(MAPPED, "203.0.113.9", trusted=["10.0.0.5"]) == "203.0.113.9"
    assert address(MAPPED) == "10.0.0.5"
    assert address(("fe80::1%anything", 5)) == "fe80::1"


def test_a_proxy_that_nobody_named_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_forwarded_addresses.cache_clear()

    address(PROXY, "203.0.113.9", trusted=["10.0.0.5"])
    assert caplog.text == ""
    address(PROXY, "203.0.113.9")
    address(PROXY, "203.0.113.9", trusted=["10.9.9.9"])

    (record,) = caplog.records
    assert "JWT_TRUSTED_PROXIES" in record.getMessage()


def test_a_unix_socket_has_a_proxy_at_its_other_end() -> None:
    assert address(UNIX_SOCKET, "6.6.6.6") is None
    assert address(UNIX_SOCKET) is None
    assert address(UNIX_SOCKET, "6.6.6.6, 203.0.113.9", trusted=["10.0.0.5"]) == "203.0.113.9"
    assert address(UNIX_SOCKET, trusted=["10.0.0.5"]) is None


def test_a_spoofed_header_changes_nothing_in_the_audit_trail() -> None:
    events = Events()
    with TestClient(make_app(make_kit(on_event=events)), client=PEER) as client:
        register(client)

        client.post(
            "/auth/login",
            json={"email": "ada@example.com", "password": PASSWORD},
            headers={"X-Forwarded-For": "6.6.6.6"},
        )

    assert {event.ip for event in events} == {"192.0.2.1"}


def test_the_environment_names_the_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_TRUSTED_PROXIES", "192.0.2.1, 2001:db8::/32")
    events = Events()
    with TestClient(make_app(make_kit(on_event=events)), client=PEER) as client:
        client.headers["X-Forwarded-For"] = "203.0.113.9"
        register(client)

    assert {event.ip for event in events} == {"203.0.113.9"}


def app_with_own_routes(authenticator: AuthKit | TokenVerifier) -> FastAPI:
    app = FastAPI()
    install(app, authenticator)

    @app.get("/client")
    async def show(client: ClientDep) -> dict[str, str | None]:
        return {"ip": client.ip, "user_agent": client.user_agent}

    @app.post("/sign-in")
    async def sign_in(
        password: str, client: ClientDep, kit: Annotated[AuthKit, Depends(get_auth)]
    ) -> str:
        return (await kit.login(EMAIL, password, client=client)).session_id

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, client: ClientDep) -> None:
        await websocket.accept()
        await websocket.send_text(str(client.ip))
        await websocket.close()

    return app


def trusting_kit(**options: Any) -> AuthKit:
    return make_kit(settings={"trusted_proxies": "10.0.0.0/8"}, **options)


def test_a_login_route_of_the_host_is_told_the_client_behind_the_proxies() -> None:
    events = Events()
    kit = trusting_kit(on_event=events)
    anyio.run(kit.create_user, EMAIL, PASSWORD)
    with TestClient(app_with_own_routes(kit), client=PROXY) as browser:
        browser.headers["X-Forwarded-For"] = "6.6.6.6, 203.0.113.9"

        assert browser.post("/sign-in", params={"password": PASSWORD}).status_code == 200
        assert browser.post("/sign-in", params={"password": "wrong"}).status_code == 401

    assert [(event.name, event.ip) for event in events[1:]] == [
        ("logged_in", "203.0.113.9"),
        ("login_failed", "203.0.113.9"),
    ]


def test_any_route_may_ask_for_the_client() -> None:
    with TestClient(app_with_own_routes(trusting_kit()), client=PEER) as browser:
        shown = browser.get(
            "/client", headers={"User-Agent": "curl/8", "X-Forwarded-For": "6.6.6.6"}
        )

    assert shown.json() == {"ip": "192.0.2.1", "user_agent": "curl/8"}


def test_a_service_that_only_verifies_tokens_is_told_the_client_too() -> None:
    settings = AuthSettings(trusted_proxies=["10.0.0.0/8"], issuer="shop", audience="api")
    verifier = TokenVerifier(keys=KeyRing.random(), settings=settings)
    with TestClient(app_with_own_routes(verifier), client=PROXY) as browser:
        shown = browser.get("/client", headers={"X-Forwarded-For": "203.0.113.9"})

    assert shown.json()["ip"] == "203.0.113.9"


def test_a_websocket_route_is_told_the_client_behind_the_proxies() -> None:
    with (
        TestClient(app_with_own_routes(trusting_kit()), client=PROXY) as browser,
        browser.websocket_connect("/socket", headers={"X-Forwarded-For": "203.0.113.9"}) as socket,
    ):
        assert socket.receive_text() == "203.0.113.9"


def test_a_mounted_application_asks_the_one_it_is_mounted_in() -> None:
    outer, inner = FastAPI(), FastAPI()
    install(outer, trusting_kit())

    @inner.get("/client")
    async def show(client: ClientDep) -> str | None:
        return client.ip

    outer.mount("/inner", inner)
    with TestClient(outer, client=PROXY) as browser:
        shown = browser.get("/inner/client", headers={"X-Forwarded-For": "203.0.113.9"})

    assert shown.json() == "203.0.113.9"


@pytest.mark.parametrize("value", ["10.0.0.300", "proxy.example", "10.0.0.1/8", "*"])
def test_what_is_no_address_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_TRUSTED_PROXIES", value)

    with pytest.raises(ConfigurationError, match="JWT_TRUSTED_PROXIES"):
        AuthSettings()


def test_the_environment_may_name_an_ipv4_proxy_as_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_TRUSTED_PROXIES", "::ffff:10.0.0.0/104, ::ffff:192.0.2.1")

    networks = AuthSettings().trusted_proxies

    assert networks == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"))


@pytest.mark.parametrize(
    "value",
    [
        "0.0.0.0/0",
        "10.0.0.1, ::/0",
        "0.0.0.0/1, 128.0.0.0/1",
        "::ffff:0:0/96",
        "::/1, 8000::/2, c000::/2",
    ],
)
def test_not_everybody_is_a_proxy(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_TRUSTED_PROXIES", value)

    with pytest.raises(ConfigurationError, match="name the proxies"):
        AuthSettings()
