"""The routes under /auth, through HTTP."""

import json
import unicodedata
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from apps import (
    ADDRESS,
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
    serve,
)
from jwt_auth_kit import (
    AuthKit,
    MemoryTokenStore,
    MemoryUserStore,
    Session,
    StoreUnavailable,
    auth_router,
    create_auth_router,
    install,
)
from jwt_auth_kit.stores.base import StoredSession

FIELDS = {
    "user_id",
    "email",
    "display_name",
    "role",
    "access_token",
    "refresh_token",
    "token_type",
    "expires_in",
}


def test_register_answers_201_with_the_eight_fields() -> None:
    with serve() as client:
        body = register(client, display_name="Ada")

        assert body.keys() == FIELDS
        assert (body["email"], body["display_name"], body["role"]) == (EMAIL, "Ada", "user")
        assert (body["token_type"], body["expires_in"]) == ("bearer", 900)


def test_register_takes_the_display_name_from_the_address() -> None:
    with serve() as client:
        assert register(client, "grace@example.com")["display_name"] == "grace"


def test_register_ignores_a_role_and_other_fields() -> None:
    with serve() as client:
        body = register(client, role="admin", is_active=False, id="1", epoch=9)

        assert body["role"] == "user"
        assert client.get("/admin/projects", headers=bearer(body)).status_code == 403


def test_login_answers_the_eight_fields_and_no_store() -> None:
    with serve() as client:
        register(client)

        answer = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})

        assert answer.status_code == 200
        assert answer.json().keys() == FIELDS
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("email", ["ADA@example.com", " ada@EXAMPLE.com "])
def test_login_does_not_care_for_case_or_space_around_the_address(email: str) -> None:
    with serve() as client:
        register(client)

        answer = client.post("/auth/login", json={"email": email, "password": PASSWORD})

        assert answer.status_code == 200


def test_valid_access_token_opens_a_protected_route() -> None:
    with serve() as client:
        body = register(client)

        answer = client.get("/projects", headers=bearer(body))

        assert (answer.status_code, answer.json()) == (200, body["user_id"])


@pytest.mark.parametrize("was_used", [False, True])
def test_expired_access_token_is_401_token_expired(was_used: bool) -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        body = register(client)
        if was_used:
            assert client.get("/auth/me", headers=bearer(body)).status_code == 200
        clock.advance(minutes=15)

        answer = client.get("/auth/me", headers=bearer(body))

        assert (answer.status_code, code(answer)) == (401, "token_expired")
        assert answer.headers["www-authenticate"].startswith(
            'Bearer realm="api", error="invalid_token"'
        )


def test_tampered_access_token_is_401_invalid_token() -> None:
    with serve() as client:
        header, payload, signature = register(client)["access_token"].split(".")
        forged = f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"

        answer = client.get("/auth/me", headers={"Authorization": f"Bearer {forged}"})

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


def test_refresh_token_is_no_access_token() -> None:
    with serve() as client:
        body = register(client)

        answer = client.get(
            "/auth/me", headers={"Authorization": f"Bearer {body['refresh_token']}"}
        )

        assert (answer.status_code, code(answer)) == (401, "wrong_token_type")


@pytest.mark.parametrize("was_used", [False, True])
def test_access_token_is_no_refresh_token(was_used: bool) -> None:
    with serve() as client:
        body = register(client)
        if was_used:
            assert client.get("/auth/me", headers=bearer(body)).status_code == 200

        answer = client.post("/auth/refresh", json={"refresh_token": body["access_token"]})

        assert (answer.status_code, code(answer)) == (401, "wrong_token_type")


def test_missing_token_is_401_without_an_error_attribute() -> None:
    with serve() as client:
        answer = client.get("/auth/me")

        assert (answer.status_code, code(answer)) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer a b", "Bearer a.b.c", "bearer \xff.\xff.\xff"]
)
def test_malformed_bearer_header_is_401_invalid_token(header: str) -> None:
    with serve() as client:
        answer = client.get("/auth/me", headers={b"Authorization": header.encode("latin-1")})

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


