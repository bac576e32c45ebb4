"""TokenVerifier: the same dependencies in a service that only verifies tokens."""

import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from fastapi import Depends, FastAPI, Security, WebSocket
from fastapi.testclient import TestClient
from jwt.algorithms import HMACAlgorithm, OKPAlgorithm
from starlette.websockets import WebSocketDisconnect

from apps import Clock, Events
from jwt_auth_kit import (
    AdminDep,
    AuthKit,
    AuthSettings,
    ConfigurationError,
    CookieTransport,
    CurrentUser,
    ExpiredToken,
    InvalidToken,
    JWTManager,
    Key,
    KeyRing,
    RingKey,
    SessionDep,
    TokenFormat,
    TokenVerifier,
    UserDep,
    WrongTokenType,
    accept_while_signed_in,
    auth_router,
    create_jwks_router,
    deny_by_default,
    get_auth,
    get_current_user,
    get_optional_user,
    install,
    public,
    require_owner,
    require_recent_login,
    require_role,
)
from jwt_auth_kit.keys.key import AlgorithmName
from jwt_auth_kit.keys.remote import RemoteKeys
from jwt_auth_kit.keys.ring import ALWAYS
from jwt_auth_kit.web.checks import find_key_problems, find_problems
from publisher import Answer, document, key_set, publishing, raw

ISSUER, AUDIENCE = "https://auth.example.com", "https://api.example.com"
KEY = Key.generate("EdDSA")
PARTIES: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE}
ADA = {"user_id": "ada", "email": "ada@example.com", "display_name": "Ada", "scope": "read write"}
BOSS = {"user_id": "boss", "role": "admin"}
SECRET = "tqp2LuLXVMPiMWn4Ww4lrKlOVQAQ7ZQ1tBPPzXbYDpE="

BETTER_AUTH = TokenFormat.better_auth()
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
REALM_KEY = Key.generate("RS256")
WriterDep = Annotated[CurrentUser, Security(get_current_user, scopes=["write"])]


def make_issuer(key: Key = KEY, **options: Any) -> JWTManager:
    """Make what another service issues its tokens with."""
    return JWTManager(KeyRing(key), **{**PARTIES, **options})


def make_verifier(key: Key = KEY, **options: Any) -> TokenVerifier:
    public_key = key if key.is_symmetric else Key.from_jwk(key.public_jwk())
    return TokenVerifier(**{"keys": KeyRing(public_key), **PARTIES, **options})


def make_app(verifier: TokenVerifier) -> FastAPI:
    app = FastAPI()
    install(app, verifier)

    @app.get("/me")
    async def me(user: UserDep) -> dict[str, Any]:
        return {
            "id": user.id,
            "role": user.role,
            "email": user.email,
            "name": user.display_name,
            "scopes": sorted(user.scopes),
        }

    @app.get("/admin")
    async def admin(user: AdminDep) -> str:
        return user.id

    @app.get("/editors", dependencies=[Depends(require_role("editor", "admin"))])
    async def editors() -> None: ...

    @app.get("/write")
    async def write(user: WriterDep) -> str:
        return user.id

    @app.get("/api/{user_id}/tasks", dependencies=[Depends(require_owner("user_id"))])
    async def tasks(user_id: str) -> str:
        return user_id

    @app.get("/maybe")
    async def maybe(user: Annotated[CurrentUser | None, Depends(get_optional_user)]) -> str | None:
        return None if user is None else user.id

    @app.get("/recent", dependencies=[Depends(require_recent_login(timedelta(minutes=5)))])
    async def recent() -> None: ...

    @app.get("/now")
    async def now(user: SessionDep) -> str:
        return user.id

    @app.get("/kit")
    async def kit(auth: Annotated[AuthKit, Depends(get_auth)]) -> None: ...

    return app


