"""What standards ask of an authentication API and no other test shows, mostly through HTTP."""

import ast
import asyncio
import base64
import json
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, Security
from fastapi.testclient import TestClient
from sqlalchemy import text

import jwt_auth_kit
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
from engines import engine_on
from jwt_auth_kit import (
    Argon2Hasher,
    AuthKit,
    Client,
    CurrentUser,
    InvalidCredentials,
    KeyRing,
    LoginThrottle,
    MemoryTokenStore,
    MemoryUserStore,
    NotOwner,
    Session,
    StoreUnavailable,
    TooManyAttempts,
    UserDep,
    get_current_user,
    log_event,
    require_owner,
)
from jwt_auth_kit.passwords.hashers import DEFAULT_THREADS, MAX_QUEUE
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyUserStore, create_schema
from test_cookies import REFRESH, browser
from test_wycheproof import ATTACKS, OURS, TOKEN

SOURCES = Path(jwt_auth_kit.__file__).parent
ROUTES = [
    *("register", "login", "token", "refresh", "logout", "me", "session", "password"),
    *("logout-all", "sessions", "sessions/x"),
]


@asynccontextmanager
async def connect(kit: AuthKit) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(kit))
    async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as client:
        yield client


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def with_token(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": f"Bearer {token}".encode("latin-1", "replace")}


class Tenants(MemoryUserStore):
    """A store whose accounts have a tenant."""

    def claim_names(self) -> set[str]:
        return {"tenant"}


class TestTokens:
    def test_a_token_with_a_flipped_bit_opens_nothing(self) -> None:
        with serve() as client:
            token = register(client)["access_token"]
            answers: Counter[tuple[int, str]] = Counter()

            for position, character in enumerate(token):
                flipped = chr(ord(character) ^ 1 << position % 8)
                forged = token[:position] + flipped + token[position + 1 :]
                answer = client.get("/projects", headers=with_token(forged))
                answers[answer.status_code, code(answer)] += 1

        assert answers == {(401, "invalid_token"): len(token)}

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_a_forged_token_opens_nothing(self, attack: str) -> None:
        with serve(make_kit(keys=KeyRing(OURS))) as client:
            assert client.get("/projects", headers=with_token(TOKEN)).status_code == 200

            for token in ATTACKS[attack]:
                answer = client.get("/projects", headers=with_token(token))

                assert (answer.status_code, code(answer)) == (401, "invalid_token")

    def test_a_token_names_the_account_and_not_the_address(self) -> None:
        with serve() as client:
            signed_in = register(client)

        for token in (signed_in["access_token"], signed_in["refresh_token"]):
            assert claims_of(token)["sub"] == signed_in["user_id"]
        assert "@" not in signed_in["user_id"]

    def test_an_access_token_has_the_claims_of_rfc_9068(self) -> None:
        settings = {"issuer": "https://auth.example.com", "audience": "https://api.example.com"}
        with serve(make_kit(settings=settings)) as client:
            claims = claims_of(register(client)["access_token"])

        assert {"iss", "exp", "aud", "sub", "iat", "jti", "auth_time"} <= claims.keys()
        assert (claims["iss"], claims["aud"]) == (settings["issuer"], settings["audience"])

    @pytest.mark.parametrize(("tenant", "status"), [("blue", 200), ("red", 403)])
    def test_a_claim_can_keep_tenants_apart(self, tenant: str, status: int) -> None:
        kit = make_kit(users=Tenants(), profile_claims=("tenant",))
        app = make_app(kit)

        async def require_tenant(tenant: str, user: UserDep) -> None:
            if dict(user.claims or {}).get("tenant") != tenant:
                raise NotOwner

        @app.get("/{tenant}/bills", dependencies=[Depends(require_tenant)])
        async def bills() -> None: ...

        token = kit.jwt.create_access_token({"user_id": "1", "tenant": "blue"})

        answer = TestClient(app).get(f"/{tenant}/bills", headers=with_token(token))

        assert answer.status_code == status


class TestAnswers:
    @pytest.mark.parametrize("path", ["register", "login", "token", "refresh", "password"])
    def test_no_cache_keeps_an_answer_with_tokens(self, path: str) -> None:
        with serve() as client:
            signed_in = register(client)
            bodies: dict[str, Any] = {
                "register": {"json": {"email": "bob@example.com", "password": PASSWORD}},
                "login": {"json": {"email": EMAIL, "password": PASSWORD}},
                "token": {
                    "data": {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
                },
                "refresh": {"json": {"refresh_token": signed_in["refresh_token"]}},
                "password": {
                    "json": {"current_password": PASSWORD, "new_password": "a new staple every day"}
                },
            }

            answer = client.post(f"/auth/{path}", headers=bearer(signed_in), **bodies[path])

        assert answer.json()["access_token"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "login", {"email": EMAIL, "password": PASSWORD}, 200),
            ("POST", "login", {"email": EMAIL, "password": "wrong"}, 401),
            ("POST", "login", {"email": EMAIL}, 422),
            ("POST", "token", {}, 400),
            ("GET", "session", None, 200),
            ("GET", "me", None, 401),
        ],
    )
    def test_browsers_take_an_answer_for_json_and_nothing_else(
        self, method: str, path: str, body: Any, status: int
    ) -> None:
        with serve() as client:
            register(client)

            answer = client.request(method, f"/auth/{path}", json=body)

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "HEAD", "OPTIONS", "SEARCH"])
    @pytest.mark.parametrize("path", ROUTES)
    def test_a_method_no_route_has_is_405(self, path: str, method: str) -> None:
        with serve() as client:
            answer = client.request(method, f"/auth/{path}", headers=bearer(register(client)))

        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) <= {"GET", "POST", "DELETE"}

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    @pytest.mark.parametrize("path", ROUTES)
    def test_what_changes_something_is_no_get_and_what_reads_no_post(
        self, path: str, method: str
    ) -> None:
        reading, ending = {"me", "session", "sessions"}, {"sessions", "sessions/x"}
        allowed = {
            "GET": path in reading,
            "POST": path not in reading | ending,
            "DELETE": path in ending,
        }
        with serve() as client:
            answer = client.request(method, f"/auth/{path}", headers=bearer(register(client)))

        assert (answer.status_code == 405) != allowed[method]

    def test_a_crash_tells_nothing_about_itself(self) -> None:
        class Crashing(MemoryTokenStore):
            async def get(self, *arguments: Any) -> Any:
                raise RuntimeError(f"the row of {arguments}")

        app = make_app(make_kit(tokens=Crashing()))

        with TestClient(app, raise_server_exceptions=False) as client:
            answer = refresh(client, register(client))

        assert (answer.status_code, answer.text) == (500, "Internal Server Error")

    def test_the_router_adds_no_route_for_tests_or_measurements(self) -> None:
        with serve() as client:
            paths = client.get("/openapi.json").json()["paths"].keys()

        assert {path.removeprefix("/auth/") for path in paths if path.startswith("/auth")} == {
            *ROUTES[:-1],
            "sessions/{session_id}",
        }