@pytest.mark.parametrize("rest", [" b", " Bearer b", ", Bearer b", ",", ";", "="])
def test_a_good_token_with_something_behind_it_is_401_invalid_token(rest: str) -> None:
    with serve() as client:
        header = bearer(register(client))["Authorization"] + rest

        answer = client.get("/auth/me", headers={"Authorization": header})

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


def test_two_authorization_headers_are_401() -> None:
    with serve() as client:
        value = bearer(register(client))["Authorization"]

        answer = client.get("/auth/me", headers=[("Authorization", value)] * 2)

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_is_case_insensitive(scheme: str) -> None:
    with serve() as client:
        token = register(client)["access_token"]

        answer = client.get("/auth/me", headers={"Authorization": f"{scheme} {token}"})

        assert answer.status_code == 200


def test_another_scheme_counts_as_nothing_sent() -> None:
    with serve() as client:
        answer = client.get("/auth/me", headers={"Authorization": "Basic YTpi"})

        assert code(answer) == "not_authenticated"


def test_a_token_in_the_query_is_never_read() -> None:
    with serve() as client:
        token = register(client)["access_token"]

        answer = client.get("/auth/me", params={"access_token": token, "token": token})

        assert code(answer) == "not_authenticated"


def test_me_shows_the_account_as_it_is_now() -> None:
    kit = make_kit()
    with serve(kit) as client:
        body = register(client)

        answer = client.get("/auth/me", headers=bearer(body))

        assert answer.json() == {
            "user_id": body["user_id"],
            "email": EMAIL,
            "display_name": "ada",
            "role": "user",
        }


def test_me_shows_the_role_of_the_account_and_not_of_the_token() -> None:
    users = MemoryUserStore()
    with serve(make_kit(users=users)) as client:
        body = register(client)
        assert client.portal is not None
        client.portal.call(users.set_role, body["user_id"], "editor")  # past the kit

        answer = client.get("/auth/me", headers=bearer(body))

        assert answer.json()["role"] == "editor"


@pytest.mark.parametrize(
    ("email", "password"), [("nobody@example.com", PASSWORD), (EMAIL, "wrong horse"), ("", "")]
)
def test_unknown_user_and_wrong_password_get_one_answer(email: str, password: str) -> None:
    with serve() as client:
        register(client)

        answer = client.post("/auth/login", json={"email": email, "password": password})

        assert (answer.status_code, code(answer)) == (401, "invalid_credentials")


async def test_disabled_user_is_out_at_once_and_cannot_log_in() -> None:
    kit = make_kit()
    async with _async_client(kit) as client:
        body = await _register(client)
        await kit.disable_user(body["user_id"])

        login = await client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        me = await client.get("/auth/me", headers=bearer(body))
        again = await client.post("/auth/refresh", json={"refresh_token": body["refresh_token"]})

        assert (login.status_code, code(login)) == (401, "invalid_credentials")
        assert (me.status_code, code(me)) == (401, "token_revoked")
        assert (again.status_code, code(again)) == (401, "session_revoked")


async def test_enabled_user_logs_in_again() -> None:
    kit = make_kit()
    async with _async_client(kit) as client:
        body = await _register(client)
        await kit.disable_user(body["user_id"])
        await kit.enable_user(body["user_id"])

        login = await client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})

        assert login.status_code == 200


def test_taken_address_is_409_whatever_its_case() -> None:
    with serve() as client:
        register(client)

        answer = client.post("/auth/register", json={"email": EMAIL.upper(), "password": PASSWORD})

        assert (answer.status_code, code(answer)) == (409, "email_taken")


