"""What people see of their sessions, and the stricter dependencies."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends
from fastapi.testclient import TestClient
from sqlalchemy import text

from apps import EMAIL, PASSWORD, Clock, Events, bearer, code, make_app, make_kit, refresh, register
from engines import engine_on
from jwt_auth_kit import (
    AuthKit,
    Client,
    ConfigurationError,
    CurrentUser,
    MemoryTokenStore,
    MemoryUserStore,
    RevokedToken,
    Session,
    SessionDep,
    SessionNotFound,
    SessionRevoked,
    SignedIn,
    StoreUnavailable,
    get_current_user,
    require_recent_login,
)
from jwt_auth_kit.sessions import SessionChanges
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema


def log_in(client: TestClient, agent: str = "laptop") -> dict[str, Any]:
    body = {"email": EMAIL, "password": PASSWORD}
    return dict(client.post("/auth/login", json=body, headers={"User-Agent": agent}).json())


@contextmanager
def strict_app(kit: AuthKit) -> Iterator[TestClient]:
    app = make_app(kit)

    @app.get("/strict")
    async def strict(user: SessionDep) -> dict[str, str | None]:
        return {"id": user.id, "role": user.role, "email": user.email}

    recent = require_recent_login(timedelta(minutes=5))

    @app.post("/delete-account")
    async def delete_account(user: Annotated[CurrentUser, Depends(recent)]) -> str:
        return user.id

    with TestClient(app) as client:
        yield client


def test_a_user_sees_the_live_sessions_newest_first_and_which_one_asks() -> None:
    clock = Clock()
    with strict_app(make_kit(clock=clock)) as client:
        register(client)
        clock.advance(minutes=1)
        laptop = log_in(client, "laptop")

        sessions = client.get("/auth/sessions", headers=bearer(laptop)).json()

    assert [session["user_agent"] for session in sessions] == ["laptop", "testclient"]
    assert [session["current"] for session in sessions] == [True, False]
    assert sessions[0].keys() == {
        *("id", "ip", "user_agent", "created_at", "last_seen_at", "expires_at", "current")
    }


def test_sessions_of_other_users_and_ended_ones_are_not_listed() -> None:
    with strict_app(make_kit()) as client:
        register(client, "grace@example.com")
        phone = register(client)
        laptop = log_in(client)
        client.post("/auth/logout", headers=bearer(phone))

        sessions = client.get("/auth/sessions", headers=bearer(laptop)).json()

    assert len(sessions) == 1


def test_concurrent_logins_all_appear_in_the_list() -> None:
    with strict_app(make_kit()) as client:
        body = register(client)
        for _ in range(4):
            log_in(client)

        assert len(client.get("/auth/sessions", headers=bearer(body)).json()) == 5


async def sign_in_often(kit: AuthKit, count: int, clock: Clock) -> list[SignedIn]:
    signed_in = []
    for _ in range(count):
        clock.advance(seconds=1)
        signed_in.append(await kit.login(EMAIL, PASSWORD))
    return signed_in


async def test_a_list_holds_a_hundred_sessions_and_goes_on_behind_the_last_of_them() -> None:
    clock = Clock()
    kit = make_kit(clock=clock, settings={"max_sessions": None})
    await kit.create_user(EMAIL, PASSWORD)
    ids = [signed_in.session_id for signed_in in await sign_in_often(kit, 230, clock)][::-1]
    clock.advance(seconds=1)
    with strict_app(kit) as client:
        headers = bearer(log_in(client))
        pages = [client.get("/auth/sessions", headers=headers).json()]
        while pages[-1]:
            after = {"after": pages[-1][-1]["id"]}
            pages.append(client.get("/auth/sessions", params=after, headers=headers).json())

    assert [len(page) for page in pages] == [100, 100, 31, 0]
    assert [session["id"] for page in pages for session in page][1:] == ids


@pytest.mark.parametrize("after", ["unknown", "", "\x00", "🦊", "x" * 2000, "of somebody else"])
def test_a_list_behind_a_session_the_caller_never_had_is_404(after: str) -> None:
    with strict_app(make_kit()) as client:
        grace = register(client, "grace@example.com")
        ada = register(client)
        if after == "of somebody else":
            after = client.get("/auth/sessions", headers=bearer(grace)).json()[0]["id"]

        answer = client.get("/auth/sessions", params={"after": after}, headers=bearer(ada))

        assert (answer.status_code, code(answer)) == (404, "session_not_found")


def test_openapi_says_that_a_list_of_sessions_is_bounded_and_can_be_continued() -> None:
    with strict_app(make_kit()) as client:
        operation = client.get("/openapi.json").json()["paths"]["/auth/sessions"]["get"]

    assert [(each["name"], each["in"]) for each in operation["parameters"]] == [("after", "query")]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert (answer["type"], answer["maxItems"]) == ("array", 100)
    assert "404" in operation["responses"]


async def test_the_kit_lists_as_many_sessions_as_it_is_asked_for() -> None:
    clock = Clock()
    kit = make_kit(clock=clock)
    user_id = str((await kit.create_user(EMAIL, PASSWORD)).id)
    newest = [signed_in.session_id for signed_in in await sign_in_often(kit, 5, clock)][::-1]

    first = await kit.list_sessions(user_id, limit=2)
    second = await kit.list_sessions(user_id, limit=10, after=first[-1].id)

    assert [session.id for session in first] == newest[:2]
    assert [session.id for session in second] == newest[2:]
    with pytest.raises(SessionNotFound):
        await kit.list_sessions(user_id, after="unknown")
    with pytest.raises(ValueError, match="at least 1"):
        await kit.list_sessions(user_id, limit=0)


async def test_one_event_tells_how_many_other_sessions_were_ended() -> None:
    clock, events = Clock(), Events()
    kit = make_kit(clock=clock, on_event=events)
    await kit.create_user(EMAIL, PASSWORD)
    *others, mine = await sign_in_often(kit, 4, clock)
    user = await kit.authenticate(mine.tokens.access_token)
    events.clear()

    assert await kit.end_other_sessions(user, client=Client(ip="192.0.2.7")) == 3
    assert await kit.end_other_sessions(user) == 0

    (event,) = events
    assert (event.name, event.reason, event.count) == ("sessions_ended", "other_sessions", 3)
    assert (event.session_id, event.ip) == (mine.session_id, "192.0.2.7")
    assert json.loads(event.as_json())["count"] == 3
    for other in others:
        with pytest.raises(RevokedToken):
            await kit.authenticate(other.tokens.access_token)


async def test_two_thousand_other_sessions_end_in_few_steps() -> None:
    class Counted(MemoryTokenStore):
        calls = 0

        async def revoke_others(self, *arguments: Any) -> Any:
            self.calls += 1
            return await super().revoke_others(*arguments)

        async def revoke(self, *arguments: Any) -> bool:
            raise AssertionError("one by one")

    tokens = Counted()
    kit = make_kit(tokens=tokens, settings={"max_sessions": None})
    signed_in = await kit.register(EMAIL, PASSWORD)
    user = await kit.authenticate(signed_in.tokens.access_token)
    for _ in range(2000):
        await tokens.create(
            Session.start(
                user.id, kit.now(), epoch=0, idle_ttl=timedelta(days=7),
                absolute_ttl=timedelta(days=30),
            )
        )  # fmt: skip

    assert await kit.end_other_sessions(user) == 2000

    assert tokens.calls == 1
    assert [session.id for session in await kit.list_sessions(user.id)] == [user.session_id]


def test_last_seen_moves_when_a_token_is_refreshed() -> None:
    clock = Clock()
    with strict_app(make_kit(clock=clock)) as client:
        body = register(client)
        clock.advance(hours=2)
        body = refresh(client, body).json()

        session = client.get("/auth/sessions", headers=bearer(body)).json()[0]

    assert session["last_seen_at"] > session["created_at"]


def test_the_list_does_not_tell_when_the_owner_was_there() -> None:
    clock = Clock(datetime(2030, 1, 1, 11, 58, tzinfo=UTC))
    with strict_app(make_kit(clock=clock)) as client:
        body = register(client)
        clock.advance(minutes=5)
        shown = set()
        for _ in range(10):
            body = refresh(client, body).json()
            session = client.get("/auth/sessions", headers=bearer(body)).json()[0]
            shown.add((session["last_seen_at"], session["expires_at"]))
            clock.advance(minutes=5)

    assert shown == {("2030-01-01T12:00:00Z", "2030-01-08T12:00:00Z")}


def test_a_session_was_not_last_seen_before_it_began() -> None:
    clock = Clock(datetime(2030, 1, 1, 11, 58, tzinfo=UTC))
    with strict_app(make_kit(clock=clock)) as client:
        body = register(client)

        session = client.get("/auth/sessions", headers=bearer(body)).json()[0]

    assert session["last_seen_at"] == session["created_at"] == "2030-01-01T11:58:00Z"


def test_a_user_ends_another_device_and_stays_signed_in() -> None:
    events = Events()
    with strict_app(make_kit(on_event=events)) as client:
        phone = register(client)
        laptop = log_in(client)
        phone_id = client.get("/auth/sessions", headers=bearer(phone)).json()[1]["id"]

        answer = client.delete(f"/auth/sessions/{phone_id}", headers=bearer(laptop))

        assert answer.status_code == 204
        assert code(client.get("/projects", headers=bearer(phone))) == "token_revoked"
        assert code(refresh(client, phone)) == "session_revoked"
        assert client.get("/projects", headers=bearer(laptop)).status_code == 200
        assert events.names.count("logged_out") == 1


def test_ending_an_unknown_or_foreign_session_is_404_and_changes_nothing() -> None:
    with strict_app(make_kit()) as client:
        grace = register(client, "grace@example.com")
        ada = register(client)
        grace_id = client.get("/auth/sessions", headers=bearer(grace)).json()[0]["id"]

        for session_id in ("unknown", grace_id):
            answer = client.delete(f"/auth/sessions/{session_id}", headers=bearer(ada))
            assert (answer.status_code, code(answer)) == (404, "session_not_found")
        assert client.get("/projects", headers=bearer(grace)).status_code == 200
        assert refresh(client, grace).status_code == 200


def test_logout_all_ends_every_session_of_the_user_alone() -> None:
    with strict_app(make_kit()) as client:
        grace = register(client, "grace@example.com")
        phone = register(client)
        laptop = log_in(client)

        answer = client.post("/auth/logout-all", headers=bearer(laptop))

        assert answer.status_code == 204
        for ended in (phone, laptop):
            assert code(client.get("/projects", headers=bearer(ended))) == "token_revoked"
            assert code(refresh(client, ended)) == "session_revoked"
        assert client.get("/projects", headers=bearer(grace)).status_code == 200
        assert client.get("/projects", headers=bearer(log_in(client))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "sessions"), ("DELETE", "sessions/x"), ("POST", "logout-all")],
)
def test_session_routes_need_a_user(method: str, path: str) -> None:
    with strict_app(make_kit()) as client:
        answer = client.request(method, f"/auth/{path}")

        assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_max_sessions_ends_the_oldest() -> None:
    clock = Clock()
    with strict_app(make_kit(clock=clock, settings={"max_sessions": 2})) as client:
        first = register(client)
        clock.advance(seconds=1)
        second = log_in(client)
        clock.advance(seconds=1)

        third = log_in(client)

        assert code(client.get("/projects", headers=bearer(first))) == "token_revoked"
        assert code(refresh(client, first)) == "session_revoked"
        for kept in (second, third):
            assert refresh(client, kept).status_code == 200


def test_require_session_reads_role_and_account_now() -> None:
    users = MemoryUserStore()
    with strict_app(make_kit(users=users)) as client:
        body = register(client)

        answer = client.get("/strict", headers=bearer(body))

        assert answer.json() == {"id": body["user_id"], "role": "user", "email": EMAIL}


@pytest.mark.parametrize("change", ["disabled", "role", "session", "gone"])
async def test_require_session_sees_at_once_what_another_process_did(change: str) -> None:
    users, tokens = MemoryUserStore(), MemoryTokenStore()
    settings = {"revocation_interval": 300}
    here = make_kit(users=users, tokens=tokens, settings=settings)
    there = make_kit(users=users, tokens=tokens, keys=here.jwt.keys)
    signed_in = await here.register(EMAIL, PASSWORD)
    user = await here.authenticate(signed_in.tokens.access_token)
    user_id = str(signed_in.user.id)
    await here.authenticate_now(user)

    match change:
        case "disabled":
            await there.disable_user(user_id)
        case "role":
            await there.set_role(user_id, "editor")
        case "session":
            await there.end_session(user_id, signed_in.session_id)
        case "gone":
            tokens = MemoryTokenStore()
            here = make_kit(users=users, tokens=tokens, keys=here.jwt.keys)

    with pytest.raises(Exception, match=r"revoked|ended"):
        await here.authenticate_now(user)


async def test_require_session_shows_the_role_that_the_account_has_now() -> None:
    users = MemoryUserStore()
    kit = make_kit(users=users)
    signed_in = await kit.register(EMAIL, PASSWORD)
    user = await kit.authenticate(signed_in.tokens.access_token)

    await users.set_role(str(signed_in.user.id), "editor")  # by an application, past the kit

    assert (user.role, (await kit.authenticate_now(user)).role) == ("user", "editor")


def test_require_session_of_an_overridden_user_reads_the_account() -> None:
    kit = make_kit()
    with strict_app(kit) as client:
        user_id = register(client)["user_id"]
        app: Any = client.app
        app.dependency_overrides[get_current_user] = lambda: CurrentUser(id=user_id)

        assert client.get("/strict").json()["email"] == EMAIL


def test_a_recent_login_passes_and_an_old_one_is_asked_to_sign_in_again() -> None:
    clock = Clock()
    with strict_app(make_kit(clock=clock)) as client:
        body = register(client)
        assert client.post("/delete-account", headers=bearer(body)).status_code == 200
        clock.advance(minutes=6)
        body = refresh(client, body).json()  # refreshing is not signing in

        answer = client.post("/delete-account", headers=bearer(body))

        assert (answer.status_code, code(answer)) == (401, "recent_login_required")
        challenge = answer.headers["www-authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        again = log_in(client)
        assert client.post("/delete-account", headers=bearer(again)).status_code == 200


def test_a_store_can_move_the_login_time_within_a_session_and_a_refresh_leaves_it() -> None:
    clock = Clock()
    kit = make_kit(clock=clock)
    with strict_app(kit) as client:
        signed_in = register(client)
        clock.advance(minutes=6)
        assert client.portal is not None
        (session,) = client.portal.call(kit.list_sessions, signed_in["user_id"])
        moved = SessionChanges(auth_time=clock.now)
        key = signed_in["user_id"], session.id

        assert client.portal.call(kit.tokens.compare_and_set, *key, session.version, moved)

        refreshed = refresh(client, signed_in).json()
        assert client.post("/delete-account", headers=bearer(refreshed)).status_code == 200
        clock.advance(minutes=6)
        later = refresh(client, refreshed).json()
        answer = client.post("/delete-account", headers=bearer(later))
        assert code(answer) == "recent_login_required"


def test_a_token_without_a_login_is_no_recent_login() -> None:
    kit = make_kit()
    token = kit.jwt.create_access_token({"user_id": "1"})
    with strict_app(kit) as client:
        answer = client.post("/delete-account", headers={"Authorization": f"Bearer {token}"})

        assert code(answer) == "recent_login_required"


async def test_purge_deletes_what_ended_a_day_ago_and_nothing_that_lives() -> None:
    clock = Clock()
    kit = make_kit(clock=clock)
    ended = await kit.register(EMAIL, PASSWORD)
    await kit.logout(ended.tokens.refresh_token, "refresh")
    clock.advance(hours=23)
    live = await kit.login(EMAIL, PASSWORD)
    assert await kit.purge() == 0
    clock.advance(hours=2)

    assert await kit.purge() == 1

    assert (await kit.refresh(live.tokens.refresh_token)).session_id == live.session_id


async def test_logins_purge_now_and_then() -> None:
    clock, tokens = Clock(), MemoryTokenStore()
    kit = make_kit(clock=clock, tokens=tokens)
    first = await kit.register(EMAIL, PASSWORD)
    user_id = str(first.user.id)
    clock.advance(days=9)

    for _ in range(2000):  # a login purges with a chance of 1 %
        await kit.login(EMAIL, PASSWORD)
        await kit.aclose()
        if await tokens.get(user_id, first.session_id) is None:
            break

    assert await tokens.get(user_id, first.session_id) is None


@pytest.mark.parametrize("most", [1, 3])
async def test_logins_at_once_keep_as_many_sessions_as_allowed(most: int) -> None:
    events = Events()
    kit = make_kit(settings={"max_sessions": most}, on_event=events)
    user = await kit.create_user(EMAIL, PASSWORD)

    await asyncio.gather(*(kit.login(EMAIL, PASSWORD) for _ in range(8)))

    assert len(await kit.list_sessions(str(user.id))) == most
    ended = [event for event in events if event.reason == "too_many_sessions"]
    assert len(ended) == 8 - most


async def test_a_session_that_made_room_is_told_with_the_address_of_the_login() -> None:
    events = Events()
    kit = make_kit(settings={"max_sessions": 1}, on_event=events)
    await kit.create_user(EMAIL, PASSWORD)

    for ip in ("192.0.2.1", "192.0.2.2"):
        await kit.login(EMAIL, PASSWORD, client=Client(ip=ip))

    assert [e.ip for e in events if e.reason == "too_many_sessions"] == ["192.0.2.2"]


async def test_the_hundred_and_first_login_ends_the_oldest_session() -> None:
    clock, events = Clock(), Events()
    kit = make_kit(clock=clock, on_event=events)
    user_id = str((await kit.create_user(EMAIL, PASSWORD)).id)
    first, second, *_ = await sign_in_often(kit, 100, clock)
    assert len(await kit.list_sessions(user_id, limit=1000)) == 100
    events.clear()

    await sign_in_often(kit, 1, clock)

    assert len(await kit.list_sessions(user_id, limit=1000)) == 100
    assert [(event.name, event.session_id, event.reason) for event in events][1:] == [
        ("logged_out", first.session_id, "too_many_sessions")
    ]
    with pytest.raises(RevokedToken):
        await kit.authenticate(first.tokens.access_token)
    with pytest.raises(SessionRevoked):
        await kit.refresh(first.tokens.refresh_token)
    await kit.refresh(second.tokens.refresh_token)


@pytest.mark.parametrize("spelling", [None, "unlimited"])
async def test_no_limit_can_be_asked_for(spelling: str | None) -> None:
    clock = Clock()
    kit = make_kit(clock=clock, settings={"max_sessions": spelling})
    user_id = str((await kit.create_user(EMAIL, PASSWORD)).id)

    await sign_in_often(kit, 110, clock)

    assert len(await kit.list_sessions(user_id, limit=1000)) == 110


async def test_sixteen_logins_at_once_leave_one_session_in_a_database(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "auth.sqlite3") as engine:
        await create_schema(engine)
        kit = make_kit(tokens=SQLAlchemyTokenStore(engine), settings={"max_sessions": 1})
        user = await kit.create_user(EMAIL, PASSWORD)

        logins = await asyncio.gather(*(kit.login(EMAIL, PASSWORD) for _ in range(16)))

        (live,) = await kit.list_sessions(str(user.id))
        assert live.id in {signed_in.session_id for signed_in in logins}


async def test_a_login_that_cannot_make_room_is_refused_and_ends_no_session(
    tmp_path: Path,
) -> None:
    async with engine_on(tmp_path / "auth.sqlite3") as engine:
        await create_schema(engine)
        tokens = SQLAlchemyTokenStore(engine)
        kit = make_kit(tokens=tokens, settings={"max_sessions": 1})
        first = await kit.register(EMAIL, PASSWORD)
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "CREATE TRIGGER read_only BEFORE UPDATE ON auth_sessions "
                    "BEGIN SELECT RAISE(ABORT, 'read only'); END"
                )
            )

        with pytest.raises(StoreUnavailable):
            await kit.login(EMAIL, PASSWORD)

        live = await kit.list_sessions(str(first.user.id))
        assert [session.id for session in live] == [first.session_id]


class OutdatedStore:
    """A store of the host's own, written for the TokenStore of version 0.1."""

    async def create(self, session: Session) -> None:
        raise AssertionError

    async def list_by_user(self, user_id: str, now: datetime) -> list[Session]:
        raise AssertionError


