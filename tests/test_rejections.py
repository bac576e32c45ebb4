"""Forged tokens make events, and a flood of them makes few."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from apps import EMAIL, PASSWORD, Clock, Events, make_app, make_kit
from jwt_auth_kit import (
    AuthKit,
    Client,
    InvalidToken,
    JWTManager,
    KeyRing,
    TokenVerifier,
    install,
)

THIEF = Client(ip="198.51.100.7", user_agent="curl")
USER = {"user_id": "1"}


def forgeries(kit: AuthKit) -> dict[str, str]:
    """Make an access token of each kind that is refused, by the reason."""
    good, keys = kit.jwt.create_access_token(USER), kit.jwt.keys
    signed, _, _ = good.rpartition(".")
    _, _, signature = kit.jwt.create_access_token(USER).rpartition(".")
    return {
        "malformed": "a.b.c",
        "bad_signature": f"{signed}.{signature}",
        "unknown_key": JWTManager(KeyRing.random()).create_access_token(USER),
        "wrong_type": kit.jwt.create_refresh_token("1"),
        "wrong_audience": JWTManager(keys, audience="other").create_access_token(USER),
        "not_yet_valid": JWTManager(
            keys, clock=lambda: kit.now() + timedelta(hours=1)
        ).create_access_token(USER),
    }


@pytest.mark.parametrize("reason", forgeries(make_kit()))
async def test_a_forged_access_token_makes_an_event_with_address_and_reason(reason: str) -> None:
    events = Events()
    kit = make_kit(on_event=events)

    with pytest.raises(InvalidToken):
        await kit.authenticate(forgeries(kit)[reason], client=THIEF)

    (event,) = events
    assert (event.name, event.reason, event.outcome) == ("token_rejected", reason, "failure")
    assert (event.ip, event.user_agent, event.count) == (THIEF.ip, THIEF.user_agent, None)


@pytest.mark.parametrize("path", ["/projects", "/auth/session", "/auth/logout", "/auth/refresh"])
def test_every_route_that_takes_tokens_tells_of_forged_ones(path: str) -> None:
    events = Events()
    with TestClient(make_app(make_kit(on_event=events))) as client:
        headers = {"Authorization": "Bearer a.b.c", "User-Agent": "curl"}
        if path in {"/auth/logout", "/auth/refresh"}:
            client.post(path, json={"refresh_token": "a.b.c"}, headers=headers)
        else:
            client.get(path, headers=headers)

    assert [(event.name, event.reason, event.user_agent) for event in events] == [
        ("token_rejected", "malformed", "curl")
    ]
    assert events[0].ip is not None


async def test_tokens_that_were_good_once_make_no_event() -> None:
    clock, events = Clock(), Events()
    kit = make_kit(clock=clock, on_event=events)
    signed_in = await kit.register(EMAIL, PASSWORD)
    await kit.logout(signed_in.tokens.refresh_token)
    revoked = signed_in.tokens.access_token
    events.clear()

    with pytest.raises(InvalidToken):
        await kit.authenticate(revoked, client=THIEF)
    clock.advance(hours=1)
    with pytest.raises(InvalidToken):
        await kit.authenticate(revoked, client=THIEF)

    assert events == []


async def test_a_refresh_token_made_with_a_stolen_key_says_so() -> None:
    events = Events()
    kit = make_kit(on_event=events)
    signed_in = await kit.register(EMAIL, PASSWORD)
    (session,) = await kit.list_sessions(str(signed_in.user.id))
    forged = kit.jwt.create_session_refresh_token(replace(session, salt=b"another salt"))
    events.clear()

    with pytest.raises(InvalidToken):
        await kit.refresh(forged, client=THIEF)

    assert [(event.reason, event.ip) for event in events] == [("not_issued", THIEF.ip)]


async def test_a_flood_from_one_network_makes_one_event_a_second_that_counts_the_others() -> None:
    clock, events = Clock(), Events()
    kit = make_kit(clock=clock, on_event=events)

    for _ in range(3):
        for _ in range(500):
            with pytest.raises(InvalidToken):
                await kit.authenticate("a.b.c", client=THIEF)
        clock.advance(seconds=1)

    assert [event.count for event in events] == [None, 500, 500]


async def test_a_flood_from_many_networks_makes_a_hundred_events_a_second_at_most() -> None:
    clock, events = Clock(), Events()
    kit = make_kit(clock=clock, on_event=events)

    for second in range(3):
        for number in range(1000):
            client = Client(ip=f"10.{second}.{number // 256}.{number % 256}")
            with pytest.raises(InvalidToken):
                await kit.authenticate("a.b.c", client=client)
        clock.advance(seconds=1)

    assert 200 < len(events) < 310
    # What the last second left untold is all that is missing.
    assert sum(event.count or 1 for event in events) > 2000


async def test_other_networks_and_reasons_are_told_of_at_once() -> None:
    events = Events()
    kit = make_kit(on_event=events)
    bad = forgeries(kit)

    for token, client in (
        (bad["malformed"], THIEF),
        (bad["malformed"], Client(ip="192.0.2.1")),
        (bad["unknown_key"], THIEF),
        (bad["unknown_key"], THIEF),
    ):
        with pytest.raises(InvalidToken):
            await kit.authenticate(token, client=client)

    assert [(event.reason, event.ip) for event in events] == [
        ("malformed", THIEF.ip),
        ("malformed", "192.0.2.1"),
        ("unknown_key", THIEF.ip),
    ]


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("unknown_key", {}),
        ("wrong_issuer", {"issuer": "elsewhere", "audience": "us"}),
        ("wrong_audience", {"issuer": "them", "audience": "others"}),
    ],
)
def test_a_service_that_only_verifies_tells_of_forged_tokens_too(
    reason: str, options: dict[str, str]
) -> None:
    events, keys = Events(), KeyRing.random()
    app = make_app()
    verifier = TokenVerifier(issuer="them", audience="us", keys=keys, on_event=events)
    install(app, verifier)
    signs = JWTManager(keys if options else KeyRing.random(), **options)  # type: ignore[arg-type]
    token = signs.create_access_token(USER)

    client = TestClient(app)
    answer = client.get("/projects", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401
    assert [(event.name, event.reason) for event in events] == [("token_rejected", reason)]
    assert "elsewhere" not in answer.text


def test_no_answer_tells_the_reason() -> None:
    kit = make_kit()
    bodies = set()
    with TestClient(make_app(kit)) as client:
        for reason, token in forgeries(kit).items():
            if reason != "wrong_type":
                answer = client.get("/projects", headers={"Authorization": f"Bearer {token}"})
                bodies.add(answer.text)

    assert len(bodies) == 1
