"""GET /.well-known/jwks.json: what it shows, how long it may be kept, what others do with it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import httpx
import jwt as pyjwt
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from apps import EMAIL, PASSWORD, Clock, bearer, make_app, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    InvalidToken,
    JWTManager,
    Key,
    KeyRing,
    KeySet,
    RingKey,
    create_jwks_router,
    deny_by_default,
    install,
)
from jwt_auth_kit.keys.key import AlgorithmName
from jwt_auth_kit.keys.ring import ALWAYS
from live import live_server

PATH = "/.well-known/jwks.json"
PRIVATE_MEMBERS = {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}
NOW = datetime.now(UTC)

KEYS: dict[AlgorithmName, Key] = {name: Key.generate(name) for name in get_args(AlgorithmName)}
OLD, NEW = Key.generate("EdDSA"), Key.generate("ES256")
every_public_algorithm = pytest.mark.parametrize(
    "algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"]
)


HOST = """
from fastapi import FastAPI
from jwt_auth_kit import auth_router, create_jwks_router

app = FastAPI()
app.include_router(auth_router)
app.include_router(create_jwks_router())

@app.get("/health")
async def health() -> str:
    return "well"
"""


class Items:
    """A source of items."""

    def __init__(self, *items: RingKey) -> None:
        self.items = items

    def stamp(self) -> object:
        return self.items

    def load(self) -> tuple[RingKey, ...]:
        return self.items


def ring_of(*items: RingKey) -> KeyRing:
    return KeyRing.from_source(Items(*items))


def always(key: Key) -> RingKey:
    return RingKey(key=key, published_at=ALWAYS, activate_at=ALWAYS)


def client_of(kit: AuthKit, **options: Any) -> TestClient:
    app = make_app(kit)
    app.include_router(create_jwks_router(**options))
    return TestClient(app)


def client_with(ring: KeyRing, **options: Any) -> TestClient:
    return client_of(make_kit(keys=ring), **options)


def max_age(answer: Any) -> int:
    public, age, revalidate = answer.headers["cache-control"].split(", ")
    assert (public, revalidate) == ("public", "must-revalidate")
    return int(age.removeprefix("max-age="))


class TestWhatIsShown:
    @every_public_algorithm
    def test_the_public_key_and_no_more(self, algorithm: AlgorithmName) -> None:
        key = KEYS[algorithm]

        answer = client_with(KeyRing(key)).get(PATH)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.json() == {"keys": [key.public_jwk()]}

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from(list(KEYS.values())), min_size=1, max_size=6, unique=True),
        st.data(),
    )
    def test_private_members_are_never_there(self, keys: list[Key], data: st.DataObject) -> None:
        moments = st.none() | st.just(ALWAYS) | st.integers(-2, 2).map(hours_from_now)
        items = [
            RingKey(
                key=key,
                published_at=data.draw(moments),
                activate_at=data.draw(moments),
                retired_at=data.draw(moments),
                revoked_at=data.draw(moments),
            )
            for key in keys
        ]
        source = Items(always(OLD))
        ring = KeyRing.from_source(source, interval=timedelta(0))
        source.items = tuple(items)

        shown = json.dumps(ring.public_jwks(NOW, keep=timedelta(hours=1)))

        for jwk in json.loads(shown):
            assert not PRIVATE_MEMBERS & jwk.keys()
            assert jwk["kty"] != "oct"
        for key in keys:
            jwk = key.private_jwk()
            assert not [name for name in PRIVATE_MEMBERS & jwk.keys() if jwk[name] in shown]

    def test_a_key_to_come_stands_there_before_it_signs(self) -> None:
        ring = ring_of(
            always(OLD),
            RingKey(key=NEW, published_at=hours_from_now(-1), activate_at=hours_from_now(1)),
            RingKey(key=KEYS["EdDSA"]),
        )

        shown = client_with(ring).get(PATH).json()["keys"]

        assert [jwk["kid"] for jwk in shown] == [OLD.id, NEW.id]

    def test_a_retired_key_leaves_when_its_last_access_token_is_over(self) -> None:
        clock = Clock()
        ring = ring_of(always(OLD), RingKey(key=NEW, activate_at=clock.now))
        kit = make_kit(keys=ring, clock=clock, settings={"access_ttl": 60, "leeway": 10})
        client = client_of(kit)

        clock.advance(seconds=60 + 10 + 29)
        assert len(client.get(PATH).json()["keys"]) == 2
        clock.advance(seconds=1)
        assert [jwk["kid"] for jwk in client.get(PATH).json()["keys"]] == [NEW.id]

    def test_a_revoked_key_is_gone_at_once(self) -> None:
        ring = ring_of(
            RingKey(key=OLD, activate_at=ALWAYS, revoked_at=hours_from_now(-1)),
            RingKey(key=NEW, activate_at=hours_from_now(-1)),
        )

        assert [jwk["kid"] for jwk in client_with(ring).get(PATH).json()["keys"]] == [NEW.id]

    def test_where_all_are_revoked_the_set_is_empty(self) -> None:
        revoked = RingKey(key=OLD, activate_at=ALWAYS, revoked_at=hours_from_now(-1))
        secret = RingKey(key=KEYS["HS256"], activate_at=hours_from_now(-1))
        client = client_with(ring_of(revoked, secret))

        assert client.get(PATH).json() == {"keys": []}

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_a_symmetric_ring_has_nothing_to_show(self, algorithm: AlgorithmName) -> None:
        answer = client_with(KeyRing(KEYS[algorithm])).get(PATH)

        assert answer.status_code == 404
        assert answer.headers["cache-control"] == "no-store"

    def test_of_a_mixed_ring_the_public_keys_are_shown(self) -> None:
        answer = client_with(KeyRing(OLD, [KEYS["HS256"]])).get(PATH)

        assert answer.json() == {"keys": [OLD.public_jwk()]}


class TestCaching:
    def test_it_may_be_kept_for_ten_minutes(self) -> None:
        assert max_age(client_with(KeyRing(OLD)).get(PATH)) == 600

    @pytest.mark.parametrize(("seconds", "age"), [(3600, 600), (601, 600), (120, 120), (1.5, 1)])
    def test_it_may_be_kept_until_the_keys_change(self, seconds: float, age: int) -> None:
        clock = Clock()
        change = clock.now + timedelta(seconds=seconds)
        ring = ring_of(always(OLD), RingKey(key=NEW, published_at=change))

        assert max_age(client_of(make_kit(keys=ring, clock=clock)).get(PATH)) == age

    def test_who_reads_it_as_told_knows_every_key_before_it_signs(self) -> None:
        clock = Clock()
        ring = ring_of(
            always(OLD),
            RingKey(
                key=NEW,
                published_at=clock.now + timedelta(minutes=17),
                activate_at=clock.now + timedelta(minutes=17, seconds=30),
            ),
        )
        kit = make_kit(keys=ring, clock=clock)
        client = client_of(kit)
        kept, good_until = {}, clock.now

        for _ in range(240):
            clock.advance(seconds=10)
            if clock.now > good_until:
                answer = client.get(PATH)
                kept = {jwk["kid"]: jwk for jwk in answer.json()["keys"]}
                good_until = clock.now + timedelta(seconds=max_age(answer))
            token = kit.jwt.create_access_token({"user_id": "42"})
            assert pyjwt.get_unverified_header(token)["kid"] in kept

    def test_who_has_it_is_told_so(self) -> None:
        client = client_with(KeyRing(OLD))
        first = client.get(PATH)
        tag = first.headers["etag"]

        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = client.get(PATH, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
            assert max_age(answer) == 600
        for other in ('"other"', tag.strip('"'), ""):
            assert client.get(PATH, headers={"If-None-Match": other}).json() == first.json()

    def test_other_keys_have_another_tag(self) -> None:
        tags = {client_with(KeyRing(key)).get(PATH).headers["etag"] for key in (OLD, OLD, NEW)}

        assert len(tags) == 2


class TestTheRoute:
    def test_it_stands_where_the_application_wants_it(self) -> None:
        client = client_with(KeyRing(OLD), path="/keys")

        assert client.get("/keys").json() == {"keys": [OLD.public_jwk()]}
        assert client.get(PATH).status_code == 404

    def test_it_is_public_where_everything_else_is_not(self) -> None:
        app = FastAPI()
        deny_by_default(app)
        install(app, make_kit(keys=KeyRing(OLD)))
        app.include_router(create_jwks_router())

        assert TestClient(app).get(PATH).status_code == 200

    def test_openapi_tells_what_it_answers(self) -> None:
        client = client_with(KeyRing(OLD))

        answers = client.get("/openapi.json").json()["paths"][PATH]["get"]["responses"]

        assert answers.keys() == {"200", "304", "404"}
        assert list(answers["200"]["content"]) == ["application/jwk-set+json"]
        assert "$ref" in answers["200"]["content"]["application/jwk-set+json"]["schema"]

    def test_a_request_cannot_change_it(self) -> None:
        client = client_with(KeyRing(OLD))

        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert client.request(method, PATH).status_code == 405


class TestOthers:
    @every_public_algorithm
    def test_pyjwt_verifies_our_tokens_by_our_set(
        self, algorithm: AlgorithmName, tmp_path: Path
    ) -> None:
        (tmp_path / "host.py").write_text(HOST)
        keys = json.dumps({"keys": [KEYS[algorithm].private_jwk(), OLD.public_jwk()]})

        with live_server("host:app", app_dir=tmp_path, JWT_KEYS=keys, JWT_SECRET_KEY="") as url:
            body = {"email": EMAIL, "password": PASSWORD}
            token = httpx.post(f"{url}/auth/register", json=body).json()["access_token"]
            signing_key = pyjwt.PyJWKClient(f"{url}{PATH}").get_signing_key_from_jwt(token)

        claims = pyjwt.decode(token, signing_key, algorithms=[algorithm])
        assert claims["token_type"] == "access"
        with pytest.raises(pyjwt.InvalidSignatureError):
            pyjwt.decode(token[:-8] + "AAAAAAAA", signing_key, algorithms=[algorithm])

    @every_public_algorithm
    def test_we_verify_tokens_of_another_service_by_its_set(self, algorithm: AlgorithmName) -> None:
        theirs = KEYS[algorithm]
        shown = json.loads(json.dumps({"keys": [theirs.public_jwk()]}))
        ring = KeyRing(OLD, [item.key for item in KeySet(json.dumps(shown)).load()])
        now = int(datetime.now(UTC).timestamp())
        claims: dict[str, Any] = {"sub": "42", "jti": "1", "iat": now, "exp": now + 60}
        claims["token_type"] = "access"
        headers = {"kid": theirs.id, "typ": "at+jwt"}

        token = pyjwt.encode(claims, theirs.material, algorithm, headers=headers)

        assert dict(JWTManager(ring).verify_access_token(token)) == claims
        unsigned = pyjwt.encode(claims, "", "none", headers=headers)
        with pytest.raises(InvalidToken):
            JWTManager(ring).verify_access_token(unsigned)

    @every_public_algorithm
    def test_a_sign_in_works_from_the_first_request_to_the_last(
        self, algorithm: AlgorithmName
    ) -> None:
        with client_with(KeyRing(KEYS[algorithm])) as client:
            signed_in = register(client)
            answer = client.get("/projects", headers=bearer(signed_in))
            body = {"refresh_token": signed_in["refresh_token"]}
            refreshed = client.post("/auth/refresh", json=body)
            left = client.post("/auth/logout", json=body)

        assert [each.status_code for each in (answer, refreshed, left)] == [200, 200, 204]


def hours_from_now(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)
