"""What ``inspect`` tells about a token: whatever it is, and never more than it should."""

import base64
import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_auth_kit import (
    InvalidToken,
    JWTManager,
    Key,
    KeyDirectory,
    KeyRing,
    RingKey,
    Session,
)
from jwt_auth_kit.cli.inspection import inspect_token
from jwt_auth_kit.cli.main import main, make_secret

SECRET = make_secret()
KEY = Key.from_secret(SECRET)
NOW = datetime.now(UTC)
JWT = JWTManager(KeyRing(KEY), clock=lambda: NOW)
GOOD_HEADER = {"alg": "HS256", "kid": KEY.id, "typ": "at+jwt"}
GOOD_CLAIMS = {
    "sub": "42",
    "jti": "one",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 86_400,  # a run of the whole suite takes longer than a token
    "token_type": "access",
}


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def make(header: Any, claims: Any, key: Key = KEY) -> str:
    """Sign anything at all as HS256."""
    signed = key.sign(json.dumps(claims).encode(), token_type="at+jwt")
    _, payload, signature = signed.split(".")
    if header == GOOD_HEADER:
        return signed
    return f"{part(json.dumps(header).encode())}.{payload}.{signature}"


def problems(token: str, jwt: JWTManager | None = JWT) -> str:
    return "\n".join(inspect_token(token, jwt, now=NOW).problems)


class Inspector:
    """The command, with what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str]:
        code: Any = 0
        try:
            main(["inspect", *arguments])
        except SystemExit as exit_:
            code = exit_.code
        self.printed, self.error = self._capsys.readouterr()
        return code, self.printed


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspector:
    return Inspector(capsys)


@pytest.fixture
def with_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)


class TestGoodTokens:
    @pytest.mark.usefixtures("with_secret")
    def test_a_good_token_is_shown_with_its_times_and_its_key(self, inspect: Inspector) -> None:
        expires = datetime.now(UTC) + timedelta(minutes=3, seconds=30)
        claims = {**GOOD_CLAIMS, "exp": int(expires.timestamp())}

        code, printed = inspect(make(GOOD_HEADER, claims))

        assert code == 0
        assert "kind       access\n" in printed
        assert f"signature  good, by HS256 key {KEY.id} (active)\n" in printed
        assert f"{expires:%Y-%m-%d %H:%M:%SZ} (in 3 min)" in printed
        assert '  sub         "42"\n' in printed
        assert printed.endswith("\nNothing is wrong.\n")

    def test_a_refresh_token_is_told_as_its_kind_and_nothing_is_wrong_with_it(self) -> None:
        session = Session.start(
            "42", NOW, epoch=0, idle_ttl=JWT.refresh_ttl, absolute_ttl=timedelta(days=30)
        )

        found = inspect_token(JWT.create_session_refresh_token(session), JWT, now=NOW)

        assert (found.kind, found.problems) == ("refresh", [])
        assert found.claims is not None
        assert found.claims["sid"] == session.id

    def test_without_keys_the_signature_is_not_checked_and_that_is_said(
        self, inspect: Inspector
    ) -> None:
        code, printed = inspect(make(GOOD_HEADER, GOOD_CLAIMS, Key.generate("HS256")))

        assert code == 0
        assert "signature  not checked\n" in printed
        assert printed.endswith("without keys the signature cannot be checked.\n")

    def test_a_retiring_key_is_told(self) -> None:
        old = RingKey(key=KEY, activate_at=NOW - timedelta(days=9))
        new = RingKey(key=Key.generate(), activate_at=NOW - timedelta(minutes=1))

        found = inspect_token(make(GOOD_HEADER, GOOD_CLAIMS), verifier(old, new), now=NOW)

        assert found.signature == f"good, by HS256 key {KEY.id} (retiring)"
        assert found.problems == []

    def test_a_key_that_the_token_brings_is_noted_and_not_looked_at(self) -> None:
        token = sign_as({**GOOD_HEADER, "jwk": {"kty": "oct"}}, GOOD_CLAIMS)

        found = inspect_token(token, JWT, now=NOW)

        assert found.problems == []
        assert found.notes == ["The header brings a key of its own (jwk); nobody here looks at it."]


def verifier(*keys: RingKey) -> JWTManager:
    class Source:
        def stamp(self) -> object:
            return None

        def load(self) -> list[RingKey]:
            return list(keys)

    return JWTManager(KeyRing.from_source(Source()), clock=lambda: NOW)


def sign_as(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Sign with our key under a header of any kind."""
    import jwt

    algorithm = jwt.get_algorithm_by_name("HS256")
    signing_input = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signing_input}.{part(algorithm.sign(signing_input.encode(), KEY.material))}"