@asynccontextmanager
async def calling(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@dataclass
class Kept:
    """A source of keys that stay as they are."""

    keys: Sequence[RingKey]

    def stamp(self) -> object:
        return None

    def load(self) -> Sequence[RingKey]:
        return self.keys


def code_of(response: httpx.Response) -> str:
    code: str = response.json()["detail"]["code"]
    return code


def sign(claims: dict[str, Any], key: Key = KEY, **header: Any) -> str:
    """Sign with a header that no library of ours would write."""
    signing_input = f"{part({'alg': key.algorithm, **header})}.{part(claims)}"
    is_secret = key.is_symmetric
    algorithm: Any = HMACAlgorithm(HMACAlgorithm.SHA256) if is_secret else OKPAlgorithm()
    signature: bytes = algorithm.sign(signing_input.encode(), key.material)
    return f"{signing_input}.{encoded(signature)}"


def part(content: dict[str, Any]) -> str:
    return encoded(json.dumps(content).encode())


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def issued(user: dict[str, Any] = ADA, key: Key = KEY, **options: Any) -> str:
    """Return an access token of *user*."""
    return make_issuer(key, **options).create_access_token(user)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claims_of(clock: Clock | None = None, **changes: Any) -> dict[str, Any]:
    now = int((clock or Clock())().timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def keycloak_verifier() -> TokenVerifier:
    """Make the verifier of the guide."""
    token_format = TokenFormat(
        header_types=frozenset({"JWT", "at+jwt"}),
        token_type="Bearer",
        token_type_claim="typ",
        role=lambda claims: "admin" if "boss" in claims["realm_access"]["roles"] else "user",
        display_name="name",
    )
    return make_verifier(REALM_KEY, token_format=token_format)


def keycloak_token(header_type: str = "JWT", **changes: Any) -> str:
    """Sign what a realm of Keycloak does for a user."""
    claims = {
        "jti": "onrtac:0d5b1b5e-6bd2-4b4e-9c1a-2f7d3c1b7f0e",
        "sub": "f:1",
        "typ": "Bearer",
        "azp": "shop",
        "sid": "7c9b6e0a-2f0e-4a7e-8f0c-0f5a5f0d8f1e",
        "acr": "1",
        "realm_access": {"roles": ["boss", "offline_access"]},
        "scope": "openid profile email",
        "email_verified": True,
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "email": "ada@example.com",
    }
    payload = json.dumps(claims_of(**{**claims, **changes})).encode()
    return REALM_KEY.sign(payload, token_type=header_type)


class TestTheSameDependencies:
    @pytest.mark.parametrize(
        "algorithm", ["RS256", "RS512", "PS384", "ES256", "ES384", "ES512", "EdDSA"]
    )
    async def test_a_token_of_another_service_is_verified_by_its_key_set(
        self, algorithm: AlgorithmName
    ) -> None:
        key = Key.generate(algorithm)
        async with publishing(key_set(KEY, key)) as publisher:
            app = make_app(TokenVerifier(publisher.url, **PARTIES))
            async with calling(app) as client:
                answer = await client.get("/me", headers=bearer(issued(key=key)))

        assert answer.json() == {
            "id": "ada",
            "role": "user",
            "email": "ada@example.com",
            "name": "Ada",
            "scopes": ["read", "write"],
        }

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    async def test_a_token_is_verified_by_a_shared_secret(self, algorithm: AlgorithmName) -> None:
        key = Key.generate(algorithm)
        user = await make_verifier(key).authenticate(issued(key=key))

        assert user.id == "ada"
        assert user.key_id == key.id

    @pytest.mark.parametrize(
        ("path", "user", "status"),
        [
            ("/me", ADA, 200),
            ("/admin", ADA, 403),
            ("/admin", BOSS, 200),
            ("/editors", ADA, 403),
            ("/editors", BOSS, 200),
            ("/editors", {**ADA, "role": "editor"}, 200),
            ("/write", ADA, 200),
            ("/write", BOSS, 403),
            ("/api/ada/tasks", ADA, 200),
            ("/api/boss/tasks", ADA, 403),
            ("/maybe", ADA, 200),
            ("/recent", ADA, 401),
        ],
    )
    async def test_they_let_the_same_people_pass(
        self, path: str, user: dict[str, Any], status: int
    ) -> None:
        async with calling(make_app(make_verifier())) as client:
            answer = await client.get(path, headers=bearer(issued(user)))

        assert answer.status_code == status

    @pytest.mark.parametrize(("path", "status"), [("/me", 401), ("/maybe", 200), ("/admin", 401)])
    async def test_nobody_is_asked_to_sign_in(self, path: str, status: int) -> None:
        async with calling(make_app(make_verifier())) as client:
            answer = await client.get(path)

        assert answer.status_code == status

    async def test_refusals_are_noted(self) -> None:
        events = Events()
        async with calling(make_app(make_verifier(on_event=events))) as client:
            await client.get("/admin", headers=bearer(issued()))

        assert [(event.name, event.user_id) for event in events] == [("access_denied", "ada")]

    async def test_cookies_are_read(self) -> None:
        app = FastAPI()
        transport = CookieTransport()
        install(app, make_verifier(), transports=[transport])

        @app.get("/me")
        async def me(user: UserDep) -> str:
            return user.id

        cookie = f"{transport.cookie_name}={issued()}"
        async with calling(app) as client:
            answer = await client.get("/me", headers={"Cookie": cookie})

        assert answer.json() == "ada"

    async def test_deny_by_default_works(self) -> None:
        app = FastAPI()
        deny_by_default(app)
        install(app, make_verifier())

        @app.get("/closed")
        async def closed() -> None: ...

        @app.get("/open")
        @public
        async def open_to_all() -> None: ...

        async with calling(app) as client:
            token = bearer(issued())
            statuses = [
                (await client.get("/closed")).status_code,
                (await client.get("/closed", headers=token)).status_code,
                (await client.get("/open")).status_code,
            ]

        assert statuses == [401, 200, 200]

    def test_a_websocket_ends_with_its_token(self) -> None:
        app = FastAPI()
        install(app, make_verifier())

        @app.websocket("/live")
        async def live(websocket: WebSocket, user: UserDep) -> None:
            async with accept_while_signed_in(websocket, user, interval=timedelta(seconds=0.1)):
                await websocket.receive_text()

        token = issued(access_ttl=timedelta(seconds=1))
        with (
            TestClient(app) as client,
            client.websocket_connect("/live", headers=bearer(token)) as connection,
            pytest.raises(WebSocketDisconnect) as closed,
        ):
            connection.receive_text()

        assert (closed.value.code, closed.value.reason) == (4401, "token_expired")

    async def test_the_docs_take_a_token_and_offer_no_login(self) -> None:
        schemes = make_app(make_verifier()).openapi()["components"]["securitySchemes"]

        assert [scheme["type"] for scheme in schemes.values()] == ["http"]

    async def test_an_issuer_that_cannot_be_reached_is_no_reason_to_sign_out(self) -> None:
        app = make_app(TokenVerifier("http://localhost:1/jwks.json", **PARTIES))
        async with calling(app) as client:
            answer = await client.get("/me", headers=bearer(issued()))

        assert (answer.status_code, code_of(answer)) == (503, "keys_unavailable")
        assert answer.headers["Retry-After"] == "1"


class TestWhichTokensPass:
    @pytest.mark.parametrize(
        ("token", "error"),
        [
            (lambda: make_issuer().create_refresh_token("ada"), WrongTokenType),
            (lambda: issued(issuer="https://evil.example"), InvalidToken),
            (lambda: issued(issuer=None), InvalidToken),
            (lambda: issued(audience="other"), InvalidToken),
            (lambda: issued(audience=None), InvalidToken),
            (lambda: issued(key=Key.generate("EdDSA")), InvalidToken),
            (lambda: issued(key=Key.generate("ES256")), InvalidToken),
            (lambda: "", InvalidToken),
            (lambda: "a.b.c", InvalidToken),
            (lambda: "a" * 9000, InvalidToken),
        ],
        ids=[
            *("refresh token", "other issuer", "no issuer", "other audience", "no audience"),
            *("other key", "other algorithm", "empty", "no JSON", "too long"),
        ],
    )
    async def test_none_but_access_tokens_of_this_issuer_for_this_service(
        self, token: Callable[[], str], error: type[InvalidToken]
    ) -> None:
        with pytest.raises(InvalidToken) as caught:
            await make_verifier().authenticate(token())

        assert type(caught.value) is error

    async def test_a_token_passes_until_it_expires(self) -> None:
        clock = Clock()
        verifier, issuer = make_verifier(clock=clock), make_issuer(clock=clock)
        token = issuer.create_access_token(ADA)
        clock.advance(minutes=14, seconds=59)
        assert (await verifier.authenticate(token)).id == "ada"
        clock.advance(seconds=1)

        with pytest.raises(ExpiredToken):
            await verifier.authenticate(token)

    async def test_leeway_lets_it_live_longer(self) -> None:
        clock = Clock()
        verifier = make_verifier(clock=clock, settings=AuthSettings(leeway=timedelta(seconds=60)))
        token = issued(clock=clock)
        clock.advance(minutes=15, seconds=59)

        assert (await verifier.authenticate(token)).id == "ada"

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": ...},
            {"exp": "2100-01-01"},
            {"exp": True},
            {"exp": None},
            {"exp": 10**400},
            {"exp": -1},
            {"exp": 1e300},
            {"iat": "now"},
            {"iat": 4_000_000_000},
            {"nbf": 4_000_000_000},
            {"sub": ...},
            {"sub": ""},
            {"sub": 7},
            {"sub": None},
            {"role": ["admin"]},
            {"role": {"name": "admin"}},
            {"email": 5},
            {"scope": 5},
            {"scope": [1]},
            {"scope": {"read": True}},
            {"scope": False},
            {"scope": {}},
            {"auth_time": 4_000_000_000},
            {"auth_time": "now"},
            {"aud": ["other"]},
            {"aud": {AUDIENCE: 1}},
            {"aud": ...},
            {"iss": [ISSUER]},
            {"iss": f"{ISSUER}/"},
        ],
        ids=str,
    )
    async def test_claims_that_cannot_be_are_refused(self, changes: dict[str, Any]) -> None:
        verifier = make_verifier(token_format=TokenFormat.rfc9068())
        good, bad = (sign(claims_of(**each), kid=KEY.id, typ="at+jwt") for each in ({}, changes))
        assert (await verifier.authenticate(good)).id == "ada"

        with pytest.raises(InvalidToken):
            await verifier.authenticate(bad)

    async def test_times_may_have_fractions_and_audiences_be_many(self) -> None:
        claims = claims_of(aud=["other", AUDIENCE], exp=claims_of()["exp"] + 0.5)
        verifier = make_verifier(token_format=TokenFormat.rfc9068())

        assert (await verifier.authenticate(sign(claims, kid=KEY.id, typ="at+jwt"))).id == "ada"

    async def test_a_key_that_was_withdrawn_ends_tokens_that_were_seen_before(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=timedelta(0))
            verifier = TokenVerifier(keys=keys, **PARTIES)
            token = issued()
            user = await verifier.authenticate(token)
            await verifier.recheck(user)
            publisher.answer = key_set(Key.generate("EdDSA"))

            with pytest.raises(InvalidToken):
                await verifier.authenticate(token)
            with pytest.raises(InvalidToken):
                await verifier.recheck(user)

    async def test_another_key_of_the_same_name_ends_tokens_that_were_seen_before(self) -> None:
        stolen, fresh = (Key("1", "EdDSA", Key.generate("EdDSA").material) for _ in range(2))
        async with publishing(key_set(stolen)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=timedelta(0))
            verifier = TokenVerifier(keys=keys, **PARTIES)
            token = issued(key=stolen)
            user = await verifier.authenticate(token)
            publisher.answer = key_set(fresh)

            with pytest.raises(InvalidToken):
                await verifier.authenticate(token)
            with pytest.raises(InvalidToken):
                await verifier.recheck(user)

    async def test_a_finder_of_your_own_is_asked_for_what_the_token_names(self) -> None:
        class Vault:
            async def get(self, key_id: Any) -> Key | None:
                return KEY if key_id == "prod" else None

        verifier = make_verifier(keys=Vault(), token_format=BETTER_AUTH)
        token = sign(claims_of(), kid="prod")

        for _ in range(2):
            assert (await verifier.authenticate(token)).id == "ada"

    async def test_who_was_put_there_by_a_test_is_not_rechecked(self) -> None:
        await make_verifier().recheck(CurrentUser(id="ada"))

    async def test_what_a_route_does_to_nested_claims_is_forgotten(self) -> None:
        roles = TokenFormat.better_auth(role=lambda claims: claims["realm"]["roles"].pop())
        verifier = make_verifier(token_format=roles)
        token = sign(claims_of(realm={"roles": ["admin", "user"]}), kid=KEY.id)

        for _ in range(3):  # not even a function of the format leaves a trace
            user = await verifier.authenticate(token)
            assert user.role == "user"
            assert user.claims is not None
            user.claims["realm"]["roles"].append("admin")

    async def test_what_a_route_does_to_the_claims_is_forgotten(self) -> None:
        verifier, token = make_verifier(), issued()
        first = await verifier.authenticate(token)
        assert isinstance(first.claims, dict)
        first.claims["sub"] = "boss"
        second = await verifier.authenticate(token)
        assert isinstance(second.claims, dict)
        second.claims["sub"] = "boss"

        assert (await verifier.authenticate(token)).id == "ada"


