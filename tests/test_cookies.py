"""CookieTransport: tokens in cookies that scripts cannot read, and nowhere else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from http.cookies import SimpleCookie
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection
from starlette.responses import Response

from apps import EMAIL, PASSWORD, Clock, Events, bearer, code, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    ConfigurationError,
    CookieTransport,
    SignedIn,
    TokenPair,
    Transport,
    UserDep,
    auth_router,
    create_auth_router,
    install,
)
from jwt_auth_kit.stores.memory import MemoryUser

ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"
OWN = "https://testserver"
ELSEWHERE = "https://elsewhere.example"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@contextmanager
def browser(
    *transports: Transport,
    kit: AuthKit | None = None,
    headers: Mapping[str, str] = SAME_ORIGIN,
) -> Iterator[TestClient]:
    """Serve an application by HTTPS, so that the client keeps secure cookies.

    *headers* are what the browser adds for a page of the application itself.
    """
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit or make_kit(), transports=transports or [CookieTransport()])

    @app.get("/projects")
    async def projects(user: UserDep) -> str:
        return user.id

    @app.post("/projects")
    async def create_project(user: UserDep) -> str:
        return user.id

    with TestClient(app, base_url=OWN, headers=dict(headers)) as client:
        yield client


def set_cookies(answer: Any) -> SimpleCookie:
    cookies = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        cookies.load(header)
    return cookies


def login(client: TestClient, **headers: str) -> Any:
    return client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}, headers=headers)


@pytest.mark.parametrize(
    ("name", "samesite", "life"), [(ACCESS, "lax", 900), (REFRESH, "strict", 604_800)]
)
def test_a_login_sets_a_cookie_that_scripts_and_other_hosts_cannot_touch(
    name: str, samesite: str, life: int
) -> None:
    with browser() as client:
        register(client)

        cookie = set_cookies(login(client))[name]

    assert (cookie["httponly"], cookie["secure"], cookie["path"]) == (True, True, "/")
    assert (cookie["domain"], cookie["samesite"]) == ("", samesite)
    assert life - 2 <= int(cookie["max-age"]) <= life


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/register", {"email": "bob@example.com", "password": PASSWORD}),
        ("/auth/login", {"email": EMAIL, "password": PASSWORD}),
        ("/auth/refresh", None),
        ("/auth/password", {"current_password": PASSWORD, "new_password": "battery horse"}),
    ],
)
def test_no_token_is_in_any_body(path: str, body: Any) -> None:
    with browser() as client:
        register(client)

        answer = client.post(path, json=body)

        assert answer.status_code in {200, 201}
        assert answer.json().keys() == {"user_id", "email", "display_name", "role", "expires_in"}
        for cookie in client.cookies.values():
            assert str(cookie) not in answer.text
        assert answer.headers["cache-control"] == "no-store"


def test_cookies_open_routes_are_refreshed_and_end_with_the_logout() -> None:
    clock = Clock()
    with browser(kit=make_kit(clock=clock)) as client:
        user_id = register(client)["user_id"]
        for _ in range(2):  # beside the second answer the first sight of the token is noted
            assert client.get("/projects").json() == user_id
        spent = client.cookies[REFRESH]

        clock.advance(minutes=5)
        refreshed = client.post("/auth/refresh")
        assert refreshed.status_code == 200
        assert client.cookies[REFRESH] != spent
        assert client.get("/auth/me").json()["email"] == EMAIL

        assert client.post("/auth/logout").status_code == 204
        assert dict(client.cookies) == {}
        assert client.get("/projects").status_code == 401


def test_a_refresh_that_keeps_the_token_does_not_send_it_again() -> None:
    with browser() as client:
        register(client)

        answer = client.post("/auth/refresh")

    assert set_cookies(answer).keys() == {ACCESS}


def test_a_failed_refresh_sets_no_cookie() -> None:
    with browser() as client:
        register(client)
        refresh_token = client.cookies[REFRESH]
        client.post("/auth/logout")
        client.cookies.set(REFRESH, refresh_token, domain="testserver.local")

        answer = client.post("/auth/refresh")

    assert (answer.status_code, code(answer)) == (401, "session_revoked")
    assert answer.headers.get_list("set-cookie") == []


def test_the_logout_deletes_cookies_with_the_attributes_they_have() -> None:
    with browser() as client:
        register(client)

        cookies = set_cookies(client.post("/auth/logout"))

    for name, samesite in ((ACCESS, "lax"), (REFRESH, "strict")):
        cookie = cookies[name]
        assert (cookie.value, cookie["max-age"], cookie["samesite"]) == ("", "0", samesite)
        assert (cookie["httponly"], cookie["secure"], cookie["path"]) == (True, True, "/")


def test_the_logout_of_a_browser_whose_cookies_ended_is_no_error() -> None:
    with browser() as client:
        answer = client.post("/auth/logout")

    assert answer.status_code == 204
    assert set_cookies(answer).keys() == {ACCESS, REFRESH}


def test_logout_all_takes_the_cookies_back() -> None:
    with browser() as client:
        register(client)

        client.post("/auth/logout-all")

        assert dict(client.cookies) == {}


def test_a_login_ends_the_session_the_browser_was_in() -> None:
    events = Events()
    with browser(kit=make_kit(on_event=events)) as client:
        register(client)
        before = client.cookies[REFRESH]

        login(client)

        sessions = client.get("/auth/sessions").json()
        assert len(sessions) == 1
        assert sessions[0]["current"]
        assert events.names[-1] == "logged_out"
        client.cookies.set(REFRESH, before, domain="testserver.local")
        assert client.post("/auth/refresh").status_code == 401


def test_a_password_change_gives_new_cookies_and_ends_other_sessions() -> None:
    with browser() as client:
        register(client)
        old = dict(client.cookies)

        client.post(
            "/auth/password",
            json={"current_password": PASSWORD, "new_password": "battery staple horse"},
        )

        assert client.get("/projects").status_code == 200
        client.cookies.clear()
        for name, value in old.items():
            client.cookies.set(name, value, domain="testserver.local")
        assert code(client.get("/projects")) == "token_revoked"


def test_an_authorization_header_wins_and_cookies_are_not_read() -> None:
    with browser(CookieTransport(), BearerTransport()) as client:
        register(client)

        answer = client.get("/projects", headers={"Authorization": "Bearer a.b.c"})

    assert (answer.status_code, code(answer)) == (401, "invalid_token")


@pytest.mark.parametrize(
    "sent",
    [{"headers": {"Authorization": "Bearer a.b.c"}}, {"json": {"refresh_token": "a.b.c"}}],
    ids=["header", "body"],
)
def test_no_cookie_refreshes_where_the_client_sent_a_token_itself(sent: dict[str, Any]) -> None:
    with browser(CookieTransport(), BearerTransport()) as client:
        register(client)

        answer = client.post("/auth/refresh", **sent)

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_cookies_alone_do_not_read_the_header() -> None:
    with browser() as client:
        register(client)
        access_token = client.cookies[ACCESS]
        client.cookies.clear()

        answer = client.get("/projects", headers={"Authorization": f"Bearer {access_token}"})

    assert (answer.status_code, code(answer)) == (401, "not_authenticated")


@pytest.mark.parametrize("other_first", [False, True])
@pytest.mark.parametrize("headers", [1, 2])
@pytest.mark.parametrize("other", ["forged", "genuine"])
def test_two_cookies_of_one_name_are_refused(other: str, headers: int, other_first: bool) -> None:
    with browser() as client:
        register(client, "bob@example.com")
        others = {"forged": "a.b.c", "genuine": client.cookies[ACCESS]}
        register(client)
        cookies = [f"{ACCESS}={client.cookies[ACCESS]}", f"{ACCESS}={others[other]}"]
        client.cookies.clear()
        cookies = cookies[::-1] if other_first else cookies
        sent = cookies if headers == 2 else ["; ".join(cookies)]  # HTTP/2 may send several

        answer = client.get("/projects", headers=[("Cookie", value) for value in sent])

    assert (answer.status_code, code(answer)) == (401, "invalid_token")


@pytest.mark.parametrize("cookie", [f"{ACCESS}=", f"{ACCESS}=a.b.c", f"{ACCESS}=\xff.\xff.\xff"])
def test_a_cookie_that_is_no_token_is_a_401(cookie: str) -> None:
    with browser() as client:
        answer = client.get("/projects", headers={b"Cookie": cookie.encode("latin-1")})

    assert (answer.status_code, code(answer)) == (401, "invalid_token")


@pytest.mark.parametrize("space", [b"\xa0", b"\x85", b"\x1c", b"\x0b"])
def test_a_name_that_only_looks_like_ours_is_another_cookie(space: bytes) -> None:
    # For a browser these names have no prefix, so a sibling domain may set them.
    transport = CookieTransport()
    cookies = b"; ".join(
        space + name.encode() + b"=a.b.c" + space
        for name in (transport.cookie_name, transport.refresh_cookie_name)
    )
    connection = HTTPConnection(
        {"type": "http", "method": "GET", "headers": [(b"cookie", b"a=b; " + cookies)]}
    )

    assert transport.read_access_token(connection) is None
    assert transport.read_refresh_token(connection, None) is None


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register"])
def test_who_signs_in_or_up_leaves_the_session_of_before(path: str) -> None:
    with browser() as client:
        register(client, "eve@example.com")
        before = client.cookies[REFRESH]
        register(client) if path == "/auth/login" else None

        email = EMAIL if path == "/auth/login" else "bob@example.com"
        assert client.post(path, json={"email": email, "password": PASSWORD}).is_success

        client.cookies.clear()
        client.cookies.set(REFRESH, before, domain="testserver.local")
        assert code(client.post("/auth/refresh")) == "session_revoked"


def test_one_router_answers_each_client_the_way_its_token_came() -> None:
    with browser(CookieTransport(), BearerTransport()) as client:
        register(client)
        form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
        native = client.post("/auth/token", data=form)
        assert native.headers.get_list("set-cookie") == []
        tokens = native.json()
        client.cookies.clear()

        answer = client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})

        assert answer.json()["refresh_token"] == tokens["refresh_token"]
        assert answer.headers.get_list("set-cookie") == []
        left = client.post("/auth/logout", headers=bearer(tokens))
        assert (left.status_code, left.headers.get_list("set-cookie")) == (204, [])


def test_two_routers_serve_browsers_and_other_clients_of_one_app() -> None:
    cookies, headers = CookieTransport(), BearerTransport()
    app = FastAPI()
    app.include_router(auth_router)
    app.include_router(create_auth_router(prefix="/api/auth", transport=headers))
    install(app, make_kit(), transports=[cookies, headers])

    with TestClient(app, base_url=OWN, headers=SAME_ORIGIN) as client:
        assert "access_token" not in register(client)
        signed_in = client.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
        # The cookie must not buy a token that scripts can read.
        stolen = client.post("/api/auth/refresh")

    assert signed_in.json()["token_type"] == "bearer"
    assert signed_in.headers.get_list("set-cookie") == []
    assert (stolen.status_code, code(stolen)) == (401, "not_authenticated")


def test_a_router_whose_transport_is_not_installed_does_not_start() -> None:
    app = FastAPI()
    app.include_router(create_auth_router(transport=CookieTransport()))
    install(app, make_kit())

    with pytest.raises(ConfigurationError, match="transports="), TestClient(app):
        pass


def test_names_and_samesite_can_be_chosen() -> None:
    transport = CookieTransport(
        access_cookie="shop-a",
        refresh_cookie="shop-r",
        access_samesite="strict",
        refresh_samesite="lax",
    )
    with browser(transport) as client:
        cookies = set_cookies(
            client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        )

    assert {name: cookie["samesite"] for name, cookie in cookies.items()} == {
        "__Host-shop-a": "strict",
        "__Host-shop-r": "lax",
    }


def test_only_secure_false_drops_prefix_and_secure_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with browser(CookieTransport(secure=False)) as client:
        answer = client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})

    cookies = set_cookies(answer)
    assert cookies.keys() == {"access_token", "refresh_token"}
    assert not any(cookie["secure"] for cookie in cookies.values())
    assert all(cookie["httponly"] for cookie in cookies.values())
    assert "secure=False" in caplog.text


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"access_samesite": "none", "secure": False}, "secure=False"),
        ({"refresh_samesite": "none", "secure": False}, "secure=False"),
        ({"access_cookie": "a b"}, "letters"),
        ({"access_cookie": ""}, "letters"),
        ({"access_cookie": "x", "refresh_cookie": "x"}, "two names"),
        ({"trusted_origins": ["https://app.example.com/"]}, "slash"),
        ({"trusted_origins": ["https://App.example.com"]}, "as a browser does"),
        ({"trusted_origins": ["https://app.example.com:443"]}, "default port"),
        ({"trusted_origins": ["*"]}, "wildcard"),
        ({"trusted_origins": ["null"]}, "no origin"),
        ({"trusted_origins": "https://app.example.com"}, "list"),
    ],
)
def test_impossible_options_are_refused_with_the_cure(options: Any, cure: str) -> None:
    with pytest.raises(ConfigurationError, match=cure):
        CookieTransport(**options)


def test_a_token_that_browsers_would_drop_is_a_clear_error() -> None:
    kit = make_kit()

    async def make_user_of_an_old_table() -> None:
        await kit.create_user(EMAIL, PASSWORD, display_name="x" * 4000)

    with browser(kit=kit) as client:
        assert client.portal is not None
        client.portal.call(make_user_of_an_old_table)

        with pytest.raises(ConfigurationError, match=r"browsers keep 4096.*profile_claims"):
            login(client)


@pytest.mark.parametrize(("size", "fits"), [(4096, True), (4097, False)])
def test_name_and_value_of_a_cookie_have_4096_bytes_at_most(size: int, fits: bool) -> None:
    response = Response()
    user = MemoryUser(id="1", email=EMAIL, display_name="Ada")
    tokens = TokenPair("x" * (size - len(ACCESS)), "x", expires_in=900)
    signed_in = SignedIn(user=user, session_id="1", tokens=tokens, refresh_expires_in=900)

    with nullcontext() if fits else pytest.raises(ConfigurationError, match="4096"):
        CookieTransport().write(response, signed_in)


class TestSession:
    """GET /auth/session: what a page asks first."""

    def test_nobody_is_no_error(self) -> None:
        with browser() as client:
            answer = client.get("/auth/session")

        assert (answer.status_code, answer.json()) == (200, {"user": None, "expires_in": None})
        assert answer.headers["cache-control"] == "no-store"

    def test_it_shows_the_user_and_the_time_left(self) -> None:
        clock = Clock()
        with browser(kit=make_kit(clock=clock)) as client:
            registered = register(client)
            clock.advance(minutes=5)

            session = client.get("/auth/session").json()

        del registered["expires_in"]
        assert session["user"] == registered
        assert 598 <= session["expires_in"] <= 600

    def test_an_expired_access_token_asks_for_a_refresh(self) -> None:
        clock = Clock()
        with browser(kit=make_kit(clock=clock)) as client:
            register(client)
            clock.advance(minutes=16)

            assert client.get("/auth/session").json() == {"user": None, "expires_in": 0}
            client.post("/auth/refresh")
            assert client.get("/auth/session").json()["user"]["email"] == EMAIL

    def test_asking_changes_nothing(self) -> None:
        clock = Clock()
        kit = make_kit(clock=clock)
        with browser(kit=kit) as client:
            user_id = register(client)["user_id"]
            clock.advance(minutes=16)
            assert client.portal is not None
            before = dict(client.cookies), client.portal.call(kit.list_sessions, user_id)

            answer = client.get("/auth/session")

            after = dict(client.cookies), client.portal.call(kit.list_sessions, user_id)
            assert answer.headers.get_list("set-cookie") == []
            assert after == before

    @pytest.mark.parametrize("ending", ["/auth/logout", "/auth/logout-all"])
    def test_an_ended_session_is_nobody(self, ending: str) -> None:
        with browser() as client:
            register(client)
            cookies = dict(client.cookies)
            client.post(ending)
            for name, value in cookies.items():
                client.cookies.set(name, value, domain="testserver.local")

            assert client.get("/auth/session").json() == {"user": None, "expires_in": None}

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "Bearer rubbish"},
            {"Cookie": f"{ACCESS}=a; {ACCESS}=b; {REFRESH}=c; {REFRESH}=d"},
        ],
    )
    def test_rubbish_is_nobody(self, headers: dict[str, str]) -> None:
        with browser(CookieTransport(), BearerTransport()) as client:
            answer = client.get("/auth/session", headers=headers)

        assert (answer.status_code, answer.json()["user"]) == (200, None)

    def test_it_also_knows_bearers(self) -> None:
        with browser(BearerTransport()) as client:
            signed_in = register(client)

            session = client.get("/auth/session", headers=bearer(signed_in)).json()

        assert session["user"]["user_id"] == signed_in["user_id"]
