"""Random attacks on the application, and tokens made to break or to slow down who reads them."""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header
from fastapi.responses import JSONResponse

from apps import make_app
from fuzzing import (
    Attack,
    Text,
    Verdict,
    Word,
    World,
    decoded_json,
    encoded,
    fuzz,
    nonsense_on,
    parts_of,
    steal_member,
)
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    CurrentUser,
    InvalidToken,
    JWTManager,
    Key,
    KeyRing,
    get_auth,
    get_current_user,
)
from jwt_auth_kit.encoding import MAX_DEPTH
from jwt_auth_kit.tokens.jws import MAX_HEADER_LENGTH, MAX_TOKEN_LENGTH

CASES = 150
AUTHORIZED_BY_NOBODY = Word(
    "attacker access",
    (partial(steal_member, place=(1, "sub"), donor="victim access", signer="nobody"),),
)


class TestAttacks:
    @pytest.mark.parametrize(
        ("make_world", "seed"), [(World.with_headers_first, 1000), (World.with_cookies_first, 2000)]
    )
    def test_no_attack_breaks_in_and_none_breaks_anything(
        self, make_world: Callable[[], World], seed: int
    ) -> None:
        world = make_world()

        report = fuzz(world, cases=CASES, random_seed=seed)

        print(f"\n{report.cases} cases in {report.seconds:.1f} s: {dict(report.statuses)}")
        assert report.problems == []
        assert report.cases >= CASES
        assert report.attacked == set(world.routes)
        assert len(report.opened) > len(world.routes) / 2

    @pytest.mark.parametrize("path", ["/projects", "/auth/session"])
    def test_nothing_that_our_own_key_signed_breaks_anything(self, path: str) -> None:
        world = World.with_headers_first()
        route = next(route for route in world.routes if route.path == path)

        verdicts = carry_out(world, *nonsense_on(route))

        assert len(verdicts) > 1000
        assert [verdict.problems for verdict in verdicts if verdict.problems] == []
        assert {verdict.status for verdict in verdicts} <= {200, 401}


def carry_out(world: World, *attacks: Attack) -> list[Verdict]:
    async def run() -> list[Verdict]:
        await world.begin()
        return [await world.attack(attack) for attack in attacks]

    return asyncio.run(run())


def careless_app() -> FastAPI:
    """An application with the mistakes that the judge has to find."""
    app = make_app()

    @app.get("/believes")
    async def believes(authorization: Annotated[str, Header()]) -> str:
        return str(decoded_json(parts_of(authorization)[1])["sub"])

    @app.get("/breaks")
    async def breaks() -> str:
        raise RuntimeError("out of order")

    @app.get("/echoes")
    async def echoes(authorization: Annotated[str, Header()]) -> JSONResponse:
        return JSONResponse({"error": "x", "error_description": authorization}, 400)

    @app.get("/refuses")
    async def refuses() -> JSONResponse:
        return JSONResponse({"detail": {"code": "invalid_token", "message": "No"}}, 401)

    @app.get("/mumbles")
    async def mumbles() -> JSONResponse:
        return JSONResponse({"detail": {"code": "no_such_code", "message": "No"}}, 400)

    @app.get("/ends/{user_id}/{session_id}")
    async def ends(
        user_id: str, session_id: str, kit: Annotated[AuthKit, Depends(get_auth)]
    ) -> None:
        await kit.end_session(user_id, session_id)

    return app


def attack(app: FastAPI, *path: str | Word, token: Word | None = None) -> Verdict:
    """Send one GET to *app*."""
    world = World(app, [BearerTransport()])
    route = next(route for route in world.routes if route.path.startswith(str(path[0])))
    headers: tuple[tuple[str, Text], ...] = ()
    if token is not None:
        headers = (("authorization", ("Bearer ", token)),)
    return carry_out(world, Attack(route, "GET", path, headers))[0]