class TestTokensOfOtherMakes:
    @pytest.mark.parametrize(
        ("token_format", "typ", "passes"),
        [
            (BETTER_AUTH, None, True),
            (BETTER_AUTH, "JWT", True),
            (BETTER_AUTH, "rt+jwt", False),
            (BETTER_AUTH, "at+jwt", False),
            (TokenFormat.rfc9068(), "at+jwt", True),
            (TokenFormat.rfc9068(), "application/at+jwt", True),
            (TokenFormat.rfc9068(), "JWT", False),
            (TokenFormat.rfc9068(), None, False),
            (TokenFormat(), None, False),
            (TokenFormat(), "at+jwt", False),  # there is no token_type in it
        ],
        ids=lambda value: "" if isinstance(value, TokenFormat) else str(value),
    )
    async def test_each_issuer_has_its_own_rule_for_the_kind(
        self, token_format: TokenFormat, typ: str | None, passes: bool
    ) -> None:
        verifier = make_verifier(token_format=token_format)
        header: dict[str, Any] = {} if typ is None else {"typ": typ}
        token = sign(claims_of(), kid=KEY.id, **header)

        if passes:
            assert (await verifier.authenticate(token)).id == "ada"
        else:
            with pytest.raises(WrongTokenType):
                await verifier.authenticate(token)

    @pytest.mark.parametrize(
        "header_types", [{"JWT"}, {None}, {"at+jwt", None}, {"jwt"}, {"application/JWT", "at+jwt"}]
    )
    def test_a_format_that_tells_no_kinds_apart_is_refused(
        self, header_types: set[str | None]
    ) -> None:
        types = frozenset(header_types)

        with pytest.raises(ConfigurationError, match="allow_untyped=True"):
            TokenFormat(header_types=types, token_type=None)

        TokenFormat(header_types=types, token_type=None, allow_untyped=True)
        TokenFormat(header_types=types, token_type="Bearer", token_type_claim="typ")
        TokenFormat(header_types=frozenset({"x+jwt"}), token_type=None)

    async def test_an_access_token_of_keycloak_is_accepted(self) -> None:
        user = await keycloak_verifier().authenticate(keycloak_token())

        assert (user.id, user.role, user.email) == ("f:1", "admin", "ada@example.com")
        assert user.scopes == {"openid", "profile", "email"}

    @pytest.mark.parametrize(
        ("kind", "changes"),
        [
            ("identity", {"typ": "ID", "nonce": "n", "at_hash": "h"}),
            ("logout", {"typ": "Logout", "events": {LOGOUT_EVENT: {}}}),
            ("refresh", {"typ": "Refresh"}),
            ("offline", {"typ": "Offline"}),
            ("bound to a key", {"typ": "DPoP", "cnf": {"jkt": "t"}}),
            ("without a kind", {"typ": ...}),
            ("several kinds", {"typ": ["Bearer"]}),
        ],
    )
    async def test_another_token_of_keycloak_is_no_access_token(
        self, kind: str, changes: dict[str, Any]
    ) -> None:
        # Each is signed with the key of the realm, for the same audience, and has not expired.
        with pytest.raises(WrongTokenType):
            await keycloak_verifier().authenticate(keycloak_token(**changes))

    async def test_a_logout_token_with_its_own_header_type_is_refused(self) -> None:
        token = keycloak_token("logout+jwt", typ="Logout", events={LOGOUT_EVENT: {}})

        with pytest.raises(WrongTokenType):
            await keycloak_verifier().authenticate(token)

    @pytest.mark.parametrize("typ", [5, ["at+jwt"], {}, None])
    async def test_a_typ_that_is_no_text_is_refused(self, typ: Any) -> None:
        token = sign(claims_of(), kid=KEY.id, typ=typ)

        with pytest.raises(InvalidToken):
            await make_verifier(token_format=BETTER_AUTH).authenticate(token)

    async def test_claims_are_mapped_by_name_and_by_function(self) -> None:
        token_format = TokenFormat.rfc9068(
            user_id="oid",
            role=lambda claims: "admin" if "boss" in claims["realm_access"]["roles"] else "user",
            email="https://example.com/email",
            display_name="nickname",
            scopes="permissions",
            session_id="session",
        )
        own_claims: Any = {"https://example.com/email": "ada@example.com"}
        claims = claims_of(
            oid="user-7",
            realm_access={"roles": ["boss"]},
            nickname="Ada",
            permissions=["read", "write"],
            session="s1",
            auth_time=1_700_000_000,
            **own_claims,
        )
        token = sign(claims, kid=KEY.id, typ="at+jwt")
        user = await make_verifier(token_format=token_format).authenticate(token)

        assert (user.id, user.role, user.email) == ("user-7", "admin", "ada@example.com")
        assert (user.display_name, user.session_id) == ("Ada", "s1")
        assert user.scopes == {"read", "write"}
        assert user.auth_time is not None
        assert user.claims is not None
        assert user.claims["realm_access"] == {"roles": ["boss"]}

    async def test_a_claim_that_is_not_there_is_not_looked_at(self) -> None:
        token_format = TokenFormat.better_auth(role=None, email=None, scopes=None)
        token = sign(claims_of(role=["admin"], email=5, scope=7), kid=KEY.id)

        user = await make_verifier(token_format=token_format).authenticate(token)

        assert (user.role, user.email, user.scopes) == ("user", None, frozenset())

    async def test_only_spaces_stand_between_scopes(self) -> None:
        token = sign(claims_of(scope=" read  a\u00a0b "), kid=KEY.id)

        user = await make_verifier(token_format=BETTER_AUTH).authenticate(token)

        assert user.scopes == {"read", "a\u00a0b"}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"iss": "x"}, "iss is not the issuer"),
            ({"aud": "x"}, "aud is not our audience"),
            ({"role": ["admin"]}, "role is no text"),
            ({"sub": ""}, "it names no user"),
        ],
        ids=str,
    )
    async def test_whoever_sets_it_up_can_see_why(
        self, changes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "jwt_auth_kit")

        with pytest.raises(InvalidToken):
            await make_verifier(token_format=BETTER_AUTH).authenticate(
                sign(claims_of(**changes), kid=KEY.id)
            )

        told, event = caplog.messages
        assert told == f"A token was refused: {reason}"
        assert json.loads(event)["event"] == "token_rejected"

    async def test_a_function_that_fails_refuses_the_token(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        token_format = TokenFormat.rfc9068(role=lambda claims: claims["realm_access"]["roles"][0])

        with pytest.raises(InvalidToken):
            await make_verifier(token_format=token_format).authenticate(
                sign(claims_of(), kid=KEY.id, typ="at+jwt")
            )

        assert "KeyError" in caplog.text

    async def test_a_shared_secret_needs_no_name(self) -> None:
        key = Key.from_secret(SECRET)
        token = sign(claims_of(), key)
        verifier = make_verifier(key, token_format=BETTER_AUTH)

        assert (await verifier.authenticate(token)).id == "ada"

    async def test_a_name_that_is_another_key_s_is_not_helped_by_there_being_one(self) -> None:
        key = Key.from_secret(SECRET)
        token = sign(claims_of(), key, kid="other")

        with pytest.raises(InvalidToken):
            await make_verifier(key, token_format=BETTER_AUTH).authenticate(token)

    async def test_a_key_that_is_revoked_is_none_of_them(self) -> None:
        key = Key.from_secret(SECRET)
        gone = RingKey(key=Key.generate("HS256"), published_at=ALWAYS, revoked_at=ALWAYS)
        ring = KeyRing.from_source(Kept([RingKey(key=key, activate_at=ALWAYS), gone]))
        verifier = make_verifier(keys=ring, token_format=BETTER_AUTH)

        assert (await verifier.authenticate(sign(claims_of(), key))).id == "ada"

    async def test_of_several_keys_a_token_has_to_name_one(self) -> None:
        key = Key.from_secret(SECRET)
        ring = KeyRing(key, retiring=[Key.generate("HS256")])
        token = sign(claims_of(), key)

        with pytest.raises(InvalidToken):
            await make_verifier(keys=ring, token_format=BETTER_AUTH).authenticate(token)


class TestForgeries:
    """A token that names no key gets the only one there is; that must not open a way in."""

    @pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
    @pytest.mark.parametrize(
        "algorithm", ["RS256", "RS512", "PS384", "ES256", "ES384", "ES512", "EdDSA"]
    )
    async def test_a_public_key_is_no_secret(self, algorithm: AlgorithmName, named: bool) -> None:
        key = Key.generate(algorithm)
        public_key = Key.from_jwk(key.public_jwk())
        pem = public_key.material.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        verifier = make_verifier(key, token_format=BETTER_AUTH)
        header = {"kid": key.id} if named else {}
        signing_input = f"{part({'alg': 'HS256', **header})}.{part(claims_of())}"
        forged = hmac.digest(pem, signing_input.encode(), "sha256")

        with pytest.raises(InvalidToken):
            await verifier.authenticate(f"{signing_input}.{encoded(forged)}")

    @pytest.mark.parametrize("algorithm", ["none", "None", "", None, "HS512", "EdDSA "])
    async def test_another_algorithm_is_refused(self, algorithm: Any) -> None:
        good = sign(claims_of())
        assert (await make_verifier(token_format=BETTER_AUTH).authenticate(good)).id == "ada"
        header = {} if algorithm is None else {"alg": algorithm}
        _, payload, signature = good.split(".")

        for end in (signature, ""):
            with pytest.raises(InvalidToken):
                await make_verifier(token_format=BETTER_AUTH).authenticate(
                    f"{part(header)}.{payload}.{end}"
                )

    @pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "crit", "b64"])
    async def test_a_key_in_the_token_is_not_used(self, member: str) -> None:
        thief = Key.generate("EdDSA")
        async with publishing(key_set(thief)) as publisher:
            brought: dict[str, Any] = {
                "jwk": thief.public_jwk(),
                "jku": publisher.url,
                "x5u": publisher.url,
                "x5c": ["MIIB"],
                "crit": ["b64"],
                "b64": False,
            }
            token = sign(claims_of(), thief, **{member: brought[member]})

            with pytest.raises(InvalidToken):
                await make_verifier(token_format=BETTER_AUTH).authenticate(token)

            assert publisher.requests == 0