def without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: members[key] for key in members if key != name}


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("token", "told"),
        [
            ("", "no token"),
            ("secret", "three parts with dots between them, but this has 1"),
            ("a.b", "but this has 2"),
            ("a.b.c.d.e", "encrypted token"),
            ("a..c", "payload is empty"),
            ("a.b.", "signature is empty"),
            ("e30=.e30.c", "header is no base64url"),
            ("é.e30.c", "header is no base64url"),
            ("e30.e30.c\x1b", "signature is no base64url"),
            ("a.b.c", "header is no JSON object"),
            (f"{part(b'{}')}.{part(b'[]')}.cc", "claims are no JSON object"),
            (f"{part(b'{}')}.{part(b'{{}')}.cc", "claims are no JSON object"),
            (f"{part(b'{}')}.{part(b'[' * 900)}.cc", "claims are no JSON object"),
            ("e30." + "a" * 9000 + ".c", "more than 8192 are refused unread"),
            (f"{part(b'[]' + b' ' * 800)}.e30.cc", "header is no JSON object"),
        ],
        ids=lambda value: str(value)[:20].encode("unicode_escape").decode(),
    )
    def test_what_is_no_token_is_told(self, token: str, told: str) -> None:
        assert told in problems(token)
        assert told in problems(token, None)

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            ({**GOOD_HEADER, "alg": "none"}, "alg is none: nobody signed it"),
            ({**GOOD_HEADER, "alg": "NonE"}, "alg is none: nobody signed it"),
            ({**GOOD_HEADER, "alg": "HS1"}, 'alg is "HS1"; we know HS256, '),
            ({**GOOD_HEADER, "alg": ["HS256"]}, 'alg is ["HS256"]; we know'),
            (without(GOOD_HEADER, "alg"), "alg is missing"),
            (without(GOOD_HEADER, "kid"), "kid is missing"),
            (without(GOOD_HEADER, "typ"), "typ is missing: ours are at+jwt"),
            ({**GOOD_HEADER, "typ": "JWT"}, 'typ is "JWT"; ours are at+jwt'),
            ({**GOOD_HEADER, "typ": {}}, "typ is {}; ours are at+jwt"),
            ({**GOOD_HEADER, "typ": "rt+jwt"}, "typ says refresh, and token_type says access."),
            ({**GOOD_HEADER, "crit": []}, "crit asks for an extension"),
            ({**GOOD_HEADER, "b64": False}, "b64 asks for an extension"),
            ({**GOOD_HEADER, "x": "x" * 1024}, "more than 1024 are refused"),
        ],
        ids=lambda value: value if isinstance(value, str) else "header",
    )
    def test_a_header_that_is_not_ours_is_told_with_keys_and_without(
        self, header: dict[str, Any], told: str
    ) -> None:
        assert told in problems(sign_as(header, GOOD_CLAIMS))
        assert told in problems(sign_as(header, GOOD_CLAIMS), None)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"exp": NOW.timestamp() // 1 - 7300}, "exp is no whole number"),
            ({"exp": int(NOW.timestamp()) - 7300}, "It expired 2 h ago."),
            ({"exp": 10**400}, "exp is no whole number"),
            ({"nbf": int(NOW.timestamp()) + 86_500}, "not yet valid: nbf is 1 d ahead"),
            ({"iat": int(NOW.timestamp()) + 125}, "made in the future: iat is 2 min ahead"),
            ({"sub": 42}, "sub is no text."),
            ({"role": None}, "role is no text."),
            ({"gen": -1}, "gen is no whole number"),
            ({"token_type": "bearer"}, 'token_type is "bearer"; ours are access and refresh.'),
            ({"aud": "shop"}, 'aud is "shop", but JWT_AUDIENCE is null.'),
        ],
        ids=lambda value: value if isinstance(value, str) else "claims",
    )
    def test_claims_that_nobody_accepts_are_told(self, changes: dict[str, Any], told: str) -> None:
        assert told in problems(make(GOOD_HEADER, {**GOOD_CLAIMS, **changes}))

    @pytest.mark.parametrize("name", GOOD_CLAIMS)
    def test_a_claim_that_is_missing_is_told(self, name: str) -> None:
        assert problems(make(GOOD_HEADER, without(GOOD_CLAIMS, name))) == f"{name} is missing."

    def test_another_issuer_and_another_audience_are_told(self) -> None:
        shop = JWTManager(KeyRing(KEY), issuer="shop", audience="shop", clock=lambda: NOW)
        claims = {**GOOD_CLAIMS, "iss": "pub", "aud": ["pub", "inn"]}

        assert problems(make(GOOD_HEADER, claims), shop).splitlines() == [
            'iss is "pub", but JWT_ISSUER is "shop".',
            'aud is ["pub", "inn"], but JWT_AUDIENCE is "shop".',
        ]
        assert problems(make(GOOD_HEADER, {**claims, "iss": "shop", "aud": ["shop"]}), shop) == ""

    def test_the_leeway_of_the_settings_counts(self) -> None:
        token = make(GOOD_HEADER, {**GOOD_CLAIMS, "exp": int(NOW.timestamp()) - 60})
        patient = JWTManager(KeyRing(KEY), leeway=timedelta(minutes=2), clock=lambda: NOW)

        assert problems(token) == "It expired 1 min ago."
        assert problems(token, patient) == ""