class NearlyOutdatedStore(OutdatedStore):
    async def create(self, session: Session, *, most: int | None = None) -> Any:
        raise AssertionError


class LessOutdatedStore(NearlyOutdatedStore):
    async def revoke_others(self, *arguments: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (OutdatedStore, r"OutdatedStore.create\(\) takes no most"),
        (NearlyOutdatedStore, r"NearlyOutdatedStore.revoke_others\(\) is missing"),
        (LessOutdatedStore, r"LessOutdatedStore.list_by_user\(\) takes no limit and no after"),
    ],
)
def test_a_store_that_was_written_for_an_earlier_protocol_is_refused_at_the_start(
    store: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message + r".*own-store\.md"):
        make_kit(tokens=store())


def test_a_store_whose_arguments_cannot_be_known_is_not_refused() -> None:
    class Wrapped(MemoryTokenStore):
        create: Any = type  # no signature can be read from it

    make_kit(tokens=Wrapped())


@pytest.mark.parametrize("session_id", ["%00", "%F0%9F%A6%8A", "x" * 2000])
def test_ending_a_session_with_an_odd_id_is_404(session_id: str) -> None:
    with strict_app(make_kit()) as client:
        body = register(client)

        answer = client.delete(f"/auth/sessions/{session_id}", headers=bearer(body))

        assert (answer.status_code, code(answer)) == (404, "session_not_found")