class TestTheJudge:
    def test_nothing_is_wrong_with_somebody_who_shows_a_token(self) -> None:
        verdict = attack(careless_app(), "/projects", token=Word("victim access"))

        assert (verdict.status, verdict.problems) == (200, ())

    def test_it_sees_who_believes_an_unsigned_token(self) -> None:
        verdict = attack(careless_app(), "/believes", token=AUTHORIZED_BY_NOBODY)

        assert verdict.forgeries == ("the answer knows the victim, whose token was not there",)

    def test_it_sees_a_secured_route_that_is_open(self) -> None:
        app = careless_app()
        app.dependency_overrides[get_current_user] = lambda: CurrentUser(id="7")

        verdict = attack(app, "/projects", token=Word("victim expired access"))

        assert verdict.forgeries == ("a secured route let a stranger in",)

    def test_it_sees_that_a_stranger_ended_a_session(self) -> None:
        verdict = attack(careless_app(), "/ends/", Word("victim id"), "/", Word("victim session"))

        assert "a stranger ended the victim's session" in verdict.forgeries

    def test_it_sees_a_server_error(self) -> None:
        verdict = attack(careless_app(), "/breaks")

        assert "out of order" in verdict.server_errors[0]

    @pytest.mark.parametrize(
        ("path", "complaint"),
        [
            ("/echoes", "an error that repeats a secret"),
            ("/refuses", "a 401 without a challenge"),
            ("/mumbles", "an error of another shape"),
        ],
    )
    def test_it_sees_a_refusal_that_is_not_as_it_should_be(self, path: str, complaint: str) -> None:
        verdict = attack(careless_app(), path, token=Word("victim access"))

        assert verdict.misshapen == (complaint,)


SECRET = hashlib.sha256(b"ours").digest()
HEADER = b'{"alg":"HS256","kid":"ours","typ":"at+jwt"}'


def claims(more: str = "", *, exp: int | None = None) -> bytes:
    """Good claims as JSON, with *more* members."""
    now = int(time.time())
    good = f'"sub":"1","jti":"x","iat":{now},"token_type":"access"'
    return f'{{{good},"exp":{exp or now + 900}{more}}}'.encode()


def header(more: str) -> bytes:
    return HEADER[:-1] + more.encode() + b"}"