async def test_five_registrations_at_once_make_one_account() -> None:
    statuses: list[int] = []
    async with _async_client(make_kit()) as client:

        async def sign_up() -> None:
            body = {"email": EMAIL, "password": PASSWORD}
            statuses.append((await client.post("/auth/register", json=body)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(sign_up)

    assert sorted(statuses) == [201, 409, 409, 409, 409]


MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"{}",
    b"\xff\xfe\x00",
    b'{"email": 1, "password": 2, "refresh_token": 3}',
    b'{"email": "not an address", "password": "SENTINEL-password", "refresh_token": []}',
    b'{"email": "a@example.com", "password": "SENTIN", "refresh_token": {}}',
    b'{"email": "a@example.com", "password": NaN, "refresh_token": NaN}',
    b'{"email": "\\ud800@example.com", "password": "SENTINEL\\ud800", "refresh_token": 1}',
    b'{"email": "a\\u0000@example.com", "password": "SENTINEL", "refresh_token": 1}',
    b'{"email": {"a": "SENTINEL"}, "password": "SENTINEL"',
    b"9" * 6000,
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("route", ["register", "login", "refresh", "logout", "token"])
def test_malformed_body_is_a_clear_answer_that_repeats_nothing(route: str, body: bytes) -> None:
    with serve() as client:
        answer = client.post(
            f"/auth/{route}", content=body, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code in {400, 401, 413, 422}
        assert "SENTINEL" not in answer.text
        assert "input" not in answer.text.replace('"input":null', "")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_no_json_is_415_and_not_repeated(media_type: str) -> None:
    body = json.dumps({"email": EMAIL, "password": "SENTINEL-password"})
    with serve() as client:
        answer = client.post("/auth/register", content=body, headers={"Content-Type": media_type})

        assert (answer.status_code, code(answer)) == (415, "not_json")
        assert "SENTINEL" not in answer.text


@pytest.mark.parametrize(
    "password",
    ["7 chars", "x" * 129, "".join(chr(0x1F400 + 37 * n % 129) for n in range(129))],
    ids=["7", "129 equal ones", "129 different ones"],
)
def test_a_password_outside_8_to_128_characters_is_422(password: str) -> None:
    with serve() as client:
        answer = client.post("/auth/register", json={"email": EMAIL, "password": password})

        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "password"]


@pytest.mark.parametrize(
    "password", ["8 chars!", "".join(chr(0x1F400 + 37 * n % 128) for n in range(128))]
)
def test_a_password_of_8_to_128_characters_is_taken_whole(password: str) -> None:
    with serve() as client:
        register(client, password=password)

        right = client.post("/auth/login", json={"email": EMAIL, "password": password})
        shorter = client.post("/auth/login", json={"email": EMAIL, "password": password[:-1]})

        assert (right.status_code, shorter.status_code) == (200, 401)


SPLIT_BY_NFC = "\u0958"  # one code point that NFC makes two


def composed(letters: int) -> str:
    """Write *letters* letters with two code points each, which NFC makes one."""
    return unicodedata.normalize("NFD", "".join(chr(0xAC00 + 28 * n) for n in range(letters)))


@pytest.mark.parametrize(
    ("password", "status"),
    [
        (composed(7), 422),
        (composed(128), 201),
        (composed(129), 422),
        (SPLIT_BY_NFC + composed(126), 201),
        (SPLIT_BY_NFC + composed(127), 422),
    ],
    ids=["7 letters", "128 letters", "129 letters", "128 when composed", "129 when composed"],
)
def test_a_password_is_counted_as_it_is_hashed(password: str, status: int) -> None:
    with serve() as client:
        answer = client.post("/auth/register", json={"email": EMAIL, "password": password})

        assert answer.status_code == status


@pytest.mark.parametrize("name", ["حسین\u200cزاده", "👩\u200d💻 Ada", "Søren 李"])
def test_a_display_name_of_any_script_is_taken(name: str) -> None:
    with serve() as client:
        assert register(client, display_name=name)["display_name"] == name


@pytest.mark.parametrize("name", ["a\r\nb", "a\x00b", "a\u202eb", "x" * 101])
def test_a_display_name_with_control_characters_or_too_long_is_422(name: str) -> None:
    with serve() as client:
        answer = client.post(
            "/auth/register", json={"email": EMAIL, "password": PASSWORD, "display_name": name}
        )

        assert answer.status_code == 422


def test_refresh_within_the_window_keeps_the_refresh_token() -> None:
    with serve() as client:
        first = register(client)

        answer = refresh(client, first)

        assert answer.json().keys() == FIELDS
        assert answer.json()["refresh_token"] == first["refresh_token"]
        assert answer.json()["access_token"] != first["access_token"]
        assert answer.headers["cache-control"] == "no-store"


def test_refresh_after_the_window_rotates() -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        first = register(client)
        clock.advance(minutes=14)

        second = refresh(client, first).json()

        assert second["refresh_token"] != first["refresh_token"]
        assert client.get("/projects", headers=bearer(second)).status_code == 200


def test_two_tabs_get_the_same_successor() -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        first = register(client)
        clock.advance(minutes=14)

        one, other = refresh(client, first).json(), refresh(client, first).json()

        assert one["refresh_token"] == other["refresh_token"] != first["refresh_token"]


def test_used_refresh_token_ends_the_session() -> None:
    clock, events = Clock(), Events()
    with serve(make_kit(clock=clock, on_event=events)) as client:
        first = register(client)
        clock.advance(minutes=14)
        second = refresh(client, first).json()
        client.get("/projects", headers=bearer(second))
        refresh(client, second)
        clock.advance(minutes=1)

        stolen = refresh(client, first)

        assert (stolen.status_code, code(stolen)) == (401, "refresh_reused")
        assert code(refresh(client, second)) == "session_revoked"
        assert code(client.get("/projects", headers=bearer(second))) == "token_revoked"
        assert events.names.count("refresh_reused") == 1


def test_refresh_token_that_was_spent_long_ago_ends_the_session() -> None:
    clock, events = Clock(), Events()
    with serve(make_kit(clock=clock, on_event=events)) as client:
        first = newest = register(client)
        for _ in range(3):
            clock.advance(minutes=14)
            newest = refresh(client, newest).json()

        stolen = refresh(client, first)

        assert (stolen.status_code, code(stolen)) == (401, "refresh_reused")
        assert code(refresh(client, newest)) == "session_revoked"
        assert code(client.get("/projects", headers=bearer(newest))) == "token_revoked"
        assert events.names.count("refresh_reused") == 1


def test_access_token_of_an_orphan_generation_ends_the_session() -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        first = register(client)
        clock.advance(minutes=14)
        lost = refresh(client, first).json()  # never arrives at the client
        clock.advance(minutes=1)
        second = refresh(client, first).json()
        assert second["refresh_token"] != lost["refresh_token"]

        client.get("/projects", headers=bearer(lost))  # so somebody else holds it

        assert code(refresh(client, second)) == "session_revoked"


def test_lost_answer_can_be_asked_for_again_after_a_day() -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        first = register(client)
        clock.advance(minutes=14)
        refresh(client, first)  # the answer is lost
        clock.advance(days=1)

        again = refresh(client, first)

        assert again.status_code == 200
        assert client.get("/projects", headers=bearer(again.json())).status_code == 200


@pytest.mark.parametrize("was_refreshed", [False, True])
def test_refresh_after_the_idle_time_is_401(was_refreshed: bool) -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        body = register(client)
        if was_refreshed:
            clock.advance(days=1)
            body = refresh(client, body).json()
        clock.advance(days=7)

        answer = refresh(client, body)

        assert (answer.status_code, code(answer)) == (401, "session_expired")


def test_refreshing_never_moves_the_absolute_end() -> None:
    clock = Clock()
    with serve(make_kit(clock=clock)) as client:
        body = register(client)
        for _ in range(5):
            clock.advance(days=5, hours=23)
            body = refresh(client, body).json()
        clock.advance(hours=5)

        answer = refresh(client, body)

        assert (answer.status_code, code(answer)) == (401, "session_expired")


def test_access_token_ends_with_the_session() -> None:
    clock = Clock()
    settings = {"session_ttl": "PT20M", "refresh_ttl": "PT20M", "access_ttl": "PT15M"}
    with serve(make_kit(clock=clock, settings=settings)) as client:
        body = register(client)
        clock.advance(minutes=14)

        assert refresh(client, body).json()["expires_in"] == 360


def test_refresh_token_of_a_jwt_manager_alone_is_never_accepted() -> None:
    kit = make_kit()
    with serve(kit) as client:
        user_id = register(client)["user_id"]
        lone = kit.jwt.create_refresh_token(user_id)

        answer = client.post("/auth/refresh", json={"refresh_token": lone})

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


async def test_refresh_token_forged_with_a_leaked_key_changes_nothing() -> None:
    kit = make_kit()
    async with _async_client(kit) as client:
        body = await _register(client)
        claims = kit.jwt.verify_token(body["refresh_token"], "refresh")
        stored = await kit.tokens.get(claims["sub"], claims["sid"])
        assert stored is not None
        forged = kit.jwt.create_session_refresh_token(_with_other_salt(stored.session))

        answer = await client.post("/auth/refresh", json={"refresh_token": forged})

        assert (answer.status_code, code(answer)) == (401, "invalid_token")
        assert await kit.tokens.get(claims["sub"], claims["sid"]) == stored


def test_refresh_without_a_token_is_401_not_authenticated() -> None:
    with serve() as client:
        assert code(client.post("/auth/refresh")) == "not_authenticated"
        assert code(client.post("/auth/refresh", json={})) == "not_authenticated"


@pytest.mark.parametrize("was_used", [False, True])
def test_logout_revokes_both_tokens_at_once(was_used: bool) -> None:
    with serve() as client:
        body = register(client)
        if was_used:
            assert client.get("/projects", headers=bearer(body)).status_code == 200

        answer = client.post("/auth/logout", headers=bearer(body))

        assert (answer.status_code, answer.content) == (204, b"")
        assert code(client.get("/projects", headers=bearer(body))) == "token_revoked"
        assert code(refresh(client, body)) == "session_revoked"


def test_logout_is_idempotent() -> None:
    with serve() as client:
        body = register(client)

        statuses = [client.post("/auth/logout", headers=bearer(body)).status_code for _ in "12"]

        assert statuses == [204, 204]


def test_logout_works_with_the_refresh_token_when_the_access_token_expired() -> None:
    clock, events = Clock(), Events()
    with serve(make_kit(clock=clock, on_event=events)) as client:
        body = register(client)
        clock.advance(minutes=15)

        answer = client.post(
            "/auth/logout",
            headers=bearer(body),
            json={"refresh_token": body["refresh_token"]},
        )

        assert answer.status_code == 204
        assert code(refresh(client, body)) == "session_revoked"
        assert events.names.count("logged_out") == 1


def test_logout_with_a_token_that_is_none_ends_nothing_and_is_204() -> None:
    with serve() as client:
        body = register(client)

        answer = client.post("/auth/logout", json={"refresh_token": "a.b.c"})

        assert answer.status_code == 204
        assert refresh(client, body).status_code == 200


def test_logout_with_nothing_is_401() -> None:
    with serve() as client:
        assert code(client.post("/auth/logout")) == "not_authenticated"


def test_logout_leaves_the_other_devices_alone() -> None:
    with serve() as client:
        phone = register(client)
        laptop = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()

        client.post("/auth/logout", headers=bearer(phone))

        assert client.get("/projects", headers=bearer(laptop)).status_code == 200
        assert refresh(client, laptop).status_code == 200


def test_token_route_serves_the_password_and_the_refresh_grant() -> None:
    with serve() as client:
        register(client)
        form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
        first = client.post("/auth/token", data=form)

        second = client.post(
            "/auth/token",
            data={
                "grant_type": "refresh_token",
                "refresh_token": first.json()["refresh_token"],
            },
        )

        fields = {"access_token", "refresh_token", "token_type", "expires_in"}
        assert first.json().keys() == second.json().keys() == fields
        assert first.headers["cache-control"] == "no-store"
        assert first.headers["pragma"] == "no-cache"
        assert "set-cookie" not in first.headers


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password", "username": EMAIL, "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "a.b.c"}, "invalid_grant"),
        ({"grant_type": "password", "username": EMAIL}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"username": EMAIL}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": ["a", "b"], "password": "x"}, "invalid_request"),
    ],
)
def test_token_route_refuses_as_rfc_6749_says(form: dict[str, Any], error: str) -> None:
    with serve() as client:
        register(client)

        answer = client.post("/auth/token", data=form)

        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("route", ["login", "register", "refresh", "logout", "password", "token"])
