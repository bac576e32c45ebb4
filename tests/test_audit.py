"""What the audit trail tells of administrators and of thieves."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from apps import EMAIL, PASSWORD, Events, make_kit
from jwt_auth_kit import AuthKit, Client, SignedIn

OFFICE = Client(ip="192.0.2.9", user_agent="console")
NEW_PASSWORD = "a new staple every day"

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