class TestSignatures:
    def test_a_changed_claim_is_seen(self) -> None:
        header, _, signature = make(GOOD_HEADER, GOOD_CLAIMS).split(".")
        payload = part(json.dumps({**GOOD_CLAIMS, "role": "admin"}).encode())

        found = inspect_token(f"{header}.{payload}.{signature}", JWT, now=NOW)

        assert found.signature == "bad"
        assert "something was changed" in "\n".join(found.problems)

    def test_a_key_that_nobody_knows_is_told_by_its_id(self) -> None:
        stranger = Key.generate("HS256")
        token = stranger.sign(json.dumps(GOOD_CLAIMS).encode(), token_type="at+jwt")

        assert problems(token) == f'None of our keys has the kid "{stranger.id}".'

    def test_the_algorithm_of_another_key_is_told(self) -> None:
        token = sign_as({**GOOD_HEADER, "alg": "HS512"}, GOOD_CLAIMS)

        assert "does not name the algorithm of our HS256 key" in problems(token)

    @pytest.mark.parametrize(
        ("moments", "state"),
        [
            ({"activate_at": NOW - timedelta(days=1), "revoked_at": NOW}, "revoked"),
            (
                {"activate_at": NOW - timedelta(days=2), "retired_at": NOW - timedelta(days=1)},
                "gone",
            ),
            ({"published_at": NOW + timedelta(days=1)}, "draft"),
        ],
        ids=["revoked", "gone", "draft"],
    )
    def test_a_good_signature_by_a_key_that_verifies_no_more_is_not_enough(
        self, moments: dict[str, datetime], state: str
    ) -> None:
        ours = RingKey(key=KEY, **moments)
        other = RingKey(key=Key.generate(), activate_at=NOW - timedelta(hours=20))

        found = inspect_token(make(GOOD_HEADER, GOOD_CLAIMS), verifier(ours, other), now=NOW)

        assert found.signature == f"good, by HS256 key {KEY.id} ({state})"
        assert found.problems == [f"The HS256 key {KEY.id} is {state}: it is refused."]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*GOOD_CLAIMS, "aud", "nbf", "gen", "role", "alg", "kid", "typ", "crit"])
