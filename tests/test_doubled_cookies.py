"""Cookies that share a name with ours, left by an old path or domain: nobody is stuck with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from apps import EMAIL, PASSWORD, Clock, Events, code, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    CookieTransport,
    MemoryTokenStore,
    StoreUnavailable,
    UserDep,
    auth_router,
    install,
)

PLACES = [
    {"path": "/auth"},
    {"path": "/auth/"},
    {"domain": "shop.example.com"},
    {"domain": "example.com"},
    {"domain": "example.com", "path": "/auth"},
]
NAMES = ["access_token", "refresh_token"]
OLD = "old"

places = pytest.mark.parametrize("place", PLACES, ids=lambda place: " ".join(place.values()))


class Outage(MemoryTokenStore):
    """A store that can be away."""

    is_away = False

    async def get(self, *arguments: Any) -> Any:
        if self.is_away:
            raise StoreUnavailable
        return await super().get(*arguments)


@contextmanager
def browser(
    kit: AuthKit | None = None, *, secure: bool = False, **names: str
) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(auth_router)
    transport = CookieTransport(secure=secure, **names)  # type: ignore[arg-type]
    install(app, kit or make_kit(), transports=[transport, BearerTransport()])

    @app.get("/projects")
    async def projects(user: UserDep) -> str:
        return user.id

    @app.get("/p/{path:path}")
    async def deep(user: UserDep) -> None: ...

    @app.post("/auth/old")
    async def leave_an_old_cookie(place: dict[str, str], response: Response) -> None:
        for name in NAMES:
            response.set_cookie(name, OLD, **place)  # type: ignore[arg-type]

    scheme = "https" if secure else "http"
    with TestClient(app, base_url=f"{scheme}://shop.example.com") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        yield client


def held(client: TestClient) -> list[str]:
    return sorted(f"{each.domain}{each.path} {each.name}" for each in client.cookies.jar)


def login(client: TestClient) -> Any:
    return client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})


@places
def test_a_logout_ends_the_session_and_leaves_no_cookie(place: dict[str, str]) -> None:
    events = Events()
    with browser(make_kit(on_event=events)) as client:
        register(client)
        client.post("/auth/old", json=place)

        answer = client.post("/auth/logout")

        assert (answer.status_code, held(client)) == (204, [])
        assert events.names.count("logged_out") == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_logout_leaves_none_where_one_of_the_two_names_is_doubled(name: str) -> None:
    with browser() as client:
        register(client)
        client.cookies.set(name, OLD, domain=".example.com")

        answer = client.post("/auth/logout")

        assert (answer.status_code, held(client)) == (204, [])
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == len(set(cookies))


@places
def test_a_refused_refresh_deletes_the_old_cookies_and_the_next_one_works(
    place: dict[str, str],
) -> None:
    with browser() as client:
        client.post("/auth/old", json=place)
        register(client)
        ours = [each for each in held(client) if each.startswith("shop.example.com/ ")]

        refused = client.post("/auth/refresh")
        answer = client.post("/auth/refresh")

        assert (refused.status_code, code(refused)) == (401, "invalid_token")
        assert (answer.status_code, held(client)) == (200, ours)


@pytest.mark.parametrize("place", PLACES[2:4], ids=lambda place: " ".join(place.values()))
def test_a_route_of_the_application_deletes_them_too(place: dict[str, str]) -> None:
    with browser() as client:
        client.post("/auth/old", json=place)
        user_id = register(client)["user_id"]

        refused = client.get("/projects")

        assert (refused.status_code, code(refused)) == (401, "invalid_token")
        assert client.get("/projects").json() == user_id


def test_the_page_that_asks_who_is_signed_in_is_not_stuck() -> None:
    with browser() as client:
        client.post("/auth/old", json={"path": "/auth"})
        register(client)

        first = client.get("/auth/session").json()
        second = client.get("/auth/session").json()

        assert first == {"user": None, "expires_in": None}
        assert second["user"]["email"] == EMAIL


def test_a_login_ends_every_session_that_the_browser_was_in() -> None:
    events = Events()
    with browser(make_kit(on_event=events)) as client:
        register(client)
        client.post("/auth/old", json={"path": "/auth"})

        login(client)

        assert events.names[-2:].count("logged_out") == 1
        assert client.post("/auth/refresh").status_code == 200


def test_no_answer_is_kept_by_a_shared_cache() -> None:
    with browser() as client:
        client.post("/auth/old", json={"domain": "example.com"})
        register(client)

        refused = client.get("/projects")

    assert (refused.headers["cache-control"], refused.headers["vary"]) == ("private", "Cookie")


def test_the_log_says_once_what_is_wrong_and_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    with browser(access_cookie="shop") as client:
        for _ in range(2):
            client.get("/projects", headers={"Cookie": "shop=a.b.c; shop=d.e.f"})

    (said,) = [each.getMessage() for each in caplog.records if "two cookies" in each.msg]
    assert "the name shop" in said
    assert "CookieTransport(access_cookie=..." in said
    assert "d.e.f" not in said


def test_few_cookies_are_deleted_however_long_the_address_is() -> None:
    with browser() as client:
        client.base_url = "http://" + "a." * 30 + "example.com"

        answer = client.get("/p" * 200, headers={"Cookie": "access_token=a; access_token=b"})

    assert answer.status_code == 401
    assert len(answer.headers.get_list("set-cookie")) == 20


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]", "a;b.example.com", "é"])
def test_no_host_breaks_the_answer(host: str) -> None:
    with browser() as client:
        headers = [
            (b"Host", host.encode("latin-1")),
            (b"Cookie", b"access_token=a; access_token=b"),
        ]

        answer = client.get("/projects", headers=headers)

    assert answer.status_code == 401
    assert not any("domain=" in each.lower() for each in answer.headers.get_list("set-cookie"))


def test_cookies_with_the_prefix_have_no_others_beside_them() -> None:
    with browser(secure=True) as client:
        doubled = {"Cookie": "__Host-access_token=a; __Host-access_token=b"}

        answer = client.get("/projects", headers=doubled)

    assert answer.status_code == 401
    assert answer.headers.get_list("set-cookie") == []


@pytest.mark.parametrize("secure", [True, False], ids=["secure", "plain"])
def test_a_doubled_cookie_with_the_prefix_does_not_stop_a_logout(secure: bool) -> None:
    with browser(secure=secure) as client:
        register(client)
        client.headers["Cookie"] = "; ".join(
            f"{each.name}={value}" for each in client.cookies.jar for value in (each.value, "a.b.c")
        )
        client.cookies.clear()

        answer = client.post("/auth/logout")

        assert answer.status_code == 204
        del client.headers["Cookie"]


def test_another_site_cannot_sign_anybody_out() -> None:
    with browser() as client:
        register(client)
        client.post("/auth/old", json={"path": "/auth"})

        answer = client.post("/auth/logout", headers={"Sec-Fetch-Site": "cross-site"})

        assert (answer.status_code, code(answer)) == (403, "cross_site_request")
        assert "shop.example.com/ access_token" in held(client)


def test_a_logout_sends_no_cookie_twice() -> None:
    with browser(secure=True) as client:
        register(client)

        cookies = client.post("/auth/logout").headers.get_list("set-cookie")

    assert len(cookies) == 2
    assert len(set(cookies)) == 2


@pytest.mark.parametrize("doubled", [False, True])
def test_while_the_store_is_away_a_logout_takes_the_cookies_and_says_503(doubled: bool) -> None:
    store, clock = Outage(), Clock()
    kit = make_kit(tokens=store, clock=clock)
    with browser(kit) as client:
        user_id = register(client)["user_id"]
        if doubled:
            client.post("/auth/old", json={"domain": "example.com"})
        store.is_away = True

        answer = client.post("/auth/logout")

        assert (answer.status_code, code(answer)) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert held(client) == []
        assert client.get("/projects").status_code == 401
        store.is_away = False
        assert client.portal is not None
        assert len(client.portal.call(kit.list_sessions, user_id)) == 1


def test_while_the_store_is_away_a_logout_everywhere_can_be_tried_again() -> None:
    class NoEnd(MemoryTokenStore):
        is_away = True

        async def revoke_all(self, *arguments: Any) -> int:
            if self.is_away:
                raise StoreUnavailable
            return await super().revoke_all(*arguments)

    store = NoEnd()
    with browser(make_kit(tokens=store)) as client:
        register(client)

        answer = client.post("/auth/logout-all")

        assert answer.status_code == 503
        store.is_away = False
        assert client.post("/auth/logout-all").status_code == 204
        assert held(client) == []


def test_who_ends_the_session_of_this_browser_is_signed_out_of_it() -> None:
    with browser(secure=True) as client:
        register(client)
        login(client)
        (session,) = client.get("/auth/sessions").json()

        answer = client.delete(f"/auth/sessions/{session['id']}")

        assert (answer.status_code, held(client)) == (204, [])


def test_who_ends_other_sessions_stays_signed_in() -> None:
    with browser(secure=True) as client:
        register(client)
        kept = dict(client.cookies)
        client.cookies.clear()
        login(client)
        sessions = client.get("/auth/sessions").json()
        other = next(each["id"] for each in sessions if not each["current"])

        one = client.delete(f"/auth/sessions/{other}")
        all_others = client.delete("/auth/sessions")

        assert [one.headers.get_list("set-cookie"), all_others.headers.get_list("set-cookie")] == [
            [],
            [],
        ]
        assert client.get("/projects").status_code == 200
        assert kept != dict(client.cookies)