def test_a_body_longer_than_any_request_needs_is_413(route: str) -> None:
    kind = "x-www-form-urlencoded" if route == "token" else "json"
    with serve() as client:
        signed_in = register(client)

        answer = client.post(
            f"/auth/{route}",
            content=b'{"email": "' + b"x" * 20_000,
            headers={"Content-Type": f"application/{kind}", **bearer(signed_in)},
        )

        assert (answer.status_code, code(answer)) == (413, "body_too_large")


def test_registration_can_be_left_out() -> None:
    app = FastAPI()
    app.include_router(create_auth_router(registration=False))
    install(app, make_kit())
    client = TestClient(app)

    answer = client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})

    assert answer.status_code == 404
    assert "/auth/register" not in client.get("/openapi.json").json()["paths"]


def test_the_router_can_stand_elsewhere() -> None:
    app = FastAPI()
    app.include_router(create_auth_router(prefix="/account", tags=["account"]))
    install(app, make_kit())

    answer = TestClient(app).post("/account/register", json={"email": EMAIL, "password": PASSWORD})

    assert answer.status_code == 201


class BrokenStore(MemoryTokenStore):
    """A store whose database is away for reads of one session."""

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        raise StoreUnavailable


def test_store_outage_is_503_with_retry_after_and_never_401() -> None:
    with serve(make_kit(tokens=BrokenStore())) as client:
        body = register(client)

        answer = refresh(client, body)

        assert (answer.status_code, code(answer)) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"