CHANGES = st.dictionaries(NAMES | st.text(), JSON | st.integers(1, 9**10), max_size=3)


@given(
    header=CHANGES,
    claims=CHANGES,
    dropped=st.sets(NAMES, max_size=1),
    seconds=st.integers(-900, 900),
)
def test_what_is_told_agrees_with_what_is_accepted(
    header: dict[str, Any], claims: dict[str, Any], dropped: set[str], seconds: int
) -> None:
    now = NOW + timedelta(seconds=seconds)
    jwt = JWTManager(KeyRing(KEY), clock=lambda: now)
    header, claims = ({**GOOD_HEADER, **header}, {**GOOD_CLAIMS, **claims})
    for name in dropped:
        header.pop(name, None)
        claims.pop(name, None)
    token = sign_as(header, claims)

    found = inspect_token(token, jwt, now=now)

    accepted = False
    try:
        jwt.verify_token(token, found.kind or "access")
        accepted = True
    except InvalidToken:
        pass
    assert accepted == (found.problems == [])


def _printed_by_main(token: bytes) -> tuple[int, str]:
    """Give *token* to the command as standard input."""
    printed, stdin, stdout = io.TextIOWrapper(io.BytesIO(), "utf-8"), sys.stdin, sys.stdout
    sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(token)), printed
    code: Any = 0
    try:
        main(["inspect", "-"])
    except SystemExit as exit_:
        code = exit_.code
    finally:
        sys.stdin, sys.stdout = stdin, stdout
    printed.seek(0)
    return code, printed.read()


@given(
    content=st.binary()
    | st.tuples(st.binary(), st.binary()).map(
        lambda parts: f"{part(parts[0])}.{part(parts[1])}.c2ln".encode()
    )
)
def test_no_bytes_make_it_fail_or_print_what_a_terminal_obeys(content: bytes) -> None:
    code, printed = _printed_by_main(content)

    assert code in {0, 1}
    assert all(line.isprintable() for line in printed.split("\n"))


class TestPrinting:
    ATTACKS = (
        "\x1b]0;owned\x07",
        "\x1b[2J",
        "\x9b2J",
        "\r",
        "\n",
        "\u202e",
        "\u2028",
        "\x7f",
        "\x00",
    )

    @pytest.mark.parametrize("attack", ATTACKS, ids=[ascii(attack) for attack in ATTACKS])
    def test_a_terminal_is_shown_no_control_characters(
        self, attack: str, inspect: Inspector
    ) -> None:
        token = make(
            {**GOOD_HEADER, "alg": attack, attack: attack},
            {**GOOD_CLAIMS, attack: attack, "token_type": attack, "list": [attack]},
        )

        _, printed = inspect(token)

        assert all(line.isprintable() for line in printed.split("\n"))
        assert attack.strip("\n") == "" or attack not in printed

    def test_a_terminal_that_knows_ascii_alone_gets_escapes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))

        main(["inspect", make(GOOD_HEADER, {**GOOD_CLAIMS, "display_name": "Zoë"})])

        sys.stdout.flush()
        assert rb'"Zo\xeb"' in written.getvalue()

    @pytest.mark.usefixtures("with_secret")
    @pytest.mark.parametrize("is_good", [True, False])
    def test_token_signature_and_secret_are_never_printed(
        self, is_good: bool, inspect: Inspector
    ) -> None:
        token = make(GOOD_HEADER, {**GOOD_CLAIMS, **({} if is_good else {"exp": 1})})

        inspect(token)

        for kept in (*token.split("."), SECRET):
            assert kept not in inspect.printed + inspect.error