class TestSettingItUp:
    @pytest.mark.parametrize("missing", ["issuer", "audience"])
    def test_it_needs_an_issuer_and_an_audience(self, missing: str) -> None:
        with pytest.raises(ConfigurationError, match=f"JWT_{missing.upper()}"):
            TokenVerifier(keys=KeyRing(KEY), **{**PARTIES, missing: None})

    def test_it_needs_keys(self) -> None:
        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY"):
            TokenVerifier(**PARTIES)

    def test_a_url_and_keys_are_too_much(self) -> None:
        with pytest.raises(ConfigurationError, match="not both"):
            make_verifier(jwks_url="https://auth.example.com/jwks.json")

    def test_a_url_and_a_secret_are_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_JWKS_URL", "https://auth.example.com/jwks.json")
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY and JWT_JWKS_URL"):
            TokenVerifier(**PARTIES)

    async def test_everything_may_come_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = FastAPI()

        @app.get("/me")
        async def me(user: UserDep) -> str:
            return user.id

        async with publishing(key_set(KEY)) as publisher, calling(app) as client:
            monkeypatch.setenv("JWT_JWKS_URL", publisher.url)
            monkeypatch.setenv("JWT_ISSUER", ISSUER)
            monkeypatch.setenv("JWT_AUDIENCE", AUDIENCE)
            answer = await client.get("/me", headers=bearer(issued()))

        assert answer.json() == "ada"

    async def test_the_secret_of_the_environment_verifies(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        token = issued(key=Key.from_secret(SECRET))

        assert (await TokenVerifier(**PARTIES).authenticate(token)).id == "ada"

    async def test_public_keys_are_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_KEYS", json.dumps({"keys": [KEY.public_jwk()]}))

        user = await TokenVerifier(**PARTIES).authenticate(issued())

        assert user.id == "ada"

    def test_a_kit_does_not_sign_with_the_keys_of_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JWT_JWKS_URL", "https://auth.example.com/jwks.json")

        with pytest.raises(ConfigurationError, match=r"install\(app, TokenVerifier\(\)\)"):
            AuthKit()

    def test_the_router_is_refused_at_the_start(self) -> None:
        app = make_app(make_verifier())
        app.include_router(auth_router)

        with pytest.raises(ConfigurationError, match="only verifies"), TestClient(app):
            pass

    def test_nothing_is_found_wrong_without_it(self) -> None:
        assert find_problems(make_app(make_verifier())) == []

    async def test_keys_that_can_be_read_are_no_problem(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            assert await find_key_problems(make_app(TokenVerifier(publisher.url, **PARTIES))) == []

    @pytest.mark.parametrize(
        ("answer", "problem"),
        [
            (raw(500, b""), "the answer has status 500"),
            (document({"keys": []}), "the set holds no key that could be used"),
        ],
        ids=["an error", "no keys"],
    )
    async def test_keys_that_cannot_be_read_are_found_by_the_doctor(
        self, answer: Answer, problem: str
    ) -> None:
        async with publishing(answer) as publisher:
            found = await find_key_problems(make_app(TokenVerifier(publisher.url, **PARTIES)))

        assert [(each.level, each.subject) for each in found] == [("error", "keys")]
        assert problem in found[0].message

    async def test_keys_that_are_here_need_no_reading(self) -> None:
        assert await find_key_problems(make_app(make_verifier())) == []

    @pytest.mark.parametrize(("path", "hint"), [("/now", "require_user"), ("/kit", "AuthKit")])
    async def test_what_needs_stores_says_that_there_are_none(self, path: str, hint: str) -> None:
        async with calling(make_app(make_verifier())) as client:
            with pytest.raises(ConfigurationError, match=hint):
                await client.get(path, headers=bearer(issued()))

    async def test_it_has_no_keys_to_publish(self) -> None:
        app = make_app(make_verifier())
        app.include_router(create_jwks_router())

        async with calling(app) as client:
            answer = await client.get("/.well-known/jwks.json")

        assert answer.status_code == 404

    @pytest.mark.parametrize("url", ["", "http://auth.example.com/jwks.json"])
    def test_a_url_that_is_none_is_not_taken_for_leave_to_use_the_secret(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

        with pytest.raises(ConfigurationError, match="JWK Set"):
            TokenVerifier(url, **PARTIES)

    @pytest.mark.parametrize("name", ["issuer", "audience"])
    @pytest.mark.parametrize("value", ["", ["a", "b"]], ids=["empty", "several"])
    def test_issuer_and_audience_are_one_text(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=name):
            TokenVerifier(keys=KeyRing(KEY), **{**PARTIES, name: value})

    def test_one_text_is_no_set_of_header_types(self) -> None:
        one: Any = "at+jwt"

        with pytest.raises(ConfigurationError, match="header_types"):
            TokenFormat(header_types=one)
