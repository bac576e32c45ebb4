"""A token that its carrier cannot hold is refused where it is made, before anything is written."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from apps import EMAIL, PASSWORD, Events, bearer, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    ConfigurationError,
    CookieTransport,
    JWTManager,
    KeyRing,
    MemoryUserStore,
    Transport,
    UserDep,
    auth_router,
    install,
)
from jwt_auth_kit.stores.base import NewUser, User

NEW_PASSWORD = "a new staple every day"
TOO_MANY = {"cookie": 300, "bearer": 700}
carriers = pytest.mark.parametrize("carrier", ["cookie", "bearer"])


class Rights:
    """How many scopes everybody has."""

    def __init__(self, amount: int = 1) -> None:
        self.amount = amount

    def __call__(self, user: User) -> list[str]:
        return [f"projects:read:{number}" for number in range(self.amount)]


@contextmanager
def client_of(kit: AuthKit, carrier: str) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(auth_router)
    transport: Transport = CookieTransport() if carrier == "cookie" else BearerTransport()
    install(app, kit, transports=[transport])

    @app.get("/projects")
    async def projects(user: UserDep) -> int:
        return len(user.scopes)

    with TestClient(app, base_url="https://testserver") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        yield client


def signed_in_as(body: dict[str, Any]) -> dict[str, str]:
    return bearer(body) if "access_token" in body else {}


@carriers
def test_a_sign_up_leaves_no_account_no_session_and_no_event(carrier: str) -> None:
    events, rights = Events(), Rights(TOO_MANY[carrier])
    kit = make_kit(scopes=rights, on_event=events)
    with client_of(kit, carrier) as client:
        with pytest.raises(ConfigurationError, match=r"scope \(\d+\).*Grant fewer scopes"):
            register(client)
        assert client.portal is not None
        assert client.portal.call(kit.users.get_by_email, EMAIL) is None
        assert events.names == []

        rights.amount = 1
        register(client)


@carriers
def test_a_login_leaves_no_session_no_event_and_no_counted_attempt(carrier: str) -> None:
    events, rights = Events(), Rights()
    kit = make_kit(scopes=rights, on_event=events)
    with client_of(kit, carrier) as client:
        assert client.portal is not None
        account = client.portal.call(kit.create_user, EMAIL, PASSWORD)
        del events[:]
        rights.amount = TOO_MANY[carrier]
        sent = {"email": EMAIL, "password": PASSWORD}
        for _ in range(20):
            with pytest.raises(ConfigurationError, match="too long"):
                client.post("/auth/login", json=sent)
        assert client.portal.call(kit.list_sessions, str(account.id)) == []
        assert events.names == []

        rights.amount = 1
        assert client.post("/auth/login", json=sent).status_code == 200


@carriers
def test_a_password_change_changes_nothing(carrier: str) -> None:
    events, rights = Events(), Rights()
    kit = make_kit(scopes=rights, on_event=events)
    with client_of(kit, carrier) as client:
        body = register(client)
        rights.amount = TOO_MANY[carrier]
        del events[:]
        passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        with pytest.raises(ConfigurationError, match="too long"):
            client.post("/auth/password", json=passwords, headers=signed_in_as(body))
        assert events.names == []

        assert client.get("/projects", headers=signed_in_as(body)).status_code == 200
        rights.amount = 1
        sent = {"email": EMAIL, "password": PASSWORD}
        assert client.post("/auth/login", json=sent).status_code == 200


@carriers
def test_a_refresh_keeps_the_session(carrier: str) -> None:
    events, rights = Events(), Rights()
    kit = make_kit(scopes=rights, on_event=events, settings={"reuse_window": 0})
    with client_of(kit, carrier) as client:
        body = register(client)
        assert client.portal is not None
        user_id = str(body["user_id"])
        before = client.portal.call(kit.list_sessions, user_id)
        del events[:]
        sent = {"refresh_token": body["refresh_token"]} if "refresh_token" in body else None
        rights.amount = TOO_MANY[carrier]
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="too long"):
                client.post("/auth/refresh", json=sent)
        assert client.portal.call(kit.list_sessions, user_id) == before
        assert events.names == []

        rights.amount = 2
        answer = client.post("/auth/refresh", json=sent)
        assert answer.status_code == 200
        assert client.get("/projects", headers=signed_in_as(answer.json())).json() == 2


def test_a_spent_token_ends_its_session_however_long_its_successor_would_be() -> None:
    events, rights = Events(), Rights()
    kit = make_kit(scopes=rights, on_event=events, settings={"reuse_window": 0})
    with client_of(kit, "bearer") as client:
        body = register(client)
        second = client.post("/auth/refresh", json={"refresh_token": body["refresh_token"]}).json()
        client.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
        rights.amount = TOO_MANY["bearer"]

        answer = client.post("/auth/refresh", json={"refresh_token": body["refresh_token"]})

    assert answer.json()["detail"]["code"] == "refresh_reused"


def test_the_form_of_oauth2_clients_has_the_room_of_a_header_beside_cookies() -> None:
    kit = make_kit(scopes=Rights(TOO_MANY["cookie"]))
    with client_of(kit, "cookie") as client:
        assert client.portal is not None
        client.portal.call(kit.create_user, EMAIL, PASSWORD)
        form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}

        answer = client.post("/auth/token", data=form)

    assert answer.status_code == 200
    assert len(answer.json()["access_token"]) > 4096


def find_longest(fits: Callable[[int], bool]) -> int:
    low, high = 0, 9000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@pytest.mark.parametrize("name", ["access_token", "a", "a-long-name-for-a-cookie"])
def test_the_longest_token_that_is_made_is_one_that_browsers_keep(name: str) -> None:
    kit = make_kit()
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit, transports=[CookieTransport(access_cookie=name)])
    with TestClient(app, base_url="https://testserver") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        assert client.portal is not None

        def fits(size: int) -> bool:
            email = f"user{size}@example.com"
            assert client.portal is not None
            if client.portal.call(kit.users.get_by_email, email) is None:
                new = NewUser(email=email, display_name="x" * size, password_hash=hashed)
                client.portal.call(kit.users.create, new)
            try:
                client.post("/auth/login", json={"email": email, "password": PASSWORD})
            except ConfigurationError:
                return False
            return True

        hashed = client.portal.call(kit.passwords.hash, PASSWORD)
        longest = find_longest(fits)
        fits(longest)
        kept = f"__Host-{name}" + str(client.cookies[f"__Host-{name}"])

    assert 4096 - 4 < len(kept) <= 4096


def test_the_longest_bearer_token_that_is_made_is_one_that_is_read() -> None:
    jwt = JWTManager(KeyRing.random(), profile_claims=("blob",))

    def make(size: int) -> str:
        return jwt.create_access_token({"user_id": "1", "blob": "x" * size})

    def fits(size: int) -> bool:
        try:
            make(size)
        except ConfigurationError:
            return False
        return True

    token = make(find_longest(fits))

    assert 8192 - 4 < len(token) <= 8192
    assert jwt.verify_access_token(token)["sub"] == "1"


def test_the_message_names_the_user_the_sizes_and_the_cure_and_no_value() -> None:
    jwt = JWTManager(KeyRing.random(), profile_claims=("email", "notes"))
    data = {"user_id": "42", "email": EMAIL, "notes": "secret" * 2000}

    with pytest.raises(ConfigurationError) as caught:
        jwt.create_access_token(data)

    message = str(caught.value)
    assert "user 42" in message
    assert "8192" in message
    assert "notes (12002), email (17)" in message
    assert "profile_claims" in message
    assert "secret" not in message


class Plan(Enum):
    FREE = "free"


@dataclass(frozen=True)
class Account:
    """A user class of the application."""

    id: int
    email: str
    display_name: str | None
    role: str
    is_active: bool
    password_hash: str | None
    extra: Any


class Accounts(MemoryUserStore):
    """A store of the application: each account has something more."""

    def __init__(self, extra: Any) -> None:
        super().__init__()
        self.extra = extra

    async def get_by_id(self, user_id: str) -> Account | None:  # type: ignore[override]
        return self._with_extra(await super().get_by_id(user_id))

    async def get_by_email(self, email: str) -> Account | None:  # type: ignore[override]
        return self._with_extra(await super().get_by_email(email))

    def _with_extra(self, user: Any) -> Account | None:
        if user is None:
            return None
        names = ("id", "email", "display_name", "role", "is_active", "password_hash")
        return Account(**{name: getattr(user, name) for name in names}, extra=self.extra)


@pytest.mark.parametrize(
    ("extra", "claim"),
    [
        ("blue", "blue"),
        (7, 7),
        (["a", {"b": None}], ["a", {"b": None}]),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Plan.FREE, "free"),
    ],
    ids=["text", "number", "json", "uuid", "enum"],
)
async def test_a_claim_of_the_application_holds_what_json_can(extra: Any, claim: Any) -> None:
    kit = make_kit(users=Accounts(extra), profile_claims=("email", "extra"))
    await kit.create_user(EMAIL, PASSWORD)

    signed_in = await kit.login(EMAIL, PASSWORD)

    user = await kit.authenticate(signed_in.tokens.access_token)
    assert dict(user.claims or {})["extra"] == claim


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (datetime.now(UTC), "datetime"),
        ({1, 2}, "set"),
        (b"x", "bytes"),
        (math.nan, "nan"),
        ("\ud800", "surrogate|cannot be read"),
        (nested(20), "cannot be read"),
    ],
    ids=["datetime", "set", "bytes", "nan", "surrogate", "deep"],
)
async def test_a_claim_that_no_token_can_hold_is_named_before_anything_is_written(
    extra: Any, problem: str
) -> None:
    events = Events()
    kit = make_kit(users=Accounts(extra), profile_claims=("email", "extra"), on_event=events)
    account = await kit.create_user(EMAIL, PASSWORD)
    del events[:]

    with pytest.raises(ConfigurationError, match=f"(?i)extra.*({problem})"):
        await kit.login(EMAIL, PASSWORD)

    assert await kit.list_sessions(str(account.id)) == []
    assert events.names == []


async def test_a_scopes_function_that_cannot_judge_an_account_to_be_is_asked_when_it_is_there() -> (
    None
):
    def scopes(user: User) -> list[str]:
        return [f"rank:{user.rank}"] if user.role == "admin" else [str(len(str(user.id)))]  # type: ignore[attr-defined]

    def strict(user: User) -> list[str]:
        if not isinstance(user, Account):
            raise TypeError
        return ["all"]

    kit = make_kit(users=Accounts("blue"), scopes=strict, profile_claims=("extra",))

    signed_in = await kit.register(EMAIL, PASSWORD)

    assert signed_in.scopes == {"all"}
