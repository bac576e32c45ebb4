"""Logging out: whatever the clocks say, a genuine token ends its session."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from apps import (
    EMAIL,
    PASSWORD,
    Clock,
    Events,
    bearer,
    code,
    make_app,
    make_kit,
    refresh,
    register,
)
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    CookieTransport,
    Key,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    RingKey,
    SessionRevoked,
    Transport,
    auth_router,
    install,
)

CLOCKS = ["far-ahead", "ahead", "together", "behind", "far-behind"]
HOURS = dict(zip(CLOCKS, (72, 0.1, 0, -0.1, -72), strict=True))


class Site:
    """Two servers on one database whose clocks differ."""

    def __init__(self, hours: float, keys: KeyRing | None = None) -> None:
        self.events = Events()
        self.clock = Clock()
        self.there = Clock(self.clock.now + timedelta(hours=hours))
        shared: dict[str, Any] = {
            "users": MemoryUserStore(),
            "tokens": MemoryTokenStore(),
            "keys": keys or KeyRing.random(),
            "on_event": self.events,
        }
        self.signs_in = make_kit(**shared, clock=self.there)
        self.logs_out = make_kit(**shared, clock=self.clock)

    async def is_signed_out(self, refresh_token: str) -> bool:
        try:
            await self.signs_in.refresh(refresh_token)
        except SessionRevoked:
            return True
        return False


@contextmanager
def browser(
    kit: AuthKit, transports: Sequence[Transport] = (CookieTransport(), BearerTransport())
) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit, transports=transports)
    with TestClient(app, base_url="https://testserver") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        yield client


@pytest.mark.parametrize("hours", HOURS.values(), ids=HOURS)
@pytest.mark.parametrize("kind", ["access", "refresh"])
async def test_a_token_from_a_server_with_another_clock_ends_its_session(
    kind: str, hours: float
) -> None:
    site = Site(hours)
    signed_in = await site.signs_in.register(EMAIL, PASSWORD)
    sent = getattr(signed_in.tokens, f"{kind}_token")

    with TestClient(make_app(site.logs_out)) as client:
        answer = (
            client.post("/auth/logout", headers={"Authorization": f"Bearer {sent}"})
            if kind == "access"
            else client.post("/auth/logout", json={"refresh_token": sent})
        )

    assert answer.status_code == 204
    assert await site.is_signed_out(signed_in.tokens.refresh_token)
    assert site.events.names.count("logged_out") == 1


@pytest.mark.parametrize("hours", HOURS.values(), ids=HOURS)
@pytest.mark.parametrize("left", ["access_token", "refresh_token", "both"])
async def test_cookies_from_a_server_with_another_clock_end_their_session(
    left: str, hours: float
) -> None:
    site = Site(hours)
    signed_in = await site.signs_in.register(EMAIL, PASSWORD)

    with browser(site.logs_out) as client:
        for name in ("access_token", "refresh_token"):
            if left in {name, "both"}:
                token = getattr(signed_in.tokens, name)
                client.cookies.set(f"__Host-{name}", token, domain="testserver.local")
        answer = client.post("/auth/logout")

    assert answer.status_code == 204
    assert await site.is_signed_out(signed_in.tokens.refresh_token)


async def test_a_login_ends_the_session_before_it_whatever_the_clocks_say() -> None:
    site = Site(hours=2)
    signed_in = await site.signs_in.register(EMAIL, PASSWORD)

    with browser(site.logs_out) as client:
        token = signed_in.tokens.refresh_token
        client.cookies.set("__Host-refresh_token", token, domain="testserver.local")
        client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})

    assert await site.is_signed_out(token)


@pytest.mark.parametrize("place", ["header", "body"])
def test_a_token_in_the_place_of_the_other_kind_ends_its_session_too(place: str) -> None:
    with TestClient(make_app(make_kit())) as client:
        body = register(client)

        if place == "header":
            swapped = {"access_token": body["refresh_token"]}
            answer = client.post("/auth/logout", headers=bearer(swapped))
        else:
            answer = client.post("/auth/logout", json={"refresh_token": body["access_token"]})

        assert answer.status_code == 204
        assert code(refresh(client, body)) == "session_revoked"


@pytest.mark.parametrize("bad", ["access", "refresh"])
def test_of_two_tokens_a_bad_one_does_not_spare_the_session_of_the_other(bad: str) -> None:
    with TestClient(make_app(make_kit())) as client:
        body = register(client)
        sent = {**body, f"{bad}_token": "a.b.c"}

        answer = client.post(
            "/auth/logout", headers=bearer(sent), json={"refresh_token": sent["refresh_token"]}
        )

        assert answer.status_code == 204
        assert code(refresh(client, body)) == "session_revoked"


def test_tokens_of_two_sessions_end_both() -> None:
    with TestClient(make_app(make_kit())) as client:
        first = register(client)
        second = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()

        client.post(
            "/auth/logout", headers=bearer(first), json={"refresh_token": second["refresh_token"]}
        )

        assert code(refresh(client, first)) == "session_revoked"
        assert code(refresh(client, second)) == "session_revoked"


def test_a_browser_whose_cookies_cannot_be_read_is_not_told_that_it_is_signed_out() -> None:
    with browser(make_kit()) as client:
        client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})

        answer = client.post("/auth/logout", headers={"Authorization": "Basic YTpi"})

        assert (answer.status_code, code(answer)) == (401, "not_authenticated")
        assert client.post("/auth/refresh").status_code == 200


@pytest.mark.parametrize("in_body", ["", "a.b.c"], ids=["empty", "junk"])
@pytest.mark.parametrize("other", [[], [BearerTransport()]], ids=["cookies", "both"])
def test_a_body_does_not_spare_the_session_of_the_cookie(
    other: list[Transport], in_body: str
) -> None:
    with browser(make_kit(), [CookieTransport(), *other]) as client:
        client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        del client.cookies["__Host-access_token"]  # a browser drops it when it expires
        stolen = client.cookies["__Host-refresh_token"]

        answer = client.post("/auth/logout", json={"refresh_token": in_body})

        assert answer.status_code == 204
        client.cookies.set("__Host-refresh_token", stolen)
        assert code(client.post("/auth/refresh")) == "session_revoked"


def test_a_token_in_a_body_ends_its_session_where_tokens_travel_in_cookies() -> None:
    with browser(make_kit(), [CookieTransport()]) as client:
        client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        token = client.cookies["__Host-refresh_token"]
        client.cookies.clear()

        answer = client.post("/auth/logout", json={"refresh_token": token})

        assert answer.status_code == 204
        client.cookies.set("__Host-refresh_token", token)
        assert code(client.post("/auth/refresh")) == "session_revoked"


class Shelf:
    """A key that signs for an hour, and one that follows it."""

    def __init__(self, begin: datetime) -> None:
        first = RingKey(key=Key.generate("HS256"), published_at=begin, activate_at=begin)
        later = RingKey(key=Key.generate("EdDSA"), activate_at=begin + timedelta(hours=1))
        self.keys = [first, later]

    def stamp(self) -> object:
        return None

    def load(self) -> list[RingKey]:
        return self.keys


@pytest.mark.parametrize("kind", ["access", "refresh"])
@pytest.mark.parametrize("hours", [-1, 2, 10_000], ids=["not-yet", "retired", "long-retired"])
async def test_a_token_of_a_key_that_does_not_verify_now_ends_its_session(
    hours: float, kind: str
) -> None:
    clock = Clock()
    ring = KeyRing.from_source(Shelf(clock.now - timedelta(minutes=30)))
    there = Clock(clock.now + timedelta(hours=hours))
    shared: dict[str, Any] = {
        "users": MemoryUserStore(),
        "tokens": MemoryTokenStore(),
        "keys": ring,
    }
    signs_in, logs_out = (make_kit(**shared, clock=each) for each in (clock, there))
    signed_in = await signs_in.register(EMAIL, PASSWORD)

    await logs_out.logout(getattr(signed_in.tokens, f"{kind}_token"))

    with pytest.raises(SessionRevoked):
        await signs_in.refresh(signed_in.tokens.refresh_token)


async def test_a_token_of_a_revoked_key_ends_nothing() -> None:
    shelf = Shelf(Clock().now - timedelta(minutes=30))
    kit = make_kit(keys=KeyRing.from_source(shelf))
    signed_in = await kit.register(EMAIL, PASSWORD)
    revoked = [replace(shelf.keys[0], revoked_at=kit.now()), *shelf.keys[1:]]
    shelf.keys = revoked
    kit.jwt.keys = KeyRing.from_source(shelf, must_sign=False)

    await kit.logout(signed_in.tokens.access_token)

    assert len(await kit.list_sessions(str(signed_in.user.id))) == 1


@pytest.mark.parametrize("place", ["header", "body"])
@pytest.mark.parametrize("sent", ["x", "a.b.c", "forged"])
def test_a_token_that_cannot_be_genuine_is_no_error_and_ends_nothing(sent: str, place: str) -> None:
    kit = make_kit()
    with TestClient(make_app(kit)) as client:
        body = register(client)
        header, payload, signature = body["access_token"].split(".")
        if sent == "forged":
            sent = f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"

        answer = (
            client.post("/auth/logout", headers={"Authorization": f"Bearer {sent}"})
            if place == "header"
            else client.post("/auth/logout", json={"refresh_token": sent})
        )

        assert (answer.status_code, answer.content) == (204, b"")
        assert client.get("/auth/me", headers=bearer(body)).status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer \x7f"])
def test_a_malformed_header_is_no_error_either(header: str) -> None:
    with TestClient(make_app(make_kit())) as client:
        answer = client.post("/auth/logout", headers={"Authorization": header})

    assert answer.status_code == 204


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eA=="}])
def test_a_logout_without_a_token_is_refused(headers: dict[str, str]) -> None:
    with TestClient(make_app(make_kit())) as client:
        answer = client.post("/auth/logout", headers=headers)

    assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_the_api_description_tells_the_one_refusal_of_a_logout() -> None:
    described = make_app(make_kit()).openapi()["paths"]["/auth/logout"]["post"]["responses"]["401"]

    assert "not_authenticated" in str(described)
    assert "invalid_token" not in str(described)
