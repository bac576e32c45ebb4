"""Passwords through every door: one policy, one budget of guesses, and what a change ends."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from apps import (
    ADDRESS,
    EMAIL,
    PASSWORD,
    Clock,
    Events,
    bearer,
    code,
    make_kit,
    refresh,
    register,
    serve,
)
from jwt_auth_kit import (
    Argon2Hasher,
    Busy,
    Client,
    CurrentUser,
    ExpiredToken,
    InvalidCredentials,
    LoginThrottle,
    PasswordPolicy,
    RevokedToken,
    SessionRevoked,
    TooManyAttempts,
    WeakPassword,
)
from jwt_auth_kit.passwords.hashers import Passwords

NEW = "a new staple every day"
WEAK = ["short 1", "x" * 129, "password123", EMAIL, "Ada Lovelace 1815"]


def change(client: TestClient, signed_in: dict[str, Any], current: str, new: str) -> Any:
    body = {"current_password": current, "new_password": new}
    return client.post("/auth/password", json=body, headers=bearer(signed_in))


@pytest.mark.parametrize("password", WEAK)
def test_register_and_change_refuse_the_same_passwords(password: str) -> None:
    body = {"email": EMAIL, "password": password, "display_name": "Ada Lovelace"}
    with serve() as client:
        refused = client.post("/auth/register", json=body)
        signed_in = register(client, display_name="Ada Lovelace")
        unchanged = change(client, signed_in, PASSWORD, password)

    for answer, field in ((refused, "password"), (unchanged, "new_password")):
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert (problem["type"], problem["loc"]) == ("weak_password", ["body", field])
        assert password not in answer.text


@pytest.mark.parametrize("password", WEAK)
async def test_a_reset_and_an_account_made_in_code_refuse_them_too(password: str) -> None:
    kit = make_kit()
    user = await kit.create_user(EMAIL, PASSWORD, display_name="Ada Lovelace")

    with pytest.raises(WeakPassword):
        await kit.set_password(str(user.id), password)
    with pytest.raises(WeakPassword):
        await make_kit().create_user(EMAIL, password, display_name="Ada Lovelace")

    assert (await kit.login(EMAIL, PASSWORD)).user.id == user.id


def test_the_policy_can_be_chosen() -> None:
    with serve(make_kit(password_policy=PasswordPolicy(min_length=30))) as client:
        answer = client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})

    assert answer.status_code == 422
    assert "30 to 128 characters" in answer.text


def test_a_change_ends_every_session_and_begins_one() -> None:
    with serve() as client:
        signed_in = register(client)
        other = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()

        changed = change(client, signed_in, PASSWORD, NEW)

        assert (changed.status_code, changed.json().keys()) == (200, signed_in.keys())
        assert refresh(client, signed_in).status_code == 401
        assert refresh(client, other).status_code == 401
        assert client.get("/auth/me", headers=bearer(changed.json())).status_code == 200
        assert len(client.get("/auth/sessions", headers=bearer(changed.json())).json()) == 1


@pytest.mark.parametrize("current", ["not the password", "", NEW, f"{PASSWORD} ", PASSWORD[:-1]])
def test_a_change_needs_the_current_password_and_changes_nothing_without(current: str) -> None:
    with serve() as client:
        signed_in = register(client)

        answer = change(client, signed_in, current, NEW)

        assert (answer.status_code, code(answer)) == (401, "invalid_credentials")
        assert client.get("/auth/me", headers=bearer(signed_in)).status_code == 200
        login = client.post("/auth/login", json={"email": EMAIL, "password": NEW})
        assert login.status_code == 401


def test_guesses_of_the_current_password_share_the_budget_of_the_login() -> None:
    kit = make_kit(throttle=LoginThrottle(per_account_and_network="3/hour"))
    with serve(kit) as client:
        signed_in = register(client)
        wrong = {"email": EMAIL, "password": "not the password"}
        form = {"grant_type": "password", "username": EMAIL, "password": "not the password"}

        answers = [
            client.post("/auth/login", json=wrong),
            change(client, signed_in, "not the password", NEW),
            client.post("/auth/token", data=form),
            client.post("/auth/login", json={**wrong, "password": PASSWORD}),
            change(client, signed_in, PASSWORD, NEW),
            client.post("/auth/token", data={**form, "password": PASSWORD}),
        ]

    assert [answer.status_code for answer in answers] == [401, 401, 400, 429, 429, 429]
    for answer in answers[3:]:
        assert code(answer) == "too_many_attempts"
        assert 0 < int(answer.headers["retry-after"]) <= 3600


def test_a_right_password_gives_the_budget_back() -> None:
    kit = make_kit(throttle=LoginThrottle(per_account_and_network="3/hour"))
    right, wrong = ({"email": EMAIL, "password": text} for text in (PASSWORD, "wrong"))
    with serve(kit) as client:
        register(client)

        statuses = [
            client.post("/auth/login", json=body).status_code
            for body in (wrong, wrong, right, wrong, wrong, right)
        ]

    assert statuses == [401, 401, 200, 401, 401, 200]


def test_known_unknown_and_disabled_accounts_are_throttled_alike() -> None:
    events = Events()
    kit = make_kit(
        throttle=LoginThrottle(per_account_and_network="2/hour", per_network=""), on_event=events
    )

    def answers(client: TestClient, email: str) -> list[Any]:
        body = {"email": email, "password": "wrong"}
        return [client.post("/auth/login", json=body) for _ in range(3)]

    def seen(answer: Any) -> Any:
        return answer.status_code, answer.json(), dict(answer.headers)

    with serve(kit) as client:
        register(client)
        disabled = register(client, "bob@example.com")["user_id"]
        assert client.portal is not None
        client.portal.call(kit.disable_user, disabled)

        known = answers(client, EMAIL)
        unknown = answers(client, "nobody@example.com")
        locked = answers(client, "bob@example.com")

    assert [seen(answer) for answer in known] == [seen(answer) for answer in unknown]
    assert [seen(answer) for answer in known] == [seen(answer) for answer in locked]
    assert events.names.count("login_throttled") == 3


async def test_a_login_that_was_not_looked_at_costs_no_guess() -> None:
    kit = make_kit(throttle=LoginThrottle(per_account="2/hour"))
    signed_in = await kit.register(EMAIL, PASSWORD)
    user_id = str(signed_in.user.id)
    pool, kit.passwords = kit.passwords, Passwords(RecordingHasher(), threads=0, queue=0)

    for _ in range(3):
        with pytest.raises(Busy):
            await kit.login(EMAIL, PASSWORD)
        with pytest.raises(Busy):
            await kit.change_password(user_id, PASSWORD, NEW)

    kit.passwords = pool
    assert (await kit.login(EMAIL, PASSWORD)).user.id == signed_in.user.id


async def test_guesses_of_callers_without_an_address_refuse_nobody_else() -> None:
    kit = make_kit()
    await kit.create_user(EMAIL, PASSWORD)
    for number in range(150):
        with pytest.raises(InvalidCredentials):
            await kit.login(f"{number % 20}@example.com", "wrong")

    signed_in = await kit.login(EMAIL, PASSWORD)

    assert signed_in.user.email == EMAIL


async def test_guesses_of_one_account_are_limited_without_an_address_too() -> None:
    kit = make_kit()
    await kit.create_user(EMAIL, PASSWORD)
    for _ in range(60):
        with pytest.raises(InvalidCredentials):
            await kit.login(EMAIL, "wrong")

    with pytest.raises(TooManyAttempts):
        await kit.login(EMAIL, PASSWORD)


async def test_a_throttled_password_is_never_hashed() -> None:
    hasher = RecordingHasher()
    throttle = LoginThrottle(per_account_and_network="1/hour")
    kit = make_kit(throttle=throttle, hasher=hasher)
    await kit.create_user(EMAIL, PASSWORD)
    with pytest.raises(InvalidCredentials):
        await kit.login(EMAIL, "wrong", client=Client(ADDRESS))

    with pytest.raises(TooManyAttempts):
        await kit.login(EMAIL, PASSWORD, client=Client(ADDRESS))

    assert hasher.verified == ["wrong"]


async def test_a_reset_ends_every_session_and_needs_no_current_password() -> None:
    events = Events()
    kit = make_kit(on_event=events)
    signed_in = await kit.register(EMAIL, PASSWORD)

    await kit.set_password(str(signed_in.user.id), NEW)

    with pytest.raises(SessionRevoked):
        await kit.refresh(signed_in.tokens.refresh_token)
    with pytest.raises(RevokedToken):
        await kit.authenticate(signed_in.tokens.access_token)
    with pytest.raises(InvalidCredentials):
        await kit.login(EMAIL, PASSWORD)
    assert (await kit.login(EMAIL, NEW)).user.id == signed_in.user.id
    assert "password_reset" in events.names


async def test_a_reset_of_nobody_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        await make_kit().set_password("nobody", NEW)


def test_all_other_sessions_can_be_ended_at_once() -> None:
    with serve() as client:
        register(client)
        devices = [
            client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()
            for _ in range(3)
        ]

        answer = client.delete("/auth/sessions", headers=bearer(devices[1]))

        assert answer.status_code == 204
        (left,) = client.get("/auth/sessions", headers=bearer(devices[1])).json()
        assert left["current"]
        assert [refresh(client, device).status_code for device in devices] == [401, 200, 401]


async def test_a_refresh_can_be_foreseen_and_nothing_changes() -> None:
    clock = Clock()
    kit = make_kit(clock=clock)
    signed_in = await kit.register(EMAIL, PASSWORD)
    token = signed_in.tokens.refresh_token
    clock.advance(minutes=5)

    assert await kit.is_refreshable(token)
    assert (await kit.refresh(token)).refresh_is_new
    assert await kit.is_refreshable(token)

    await kit.disable_user(str(signed_in.user.id))
    assert not await kit.is_refreshable(token)
    assert not await kit.is_refreshable("a.b.c")
    assert not await kit.is_refreshable(signed_in.tokens.access_token)


async def test_an_open_connection_can_check_its_user_again() -> None:
    clock = Clock()
    kit = make_kit(clock=clock)
    first = await kit.authenticate((await kit.register(EMAIL, PASSWORD)).tokens.access_token)
    second = await kit.authenticate((await kit.login(EMAIL, PASSWORD)).tokens.access_token)

    await kit.recheck(first)
    assert first.seconds_left(kit.now()) in {899, 900}
    await kit.end_other_sessions(first)
    with pytest.raises(RevokedToken):
        await kit.recheck(second)
    clock.advance(minutes=15)
    with pytest.raises(ExpiredToken):
        await kit.recheck(first)


async def test_a_user_without_a_token_has_nothing_to_check() -> None:
    kit = make_kit()

    await kit.recheck(CurrentUser("1"))

    assert CurrentUser("1").seconds_left(kit.now()) == 0


class RecordingHasher:
    """A hasher that notes what is verified."""

    def __init__(self) -> None:
        self.verified: list[str] = []
        self._hasher = Argon2Hasher.weak_for_tests()

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, password: str, password_hash: str) -> bool:
        self.verified.append(password)
        return self._hasher.verify(password, password_hash)

    def needs_rehash(self, password_hash: str) -> bool:
        return self._hasher.needs_rehash(password_hash)
