"""A server whose clock was ahead, and is set right or gives way to another server."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from apps import EMAIL, PASSWORD, Clock, bearer, code, make_app, make_kit, refresh, register
from jwt_auth_kit import (
    AuthKit,
    AuthSettings,
    CookieTransport,
    InvalidToken,
    JWTManager,
    Key,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    RefreshReused,
    RevokedToken,
    RingKey,
    SignedIn,
    TokenVerifier,
    auth_router,
    install,
    require_recent_login,
)
from jwt_auth_kit.kit.revocations import AgingDict

WINDOW = 30
AHEAD = [45, 7200, 86_400 * 365]
ahead = pytest.mark.parametrize("seconds", AHEAD, ids=["45s", "2h", "1y"])


class Server:
    """One process; its clock can be set, and it may be the second one of its store."""

    def __init__(self, beside: "Server | None" = None, **options: Any) -> None:
        self.clock = Clock()
        if beside is None:
            self.shared = {
                "users": MemoryUserStore(),
                "tokens": MemoryTokenStore(),
                "keys": KeyRing.random(),
                **options,
            }
        else:
            self.shared = beside.shared
        self.kit: AuthKit = make_kit(**self.shared, clock=self.clock)

    async def use(self, signed_in: SignedIn) -> None:
        await self.kit.authenticate(signed_in.tokens.access_token)
        await self.kit.aclose()  # the confirmation is written


@ahead
def test_clients_refresh_as_before_when_the_clock_is_set_right(seconds: float) -> None:
    server = Server()
    with TestClient(make_app(server.kit)) as client:
        body = register(client)
        server.clock.advance(seconds=-seconds)

        answer = refresh(client, body)

        assert answer.status_code == 200, answer.text
        assert client.get("/projects", headers=bearer(answer.json())).status_code == 200


@ahead
def test_a_browser_is_told_to_refresh_and_does(seconds: float) -> None:
    server = Server()
    app = FastAPI()
    app.include_router(auth_router)
    install(app, server.kit, transports=[CookieTransport()])
    with TestClient(app, base_url="https://testserver") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        register(client)
        server.clock.advance(seconds=-seconds)

        assert client.get("/auth/session").json() == {"user": None, "expires_in": 0}
        assert client.post("/auth/refresh").status_code == 200
        assert client.get("/auth/me").json()["email"] == EMAIL


@ahead
def test_an_oauth2_client_refreshes_too(seconds: float) -> None:
    server = Server()
    with TestClient(make_app(server.kit)) as client:
        body = register(client)
        server.clock.advance(seconds=-seconds)

        form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}

        assert client.post("/auth/token", data=form).status_code == 200


@ahead
async def test_another_server_refreshes_what_one_with_its_clock_ahead_began(seconds: float) -> None:
    fast = Server()
    fast.clock.advance(seconds=seconds)
    right = Server(beside=fast)
    signed_in = await fast.kit.register(EMAIL, PASSWORD)

    kept = await right.kit.refresh(signed_in.tokens.refresh_token)

    await right.use(kept)
    assert await right.kit.is_refreshable(kept.tokens.refresh_token)


@ahead
async def test_the_other_tab_gets_the_same_successor_across_the_change(seconds: float) -> None:
    server = Server()
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    server.clock.advance(minutes=10)
    first = await server.kit.refresh(signed_in.tokens.refresh_token)
    await server.use(first)
    server.clock.advance(seconds=-seconds)

    answers = []
    for _ in range(3):
        answers.append(await server.kit.refresh(signed_in.tokens.refresh_token))
        server.clock.advance(seconds=WINDOW / 4)

    assert {each.tokens.refresh_token for each in answers} == {first.tokens.refresh_token}


@pytest.mark.parametrize("seconds", AHEAD[1:], ids=["2h", "1y"])
async def test_a_spent_token_is_caught_although_its_window_began_in_the_future(
    seconds: float,
) -> None:
    server = Server()
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    server.clock.advance(minutes=10)
    await server.use(await server.kit.refresh(signed_in.tokens.refresh_token))
    server.clock.advance(seconds=-seconds)
    await server.kit.refresh(signed_in.tokens.refresh_token)
    server.clock.advance(seconds=WINDOW + 1)

    with pytest.raises(RefreshReused):
        await server.kit.refresh(signed_in.tokens.refresh_token)


@pytest.mark.parametrize("seconds", AHEAD[1:], ids=["2h", "1y"])
async def test_a_session_from_the_future_rotates_as_others_do(seconds: float) -> None:
    server = Server()
    server.clock.advance(seconds=seconds)
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    await server.use(signed_in)
    server.clock.advance(seconds=-seconds)
    kept = await server.kit.refresh(signed_in.tokens.refresh_token)
    server.clock.advance(seconds=WINDOW + 1)

    rotated = await server.kit.refresh(kept.tokens.refresh_token)

    assert kept.tokens.refresh_token == signed_in.tokens.refresh_token
    assert rotated.tokens.refresh_token != kept.tokens.refresh_token


class Shelf:
    """A key that always signed, and one that is published and signs from *moment* on."""

    def __init__(self, moment: datetime) -> None:
        ago = moment - timedelta(days=30)
        old = RingKey(key=Key.generate("HS256"), published_at=ago, activate_at=ago)
        new = RingKey(key=Key.generate("HS256"), published_at=moment, activate_at=moment)
        self.keys = [old, new]

    def stamp(self) -> object:
        return None

    def load(self) -> list[RingKey]:
        return self.keys


async def test_a_key_that_began_to_sign_on_the_fast_clock_refuses_no_refresh_token() -> None:
    server = Server(keys=KeyRing.from_source(Shelf(Clock().now - timedelta(seconds=1))))
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    server.clock.advance(seconds=-45)

    kept = await server.kit.refresh(signed_in.tokens.refresh_token)

    assert kept.tokens.refresh_token == signed_in.tokens.refresh_token
    with pytest.raises(InvalidToken):  # the access token of before waits for its key
        await server.kit.authenticate(signed_in.tokens.access_token)


async def test_a_refresh_token_of_a_key_that_is_long_retired_stays_refused() -> None:
    shelf = Shelf(Clock().now - timedelta(seconds=1))
    server = Server(keys=KeyRing.from_source(shelf))
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    retired = replace(shelf.keys[1], retired_at=server.clock.now - timedelta(days=8))
    shelf.keys = [shelf.keys[0], retired]
    server.kit.jwt.keys = KeyRing.from_source(shelf)

    with pytest.raises(InvalidToken):
        await server.kit.refresh(signed_in.tokens.refresh_token)


async def test_an_expired_refresh_token_stays_expired_whatever_its_beginning_says() -> None:
    server = Server()
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    server.clock.advance(days=7)

    assert not await server.kit.is_refreshable(signed_in.tokens.refresh_token)


def test_a_refresh_token_without_a_session_keeps_the_rule_of_access_tokens() -> None:
    ring, clock = KeyRing.random(), Clock()
    jwt = JWTManager(ring, clock=clock)
    pair = jwt.create_token_pair({"user_id": "42"})
    clock.advance(seconds=-45)

    for token, kind in ((pair.access_token, "access"), (pair.refresh_token, "refresh")):
        with pytest.raises(InvalidToken):
            jwt.verify_token(token, kind)  # type: ignore[arg-type]


@ahead
async def test_a_refreshed_token_opens_other_services_and_is_no_recent_login(
    seconds: float,
) -> None:
    names: dict[str, Any] = {
        "issuer": "https://auth.example.com",
        "audience": "https://api.example.com",
    }
    server = Server(settings=names)
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    server.clock.advance(seconds=-seconds)
    refreshed = await server.kit.refresh(signed_in.tokens.refresh_token)
    verifier = TokenVerifier(
        **names, keys=server.kit.jwt.keys, clock=server.clock, settings=AuthSettings()
    )

    user = await verifier.authenticate(refreshed.tokens.access_token)

    assert user.auth_time is None


@ahead
async def test_a_login_before_the_clock_was_set_right_is_no_recent_one(seconds: float) -> None:
    server = Server()
    app = make_app(server.kit)

    @app.get("/vault", dependencies=[Depends(require_recent_login(timedelta(minutes=5)))])
    async def vault() -> None: ...

    with TestClient(app) as client:
        body = register(client)
        server.clock.advance(seconds=-seconds)
        old = client.get("/vault", headers=bearer(refresh(client, body).json()))
        again = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()

        assert code(old) == "recent_login_required"
        assert client.get("/vault", headers=bearer(again)).status_code == 200


async def test_revocations_of_other_servers_are_seen_after_the_clock_was_set_right() -> None:
    server = Server(settings={"revocation_interval": 0})
    other = Server(beside=server)
    server.clock.advance(hours=2)
    other.clock.advance(hours=2)
    signed_in = await server.kit.register(EMAIL, PASSWORD)
    await server.use(signed_in)
    server.clock.advance(hours=-2)
    other.clock.advance(hours=-2)
    kept = await server.kit.refresh(signed_in.tokens.refresh_token)

    await other.kit.logout_all(str(signed_in.user.id))

    with pytest.raises(RevokedToken):
        await server.kit.authenticate(kept.tokens.access_token)


def test_what_ages_is_forgotten_in_its_time_after_the_clock_was_set_right() -> None:
    clock, keep = Clock(), timedelta(minutes=15)
    known = AgingDict[str, bool](keep=keep)
    clock.advance(days=365)
    known.set("old", True, clock.now)
    clock.advance(days=-365)
    known.turn(clock.now)

    clock.advance(minutes=15)
    known.turn(clock.now)
    assert known.get("old")

    clock.advance(minutes=15)
    known.turn(clock.now)
    assert len(known) == 0
