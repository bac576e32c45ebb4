"""WebSockets: who is let in, how, and when the connection ends."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.typing import Subprotocol

from apps import PASSWORD, Clock, Events, bearer, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    CookieTransport,
    CurrentUser,
    MemoryTokenStore,
    SessionDep,
    StoreUnavailable,
    Transport,
    UserDep,
    accept_while_signed_in,
    auth_router,
    deny_by_default,
    get_current_user,
    install,
    require_role,
)
from jwt_auth_kit.stores.base import Revocations
from live import live_server

OWN = "https://testserver"
ACCESS = "__Host-access_token"
SOON = timedelta(milliseconds=20)


def make_app(kit: AuthKit | None = None, *transports: Transport) -> FastAPI:
    """Make an application whose WebSockets answer what they are sent."""
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit or make_kit(), transports=transports or [BearerTransport()])

    @app.websocket("/live")
    async def live(websocket: WebSocket, user: UserDep) -> None:
        async with accept_while_signed_in(websocket, user, interval=SOON):
            await websocket.send_text(user.id)
            async for text in websocket.iter_text():
                await websocket.send_text(text)

    @app.websocket("/admin")
    async def admin(
        websocket: WebSocket, user: Annotated[CurrentUser, Depends(require_role("admin"))]
    ) -> None:
        async with accept_while_signed_in(websocket, user):
            await websocket.send_text(user.id)

    @app.websocket("/broken")
    async def broken(websocket: WebSocket, user: UserDep) -> None:
        async with accept_while_signed_in(websocket, user):
            raise RuntimeError("a mistake of the route")

    return app


@contextmanager
def serve(kit: AuthKit | None = None, *transports: Transport) -> Iterator[TestClient]:
    with TestClient(make_app(kit, *transports), base_url=OWN) as client:
        yield client


PATIENCE = 30  # seconds


def open_socket(client: TestClient, path: str = "/live", **options: Any) -> Any:
    return client.websocket_connect(f"wss://testserver{path}", **options)


def closing(socket: Any) -> tuple[int, str]:
    """Wait until the server closes, and return how it did."""

    async def receive() -> Any:
        with anyio.fail_after(PATIENCE):  # the client of Starlette would wait for ever
            return await socket._send_rx.receive()

    message = socket.portal.call(receive)
    assert message["type"] == "websocket.close"
    return message["code"], message["reason"]


class TestHandshake:
    """How a token gets in, and what a refusal looks like."""

    def test_a_token_in_the_header_opens(self) -> None:
        with serve() as client:
            signed_in = register(client)

            with open_socket(client, headers=bearer(signed_in)) as socket:
                assert socket.receive_text() == signed_in["user_id"]
                assert socket.accepted_subprotocol is None

    def test_a_token_beside_the_subprotocol_opens_and_is_not_repeated(self) -> None:
        with serve() as client:
            signed_in = register(client)
            offered = ["bearer", signed_in["access_token"]]

            with open_socket(client, subprotocols=offered) as socket:
                assert socket.receive_text() == signed_in["user_id"]
                assert socket.accepted_subprotocol == "bearer"
                assert signed_in["access_token"] not in str(socket.extra_headers)

    def test_a_cookie_opens_to_pages_of_our_own(self) -> None:
        with serve(None, CookieTransport()) as client:
            user_id = register(client)["user_id"]

            with open_socket(client, headers={"Origin": OWN}) as socket:
                assert socket.receive_text() == user_id

    def test_of_a_cookie_and_an_offered_token_the_offered_one_counts(self) -> None:
        with serve(None, CookieTransport(), BearerTransport()) as client:
            register(client)
            form = {"grant_type": "password", "username": "eve@example.com", "password": PASSWORD}
            eve = register(TestClient(client.app, base_url=OWN), "eve@example.com")["user_id"]
            token = client.post("/auth/token", data=form).json()["access_token"]

            offered = ["bearer", token]
            with open_socket(client, subprotocols=offered, headers={"Origin": OWN}) as socket:
                assert socket.receive_text() == eve

    @pytest.mark.parametrize("place", ["access_token", "token", "authorization"])
    def test_a_token_in_the_query_is_never_read(self, place: str) -> None:
        with serve() as client:
            token = register(client)["access_token"]

            with open_socket(client, f"/live?{place}={token}") as socket:
                assert closing(socket) == (4401, "not_authenticated")

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "not_authenticated"),
            ({"headers": {"Authorization": "Bearer a.b.c"}}, "invalid_token"),
            ({"headers": {"Authorization": "Basic YTpi"}}, "not_authenticated"),
            ({"subprotocols": ["bearer", "a.b.c"]}, "invalid_token"),
            ({"subprotocols": ["bearer"]}, "invalid_token"),
            ({"subprotocols": ["chat", "bearer", "a.b.c"]}, "not_authenticated"),
        ],
    )
    def test_a_refusal_is_accepted_and_closed_so_that_the_page_is_told_why(
        self, options: dict[str, Any], reason: str
    ) -> None:
        with serve() as client, open_socket(client, **options) as socket:
            offered = options.get("subprotocols", [])
            assert socket.accepted_subprotocol == ("bearer" if "bearer" in offered else None)
            assert closing(socket) == (4401, reason)

    def test_an_expired_token_is_refused(self) -> None:
        clock = Clock()
        with serve(make_kit(clock=clock)) as client:
            signed_in = register(client)
            clock.advance(minutes=15)

            with open_socket(client, headers=bearer(signed_in)) as socket:
                assert closing(socket) == (4401, "token_expired")

    def test_a_revoked_token_is_refused(self) -> None:
        with serve() as client:
            signed_in = register(client)
            client.post("/auth/logout", headers=bearer(signed_in))

            with open_socket(client, headers=bearer(signed_in)) as socket:
                assert closing(socket) == (4401, "token_revoked")

    def test_a_refresh_token_is_refused(self) -> None:
        with serve() as client:
            offered = ["bearer", register(client)["refresh_token"]]

            with open_socket(client, subprotocols=offered) as socket:
                assert closing(socket) == (4401, "wrong_token_type")

    @pytest.mark.parametrize(
        "headers", [{}, {"Origin": "https://elsewhere.example"}, {"Origin": "http://testserver"}]
    )
    def test_cookies_of_another_site_get_no_handshake(self, headers: dict[str, str]) -> None:
        events = Events()
        with serve(make_kit(on_event=events), CookieTransport()) as client:
            register(client)

            with (
                pytest.raises(WebSocketDisconnect) as refused,
                open_socket(client, headers=headers),
            ):
                pass

        assert (refused.value.code, refused.value.reason) == (4403, "cross_site_request")
        assert (events[-1].name, events[-1].reason) == ("access_denied", "cross_site_request")

    def test_a_missing_role_gets_no_handshake(self) -> None:
        events = Events()
        with serve(make_kit(on_event=events)) as client:
            signed_in = register(client)

            with (
                pytest.raises(WebSocketDisconnect) as refused,
                open_socket(client, "/admin", headers=bearer(signed_in)),
            ):
                pass

        assert (refused.value.code, refused.value.reason) == (4403, "insufficient_role")
        assert (events[-1].name, events[-1].user_id) == ("access_denied", signed_in["user_id"])

    def test_a_role_opens(self) -> None:
        kit = make_kit()
        with serve(kit) as client:
            user_id = register(client)["user_id"]
            assert client.portal is not None
            client.portal.call(kit.set_role, user_id, "admin")
            login = {"email": "ada@example.com", "password": PASSWORD}
            signed_in = client.post("/auth/login", json=login).json()

            with open_socket(client, "/admin", headers=bearer(signed_in)) as socket:
                assert socket.receive_text() == user_id

    def test_a_store_that_is_away_says_try_again(self) -> None:
        kit = make_kit(tokens=AwayStore(answers=0), settings={"when_stale": "reject"})
        with serve(kit) as client:
            signed_in = register(client)

            with open_socket(client, headers=bearer(signed_in)) as socket:
                assert closing(socket) == (1013, "store_unavailable")


class AwayStore(MemoryTokenStore):
    """A store whose revocations can be read so many times, until *error* is raised."""

    def __init__(self, *, answers: int, error: Exception | None = None) -> None:
        super().__init__()
        self._answers = answers
        self._error = error or StoreUnavailable()

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        self._answers -= 1
        if self._answers < 0:
            raise self._error
        return await super().revoked_since(cursor, now, keep=keep)


class TestConnection:
    """When an open connection ends."""

    def test_it_ends_when_the_access_token_does(self) -> None:
        clock = Clock()
        with serve(make_kit(clock=clock)) as client:
            signed_in = register(client)
            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()
                socket.send_text("still here")
                assert socket.receive_text() == "still here"

                clock.advance(minutes=15)

                assert closing(socket) == (4401, "token_expired")

    @pytest.mark.parametrize("path", ["/auth/logout", "/auth/logout-all"])
    def test_it_ends_with_the_session(self, path: str) -> None:
        with serve() as client:
            signed_in = register(client)
            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()

                client.post(path, headers=bearer(signed_in))

                assert closing(socket) == (4401, "token_revoked")

    @pytest.mark.parametrize(
        "change",
        [
            lambda kit, user_id: kit.set_role(user_id, "admin"),
            lambda kit, user_id: kit.disable_user(user_id),
            lambda kit, user_id: kit.set_password(user_id, "battery staple horse"),
        ],
        ids=["role", "disabled", "password"],
    )
    def test_it_ends_when_the_users_rights_change(self, change: Callable[..., Any]) -> None:
        kit = make_kit()
        with serve(kit) as client:
            signed_in = register(client)
            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()

                assert client.portal is not None
                client.portal.call(change, kit, signed_in["user_id"])

                assert closing(socket) == (4401, "token_revoked")

    def test_it_ends_when_another_process_ends_the_session(self) -> None:
        kit = make_kit(settings={"revocation_interval": timedelta(0)})
        other = make_kit(users=kit.users, tokens=kit.tokens)
        with serve(kit) as client:
            signed_in = register(client)
            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()

                assert client.portal is not None
                client.portal.call(other.logout_all, signed_in["user_id"])

                assert closing(socket) == (4401, "token_revoked")

    def test_it_ends_with_try_again_when_revocations_cannot_be_read(self) -> None:
        settings = {"when_stale": "reject", "revocation_interval": timedelta(0)}
        with serve(make_kit(tokens=AwayStore(answers=2), settings=settings)) as client:
            signed_in = register(client)
            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()

                assert closing(socket) == (1013, "store_unavailable")

    def test_it_ends_when_the_store_breaks_and_the_log_tells_why(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = AwayStore(answers=2, error=KeyError("a mistake of the store"))
        with serve(make_kit(tokens=store, settings={"revocation_interval": 0})) as client:
            signed_in = register(client)
            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()

                assert closing(socket) == (1011, "")

        assert "a mistake of the store" in caplog.text

    def test_a_client_that_leaves_is_no_error_and_leaves_nothing_behind(self) -> None:
        async def count_tasks() -> int:
            return len(asyncio.all_tasks())

        with serve() as client:
            signed_in = register(client)
            assert client.portal is not None
            before = client.portal.call(count_tasks)

            with open_socket(client, headers=bearer(signed_in)) as socket:
                socket.receive_text()

            assert client.portal.call(count_tasks) == before

    def test_an_error_of_the_route_is_not_swallowed(self) -> None:
        with serve() as client:
            signed_in = register(client)

            with (
                pytest.raises(RuntimeError, match="a mistake of the route"),
                open_socket(client, "/broken", headers=bearer(signed_in)),
            ):
                pass

    def test_a_user_whom_a_test_signed_in_has_no_token_that_could_end(self) -> None:
        app = make_app()
        app.dependency_overrides[get_current_user] = lambda: CurrentUser(id="1")
        with TestClient(app) as client, open_socket(client) as socket:
            socket.receive_text()

            time.sleep(5 * SOON.total_seconds())
            socket.send_text("still here")

            assert socket.receive_text() == "still here"


class Server:
    """Runs a WebSocket as a server does, which needs a moment to close, or finds nobody there."""

    def __init__(self, app: FastAPI, *, is_gone: bool = False) -> None:
        self._app = app
        self._is_gone = is_gone
        self.sent: list[Message] = []

    async def run(self, path: str) -> None:
        token = await sign_in(self._app)
        scope = {
            "type": "websocket",
            "scheme": "wss",
            "path": path,
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "client": ("192.0.2.1", 1),
            "subprotocols": [],
        }
        async with asyncio.timeout(5):
            await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self.sent:
            await asyncio.Event().wait()
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            if self._is_gone:
                raise OSError
            await asyncio.sleep(0.05)
        self.sent.append(message)


class TestRoutesThatDoNotReceive:
    """They are not told when it is over."""

    @pytest.fixture
    def done(self) -> list[str]:
        """What routes did after the connection."""
        return []

    @pytest.fixture
    def app(self, done: list[str]) -> FastAPI:
        clock = Clock()
        app = make_app(make_kit(clock=clock))

        @app.websocket("/talking")
        async def talk(websocket: WebSocket, user: UserDep) -> None:
            async with accept_while_signed_in(websocket, user, interval=SOON):
                while True:
                    await websocket.send_text("x")
                    await asyncio.sleep(0.001)
                    clock.advance(seconds=20)
            done.append("talked")

        @app.websocket("/waiting")
        async def wait(websocket: WebSocket, user: UserDep) -> None:
            async with accept_while_signed_in(websocket, user, interval=SOON):
                clock.advance(minutes=16)
                await asyncio.Event().wait()
            done.append("waited")

        return app

    @pytest.mark.parametrize(("path", "end"), [("/talking", "talked"), ("/waiting", "waited")])
    async def test_they_end_quietly_and_the_client_is_told(
        self, app: FastAPI, done: list[str], path: str, end: str
    ) -> None:
        server = Server(app)

        await server.run(path)

        assert server.sent[-1]["type"] == "websocket.close"
        assert (server.sent[-1]["code"], server.sent[-1]["reason"]) == (4401, "token_expired")
        assert done == [end]

    @pytest.mark.parametrize(("path", "end"), [("/talking", "talked"), ("/waiting", "waited")])
    async def test_a_client_that_is_gone_by_then_is_no_error(
        self, app: FastAPI, done: list[str], path: str, end: str
    ) -> None:
        server = Server(app, is_gone=True)

        await server.run(path)

        assert "websocket.close" not in [message["type"] for message in server.sent]
        assert done == [end]


async def sign_in(app: FastAPI) -> str:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=OWN) as client:
        body = {"email": "ada@example.com", "password": PASSWORD}
        return str((await client.post("/auth/register", json=body)).json()["access_token"])


class TestOtherGuards:
    """What else can stand before a WebSocket."""

    def test_deny_by_default_closes_what_nobody_protected(self) -> None:
        app = FastAPI()
        deny_by_default(app)
        install(app, make_kit())

        @app.websocket("/live")
        async def live(websocket: WebSocket) -> None:
            raise AssertionError("the route ran")

        with TestClient(app) as client, open_socket(client) as socket:
            assert closing(socket) == (4401, "not_authenticated")

    def test_require_session_asks_the_store(self) -> None:
        kit = make_kit()
        app = make_app(kit)

        @app.websocket("/now")
        async def now(websocket: WebSocket, user: SessionDep) -> None:
            async with accept_while_signed_in(websocket, user):
                await websocket.send_text(user.id)

        with TestClient(app) as client:
            signed_in = register(client)
            with open_socket(client, "/now", headers=bearer(signed_in)) as socket:
                assert socket.receive_text() == signed_in["user_id"]
            assert client.portal is not None
            client.portal.call(make_kit(tokens=kit.tokens).logout_all, signed_in["user_id"])
            with open_socket(client, "/now", headers=bearer(signed_in)) as socket:
                assert closing(socket) == (4401, "token_revoked")


class TestRealServer:
    """The example on uvicorn, whose log tells what went wrong."""

    async def test_every_way_in_and_every_refusal(self, capfd: pytest.CaptureFixture[str]) -> None:
        with quiet_server(capfd) as url:
            token = (await new_tokens(url))["access_token"]
            header = {"Authorization": f"Bearer {token}"}
            cookie = {"Cookie": f"{ACCESS}={token}"}
            offered = [Subprotocol("bearer"), Subprotocol(token)]

            assert await ask(url, additional_headers=header) == (None, {"projects": 0})
            assert await ask(url, additional_headers=cookie, origin=url) == (None, {"projects": 0})
            assert await ask(url, subprotocols=offered) == ("bearer", {"projects": 0})
            for stranger in (url, f"{url}?token=x"):
                with pytest.raises(ConnectionClosed) as closed:
                    await ask(stranger)
                assert closed.value.rcvd == Close(4401, "not_authenticated")
            for origin in (None, "https://elsewhere.example"):
                with pytest.raises(InvalidStatus) as handshake:
                    await ask(url, additional_headers=cookie, origin=origin)
                assert handshake.value.response.status_code == 403

    async def test_the_end_of_the_session_is_told_in_time(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with quiet_server(capfd) as url:
            token = (await new_tokens(url))["access_token"]
            header = {"Authorization": f"Bearer {token}"}
            async with connect_to(url, additional_headers=header) as socket:
                async with httpx.AsyncClient(base_url=url) as client:
                    await client.post("/auth/logout", headers=header)

                assert await how_it_ends(socket) == Close(4401, "token_revoked")

    async def test_the_end_of_the_token_is_told(self, capfd: pytest.CaptureFixture[str]) -> None:
        with quiet_server(capfd, access_ttl="4") as url:
            token = (await new_tokens(url))["access_token"]
            header = {"Authorization": f"Bearer {token}"}
            async with connect_to(url, additional_headers=header) as socket:
                assert await how_it_ends(socket) == Close(4401, "token_expired")

    async def test_clients_that_vanish_do_no_harm(self, capfd: pytest.CaptureFixture[str]) -> None:
        with quiet_server(capfd) as url:
            token = (await new_tokens(url))["access_token"]
            header = {"Authorization": f"Bearer {token}"}
            for _ in range(5):
                async with connect_to(url, additional_headers=header) as socket:
                    await socket.send("")
                    socket.transport.abort()

            assert await ask(url, additional_headers=header) == (None, {"projects": 0})


@contextmanager
def quiet_server(capfd: pytest.CaptureFixture[str], *, access_ttl: str = "900") -> Iterator[str]:
    """Serve the example; in the end its log must tell of no error."""
    with live_server(AUTH_COOKIES="1", JWT_ACCESS_TTL=access_ttl) as url:
        yield url
    log = capfd.readouterr().err
    assert "Application shutdown complete" in log
    assert "ERROR" not in log
    assert "Traceback" not in log


async def new_tokens(url: str) -> dict[str, str]:
    """Register somebody and return tokens that may travel in headers."""
    account = {"email": "ada@example.com", "password": PASSWORD}
    form = {"grant_type": "password", "username": account["email"], "password": PASSWORD}
    async with httpx.AsyncClient(base_url=url) as client:
        await client.post("/auth/register", json=account)
        return dict((await client.post("/auth/token", data=form)).json())


def connect_to(url: str, **options: Any) -> connect:
    base, _, query = url.partition("?")
    return connect(f"{base.replace('http', 'ws')}/api/live?{query}", proxy=None, **options)


async def ask(url: str, **options: Any) -> tuple[str | None, Any]:
    """Return the subprotocol that was chosen, and the answer to a message."""
    async with connect_to(url, **options) as socket:
        await socket.send("")
        return socket.subprotocol, json.loads(await socket.recv())


async def how_it_ends(socket: ClientConnection) -> Close | None:
    async with asyncio.timeout(20):
        await socket.wait_closed()
    return socket.protocol.close_rcvd