def signed(header: bytes, payload: bytes) -> str:
    """Sign by hand: whoever has our key can still write nonsense."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{encoded(hmac.digest(SECRET, signing_input.encode(), 'sha256'))}"


def manager() -> JWTManager:
    return JWTManager(KeyRing(Key(id="ours", algorithm="HS256", material=SECRET)))


def passes(token: str) -> bool:
    """Tell whether *token* is accepted; any error but InvalidToken fails the test."""
    try:
        manager().verify_access_token(token)
    except InvalidToken:
        return False
    return True


class TestOddTokens:
    def test_a_header_of_more_than_a_kilobyte_is_refused(self) -> None:
        headers = [header(f',"x":"{"a" * length}"') for length in range(600, 800)]

        accepted = [len(encoded(each)) for each in headers if passes(signed(each, claims()))]

        assert MAX_HEADER_LENGTH - 2 <= max(accepted) <= MAX_HEADER_LENGTH
        assert len(accepted) == sum(len(encoded(each)) <= MAX_HEADER_LENGTH for each in headers)

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    @pytest.mark.parametrize("part", ["header", "payload"])
    def test_a_part_may_nest_only_so_deep(self, part: str, opening: str, closing: str) -> None:
        def token(depth: int) -> str:
            more = f',"x":{opening * depth}1{closing * depth}'
            if part == "header":
                return signed(header(more), claims())
            return signed(HEADER, claims(more))

        accepted = [depth for depth in range(MAX_DEPTH * 3) if passes(token(depth))]

        assert accepted == list(range(MAX_DEPTH))

    def test_many_lists_beside_each_other_are_not_deep(self) -> None:
        assert passes(signed(HEADER, claims(f',"teams":[{",".join(["[1]"] * 100)}]')))

    @pytest.mark.parametrize(
        "name", ["[" * 100, "{" * 100, '\\"[' * 60, "\\\\", "]}" * 50 + "[{" * 50]
    )
    def test_brackets_in_a_name_are_not_deep(self, name: str) -> None:
        assert passes(signed(HEADER, claims(f',"display_name":"{name}"')))

    @pytest.mark.parametrize(
        "more", [',"x":"\\ud800"', ',"\\udfff":1', ',"x":["\\ud83d","\\ude00"]']
    )
    def test_half_a_character_is_refused(self, more: str) -> None:
        assert not passes(signed(HEADER, claims(more)))
        assert not passes(signed(header(more), claims()))
        assert passes(signed(HEADER, claims(',"x":"\\ud83d\\ude00 \\u00e9"')))

    def test_a_time_that_no_calendar_holds_is_refused(self) -> None:
        last = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())

        assert passes(signed(HEADER, claims(f',"auth_time":{last}', exp=last)))
        assert not passes(signed(HEADER, claims(f',"auth_time":{last + 1}')))
        assert not passes(signed(HEADER, claims(exp=last + 1)))

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037"])
    def test_only_plain_utf_8_is_read(self, encoding: str) -> None:
        assert not passes(signed(HEADER.decode().encode(encoding), claims()))
        assert not passes(signed(HEADER, claims().decode().encode(encoding)))

    @pytest.mark.parametrize(
        "byte", [b"\x00", b"\x1f", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xff"]
    )
    def test_bytes_that_belong_in_no_text_are_refused(self, byte: bytes) -> None:
        for inside in (b',"x":"' + byte + b'"}', b"," + byte + b'"x":1}', b"}" + byte):
            assert not passes(signed(HEADER[:-1] + inside, claims()))
            assert not passes(signed(HEADER, claims()[:-1] + inside))

    def test_no_token_of_eight_kilobytes_takes_long(self) -> None:
        corpus = slow_tokens()
        jwt = manager()

        times = sorted(
            ((seconds_to_refuse(jwt, token), name) for name, token in corpus), reverse=True
        )

        print(f"\n{len(corpus)} tokens, slowest of each three times at best:")
        print("\n".join(f"{seconds * 1000:7.3f} ms  {name}" for seconds, name in times[:5]))
        assert len(corpus) > 50
        assert times[0][0] < 0.05


def seconds_to_refuse(jwt: JWTManager, token: str) -> float:
    assert len(token) <= MAX_TOKEN_LENGTH
    times = []
    for _ in range(3):
        begin = time.thread_time()
        with contextlib.suppress(InvalidToken):
            jwt.verify_access_token(token)
        times.append(time.thread_time() - begin)
    return min(times)


def slow_tokens() -> list[tuple[str, str]]:
    """Tokens as long as they may be, each the worst case of some step of reading one."""
    texts = {
        "open lists": "[",
        "open objects": '{"a":',
        "lists in lists": "[[]],",
        "quotes": '"',
        "escaped quotes": '\\"',
        "backslashes": "\\",
        "escapes": "\\u0000",
        "surrogates": "\\ud83d\\ude00",
        "halves of surrogates": "\\ud800",
        "digits": "9",
        "spaces": " ",
        "small members": '"a":1,',
        "small numbers": "1,",
        "fractions": "0.1e-9,",
        "letters": "é",
    }
    found: list[tuple[str, str]] = []
    for name, text in texts.items():
        for before, after in (
            ("", ""),
            (',"x":', ""),
            (',"x":"', '"'),
            (',"x":[', "0]"),
            (",", '"y":1'),
        ):
            for room, make in ((740, in_header), (5_900, in_payload)):
                more = before + text * (room // len(text.encode())) + after
                found.append((f"{name} in {make.__name__} after {before!r}", make(more)))
    parts = ["A" * 4_000, "A" * 2_000, "A" * 2_000]
    found.append(("base64 of nothing", ".".join(parts)))
    found.append(("dots", "a." * 4_000))
    found.append(("no dot", "a" * MAX_TOKEN_LENGTH))
    found.append(("names", in_payload("".join(f',"{number}":0' for number in range(600)))))
    return [(name, token) for name, token in found if len(token) <= MAX_TOKEN_LENGTH]


def in_header(more: str) -> str:
    return signed(header(more), claims())


def in_payload(more: str) -> str:
    return signed(HEADER, claims(more))