class TestSessions:
    async def test_an_account_that_is_gone_has_no_sessions(self, tmp_path: Path) -> None:
        async with engine_on(tmp_path / "auth.sqlite3") as engine:
            await create_schema(engine)
            async with connect(make_kit(users=SQLAlchemyUserStore(engine))) as client:
                body = {"email": EMAIL, "password": PASSWORD}
                signed_in = (await client.post("/auth/register", json=body)).json()

                async with engine.begin() as connection:
                    await connection.execute(text("DELETE FROM users"))

                login = await client.post("/auth/login", json=body)
                again = await client.post(
                    "/auth/refresh", json={"refresh_token": signed_in["refresh_token"]}
                )
                me = await client.get("/auth/me", headers=bearer(signed_in))

        assert (login.status_code, code(login)) == (401, "invalid_credentials")
        assert (again.status_code, code(again)) == (401, "session_revoked")
        assert (me.status_code, code(me)) == (401, "session_revoked")

    def test_a_new_secret_ends_the_sessions_of_everybody(self) -> None:
        users, tokens = MemoryUserStore(), MemoryTokenStore()
        with serve(make_kit(users=users, tokens=tokens)) as client:
            people = [register(client), register(client, "bob@example.com")]

        with serve(make_kit(users=users, tokens=tokens)) as client:
            for signed_in in people:
                assert refresh(client, signed_in).status_code == 401
                assert client.get("/projects", headers=bearer(signed_in)).status_code == 401

    def test_a_client_cannot_ask_for_a_scope(self) -> None:
        app = make_app(make_kit(scopes=lambda user: ["notes:read"]))

        @app.get("/scopes")
        async def scopes(user: UserDep) -> list[str]:
            return sorted(user.scopes)

        with TestClient(app) as client:
            form = {"grant_type": "refresh_token", "scope": "notes:read notes:write admin"}
            form["refresh_token"] = register(client)["refresh_token"]
            refreshed = client.post("/auth/token", data=form).json()

            answer = client.get("/scopes", headers=bearer(refreshed))

        assert answer.json() == ["notes:read"]

    def test_reading_changes_nothing(self) -> None:
        """Neither who is signed in, nor where, nor the account."""
        clock = Clock()
        query = {"email": EMAIL, "password": PASSWORD, "refresh_token": "x", "role": "admin"}
        kit = make_kit(clock=clock)
        with browser(kit=kit) as client:
            before = {**register(client), "cookies": dict(client.cookies)}
            assert client.portal is not None
            client.portal.call(kit.login, EMAIL, PASSWORD)  # on another device
            sessions = client.get("/auth/sessions").json()
            clock.advance(minutes=5)

            for method in ("GET", "HEAD", "OPTIONS"):
                for path in ROUTES:
                    answer = client.request(method, f"/auth/{path}", params=query)

                    assert answer.status_code in {200, 405}
                    assert "set-cookie" not in answer.headers
            after = client.get("/auth/me").json()

            assert after == {name: before[name] for name in after}
            assert dict(client.cookies) == before["cookies"]
            assert client.get("/auth/sessions").json() == sessions
            assert client.post("/auth/refresh").status_code == 200

    async def test_a_login_that_fails_after_its_session_was_written_gives_no_token(self) -> None:
        class LosingAnswers(MemoryTokenStore):
            is_losing = False

            async def create(self, session: Session, **options: Any) -> Sequence[str]:
                ended = await super().create(session, **options)
                if self.is_losing:
                    raise StoreUnavailable
                return ended

        tokens, events = LosingAnswers(), Events()
        async with connect(make_kit(tokens=tokens, on_event=events)) as client:
            body = {"email": EMAIL, "password": PASSWORD}
            first = (await client.post("/auth/register", json=body)).json()
            tokens.is_losing = True

            answer = await client.post("/auth/login", json=body)

            assert (answer.status_code, code(answer)) == (503, "store_unavailable")
            assert answer.json().keys() == {"detail"}
            assert events.names.count("logged_in") == 1
            # Nobody holds a token of it, and its owner can end it.
            await client.delete("/auth/sessions", headers=bearer(first))
            listed = (await client.get("/auth/sessions", headers=bearer(first))).json()
            assert [session["current"] for session in listed] == [True]

    def test_sessions_in_memory_are_safe_between_threads(self) -> None:
        clock, store, count = Clock(), MemoryTokenStore(), 16
        kit = make_kit(tokens=store, clock=clock)
        first = asyncio.run(kit.register(EMAIL, PASSWORD))
        clock.advance(minutes=5)
        barrier = threading.Barrier(count)
        successors: list[str] = []

        def refresh_in_a_loop_of_its_own() -> None:
            barrier.wait()
            signed_in = asyncio.run(kit.refresh(first.tokens.refresh_token))
            successors.append(signed_in.tokens.refresh_token)

        threads = [threading.Thread(target=refresh_in_a_loop_of_its_own) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(successors) == count
        assert len(set(successors)) == 1
        stored = asyncio.run(store.get(str(first.user.id), first.session_id))
        assert stored is not None
        assert stored.session.gen == 2

    async def test_of_sixteen_threads_that_change_a_session_in_memory_one_wins(self) -> None:
        store, count = MemoryTokenStore(), 16
        kit = make_kit(tokens=store)
        signed_in = await kit.register(EMAIL, PASSWORD)
        user_id, barrier = str(signed_in.user.id), threading.Barrier(count)

        def change(gen: int) -> bool:
            work = store.compare_and_set(user_id, signed_in.session_id, 1, {"gen": gen})
            barrier.wait()
            return asyncio.run(work)

        with ThreadPoolExecutor(count) as pool:
            written = list(pool.map(change, range(2, 2 + count)))

        stored = await store.get(user_id, signed_in.session_id)
        assert sum(written) == 1
        assert stored is not None
        assert stored.session.gen == 2 + written.index(True)


class TestRepeatedParameters:
    def test_two_refresh_cookies_are_refused_and_end_nothing(self) -> None:
        with browser() as client:
            register(client)
            genuine = client.cookies[REFRESH]
            twice = f"{REFRESH}={genuine}; {REFRESH}=a.b.c"
            cookies = dict(client.cookies)
            client.cookies.clear()

            answer = client.post("/auth/refresh", headers={"Cookie": twice})

            assert (answer.status_code, code(answer)) == (401, "invalid_token")
            assert "set-cookie" not in answer.headers
            client.cookies.update(cookies)
            assert client.post("/auth/refresh").status_code == 200

    @pytest.mark.parametrize("genuine_first", [True, False])
    def test_a_logout_with_two_refresh_cookies_ends_the_genuine_one(
        self, genuine_first: bool
    ) -> None:
        with browser() as client:
            register(client)
            genuine = client.cookies[REFRESH]
            values = [genuine, "a.b.c"] if genuine_first else ["a.b.c", genuine]
            client.cookies.clear()

            answer = client.post(
                "/auth/logout",
                headers={"Cookie": "; ".join(f"{REFRESH}={each}" for each in values)},
            )

            assert answer.status_code == 204
            client.cookies.set(REFRESH, genuine, domain="testserver.local")
            assert code(client.post("/auth/refresh")) == "session_revoked"

    @pytest.mark.parametrize(("last", "status"), [(PASSWORD, 200), ("wrong", 401)])
    def test_of_a_name_that_comes_twice_in_json_the_last_counts(
        self, last: str, status: int
    ) -> None:
        first = "wrong" if last == PASSWORD else PASSWORD
        body = f'{{"email": "{EMAIL}", "password": "{first}", "password": "{last}"}}'
        with serve() as client:
            register(client)

            answer = client.post(
                "/auth/login", content=body, headers={"Content-Type": "application/json"}
            )

        assert answer.status_code == status


LONG = "correct horse battery staple " * 3


class TestPasswords:
    @pytest.mark.parametrize(
        ("password", "other"),
        [
            (" correct horse battery ", "correct horse battery"),
            ("correct horse battery", " correct horse battery "),
            ("correct horse battery", "Correct Horse Battery"),
            (LONG[:72] + "x", LONG[:72] + "y"),
            (LONG[:72] + "x", LONG[:72]),
            ("correct horse\0 battery", "correct horse\0 staple"),
            ("correct horse\0 battery", "correct horse"),
            ("a \ufb01ne horse battery", "a fine horse battery"),
            ("correct horse battery 2\u00b2", "correct horse battery 22"),
        ],
        ids=[
            *("trimmed", "spaces added", "other case", "73rd byte differs", "72 bytes only"),
            *("differs behind a NUL", "cut at a NUL", "a ligature", "a superscript"),
        ],
    )
    def test_a_password_is_taken_as_it_is(self, password: str, other: str) -> None:
        with serve() as client:
            register(client, password=password)

            statuses = [
                client.post("/auth/login", json={"email": EMAIL, "password": text}).status_code
                for text in (password, other)
            ]

        assert statuses == [200, 401]

    def test_a_password_never_expires(self) -> None:
        clock = Clock()
        with serve(make_kit(clock=clock)) as client:
            register(client)
            clock.advance(days=3650)

            answer = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})

        assert answer.status_code == 200

    async def test_guesses_at_the_same_moment_are_hashed_no_oftener_than_allowed(self) -> None:
        hasher = RememberingHasher.weak_for_tests()
        async with connect(make_kit(hasher=hasher)) as client:
            await client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
            body = {"email": EMAIL, "password": "wrong"}

            answers = await asyncio.gather(
                *(client.post("/auth/login", json=body) for _ in range(50))
            )

        assert Counter(answer.status_code for answer in answers) == {401: 10, 429: 40}
        assert len(hasher.checked) == 10

    async def test_guesses_from_two_hundred_networks_are_hashed_a_hundred_times_at_most(
        self,
    ) -> None:
        hasher = RememberingHasher.weak_for_tests()
        kit = make_kit(hasher=hasher)
        await kit.create_user(EMAIL, PASSWORD)

        async def guess(number: int) -> None:
            with pytest.raises((InvalidCredentials, TooManyAttempts)):
                await kit.login(EMAIL, "wrong", client=Client(ip=f"192.0.2.{number}"))

        await asyncio.gather(*(guess(number) for number in range(200)))

        assert 0 < len(hasher.checked) <= 100

    async def test_a_flood_of_logins_is_cut_off_and_other_requests_do_not_wait(self) -> None:
        inside = DEFAULT_THREADS + MAX_QUEUE
        hasher = WaitingHasher.weak_for_tests()
        kit = make_kit(hasher=hasher, throttle=LoginThrottle.unlimited())
        async with connect(kit) as client:
            body = {"email": EMAIL, "password": PASSWORD}
            signed_in = (await client.post("/auth/register", json=body)).json()
            hasher.gate.clear()

            logins = (client.post("/auth/login", json=body) for _ in range(300))
            flood = [asyncio.create_task(login) for login in logins]
            async with asyncio.timeout(60):
                first = islice(asyncio.as_completed(flood), 300 - inside)
                refused = [await answer for answer in first]
            other = await client.get("/projects", headers=bearer(signed_in))
            finished = sum(task.done() for task in flood)
            hasher.gate.set()
            answers = await asyncio.gather(*flood)

        assert {(answer.status_code, code(answer)) for answer in refused} == {(503, "busy")}
        assert (other.status_code, finished) == (200, 300 - inside)
        assert Counter(answer.status_code for answer in answers) == {503: 300 - inside, 200: inside}