def test_store_outage_does_not_stop_requests_with_a_valid_access_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serve(make_kit(tokens=BrokenStore())) as client:
        body = register(client)

        answer = client.get("/projects", headers=bearer(body))

    assert answer.status_code == 200
    assert "could not be confirmed" in caplog.text


class ContendedStore(MemoryTokenStore):
    """A store in which somebody else is always faster."""

    async def compare_and_set(self, *arguments: Any) -> bool:
        return False


def test_a_refresh_that_always_loses_is_503() -> None:
    clock = Clock()
    with serve(make_kit(tokens=ContendedStore(), clock=clock)) as client:
        body = register(client)
        clock.advance(minutes=1)

        answer = refresh(client, body)

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_the_audit_trail_names_user_session_and_client() -> None:
    events = Events()
    with serve(make_kit(on_event=events)) as client:
        body = register(client)
        client.post("/auth/login", json={"email": EMAIL, "password": "wrong"})
        client.post("/auth/logout", headers=bearer(body))

    assert events.names == ["registered", "logged_in", "login_failed", "logged_out"]
    assert events[2].reason == "wrong_password"
    assert {event.user_id for event in events} == {body["user_id"]}
    assert events[1].session_id == events[3].session_id is not None
    assert (events[0].ip, events[0].user_agent) == (ADDRESS, "testclient")


