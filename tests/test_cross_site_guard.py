"""The guard against requests that another web site makes a browser send, header by header."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from apps import EMAIL, PASSWORD, Events, bearer, code, make_kit, register
from jwt_auth_kit import BearerTransport, CookieTransport, UserDep, accept_while_signed_in
from test_cookies import ACCESS, ELSEWHERE, OWN, REFRESH
from test_cookies import browser as browser_of_own_page

CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": ELSEWHERE}
TRUSTED = "https://app.example.com"
SAME_SITE = {"Sec-Fetch-Site": "same-site", "Origin": "https://sibling.testserver"}

browser = partial(browser_of_own_page, headers={})
"""Serves the application to a client that adds nothing."""

REFUSED = [
    CROSS_SITE,
    SAME_SITE,
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": OWN},
    {"Sec-Fetch-Site": "unheard-of"},
    {"Sec-Fetch-Site": ""},
    {"Origin": ELSEWHERE},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://testserver"},
    {"Origin": "https://testserver:8443"},
    {"Origin": "https://testserver.elsewhere.example"},
    {"Origin": f"{OWN}/"},
]
ACCEPTED = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": OWN},
    {"Origin": OWN, "Host": "testserver:443"},
    {"Origin": "https://testserver:8443", "Host": "testserver:8443"},
]
COOKIE_ROUTES = [
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/logout-all"),
    ("POST", "/auth/password"),
    ("DELETE", "/auth/sessions"),
    ("DELETE", "/auth/sessions/x"),
    ("POST", "/projects"),
]


def headers_name(headers: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in headers.items())


def send(client: TestClient, method: str, path: str, headers: dict[str, str]) -> Any:
    passwords = {"current_password": PASSWORD, "new_password": "battery horse"}
    body = passwords if path == "/auth/password" else None
    return client.request(method, path, json=body, headers=headers)


@pytest.mark.parametrize("headers", REFUSED, ids=headers_name)
def test_a_request_of_another_origin_does_nothing(headers: dict[str, str]) -> None:
    with browser() as client:
        register(client)
        before = dict(client.cookies)

        for method, path in COOKIE_ROUTES:
            answer = send(client, method, path, headers)

            assert (answer.status_code, code(answer)) == (403, "cross_site_request"), path
            assert answer.headers.get_list("set-cookie") == []
        assert dict(client.cookies) == before
        assert client.get("/projects").status_code == 200


@pytest.mark.parametrize("headers", REFUSED, ids=headers_name)
@pytest.mark.parametrize("path", ["/auth/login", "/auth/register", "/auth/logout"])
def test_another_origin_signs_nobody_in_or_out_without_cookies_either(
    headers: dict[str, str], path: str
) -> None:
    with browser() as client:
        register(client)
        client.cookies.clear()
        body = {"email": "bob@example.com", "password": PASSWORD}

        answer = client.post(path, json=body, headers=headers)

    assert (answer.status_code, code(answer)) == (403, "cross_site_request")
    assert answer.headers.get_list("set-cookie") == []


@pytest.mark.parametrize("headers", ACCEPTED, ids=headers_name)
def test_a_request_of_our_own_pages_passes(headers: dict[str, str]) -> None:
    with browser() as client:
        register(client)

        assert client.post("/projects", headers=headers).status_code == 200
        assert client.post("/auth/refresh", headers=headers).status_code == 200
        assert client.post("/auth/logout", headers=headers).status_code == 204


def test_with_neither_header_a_request_passes_without_cookies_only() -> None:
    with browser() as client:
        assert register(client)["email"] == EMAIL

        answer = client.post("/projects")

    assert (answer.status_code, code(answer)) == (403, "cross_site_request")


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site"])
@pytest.mark.parametrize("is_first", [False, True])
def test_a_header_that_is_there_twice_is_not_believed(name: str, is_first: bool) -> None:
    value = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}[name]
    headers = [(name, value), (name, "cross-site")]
    with browser() as client:
        register(client)

        answer = client.post("/projects", headers=headers if is_first else headers[::-1])

    assert answer.status_code == 403


LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
"""What a link, an image or a form that reads sends from another site: no ``Origin``."""


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_links_from_other_sites_find_the_user_signed_in(method: str) -> None:
    with browser() as client:
        register(client)

        assert client.request(method, "/projects", headers=LINK).status_code in {200, 405}


READ = ["/projects", "/auth/me", "/auth/session", "/auth/sessions"]


@pytest.mark.parametrize(
    "headers", [each for each in REFUSED if "Origin" in each], ids=headers_name
)
def test_scripts_of_other_origins_read_nothing(headers: dict[str, str]) -> None:
    with browser() as client:
        register(client)

        for path in READ:
            answer = client.get(path, headers=headers)

            assert (answer.status_code, code(answer)) == (403, "cross_site_request"), path
            assert client.head("/projects", headers=headers).status_code in {403, 405}


def test_scripts_of_other_origins_do_not_learn_that_there_is_a_session_to_refresh() -> None:
    events = Events()
    with browser(kit=make_kit(on_event=events)) as client:
        register(client)
        del client.cookies[ACCESS]

        answer = client.get("/auth/session", headers=CROSS_SITE)

        assert (answer.status_code, code(answer)) == (403, "cross_site_request")
        assert events.names[-1] == "access_denied"


@pytest.mark.parametrize("headers", ACCEPTED, ids=headers_name)
def test_scripts_of_our_own_pages_read(headers: dict[str, str]) -> None:
    with browser() as client:
        register(client)

        assert client.get("/projects", headers=headers).status_code == 200


def allow_all(app: Any) -> CORSMiddleware:
    return CORSMiddleware(app, allow_origin_regex=".*", allow_credentials=True)


def behind_a_function(app: FastAPI) -> CORSMiddleware:
    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return allow_all(pass_on)


def in_another_application(app: FastAPI) -> FastAPI:
    outer = FastAPI()
    outer.add_middleware(allow_all)
    outer.mount("/", app)
    return outer


@pytest.mark.parametrize("surround", [behind_a_function, in_another_application])
def test_cors_that_cannot_be_seen_at_the_start_lets_no_stranger_read(
    surround: Callable[[Any], Any],
) -> None:
    with browser(CookieTransport(trusted_origins=[TRUSTED])) as client:
        register(client)
        around = TestClient(surround(client.app), base_url=OWN, cookies=client.cookies)

        stranger = around.get("/projects", headers=CROSS_SITE)
        trusted = around.get("/projects", headers={**CROSS_SITE, "Origin": TRUSTED})

        assert stranger.headers["access-control-allow-origin"] == ELSEWHERE
        assert stranger.status_code == 403
        assert trusted.status_code == 200


def test_a_trusted_origin_may_act_for_the_user() -> None:
    trusted = CookieTransport(trusted_origins=[ELSEWHERE])
    with browser(trusted) as client:
        register(client)

        assert client.post("/projects", headers=CROSS_SITE).status_code == 200
        assert client.post("/projects", headers={"Origin": ELSEWHERE}).status_code == 200
        assert client.post("/projects", headers=SAME_SITE).status_code == 403
        for nearly in (f"{ELSEWHERE}.evil.example", f"{ELSEWHERE}:8443", ELSEWHERE[:-1]):
            assert client.post("/projects", headers={"Origin": nearly}).status_code == 403


def test_bearers_are_not_guarded() -> None:
    with browser(BearerTransport()) as client:
        signed_in = register(client)

        answer = client.post("/projects", headers={**bearer(signed_in), **CROSS_SITE})

    assert answer.status_code == 200


OAUTH_FORM = {"grant_type": "password", "username": EMAIL, "password": "wrong"}
POSTED_FORM = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
NO_CORS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
CORS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": ELSEWHERE}


@pytest.mark.parametrize(
    ("transport", "headers", "status"),
    [
        (CookieTransport(), POSTED_FORM, 403),
        (CookieTransport(), NO_CORS, 403),
        (CookieTransport(), CORS, 403),
        (CookieTransport(), {"Origin": ELSEWHERE}, 403),
        (CookieTransport(trusted_origins=[ELSEWHERE]), CORS, 400),
        (CookieTransport(), {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 400),
        (CookieTransport(), {}, 400),
        (BearerTransport(), POSTED_FORM, 403),
        (BearerTransport(), NO_CORS, 403),
        (BearerTransport(), CORS, 400),
        (BearerTransport(), {"Origin": ELSEWHERE}, 400),
    ],
)
def test_another_site_cannot_use_up_the_visitors_guesses_by_a_form(
    transport: Any, headers: dict[str, str], status: int
) -> None:
    with browser(transport, BearerTransport()) as client:
        answer = client.post("/auth/token", data=OAUTH_FORM, headers=headers)

    assert answer.status_code == status


def test_a_refusal_is_in_the_audit_trail() -> None:
    events = Events()
    with browser(kit=make_kit(on_event=events)) as client:
        register(client)

        client.post("/projects", headers=CROSS_SITE)
        client.post("/auth/login", json={"email": EMAIL, "password": "x"}, headers=CROSS_SITE)
        client.post("/auth/refresh", headers=CROSS_SITE)
        client.post("/auth/logout", headers=CROSS_SITE)

    refusals = [event for event in events if event.name == "access_denied"]
    assert [event.reason for event in refusals] == ["cross_site_request"] * 4


FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]


NEARLY_JSON = ["text/plain; application/json", "text/x+json", "application/notjson"]


@pytest.mark.parametrize(
    "content_type", [*FORMS, *NEARLY_JSON, "application/jsonp", "application/xml", ""]
)
@pytest.mark.parametrize("transport", [CookieTransport, BearerTransport])
@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/register", "/auth/refresh", "/auth/logout", "/auth/password"]
)
def test_bodies_are_json_or_refused(path: str, transport: Any, content_type: str) -> None:
    body = f'{{"email": "{EMAIL}", "password": "{PASSWORD}"}}'
    with browser(transport()) as client:
        answer = client.post(path, content=body, headers={"Content-Type": content_type})

    if path == "/auth/password":  # asks for a user first
        assert answer.status_code in {401, 415}
    else:
        assert (answer.status_code, code(answer)) == (415, "not_json")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_every_spelling_of_json_is_taken(content_type: str) -> None:
    body = f'{{"email": "{EMAIL}", "password": "{PASSWORD}"}}'
    with browser() as client:
        answer = client.post("/auth/register", content=body, headers={"Content-Type": content_type})

    assert answer.status_code == 201


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_without_a_type_is_refused(is_chunked: bool) -> None:
    body = b'{"email": "a", "password": "b"}'
    with browser() as client:
        answer = client.post("/auth/login", content=iter([body]) if is_chunked else body)

    assert (answer.status_code, code(answer)) == (415, "not_json")


def test_routes_of_the_application_take_uploads_only_where_that_is_chosen() -> None:
    own_page = {"Sec-Fetch-Site": "same-origin"}
    for transport, status in (
        (CookieTransport(), 415),
        (CookieTransport(body_types=["application/json", "multipart/form-data"]), 200),
    ):
        with browser(transport) as client:
            register(client)

            answer = client.post("/projects", files={"file": b"x"}, headers=own_page)

        assert answer.status_code == status


class TestWebSocket:
    """A handshake is a GET that browsers send anywhere, with cookies and without CORS."""

    @staticmethod
    def connect(client: TestClient, headers: dict[str, str]) -> str:
        with client.websocket_connect("wss://testserver/live", headers=headers) as socket:
            return str(socket.receive_text())

    @pytest.fixture
    def client(self) -> Any:
        with browser(CookieTransport(trusted_origins=[ELSEWHERE])) as client:

            async def live(websocket: WebSocket, user: UserDep) -> None:
                async with accept_while_signed_in(websocket, user):
                    await websocket.send_text(user.id)

            cast("FastAPI", client.app).add_api_websocket_route("/live", live)
            yield client

    @pytest.mark.parametrize("headers", REFUSED[1:], ids=headers_name)
    def test_of_another_origin_it_is_not_accepted(
        self, client: TestClient, headers: dict[str, str]
    ) -> None:
        if headers.get("Origin") == ELSEWHERE:
            headers = {"Origin": "https://third.example"}
        register(client)

        with pytest.raises(WebSocketDisconnect) as closed:
            self.connect(client, headers)

        assert (closed.value.code, closed.value.reason) == (4403, "cross_site_request")

    @pytest.mark.parametrize("headers", [{"Origin": OWN}, {"Origin": ELSEWHERE}])
    def test_of_our_own_and_trusted_pages_it_is(
        self, client: TestClient, headers: dict[str, str]
    ) -> None:
        user_id = register(client)["user_id"]

        assert self.connect(client, headers) == user_id

    def test_cookies_without_any_origin_are_not_enough(self, client: TestClient) -> None:
        register(client)

        with pytest.raises(WebSocketDisconnect) as closed:
            self.connect(client, {})

        assert closed.value.code == 4403
        assert {ACCESS, REFRESH} == client.cookies.keys()
