"""JWTManager: what its tokens hold, and everything that must not pass for one of them.

Forged tokens are made by hand with hmac, so that no mistake of the library can hide in them.
"""

import base64
import hashlib
import hmac
import json
import socket
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from jwt_auth_kit import (
    ConfigurationError,
    ExpiredToken,
    InvalidToken,
    JWTManager,
    KeyRing,
    Session,
    TokenPair,
    WrongTokenType,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SECRET_BYTES = hashlib.sha256(b"ours").digest()
SECRET = base64.b64encode(SECRET_BYTES).decode()
OTHER_BYTES = hashlib.sha256(b"theirs").digest()
ISSUER = "https://auth.example.com"
AUDIENCE = "https://api.example.com"
USER = {"user_id": "42", "email": "ann@example.com", "display_name": "Ann", "role": "admin"}


def manager(
    *,
    at: datetime = NOW,
    secret: str = SECRET,
    issuer: str | None = None,
    audience: str | None = None,
    **options: Any,
) -> JWTManager:
    """A manager that lives at one moment; another moment is another manager with the same key."""
    return JWTManager(
        KeyRing.from_secret(secret), issuer=issuer, audience=audience, clock=lambda: at, **options
    )


def sign(
    header: object,
    payload: object,
    *,
    secret: bytes = SECRET_BYTES,
    digest: Callable[..., Any] = hashlib.sha256,
) -> str:
    """Make a compact JWS; bytes are taken as they are, everything else becomes JSON."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), digest))}"


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(decoded(token.split(".", maxsplit=1)[0]))
    return header


def payload_of(token: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(decoded(token.split(".")[1]))
    return payload


def unix(moment: datetime) -> int:
    return int(moment.timestamp())


def without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def session_at(now: datetime = NOW, **changes: Any) -> Session:
    """A session of the user that began at *now*."""
    session = Session.start(
        "42", now, epoch=3, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )
    return replace(session, **changes)


GENUINE = manager().create_access_token(USER)
GOOD_HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": header_of(GENUINE)["kid"]}
GOOD_CLAIMS = {
    "sub": "42",
    "jti": "a-token-id",
    "iat": unix(NOW),
    "exp": unix(NOW) + 900,
    "token_type": "access",
    "role": "user",
}
REFRESH_HEADER = {**GOOD_HEADER, "typ": "rt+jwt"}
REFRESH_CLAIMS = {**without(GOOD_CLAIMS, "role"), "token_type": "refresh"}


class TestWhatTokensHold:
    def test_an_access_token_says_who_signed_in_and_until_when(self) -> None:
        token = manager().create_access_token(USER, epoch=3)

        claims = payload_of(token)

        assert header_of(token) == GOOD_HEADER
        assert claims.pop("jti")
        assert claims == {
            "sub": "42",
            "ep": 3,
            "iat": unix(NOW),
            "exp": unix(NOW + timedelta(minutes=15)),
            "token_type": "access",
            "role": "admin",
            "email": "ann@example.com",
            "display_name": "Ann",
        }

    def test_an_access_token_of_a_session_names_it(self) -> None:
        session = session_at(NOW - timedelta(hours=1), gen=5)

        claims = payload_of(manager().create_access_token(USER, session=session, epoch=3))

        assert claims["sid"] == session.id
        assert claims["gen"] == 5
        assert claims["auth_time"] == unix(NOW - timedelta(hours=1))

    def test_a_refresh_token_holds_no_personal_data(self) -> None:
        token = manager().create_refresh_token("42")

        claims = payload_of(token)

        assert header_of(token) == REFRESH_HEADER
        assert claims.pop("jti")
        assert claims == {
            "sub": "42",
            "iat": unix(NOW),
            "exp": unix(NOW + timedelta(days=7)),
            "token_type": "refresh",
        }

    def test_a_refresh_token_of_a_session_ends_with_its_idle_life(self) -> None:
        session = session_at(gen=4, parent=3)

        token = manager().create_session_refresh_token(session)

        assert header_of(token) == REFRESH_HEADER
        assert payload_of(token) == {
            "sub": "42",
            "sid": session.id,
            "gen": 4,
            "jti": session.refresh_id(4),
            "iat": unix(NOW),
            "exp": unix(session.idle_expires_at),
            "token_type": "refresh",
        }

    def test_a_refresh_token_of_a_generation_can_be_given_again(self) -> None:
        session = session_at()

        first = manager().create_session_refresh_token(session)
        later = manager(at=NOW + 9 * SECOND).create_session_refresh_token(session)

        assert first == later

    def test_a_shorter_refresh_life_leaves_older_sessions_usable(self) -> None:
        session = session_at()
        after_the_change = manager(at=NOW + SECOND, refresh_ttl=timedelta(hours=1))

        token = after_the_change.create_session_refresh_token(session)

        assert after_the_change.verify_token(token, "refresh")["sid"] == session.id

    def test_every_token_has_its_own_id(self) -> None:
        jwt = manager()

        ids = {payload_of(jwt.create_access_token(USER))["jti"] for _ in range(20)}
        ids |= {payload_of(jwt.create_refresh_token("42"))["jti"] for _ in range(20)}

        assert len(ids) == 40

    @pytest.mark.parametrize("token_type", ["access", "refresh"])
    def test_issuer_and_audience_stand_in_both_kinds(self, token_type: str) -> None:
        pair = manager(issuer=ISSUER, audience=AUDIENCE).create_token_pair(USER)

        claims = payload_of(pair.access_token if token_type == "access" else pair.refresh_token)

        assert (claims["iss"], claims["aud"]) == (ISSUER, AUDIENCE)

    def test_a_user_without_a_role_is_a_user(self) -> None:
        claims = manager().verify_access_token(manager().create_access_token({"user_id": "42"}))

        assert (claims["role"], claims["ep"]) == ("user", 0)
        assert "email" not in claims
        assert "display_name" not in claims

    def test_an_empty_profile_keeps_personal_data_out(self) -> None:
        token = manager(profile_claims=()).create_access_token(USER)

        assert payload_of(token).keys() == {"sub", "jti", "iat", "exp", "token_type", "role", "ep"}
        assert b"ann" not in decoded(token.split(".")[1]).lower()

    def test_profile_claims_choose_what_a_token_carries(self) -> None:
        jwt = manager(profile_claims=("email", "team"))

        claims = payload_of(jwt.create_access_token({**USER, "team": "blue"}))

        assert claims["email"] == "ann@example.com"
        assert claims["team"] == "blue"
        assert "display_name" not in claims

    @pytest.mark.parametrize(
        "claim",
        [
            *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "gen", "ep", "auth_time"),
            *("token_type", "role"),
        ],
    )
    def test_profile_claims_cannot_replace_what_the_library_says(self, claim: str) -> None:
        with pytest.raises(ConfigurationError, match=claim):
            manager(profile_claims=("email", claim))

    @pytest.mark.parametrize("user_data", [{}, {"user_id": ""}, {"user_id": None}])
    def test_a_token_needs_a_user_id(self, user_data: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="user_id"):
            manager().create_access_token(user_data)
        with pytest.raises(ValueError, match="user_id"):
            manager().create_token_pair(user_data)

    def test_names_of_any_script_come_back_unchanged(self) -> None:
        name = 'Zoë "李" \\ \u2028 😀\x00'

        token = manager().create_access_token({**USER, "display_name": name})

        assert manager().verify_access_token(token)["display_name"] == name

    @pytest.mark.parametrize("end", ["expires_at", "idle_expires_at"])
    def test_an_access_token_never_outlives_its_session(self, end: str) -> None:
        session = session_at(NOW - timedelta(days=1), **{end: NOW + 60 * SECOND})

        token = manager().create_access_token(USER, session=session)

        assert payload_of(token)["exp"] <= unix(NOW + 60 * SECOND)


class TestThePair:
    def test_both_tokens_of_a_pair_pass_for_what_they_are(self) -> None:
        jwt = manager()

        pair = jwt.create_token_pair(USER)

        assert jwt.verify_access_token(pair.access_token)["sub"] == "42"
        assert jwt.verify_token(pair.access_token)["sub"] == "42"
        assert jwt.verify_token(pair.refresh_token, "refresh")["sub"] == "42"
        assert pair.token_type == "bearer"

    def test_a_pair_says_how_long_its_access_token_lives(self) -> None:
        pair = manager(access_ttl=90 * SECOND).create_token_pair(USER)

        assert pair.expires_in == 90
        assert payload_of(pair.access_token)["exp"] == unix(NOW) + 90

    def test_a_refresh_token_without_session_gives_a_new_pair(self) -> None:
        old = manager().create_token_pair({**USER, "role": "user"})
        later = manager(at=NOW + timedelta(hours=1))

        new = later.refresh_token_pair(old.refresh_token, USER)

        assert later.verify_access_token(new.access_token)["role"] == "admin"
        assert payload_of(new.refresh_token)["exp"] == unix(NOW + timedelta(days=7, hours=1))

    def test_an_access_token_gives_no_new_pair(self) -> None:
        with pytest.raises(WrongTokenType):
            manager().refresh_token_pair(manager().create_access_token(USER), USER)

    def test_an_expired_refresh_token_gives_no_new_pair(self) -> None:
        token = manager().create_refresh_token("42")

        with pytest.raises(ExpiredToken):
            manager(at=NOW + timedelta(days=7)).refresh_token_pair(token, USER)

    def test_a_refresh_token_of_a_session_gives_no_pair_past_its_store(self) -> None:
        token = manager().create_session_refresh_token(session_at())

        with pytest.raises(InvalidToken):
            manager().refresh_token_pair(token, USER)

    def test_nobody_gets_a_pair_of_another_user(self) -> None:
        token = manager().create_refresh_token("41")

        with pytest.raises(InvalidToken):
            manager().refresh_token_pair(token, USER)


class TestSecretsStayOutOfRepr:
    def test_a_pair_hides_its_tokens(self) -> None:
        pair = manager().create_token_pair(USER)

        shown = f"{pair!r} {pair}"

        assert TokenPair.__name__ in shown
        assert pair.access_token not in shown
        assert pair.refresh_token not in shown

    def test_a_session_hides_its_salt(self) -> None:
        session = session_at(salt=b"sixteen salty by")

        assert "salty" not in f"{session!r} {session}"

    def test_a_manager_hides_its_key(self) -> None:
        jwt = manager(secret=base64.b64encode(b"nobody may see" + OTHER_BYTES).decode())

        assert "nobody may see" not in f"{jwt!r} {jwt} {jwt.keys!r} {jwt.keys.active!r}"


class TestTime:
    def test_a_token_lives_until_its_last_second(self) -> None:
        token = manager(access_ttl=SECOND).create_access_token(USER)

        claims = manager(at=NOW + SECOND / 2).verify_access_token(token)

        assert claims["exp"] == unix(NOW) + 1

    @pytest.mark.parametrize("late", [SECOND, 2 * SECOND, timedelta(days=4000)])
    def test_an_expired_token_is_refused(self, late: timedelta) -> None:
        token = manager(access_ttl=SECOND).create_access_token(USER)

        with pytest.raises(ExpiredToken):
            manager(at=NOW + late).verify_access_token(token)

    def test_leeway_prolongs_a_token_by_just_so_much(self) -> None:
        token = manager(access_ttl=SECOND).create_access_token(USER)

        claims = manager(at=NOW + 10 * SECOND, leeway=10 * SECOND).verify_access_token(token)

        assert claims["sub"] == "42"
        with pytest.raises(ExpiredToken):
            manager(at=NOW + 11 * SECOND, leeway=10 * SECOND).verify_access_token(token)

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    def test_a_clock_that_is_a_little_ahead_does_no_harm(self, claim: str) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, claim: unix(NOW) + 30})

        assert manager().verify_access_token(token)["sub"] == "42"

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    def test_a_token_from_the_future_is_refused(self, claim: str) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, claim: unix(NOW) + 31})

        with pytest.raises(InvalidToken):
            manager().verify_access_token(token)

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    def test_a_larger_leeway_also_grants_a_clock_further_ahead(self, claim: str) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, claim: unix(NOW) + 60})

        assert manager(leeway=60 * SECOND).verify_access_token(token)["sub"] == "42"

    def test_an_expired_token_passes_where_its_session_is_to_end(self) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "exp": unix(NOW) - 1})

        claims = manager().verify_token(token, "access", allow_expired=True)

        assert claims["sub"] == "42"

    @pytest.mark.parametrize(
        "token",
        [
            sign(GOOD_HEADER, {**GOOD_CLAIMS, "exp": 1}, secret=OTHER_BYTES),
            sign(REFRESH_HEADER, {**REFRESH_CLAIMS, "exp": 1}),
            sign(GOOD_HEADER, {**GOOD_CLAIMS, "exp": 1, "nbf": unix(NOW) + 31}),
            sign(GOOD_HEADER, without(GOOD_CLAIMS, "exp")),
        ],
        ids=["forged", "refresh", "not-yet", "no-exp"],
    )
    def test_allowing_an_expired_token_allows_nothing_else(self, token: str) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_token(token, "access", allow_expired=True)


class TestForgeries:
    def test_the_forger_of_these_tests_makes_tokens_that_pass(self) -> None:
        access, refresh = sign(GOOD_HEADER, GOOD_CLAIMS), sign(REFRESH_HEADER, REFRESH_CLAIMS)

        assert manager().verify_access_token(access) == {**GOOD_CLAIMS}
        assert manager().verify_token(refresh, "refresh") == {**REFRESH_CLAIMS}

    @pytest.mark.parametrize("token_type", ["access", "refresh"])
    def test_no_character_of_a_token_can_be_changed(self, token_type: str) -> None:
        token = sign(GOOD_HEADER, GOOD_CLAIMS)
        if token_type == "refresh":
            token = sign(REFRESH_HEADER, REFRESH_CLAIMS)
        alphabet = string.ascii_letters + string.digits + "-_.=+/ \n\0é"

        accepted = [
            changed
            for position, old in enumerate(token)
            for new in (neighbour(old), alphabet[position % len(alphabet)])
            if new != old
            and passes(changed := token[:position] + new + token[position + 1 :], token_type)
        ]

        assert accepted == []

    def test_no_character_of_a_token_that_passed_before_can_be_changed(self) -> None:
        jwt, token = manager(), sign(GOOD_HEADER, GOOD_CLAIMS)
        jwt.verify_access_token(token)

        for position, old in enumerate(token):
            with pytest.raises(InvalidToken):
                jwt.verify_access_token(token[:position] + neighbour(old) + token[position + 1 :])

    @pytest.mark.parametrize("token_type", ["access", "refresh"])
    def test_no_character_of_a_token_can_be_left_out(self, token_type: str) -> None:
        token = sign(GOOD_HEADER, GOOD_CLAIMS)

        shorter = (token[:position] + token[position + 1 :] for position in range(len(token)))

        assert not [text for text in shorter if passes(text, token_type)]

    def test_every_bit_of_the_signature_counts(self) -> None:
        signing_input, _, signature = sign(GOOD_HEADER, GOOD_CLAIMS).rpartition(".")
        number = int.from_bytes(decoded(signature), "big")

        flipped = ((number ^ 1 << bit).to_bytes(32, "big") for bit in range(256))

        assert not [tag for tag in flipped if passes(f"{signing_input}.{encoded(tag)}")]

    @pytest.mark.parametrize("length", [1, 8, 16, 31])
    def test_a_shortened_signature_is_refused(self, length: int) -> None:
        signing_input, _, signature = sign(GOOD_HEADER, GOOD_CLAIMS).rpartition(".")

        with pytest.raises(InvalidToken):
            manager().verify_access_token(f"{signing_input}.{encoded(decoded(signature)[:length])}")

    def test_parts_of_two_genuine_tokens_make_no_third(self) -> None:
        jwt = manager()
        mine, admins = jwt.create_access_token({"user_id": "7"}), jwt.create_access_token(USER)

        spliced = ".".join([mine.split(".")[0], admins.split(".")[1], mine.split(".")[2]])

        with pytest.raises(InvalidToken):
            jwt.verify_access_token(spliced)

    def test_a_key_of_somebody_else_signs_nothing(self) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(GOOD_HEADER, GOOD_CLAIMS, secret=OTHER_BYTES))

    @pytest.mark.parametrize(
        "algorithm",
        [
            *("none", "None", "nOnE", "NONE", "", "hs256", "Hs256", "hs256 ", "HS256 ", " HS256"),
            *("HS256\0", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "dir", "A256KW"),
            *(None, 256, True, ["HS256"], {"HS256": 1}),
        ],
    )
    def test_the_algorithm_is_the_keys_and_no_other(self, algorithm: object) -> None:
        token = sign({**GOOD_HEADER, "alg": algorithm}, GOOD_CLAIMS)

        with pytest.raises(InvalidToken):
            manager().verify_access_token(token)

    def test_a_token_without_algorithm_is_refused(self) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(without(GOOD_HEADER, "alg"), GOOD_CLAIMS))

    @pytest.mark.parametrize("algorithm", ["none", "None", "nOnE"])
    @pytest.mark.parametrize("signature", ["", "AA", "bm9uZQ"])
    def test_an_unsigned_token_is_refused(self, algorithm: str, signature: str) -> None:
        header = encoded({**GOOD_HEADER, "alg": algorithm})

        with pytest.raises(InvalidToken):
            manager().verify_access_token(f"{header}.{encoded(GOOD_CLAIMS)}.{signature}")

    @pytest.mark.parametrize(
        ("algorithm", "digest"), [("HS384", hashlib.sha384), ("HS512", hashlib.sha512)]
    )
    def test_the_right_key_with_another_hash_is_refused(
        self, algorithm: str, digest: Callable[..., Any]
    ) -> None:
        token = sign({**GOOD_HEADER, "alg": algorithm}, GOOD_CLAIMS, digest=digest)

        with pytest.raises(InvalidToken):
            manager().verify_access_token(token)

    @pytest.mark.parametrize(
        "kid",
        [
            *(
                f"../keys/{GOOD_HEADER['kid']}",
                f"/{GOOD_HEADER['kid']}",
                f"{GOOD_HEADER['kid']}.pem",
            ),
            *("../../../../dev/null", "/etc/passwd", "' OR '1'='1", "x'; DROP TABLE users; --"),
            *("\0", f"{GOOD_HEADER['kid']}\0", f"{GOOD_HEADER['kid']} ", "x" * 4_000, "x" * 10_000),
            *("", 0, 1, 1.5, True, None, [], {}, [GOOD_HEADER["kid"]], {"kid": "x"}, "\ud800"),
        ],
    )
    @pytest.mark.parametrize("secret", [SECRET_BYTES, b"", b"\0"])
    def test_a_key_id_finds_nothing_outside_the_ring(self, kid: object, secret: bytes) -> None:
        token = sign({**GOOD_HEADER, "kid": kid}, GOOD_CLAIMS, secret=secret)

        with pytest.raises(InvalidToken):
            manager().verify_access_token(token)

    def test_a_token_without_key_id_is_refused(self) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(without(GOOD_HEADER, "kid"), GOOD_CLAIMS))

    @pytest.mark.parametrize(
        "member",
        [
            {"jwk": {"kty": "oct", "k": encoded(OTHER_BYTES)}},
            {"jku": "https://127.0.0.1:9/keys"},
            {"x5u": "https://127.0.0.1:9/chain.pem"},
            {"x5c": [base64.b64encode(OTHER_BYTES).decode()]},
        ],
        ids=lambda member: next(iter(member)),
    )
    def test_keys_a_token_brings_along_are_never_used(
        self, member: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[object] = []
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: calls.append(arguments))
        monkeypatch.setattr(socket.socket, "connect", lambda *arguments: calls.append(arguments))
        header = {**GOOD_HEADER, **member}

        claims = manager().verify_access_token(sign(header, GOOD_CLAIMS))

        assert claims["sub"] == "42"
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(header, GOOD_CLAIMS, secret=OTHER_BYTES))
        assert calls == []

    @pytest.mark.parametrize("critical", [["exp"], ["b64"], ["kid"], [], "exp", None, 1, {}])
    @pytest.mark.parametrize("members", [{}, {"exp": 1}, {"exp": 1, "b64": True}])
    def test_critical_extensions_are_refused(
        self, critical: object, members: dict[str, object]
    ) -> None:
        header = {**GOOD_HEADER, "crit": critical, **members}

        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(header, GOOD_CLAIMS))

    @pytest.mark.parametrize("extension", [{"b64": False}, {"b64": False, "crit": ["b64"]}])
    def test_a_payload_that_is_not_base64_is_refused(self, extension: dict[str, object]) -> None:
        token = sign({**GOOD_HEADER, **extension}, GOOD_CLAIMS)

        with pytest.raises(InvalidToken):
            manager().verify_access_token(token)


class TestKinds:
    def test_a_refresh_token_is_no_access_token(self) -> None:
        with pytest.raises(WrongTokenType):
            manager().verify_access_token(manager().create_refresh_token("42"))

    def test_a_refresh_token_of_a_session_is_no_access_token(self) -> None:
        with pytest.raises(WrongTokenType):
            manager().verify_token(manager().create_session_refresh_token(session_at()))

    def test_an_access_token_is_no_refresh_token(self) -> None:
        with pytest.raises(WrongTokenType):
            manager().verify_token(manager().create_access_token(USER), "refresh")

    @pytest.mark.parametrize("typ", ["rt+jwt", "JWT", "jwt", "at+jwt ", "", None, 1, ["at+jwt"]])
    def test_the_header_says_what_kind_it_is(self, typ: object) -> None:
        with pytest.raises(WrongTokenType):
            manager().verify_access_token(sign({**GOOD_HEADER, "typ": typ}, GOOD_CLAIMS))

    def test_a_header_without_a_kind_is_not_taken_for_an_access_token(self) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(without(GOOD_HEADER, "typ"), GOOD_CLAIMS))

    @pytest.mark.parametrize("kind", ["refresh", "Access", "access ", "", "email", "reset", "mfa"])
    def test_the_payload_says_what_kind_it_is_too(self, kind: str) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "token_type": kind})

        with pytest.raises(WrongTokenType):
            manager().verify_access_token(token)

    @pytest.mark.parametrize(
        "token",
        [sign(GOOD_HEADER, REFRESH_CLAIMS), sign(REFRESH_HEADER, GOOD_CLAIMS)],
        ids=["access header", "refresh header"],
    )
    def test_header_and_payload_must_agree(self, token: str) -> None:
        for token_type in ("access", "refresh"):
            assert not passes(token, token_type)


class TestClaims:
    @pytest.mark.parametrize("name", ["sub", "jti", "iat", "exp", "token_type"])
    def test_a_token_without_a_required_claim_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(GOOD_HEADER, without(GOOD_CLAIMS, name)))

    @pytest.mark.parametrize("name", ["exp", "iat", "nbf", "gen", "ep", "auth_time"])
    @pytest.mark.parametrize(
        "value",
        [
            *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e3", "4102444800.5", "-1"),
            *("true", "null", '"4102444800"', "[4102444800]", '{"0": 1}', "9007199254740992"),
            *("9" * 400, "9" * 5000, "01", "0x7", "+1"),
        ],
        ids=lambda value: value[:20],
    )
    def test_a_moment_or_a_count_is_a_plain_number(self, name: str, value: str) -> None:
        payload = json.dumps(without(GOOD_CLAIMS, name))[:-1] + f', "{name}": {value}}}'

        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(GOOD_HEADER, payload.encode()))

    @pytest.mark.parametrize(
        "name", ["sub", "jti", "token_type", "sid", "role", "email", "display_name"]
    )
    @pytest.mark.parametrize("value", [42, 1.5, True, None, ["42"], {"42": 1}], ids=repr)
    def test_a_name_or_an_id_is_a_text(self, name: str, value: object) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(GOOD_HEADER, {**GOOD_CLAIMS, name: value}))

    @pytest.mark.parametrize(
        "issuer",
        [
            *(ISSUER + "/", ISSUER.upper(), "https://AUTH.example.com", ISSUER[:-1], ISSUER + " "),
            *("", None, 1, True, [ISSUER], {ISSUER: 1}, "https://evil.example.com"),
        ],
        ids=repr,
    )
    def test_another_issuer_is_refused(self, issuer: object) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "iss": issuer})

        with pytest.raises(InvalidToken):
            manager(issuer=ISSUER).verify_access_token(token)

    def test_a_token_without_issuer_is_refused_where_one_is_asked_for(self) -> None:
        with pytest.raises(InvalidToken):
            manager(issuer=ISSUER).verify_access_token(sign(GOOD_HEADER, GOOD_CLAIMS))

    def test_the_issuer_itself_passes(self) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "iss": ISSUER})

        assert manager(issuer=ISSUER).verify_access_token(token)["iss"] == ISSUER

    def test_where_no_issuer_is_asked_for_any_will_do(self) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "iss": ISSUER})

        assert manager().verify_access_token(token)["iss"] == ISSUER

    @pytest.mark.parametrize(
        "audience",
        [
            *(AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE[:-1], AUDIENCE + "x", " " + AUDIENCE),
            *("", "*", None, 1, True, [], [None], [AUDIENCE.upper()], [[AUDIENCE]], {AUDIENCE: 1}),
            *(["https://other.example.com"], f"{AUDIENCE},https://other.example.com"),
        ],
        ids=repr,
    )
    def test_a_token_for_others_is_refused(self, audience: object) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "aud": audience})

        with pytest.raises(InvalidToken):
            manager(audience=AUDIENCE).verify_access_token(token)

    def test_a_token_for_nobody_is_refused_where_an_audience_is_set(self) -> None:
        with pytest.raises(InvalidToken):
            manager(audience=AUDIENCE).verify_access_token(sign(GOOD_HEADER, GOOD_CLAIMS))

    @pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["https://b.example", AUDIENCE]])
    def test_a_token_for_us_and_others_passes(self, audience: object) -> None:
        token = sign(GOOD_HEADER, {**GOOD_CLAIMS, "aud": audience})

        assert manager(audience=AUDIENCE).verify_access_token(token)["aud"] == audience

    def test_a_refresh_token_is_held_to_issuer_and_audience_too(self) -> None:
        token = sign(REFRESH_HEADER, {**REFRESH_CLAIMS, "iss": ISSUER, "aud": AUDIENCE + "/"})

        with pytest.raises(InvalidToken):
            manager(issuer=ISSUER, audience=AUDIENCE).verify_token(token, "refresh")


class TestShape:
    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", ".a.b", "a..b", "a.b."),
            *("null", "é.é.é", "٣.٣.٣", "\0.\0.\0", "A.A.A", "AAAAA.AAAAA.AAAAA", "\ud800.a.b"),
        ],
        ids=repr,
    )
    def test_what_is_no_token_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidToken):
            manager().verify_access_token(text)

    @pytest.mark.parametrize(
        "shape",
        [
            *("{0}=.{1}.{2}", "{0}.{1}=.{2}", "{0}.{1}.{2}=", "{0}.{1}.{2}=="),
            *(" {0}.{1}.{2}", "{0}.{1}.{2} ", "{0}.{1}.{2}\n", "{0}.{1}.{2}\r\n", "{0}. {1}.{2}"),
            *("{0}.{1}.{2}\0", "\ufeff{0}.{1}.{2}", "{0}\u3002{1}\u3002{2}", "Bearer {0}.{1}.{2}"),
            *("{0}.{1}", "{0}.{1}.", "{0}..{2}", ".{1}.{2}", "{0}.{1}.{2}.", ".{0}.{1}.{2}"),
            *("{0}.{1}.{2}.{2}", "{0}.{1}.{2}.{2}.{2}", "{0}.{0}.{1}.{1}.{2}", "{0},{1},{2}"),
            *('"{0}.{1}.{2}"', '{{"protected":"{0}","payload":"{1}","signature":"{2}"}}'),
            '{{"payload":"{1}","signatures":[{{"protected":"{0}","signature":"{2}"}}]}}',
        ],
    )
    def test_only_three_bare_parts_make_a_token(self, shape: str) -> None:
        token = sign(GOOD_HEADER, GOOD_CLAIMS)

        with pytest.raises(InvalidToken):
            manager().verify_access_token(shape.format(*token.split(".")))

    @pytest.mark.parametrize("remainder", [1, 2])
    def test_full_padding_is_refused_in_every_part(self, remainder: int) -> None:
        header = json.dumps(GOOD_HEADER).encode()
        claims = json.dumps(GOOD_CLAIMS).encode()
        parts = [
            base64.urlsafe_b64encode(text + b" " * ((remainder - len(text)) % 3)).decode()
            for text in (header, claims)
        ]
        tag = hmac.digest(SECRET_BYTES, ".".join(parts).encode(), "sha256")

        token = ".".join([*parts, encoded(tag)])

        assert token.count("=") == 2 * (3 - remainder)
        assert not passes(token)
        assert passes(sign(header, claims))

    def test_a_second_spelling_of_the_same_signature_is_refused(self) -> None:
        token = sign(GOOD_HEADER, GOOD_CLAIMS)
        tag = decoded(token.rpartition(".")[2])

        spellings = [token[:-1] + last for last in string.ascii_letters + string.digits + "-_"]
        same = [text for text in spellings if decoded(text.rpartition(".")[2]) == tag]

        assert len(same) == 4
        assert [text for text in same if passes(text)] == [token]

    @pytest.mark.parametrize("part", ["header", "payload"])
    def test_a_second_spelling_of_header_or_payload_is_refused(self, part: str) -> None:
        texts = {"header": json.dumps(GOOD_HEADER), "payload": json.dumps(GOOD_CLAIMS)}
        texts[part] += " " * ((1 - len(texts[part])) % 3)  # leaves four unused bits at the end
        parts = {name: encoded(text.encode()) for name, text in texts.items()}
        last = string.ascii_uppercase.index(parts[part][-1])
        parts[part] = parts[part][:-1] + string.ascii_uppercase[last + 1]
        signing_input = f"{parts['header']}.{parts['payload']}"
        tag = hmac.digest(SECRET_BYTES, signing_input.encode(), "sha256")

        assert decoded(parts[part]) == texts[part].encode()
        assert not passes(f"{signing_input}.{encoded(tag)}")

    def test_the_standard_alphabet_of_base64_is_refused(self) -> None:
        claims = {**GOOD_CLAIMS, "display_name": "???>>>~~~"}
        signing_input = ".".join(
            base64.b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in (GOOD_HEADER, claims)
        )
        tag = hmac.digest(SECRET_BYTES, signing_input.encode(), "sha256")

        assert {"+", "/"} & set(signing_input)
        assert not passes(f"{signing_input}.{encoded(tag)}")
        assert passes(sign(GOOD_HEADER, claims))

    def test_a_token_longer_than_eight_kilobytes_is_refused(self) -> None:
        tokens = [
            sign(GOOD_HEADER, {**GOOD_CLAIMS, "display_name": "x" * length})
            for length in range(5_700, 6_000)
        ]

        accepted = [len(token) for token in tokens if passes(token)]

        assert 8_190 <= max(accepted) <= 8_192
        assert len(accepted) == sum(len(token) <= 8_192 for token in tokens)

    def test_an_endless_token_is_refused_at_once(self) -> None:
        text = ".".join(["A" * 20_000_000] * 3)
        begin = time.thread_time()

        assert not passes(text)

        assert time.thread_time() - begin < 0.1

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    @pytest.mark.parametrize("part", ["header", "payload"])
    def test_deep_nesting_is_refused_fast(self, part: str, opening: str) -> None:
        closing = "]" if opening == "[" else "}"
        depth = 5_000 // len(opening + closing)
        nested = f'{{"x":{opening * depth}0{closing * depth}}}'.encode()
        begin = time.perf_counter()

        token = sign(nested, GOOD_CLAIMS) if part == "header" else sign(GOOD_HEADER, nested)

        assert not passes(token)
        assert time.perf_counter() - begin < 0.5

    def test_no_depth_of_nesting_is_too_deep_for_one_parser_only(self) -> None:
        start = json.dumps(GOOD_HEADER)[:-1]

        headers = (f'{start},"x":{"[" * depth}{"]" * depth}}}' for depth in range(850, 1_050))

        for header in headers:
            assert not passes(f"{encoded(header.encode())}.e30.AAAA")

    @pytest.mark.parametrize(
        "header",
        [
            '{{"alg":"none",{0}}}',
            '{{{0},"alg":"none"}}',
            '{{{0},"alg":"HS256"}}',
            '{{{0},"kid":"other"}}',
            '{{{0},"\\u0061lg":"HS256"}}',
            '{{{0},"x":{{"a":1,"a":2}}}}',
        ],
    )
    def test_a_name_that_comes_twice_in_the_header_is_refused(self, header: str) -> None:
        members = json.dumps(GOOD_HEADER)[1:-1]

        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(header.format(members).encode(), GOOD_CLAIMS))

    @pytest.mark.parametrize("member", ['"sub":"1"', '"role":"admin"', '"exp":1', '"s\\u0075b":""'])
    def test_a_claim_that_comes_twice_is_refused(self, member: str) -> None:
        payload = json.dumps(GOOD_CLAIMS)[:-1] + f",{member}}}"

        with pytest.raises(InvalidToken):
            manager().verify_access_token(sign(GOOD_HEADER, payload.encode()))

    @pytest.mark.parametrize(
        "payload",
        [
            *(b"", b" ", b"null", b"true", b"0", b'"42"', b"[]", b"{}", b"{", b"not json"),
            *(b"\xff\xfe", b"\xed\xa0\x80", b'{"sub":"\xff"}', json.dumps([GOOD_CLAIMS]).encode()),
            json.dumps(GOOD_CLAIMS).encode() + b"{}",
            json.dumps(GOOD_CLAIMS).encode()[:-1] + b",}",
            json.dumps(GOOD_CLAIMS).replace('"', "'").encode(),
        ],
        ids=repr,
    )
    def test_a_payload_or_header_that_is_no_object_is_refused(self, payload: bytes) -> None:
        for token in (sign(GOOD_HEADER, payload), sign(payload, GOOD_CLAIMS)):
            with pytest.raises(InvalidToken):
                manager().verify_access_token(token)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=4), values),
    max_leaves=5,
)
HEADER_NAMES = st.sampled_from([*GOOD_HEADER, "crit", "b64", "jwk", "jku", "x5c", "cty", "zip"])
CLAIM_NAMES = st.sampled_from([*GOOD_CLAIMS, "iss", "aud", "nbf", "sid", "gen", "ep", "auth_time"])
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestAnythingAtAll:
    @patient
    @given(st.text())
    def test_text_is_refused_and_breaks_nothing(self, text: str) -> None:
        assert not passes(text, "access")
        assert not passes(text, "refresh")

    @patient
    @given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
    def test_three_encoded_parts_are_refused_and_break_nothing(self, parts: list[bytes]) -> None:
        assert not passes(".".join(map(encoded, parts)))

    @patient
    @given(
        position=st.integers(0, len(GENUINE)),
        removed=st.integers(0, 5),
        inserted=st.text(max_size=5) | st.text(string.ascii_letters + "-_.=", max_size=5),
    )
    def test_a_mutated_token_is_refused(self, position: int, removed: int, inserted: str) -> None:
        mutated = GENUINE[:position] + inserted + GENUINE[position + removed :]
        assume(mutated != GENUINE)

        assert not passes(mutated)

    @patient
    @given(
        header=st.dictionaries(HEADER_NAMES, JSON_VALUES, max_size=4),
        claims=st.dictionaries(CLAIM_NAMES, JSON_VALUES, max_size=6),
    )
    def test_whatever_our_own_key_signed_breaks_nothing(
        self, header: dict[str, Any], claims: dict[str, Any]
    ) -> None:
        token = sign({**GOOD_HEADER, **header}, {**GOOD_CLAIMS, **claims})

        assert passes(token) in {True, False}
        assert passes(token, "refresh", issuer=ISSUER, audience=AUDIENCE) is False


def passes(token: str, token_type: str = "access", **options: Any) -> bool:
    """Tell whether *token* is accepted; any error but InvalidToken fails the test."""
    try:
        manager(**options).verify_token(token, "refresh" if token_type == "refresh" else "access")
    except InvalidToken:
        return False
    return True


def neighbour(character: str) -> str:
    """The base64url digit that differs in the lowest bit only."""
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return digits[digits.index(character) ^ 1] if character in digits else "A"


def test_a_token_that_is_known_is_still_checked_for_time_and_cannot_be_changed() -> None:
    moment = [datetime.now(UTC)]
    manager = JWTManager(KeyRing.random(), clock=lambda: moment[0])
    token = manager.create_access_token({"user_id": "1", "role": "user"})
    first = manager.verify_access_token(token)
    first["role"] = "admin"

    assert manager.verify_access_token(token)["role"] == "user"
    with pytest.raises(WrongTokenType):
        manager.verify_token(token, "refresh")
    with pytest.raises(InvalidToken):
        manager.verify_access_token(token + "=")
    moment[0] += timedelta(minutes=15)
    with pytest.raises(ExpiredToken):
        manager.verify_access_token(token)
    assert manager.verify_token(token, allow_expired=True)["sub"] == "1"


def test_a_manager_forgets_the_oldest_of_many_tokens() -> None:
    manager = JWTManager(KeyRing.random())
    tokens = [manager.create_access_token({"user_id": str(n)}) for n in range(5000)]

    subjects = [manager.verify_access_token(token)["sub"] for token in [*tokens, *tokens[:10]]]

    assert subjects == [*map(str, range(5000)), *map(str, range(10))]


def test_a_token_for_somebody_is_refused_by_a_manager_without_a_name() -> None:
    keys = KeyRing.random()
    token = JWTManager(keys, audience="shop").create_access_token({"user_id": "1"})

    with pytest.raises(InvalidToken):
        JWTManager(keys).verify_access_token(token)