def test_a_user_agent_is_cut_and_cleaned() -> None:
    events = Events()
    with serve(make_kit(on_event=events)) as client:
        client.post(
            "/auth/login",
            json={"email": EMAIL, "password": "wrong"},
            headers={"User-Agent": "a\tb" + "x" * 400},
        )

    assert events[0].user_agent == "ab" + "x" * 254


def test_one_router_object_serves_two_applications_with_different_keys() -> None:
    with serve() as one, serve() as other:
        body = register(one)

        answer = other.get("/projects", headers=bearer(body))

        assert (answer.status_code, code(answer)) == (401, "invalid_token")
        assert one.get("/projects", headers=bearer(body)).status_code == 200


def test_two_includes_run_the_lifespan_twice_and_do_no_harm() -> None:
    app = FastAPI()
    app.include_router(auth_router, prefix="/v1")
    app.include_router(auth_router, prefix="/v2")
    install(app, make_kit())

    with TestClient(app) as client:
        answer = client.post("/v2/auth/register", json={"email": EMAIL, "password": PASSWORD})

    assert answer.status_code == 201


def _with_other_salt(session: Session) -> Session:
    return replace(session, salt=b"another salt ...")


def _async_client(kit: AuthKit) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=make_app(kit))
    return httpx.AsyncClient(transport=transport, base_url="https://testserver")


async def _register(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
    return dict(answer.json())