class TestInput:
    TOKEN = make(GOOD_HEADER, {**GOOD_CLAIMS, "exp": 9_999_999_999})

    @pytest.mark.parametrize(
        "words",
        [[TOKEN], [f" {TOKEN}\n"], [f"Bearer {TOKEN}"], ["bearer", TOKEN]],
        ids=["plain", "spaces", "one word", "two words"],
    )
    def test_what_people_paste_is_understood(self, words: list[str], inspect: Inspector) -> None:
        code, printed = inspect(*words)

        assert (code, '"42"' in printed) == (0, True)

    @pytest.mark.parametrize("before", ["", "Bearer ", "Authorization: Bearer "])
    def test_a_token_from_standard_input_stays_out_of_the_history(self, before: str) -> None:
        code, printed = _printed_by_main(f"{before}{self.TOKEN}\r\n".encode())

        assert (code, '"42"' in printed) == (0, True)

    def test_without_any_input_there_is_no_token(
        self, inspect: Inspector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)  # what a closed one is to Python

        assert inspect("-") == (1, "wrong: There is no token.\n")

    def test_claims_are_shown_where_the_header_cannot_be_read(self, inspect: Inspector) -> None:
        code, printed = inspect(f"{part(b'[]')}.{self.TOKEN.split('.')[1]}.c2ln")

        assert code == 1
        assert "kind       unknown\nsignature  not checked\n\nclaims\n" in printed
        assert "wrong: The header is no JSON object" in printed

    def test_what_is_odd_is_noted(self, inspect: Inspector) -> None:
        claims = {**GOOD_CLAIMS, "exp": 9_999_999_999}

        code, printed = inspect(sign_as({**GOOD_HEADER, "jku": "https://evil.test"}, claims))

        assert code == 0
        assert "\nnote: The header brings a key of its own (jku); nobody" in printed

    def test_several_words_are_no_token_and_none_of_them_is_repeated(
        self, inspect: Inspector
    ) -> None:
        code, printed = inspect("hunter2", self.TOKEN)

        assert code == 1
        assert "hunter2" not in printed + inspect.error
        assert self.TOKEN not in printed + inspect.error

    def test_the_keys_of_a_directory_are_used(
        self, inspect: Inspector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        key = Key.generate()
        KeyDirectory(tmp_path / "keys").add_first(key)
        monkeypatch.setenv("JWT_KEYS_DIR", str(tmp_path / "keys"))

        code, printed = inspect(JWTManager(KeyRing(key)).create_access_token({"user_id": "42"}))

        assert code == 0
        assert f"good, by EdDSA key {key.id} (active)" in printed

    def test_the_keys_and_the_names_of_a_kit_are_used(
        self, inspect: Inspector, tmp_path: Path
    ) -> None:
        (tmp_path / "inspected_host.py").write_text(HOST)
        token = make(GOOD_HEADER, {**GOOD_CLAIMS, "iss": "pub"})

        code, printed = inspect(token, "--kit", "inspected_host:kit")

        assert code == 1
        assert 'iss is "pub", but JWT_ISSUER is "shop".' in printed
        assert "None of our keys" in printed

    @pytest.mark.parametrize(
        ("arguments", "variables", "told"),
        [
            ([], {}, "TOKEN"),
            (["a.b.c", "--kit", "nowhere:kit"], {}, "No module named 'nowhere'"),
            (["a.b.c"], {"JWT_SECRET_KEY": "c2hvcnQ="}, "at least 32"),
            (["a.b.c"], {"JWT_KEYS_DIR": "nowhere"}, "nowhere holds no key"),
            (["a.b.c"], {"JWT_LEEWAY": "x"}, "JWT_LEEWAY"),
        ],
        ids=["no token", "no kit", "weak secret", "no keys", "bad setting"],
    )
    def test_a_wrong_call_is_a_usage_error(
        self,
        arguments: list[str],
        variables: dict[str, str],
        told: str,
        inspect: Inspector,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        assert inspect(*arguments) == (2, "")
        assert told in inspect.error


HOST = """
from jwt_auth_kit import AuthKit, AuthSettings, KeyRing, MemoryTokenStore, MemoryUserStore

kit = AuthKit(
    users=MemoryUserStore(), tokens=MemoryTokenStore(), keys=KeyRing.random(),
    settings=AuthSettings(issuer="shop"),
)
"""
