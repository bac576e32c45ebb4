"""What the audit trail tells of administrators and of thieves."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from apps import EMAIL, PASSWORD, Clock, Events, bearer, make_kit, refresh, register, serve
from jwt_auth_kit import (
    AuthKit,
    Client,
    CookieTransport,
    KeyRing,
    MemoryTokenStore,
    RevokedToken,
    SignedIn,
    auth_router,
    install,
)

OFFICE = Client(ip="192.0.2.9", user_agent="console")
ACCESS, REFRESH = "__Host-access_token", "__Host-refresh_token"
LATE = 31
"""Seconds after which the reuse window is over."""

NEW_PASSWORD = "a new staple every day"


@contextmanager
def browser(kit: AuthKit) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit, transports=[CookieTransport()])
    with TestClient(app, base_url="https://testserver") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        yield client


Act = Callable[..., Coroutine[Any, Any, object]]

ADMINISTRATIVE: dict[str, Callable[[AuthKit, SignedIn], tuple[Act, tuple[Any, ...]]]] = {
    "registered": lambda kit, _: (kit.create_user, ("grace@example.com", PASSWORD)),
    "role_changed": lambda kit, one: (kit.set_role, (str(one.user.id), "editor")),
    "user_disabled": lambda kit, one: (kit.disable_user, (str(one.user.id),)),
    "user_enabled": lambda kit, one: (kit.enable_user, (str(one.user.id),)),
    "password_reset": lambda kit, one: (kit.set_password, (str(one.user.id), NEW_PASSWORD)),
    "logged_out": lambda kit, one: (kit.end_session, (str(one.user.id), one.session_id)),
    "sessions_ended": lambda kit, one: (kit.logout_all, (str(one.user.id),)),
}


@pytest.mark.parametrize("name", ADMINISTRATIVE)
async def test_an_administrative_act_tells_who_did_it_and_from_where(name: str) -> None:
    events = Events()
    kit = make_kit(on_event=events)
    signed_in = await kit.register(EMAIL, PASSWORD)
    events.clear()
    act, arguments = ADMINISTRATIVE[name](kit, signed_in)

    await act(*arguments, actor="7", client=OFFICE)

    (event,) = events
    assert (event.name, event.actor) == (name, "7")
    assert (event.ip, event.user_agent) == (OFFICE.ip, OFFICE.user_agent)
    assert event.user_id != "7"


async def test_what_users_do_themselves_has_no_actor() -> None:
    events = Events()
    kit = make_kit(on_event=events)

    signed_in = await kit.register(EMAIL, PASSWORD, client=OFFICE)
    await kit.change_password(str(signed_in.user.id), PASSWORD, NEW_PASSWORD, client=OFFICE)
    await kit.logout(signed_in.tokens.refresh_token, client=OFFICE)

    assert {event.actor for event in events} == {None}
    assert {event.ip for event in events} == {OFFICE.ip}


class TestSpentTokens:
    """Wherever a spent token is shown, its session ends, and the event says from where."""

    @pytest.mark.parametrize("place", ["refresh", "session", "logout"])
    def test_a_spent_refresh_token_ends_the_session_on_every_route(self, place: str) -> None:
        clock, events = Clock(), Events()
        with browser(make_kit(clock=clock, on_event=events)) as client:
            register(client)
            spent = client.cookies[REFRESH]
            for _ in range(2):
                clock.advance(seconds=LATE)
                client.post("/auth/refresh")
            client.cookies.set(REFRESH, spent, domain="testserver.local")
            client.cookies.delete(ACCESS)
            events.clear()

            if place == "session":
                answer = client.get("/auth/session", headers={"User-Agent": "thief"})
            else:
                answer = client.post(f"/auth/{place}", headers={"User-Agent": "thief"})

        assert events.names == ["refresh_reused"]
        assert (events[0].ip, events[0].user_agent) == ("testclient", "thief")
        assert answer.status_code == {"refresh": 401, "session": 200, "logout": 204}[place]

    async def test_a_spent_token_that_is_looked_at_revokes_the_access_tokens_too(self) -> None:
        clock = Clock()
        kit = make_kit(clock=clock)
        first = await kit.register(EMAIL, PASSWORD)
        newest = await rotated(kit, clock, await rotated(kit, clock, first))

        assert not await kit.is_refreshable(first.tokens.refresh_token)

        with pytest.raises(RevokedToken):
            await kit.authenticate(newest.tokens.access_token)

    async def test_looking_at_a_good_token_writes_nothing(self) -> None:
        clock, tokens = Clock(), MemoryTokenStore()
        kit = make_kit(clock=clock, tokens=tokens)
        first = await kit.register(EMAIL, PASSWORD)
        second = await rotated(kit, clock, first)
        before = await tokens.get(str(first.user.id), first.session_id)

        for signed_in in (first, second):
            assert await kit.is_refreshable(signed_in.tokens.refresh_token)

        assert await tokens.get(str(first.user.id), first.session_id) == before

    @pytest.mark.parametrize("way", ["use", "logout"])
    async def test_an_access_token_of_an_orphan_tells_where_it_was_shown(self, way: str) -> None:
        clock, events = Clock(), Events()
        kit = make_kit(clock=clock, on_event=events)
        first = await kit.register(EMAIL, PASSWORD)
        orphan = await rotated(kit, clock, first)
        await rotated(kit, clock, first)
        events.clear()

        if way == "use":
            await kit.authenticate(orphan.tokens.access_token, client=OFFICE)
            await kit.aclose()
        else:
            await kit.logout(orphan.tokens.access_token, client=OFFICE)

        assert [(event.name, event.ip) for event in events] == [("refresh_reused", OFFICE.ip)]

    def test_a_route_of_the_host_tells_where_an_orphan_was_shown(self) -> None:
        clock, events = Clock(), Events()
        with serve(make_kit(clock=clock, on_event=events)) as client:
            first = register(client)
            clock.advance(seconds=LATE)
            orphan = refresh(client, first).json()
            clock.advance(seconds=LATE)
            refresh(client, first)

            client.get("/projects", headers={**bearer(orphan), "User-Agent": "thief"})

        event = next(event for event in events if event.name == "refresh_reused")
        assert (event.ip, event.user_agent) == (events[0].ip, "thief")

    async def test_a_refresh_token_that_its_session_did_not_make_ends_nothing(self) -> None:
        kit = make_kit()
        signed_in = await kit.register(EMAIL, PASSWORD)
        (session,) = await kit.list_sessions(str(signed_in.user.id))
        forged = kit.jwt.create_session_refresh_token(replace(session, salt=b"another salt"))

        await kit.logout(forged)

        assert len(await kit.list_sessions(str(signed_in.user.id))) == 1

    async def test_a_session_that_was_purged_has_nothing_to_end(self) -> None:
        keys = KeyRing.random()
        signed_in = await make_kit(keys=keys).register(EMAIL, PASSWORD)
        events = Events()
        kit = make_kit(keys=keys, on_event=events)

        for token in (signed_in.tokens.access_token, signed_in.tokens.refresh_token):
            await kit.logout(token)
        await kit.logout(kit.jwt.create_access_token({"user_id": "1"}))

        assert events == []


HOME, ABROAD = Client(ip="192.0.2.1"), Client(ip="198.51.100.7")


class TestAddresses:
    """Tokens that are given again to another address leave one event with both."""

    @pytest.mark.parametrize("outcome", ["keep", "replay", "adopt"])
    async def test_tokens_given_again_to_another_address_leave_one_event(
        self, outcome: str
    ) -> None:
        clock, events, tokens = Clock(), Events(), MemoryTokenStore()
        kit = make_kit(clock=clock, tokens=tokens, on_event=events)
        signed_in = await kit.register(EMAIL, PASSWORD, client=HOME)
        stored = await tokens.get(str(signed_in.user.id), signed_in.session_id)
        assert stored is not None
        shown = signed_in
        if outcome != "keep":
            clock.advance(seconds=LATE)
            successor = await kit.refresh(signed_in.tokens.refresh_token, client=HOME)
            shown = signed_in if outcome == "replay" else successor
        if outcome == "adopt":
            await tokens.create(stored.session, most=None)  # the store lost the rotation

        for _ in range(3):
            await kit.refresh(shown.tokens.refresh_token, client=ABROAD)

        (event,) = [event for event in events if event.name == "address_changed"]
        assert (event.previous_ip, event.ip, event.reason) == (HOME.ip, ABROAD.ip, outcome)
        assert (event.user_id, event.session_id) == (str(signed_in.user.id), signed_in.session_id)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::2"),
            (None, "192.0.2.1"),
            ("192.0.2.1", None),
        ],
    )
    async def test_the_same_network_or_an_unknown_one_is_no_change(
        self, before: str | None, after: str | None
    ) -> None:
        events = Events()
        kit = make_kit(on_event=events)
        signed_in = await kit.register(EMAIL, PASSWORD, client=Client(ip=before))

        await kit.refresh(signed_in.tokens.refresh_token, client=Client(ip=after))

        assert "address_changed" not in events.names

    async def test_who_moves_is_told_of_by_the_rotation_and_is_at_home_then(self) -> None:
        clock, events = Clock(), Events()
        kit = make_kit(clock=clock, on_event=events)
        first = await kit.register(EMAIL, PASSWORD, client=HOME)
        clock.advance(seconds=LATE)

        second = await kit.refresh(first.tokens.refresh_token, client=ABROAD)
        await kit.refresh(second.tokens.refresh_token, client=ABROAD)

        assert events.names == ["registered", "logged_in", "token_refreshed"]
        (session,) = await kit.list_sessions(str(first.user.id))
        assert session.ip == ABROAD.ip


async def rotated(kit: AuthKit, clock: Clock, signed_in: SignedIn) -> SignedIn:
    """Refresh after the reuse window."""
    clock.advance(seconds=LATE)
    return await kit.refresh(signed_in.tokens.refresh_token)