class WaitingHasher(Argon2Hasher):
    """Checks no password before the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def verify(self, password: str, password_hash: str) -> bool:
        self.gate.wait(60)
        return super().verify(password, password_hash)


class RememberingHasher(Argon2Hasher):
    """Remembers the passwords it checks."""

    def __init__(self) -> None:
        super().__init__()
        self.checked: list[str] = []

    def verify(self, password: str, password_hash: str) -> bool:
        self.checked.append(password)
        return super().verify(password, password_hash)


class TestTheAuditTrail:
    def test_it_tells_who_did_what_from_where_and_when(self) -> None:
        clock, events = Clock(), Events()
        with serve(make_kit(clock=clock, on_event=events)) as client:
            client.headers["User-Agent"] = "a phone"
            credentials = {"email": EMAIL, "password": PASSWORD}
            first = register(client)
            client.post("/auth/login", json={**credentials, "password": "wrong"})
            clock.advance(minutes=5)
            second = refresh(client, first).json()
            refresh(client, second)
            client.get("/admin/projects", headers=bearer(second))
            clock.advance(minutes=5)
            refresh(client, first)
            third = client.post("/auth/login", json=credentials).json()
            passwords = {"current_password": PASSWORD, "new_password": "a new staple every day"}
            fourth = client.post("/auth/password", json=passwords, headers=bearer(third)).json()
            client.post("/auth/logout", headers=bearer(fourth))
            for _ in range(11):
                client.post("/auth/login", json=credentials)

        assert [(event.name, event.outcome) for event in events] == [
            ("registered", "success"),
            ("logged_in", "success"),
            ("login_failed", "failure"),
            ("token_refreshed", "success"),
            ("access_denied", "failure"),
            ("refresh_reused", "failure"),
            ("logged_in", "success"),
            ("password_changed", "success"),
            ("logged_in", "success"),
            ("logged_out", "success"),
            *[("login_failed", "failure")] * 10,
            ("login_throttled", "failure"),
        ]
        assert {(event.ip, event.user_agent) for event in events} == {(ADDRESS, "a phone")}
        assert {event.at.tzinfo for event in events} == {UTC}
        with_user = [event for event in events if event.name != "login_throttled"]
        assert {event.user_id for event in with_user} == {first["user_id"]}
        of_sessions = {"logged_in", "token_refreshed", "access_denied", "refresh_reused"}
        assert all(event.session_id for event in events if event.name in of_sessions)

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/admin/projects", "insufficient_role"),
            ("/users/somebody", "not_owner"),
            ("/notes", "insufficient_scope"),
        ],
    )
    def test_it_tells_of_every_403(self, path: str, reason: str) -> None:
        events = Events()
        app = make_app(make_kit(on_event=events))

        @app.get("/users/{user_id}", dependencies=[Depends(require_owner("user_id"))])
        async def show_user() -> None: ...

        @app.get("/notes")
        async def show_notes(
            user: Annotated[CurrentUser, Security(get_current_user, scopes=["notes:read"])],
        ) -> None: ...

        with TestClient(app) as client:
            signed_in = register(client)

            answer = client.get(path, headers=bearer(signed_in))

        assert (answer.status_code, code(answer)) == (403, reason)
        assert (events[-1].name, events[-1].reason) == ("access_denied", reason)
        assert events[-1].user_id == signed_in["user_id"]
        assert events[-1].session_id == claims_of(signed_in["access_token"])["sid"]
        assert events[-1].ip == "testclient"

    @pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\x85", "\u2028", "\x0b", "\x1b[2K"])
    def test_no_request_writes_a_line_of_its_own_into_the_log(
        self, break_: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        forged = f"x{break_}WARNING:jwt_auth_kit:forged"
        agent = {b"User-Agent": forged.encode("latin-1", "replace")}
        with serve(make_kit(on_event=log_event)) as client:
            signed_in = register(client)
            caplog.clear()

            for path, body in (
                ("login", {"email": f"{forged}@example.com", "password": forged}),
                ("register", {"email": f"{forged}@example.com", "password": forged}),
                ("refresh", {"refresh_token": forged}),
            ):
                client.post(f"/auth/{path}", json=body, headers=agent)
            token = with_token(signed_in["access_token"])
            client.get("/admin/projects", headers={**agent, **token})

        messages = [r.getMessage() for r in caplog.records if r.name == "jwt_auth_kit"]
        assert [json.loads(message)["event"] for message in messages] == [
            "login_failed",
            "token_rejected",
            "access_denied",
        ]
        assert all(len(message.splitlines()) == 1 for message in messages)
        assert all(message.isprintable() for message in messages)

    @pytest.mark.parametrize("sign", ["\x1b[2K", "\x9b2K", "\x85", "\x7f", "\t", "\xad"])
    def test_what_a_client_calls_itself_moves_no_cursor(self, sign: str) -> None:
        events = Events()
        with serve(make_kit(on_event=events)) as client:
            agent = {b"User-Agent": f"a{sign}phone".encode("latin-1")}
            client.post("/auth/login", json={"email": EMAIL, "password": "x"}, headers=agent)

        assert [event.name for event in events] == ["login_failed"]
        assert str(events[0].user_agent).isprintable()


def of_standard_library(module: str) -> set[tuple[str, str]]:
    """Tell which functions of *module* the library uses, and in which of its files."""
    return {
        (path, node.attr)
        for path, nodes in sources()
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == module
    }


@cache
def sources() -> list[tuple[str, list[ast.AST]]]:
    """Every module of the library, as ``stores/memory``, with its syntax tree."""
    paths = [path for path in SOURCES.rglob("*.py") if path.parent.name != "testing"]
    return [
        (
            path.relative_to(SOURCES).with_suffix("").as_posix(),
            list(ast.walk(ast.parse(path.read_text()))),
        )
        for path in paths
    ]


class TestTheSource:
    def test_cryptography_is_left_to_packages_that_are_known_for_it(self) -> None:
        imported = {
            name.split(".")[0]
            for _, nodes in sources()
            for node in nodes
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
        }

        others = {"Crypto", "Cryptodome", "nacl", "jose", "authlib", "crypt"}
        assert imported & {"hashlib", "hmac", "jwt", "argon2", "cryptography"} == {
            *("hashlib", "hmac", "jwt", "argon2", "cryptography")
        }
        assert imported.isdisjoint(others)
        assert {name for _, name in of_standard_library("hashlib")} == {
            *("sha256", "new", "pbkdf2_hmac", "scrypt")
        }
        # Only to check the hashes that other frameworks made.
        for name in ("new", "pbkdf2_hmac", "scrypt"):
            assert {path for path, used in of_standard_library("hashlib") if used == name} == {
                "passwords/framework_hashes"
            }
        # The context of httpx, made once.
        assert {path for path, _ in of_standard_library("ssl")} == {"keys/remote"}
        assert {name for _, name in of_standard_library("hmac")} == {*("digest", "compare_digest")}

    def test_secrets_come_from_the_system_and_not_from_random_or_uuid(self) -> None:
        makers = {path for path, _ in of_standard_library("secrets")}

        assert {"keys/key", "sessions", "tokens/manager", "cli/main"} <= makers
        assert of_standard_library("random") == {
            ("kit/session_manager", "random"),  # whether a login purges
            ("kit/session_manager", "uniform"),  # how long the loser of a race waits
            ("stores/redis", "uniform"),  # how long a full pool is given
        }
        ids_of_users = {
            ("stores/memory", "uuid4"),
            ("stores/sqlalchemy", "uuid4"),
            ("stores/ids", "UUID"),  # reads one
        }
        assert of_standard_library("uuid") == ids_of_users

    def test_what_a_client_sends_is_compared_with_a_secret_in_constant_time(self) -> None:
        secret_names = {
            *("secret", "material", "salt", "signature", "tag", "jti", "refresh_id"),
            *("password", "current", "password_hash", "digest", "expected"),
        }
        compared = {
            (path, ast.unparse(node))
            for path, nodes in sources()
            for node in nodes
            if isinstance(node, ast.Compare)
            and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
            and secret_names & {name_of(side) for side in (node.left, *node.comparators)}
        }

        # Both sides of these are hashes that the server holds.
        assert compared == {
            ("stores/memory", "user.password_hash != expected"),
            ("stores/rows", "row.password_hash == new.password_hash"),
            ("stores/sqlalchemy", "password_hash == expected"),
        }
        assert of_standard_library("hmac") >= {("kit/session_manager", "compare_digest")}


def name_of(node: ast.expr) -> str:
    """Return the last name in an expression: ``password`` of ``body.password``."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return name_of(function)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""
