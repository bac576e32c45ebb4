"""Requests that attack an application, and the judge who tells whether one got through.

An attack is a recipe: it names a genuine token and what is done to it, and becomes bytes when it
is carried out. So hypothesis can repeat and shrink it although every world has keys of its own.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, get_args
from urllib.parse import parse_qsl, quote

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from apps import Clock, make_app, make_kit
from jwt_auth_kit import (
    AuthKit,
    BearerTransport,
    CookieTransport,
    InvalidToken,
    SignedIn,
    Transport,
    install,
)
from jwt_auth_kit.errors import ErrorCode

PEOPLE = ("victim", "attacker", "admin")
PASSWORDS = {name: f"the {name} rides a bicycle at night" for name in PEOPLE}
TOKENS = ("access", "refresh", "expired access", "spent refresh")
OTHER_KEY = hashlib.sha256(b"another").digest()
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
FORM = "application/x-www-form-urlencoded"
JWT = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")

Change = Callable[[str, "World"], str]


@dataclass(frozen=True, slots=True)
class Word:
    """Something that belongs to somebody, such as ``victim access``, and what is done to it."""

    name: str
    changes: tuple[Change, ...] = ()
    spelling: Callable[[str], str] = str

    def make(self, world: "World") -> str:
        text = world.words[self.name]
        for change in self.changes:
            text = change(text, world)
        return self.spelling(text)


Text = tuple[str | Word, ...]
"""Bytes, written as Latin-1, with words of the world in between."""


@dataclass(frozen=True, slots=True)
class Route:
    """What OpenAPI tells about one operation."""

    method: str
    path: str
    is_secured: bool
    takes_form: bool
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attack:
    """A request, before its tokens are known."""

    route: Route
    method: str
    path: Text
    headers: tuple[tuple[str, Text], ...] = ()
    body: Text = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attack was answered, and what is wrong with that."""

    status: int
    server_errors: tuple[str, ...]
    forgeries: tuple[str, ...]
    misshapen: tuple[str, ...]
    request: str

    @property
    def problems(self) -> tuple[str, ...]:
        return self.server_errors + self.forgeries + self.misshapen


@dataclass
class Report:
    """What many attacks came to."""

    cases: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    attacked: set[Route] = field(default_factory=set)
    opened: set[Route] = field(default_factory=set)
    """Routes that let somebody in: the attacks do not all stop at the door."""
    server_errors: list[str] = field(default_factory=list)
    forgeries: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        return self.server_errors + self.forgeries + self.misshapen

    def add(self, attack: Attack, verdict: Verdict, seconds: float) -> None:
        self.cases += 1
        self.slowest = max(self.slowest, seconds)
        self.statuses[verdict.status] += 1
        self.attacked.add(attack.route)
        if httpx.codes.is_success(verdict.status):
            self.opened.add(attack.route)
        for kind in ("server_errors", "forgeries", "misshapen"):
            found = [f"{problem}: {verdict.request}" for problem in getattr(verdict, kind)]
            getattr(self, kind).extend(found)


def fuzz(world: "World", *, cases: int, random_seed: int) -> Report:
    """Send about *cases* attacks, the same number to each route, and go on after a success."""
    report = Report()
    begin = time.perf_counter()
    with asyncio.Runner() as runner:
        runner.run(world.begin())
        for number, route in enumerate(world.routes):

            @seed(random_seed + number)
            @settings(
                max_examples=-(-cases // len(world.routes)),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(attacks_on(route))
            def attack_route(attack: Attack) -> None:
                begin = time.perf_counter()
                verdict = runner.run(world.attack(attack))
                report.add(attack, verdict, time.perf_counter() - begin)

            attack_route()
        runner.run(world.aclose())
    report.seconds = time.perf_counter() - begin
    return report


class World:
    """An application with a victim, an attacker and an administrator, all signed in."""

    def __init__(self, app: FastAPI, transports: Sequence[Transport]) -> None:
        self.app = app
        self.transports = transports
        self.kit: AuthKit
        self.words: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.hashes: dict[str, str | None] = {}
        self.routes = read_routes(app)
        app.add_exception_handler(Exception, show_exception)

    @classmethod
    def with_headers_first(cls) -> "World":
        return cls(make_app(), (BearerTransport(), CookieTransport()))

    @classmethod
    def with_cookies_first(cls) -> "World":
        return cls(make_app(), (CookieTransport(), BearerTransport()))

    async def begin(self) -> None:
        """Start over: new keys, new accounts, the same application."""
        clock = Clock()
        self.kit = make_kit(clock=clock, on_event=lambda event: None)
        install(self.app, self.kit, transports=self.transports)
        early = {name: await self._register(name) for name in PEOPLE}
        clock.advance(minutes=16)
        for name, before in early.items():
            now = await self.kit.refresh(before.tokens.refresh_token)
            self.words |= {
                f"{name} access": now.tokens.access_token,
                f"{name} refresh": now.tokens.refresh_token,
                f"{name} expired access": before.tokens.access_token,
                f"{name} spent refresh": before.tokens.refresh_token,
                f"{name} session": now.session_id,
                f"{name} id": str(now.user.id),
            }
            self.ids[name] = str(now.user.id)
            self.hashes[name] = now.user.password_hash

    async def attack(self, attack: Attack) -> Verdict:
        """Carry out *attack*, judge the answer, and start over if something changed."""
        request = self._make(attack)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        response = await transport.handle_async_request(request)
        await response.aread()
        verdict = await Judge(self, attack, request, response).judge()
        is_change = request.method not in SAFE_METHODS and response.is_success
        if is_change or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            await self.aclose()
            await self.begin()
        return verdict

    async def aclose(self) -> None:
        await self.kit.aclose()

    async def _register(self, name: str) -> SignedIn:
        signed_in = await self.kit.register(f"{name}@example.com", PASSWORDS[name])
        if name != "admin":
            return signed_in
        await self.kit.set_role(str(signed_in.user.id), "admin")
        return await self.kit.refresh(signed_in.tokens.refresh_token)

    def _make(self, attack: Attack) -> httpx.Request:
        path = quote(self._bytes(attack.path), safe="/?=&%")
        return httpx.Request(
            attack.method,
            f"https://testserver{path}",
            headers=[(name.encode(), self._bytes(value)) for name, value in attack.headers],
            content=self._bytes(attack.body),
        )

    def _bytes(self, text: Text) -> bytes:
        made = (part if isinstance(part, str) else part.make(self) for part in text)
        return "".join(made).encode("latin-1", "replace")


async def show_exception(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse("".join(traceback.format_exception(error)[-4:]), status_code=500)


def read_routes(app: FastAPI) -> list[Route]:
    """List what OpenAPI documents, so that routes of tomorrow are attacked too."""
    document = app.openapi()
    schemas = document.get("components", {}).get("schemas", {})
    return [
        Route(
            method=method.upper(),
            path=path,
            is_secured=bool(operation.get("security")) and {} not in operation["security"],
            takes_form=FORM in operation.get("requestBody", {}).get("content", {}),
            fields=tuple(fields_of(operation.get("requestBody", {}), schemas)),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def fields_of(schema: Any, schemas: Mapping[str, Any]) -> Iterator[str]:
    """Find the names of all properties in a request body, whatever it is made of."""
    if isinstance(schema, list):
        for each in schema:
            yield from fields_of(each, schemas)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from fields_of(schemas.get(str(schema.get("$ref")).rpartition("/")[2]), schemas)
        for each in schema.values():
            yield from fields_of(each, schemas)


class Judge:
    """Compares an answer with what the request was entitled to."""

    def __init__(
        self, world: World, attack: Attack, request: httpx.Request, response: httpx.Response
    ) -> None:
        self.world = world
        self.request = request
        self.response = response
        self._is_secured = any(
            route.is_secured
            for route in world.routes
            if (route.method, route.path) == (attack.method, attack.route.path)
        )
        self.presented = set(read_credentials(request))
        genuine = set(world.words.values())
        self.nonsense = [
            decoded_json(parts_of(word)[1])
            for word in self.presented - genuine
            if is_signed_by(world, word)
        ]
        """Claims that our own key signed in this test; whoever has it may be anybody."""

    async def judge(self) -> Verdict:
        status = self.response.status_code
        return Verdict(
            status=status,
            server_errors=(self.response.text,) if status >= 500 else (),
            forgeries=(*self._forgeries(), *await self._damages()),
            misshapen=tuple(self._shape()) if 400 <= status < 500 else (),
            request=f"{self.request.method} {self.request.url} {self.request.headers.raw!r} "
            f"{self.request.content[:2000]!r} -> {status} {self.response.headers.raw!r} "
            f"{self.response.content[:2000]!r}",
        )

    def _forgeries(self) -> Iterator[str]:
        is_member = any(self._has_token(name, "access") for name in PEOPLE)
        if self.response.is_success and self._is_secured and not (is_member or self.nonsense):
            yield "a secured route let a stranger in"
        if self.response.is_success and self._is_secured and self._is_cross_site():
            yield "another web site made a browser do this"
        for name in PEOPLE:
            if self._shows(name) and not self._may_act_as(name):
                yield f"the answer knows the {name}, whose token was not there"
        if self._gives_tokens_of("victim") and not self._holds_anything_of("victim"):
            yield "the answer holds new tokens of the victim"

    async def _damages(self) -> list[str]:
        """Tell what was done to the victim by a request that holds no token of hers."""
        if self._holds_anything_of("victim"):
            return []
        words, kit = self.world.words, self.world.kit
        user_id = self.world.ids["victim"]
        account = await kit.users.get_by_id(user_id)
        live = {session.id for session in await kit.list_sessions(user_id)}
        found = []
        if words["victim session"] not in live:
            found.append("a stranger ended the victim's session")
        if account is None or account.password_hash != self.world.hashes["victim"]:
            found.append("a stranger changed the victim's account")
        try:
            await kit.authenticate(words["victim access"])
        except InvalidToken:
            found.append("a stranger voided the victim's access token")
        return found

    def _is_cross_site(self) -> bool:
        headers = self.request.headers
        is_from_elsewhere = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        is_change = self.request.method not in SAFE_METHODS
        return is_change and is_from_elsewhere and "authorization" not in headers

    def _may_act_as(self, name: str) -> bool:
        if self._is_named(name):
            return True
        if self._is_secured:
            return self._has_token(name, "access")
        knows_password = name == "attacker" and PASSWORDS[name] in self.presented
        return knows_password or self._has_token(name, "access", "refresh", "spent refresh")

    def _holds_anything_of(self, name: str) -> bool:
        return self._is_named(name) or self._has_token(name, *TOKENS)

    def _is_named(self, name: str) -> bool:
        """Tell whether our own key signed that this is *name*, or the session of *name*."""
        marks = {self.world.ids[name], self.world.words[f"{name} session"], f"{name}@example.com"}
        return any(not marks.isdisjoint(texts_in(claims)) for claims in self.nonsense)

    def _has_token(self, name: str, *kinds: str) -> bool:
        return any(self.world.words[f"{name} {kind}"] in self.presented for kind in kinds)

    def _shows(self, name: str) -> bool:
        text = self.response.text
        if f"{name}@example.com" in text or self.world.words[f"{name} session"] in text:
            return True
        return self.response.is_success and self.world.ids[name] in ids_in(self.response)

    def _gives_tokens_of(self, name: str) -> bool:
        sent = [self.response.text, *self.response.headers.get_list("set-cookie")]
        claims = [decoded_json(match[1]) for text in sent for match in JWT.finditer(text)]
        return self.world.ids[name] in [each.get("sub") for each in claims]

    def _shape(self) -> Iterator[str]:
        """Tell what is wrong with a refusal."""
        challenge = self.response.headers.get("www-authenticate", "")
        retry_after = self.response.headers.get("retry-after", "")
        if self.response.status_code == 401 and not challenge.startswith("Bearer realm="):
            yield "a 401 without a challenge"
        if self.response.status_code == 429 and not retry_after.isdigit():
            yield "a 429 that does not say when"
        if self.request.method != "HEAD" and not is_error_body(self.response):
            yield "an error of another shape"
        secrets = {word for word in self.presented if len(word) > 20}
        if any(secret in self.response.text for secret in secrets):
            yield "an error that repeats a secret"


def is_signed_by(world: World, word: str) -> bool:
    """Tell whether *word* is just what the key of *world* makes of it, to the letter."""
    return word.count(".") == 2 and sign(parts_of(word), world, "ours") == word


def read_credentials(request: httpx.Request) -> Iterator[str]:
    """Find what a server may take for credentials, each exactly as it was sent."""
    for value in request.headers.get_list("authorization"):
        yield from value.split()
    for value in request.headers.get_list("cookie"):
        yield from (pair.partition("=")[2].strip() for pair in value.split(";"))
    yield from (value for _, value in parse_qsl(request.content.decode("latin-1")))
    try:
        body = json.loads(request.content)
    except (ValueError, RecursionError):
        return
    yield from texts_in(body)


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else ():
        if isinstance(inner, str):
            yield inner


def ids_in(response: httpx.Response) -> Iterator[str]:
    """Find whom an answer is about: ``"1"``, or a ``user_id`` at any depth."""
    try:
        body = response.json()
    except ValueError:
        return
    if isinstance(body, str):
        yield body
    yield from re.findall(r'"user_id": ?"([^"]*)"', response.text)


def is_error_body(response: httpx.Response) -> bool:
    try:
        body = response.json()
    except ValueError:
        return False
    match body:
        case {"error": str(), "error_description": str(), **others}:
            return not others
        case {"detail": {"code": str(code), "message": str(), **others}}:
            return code in get_args(ErrorCode) and not others
        case {"detail": [*problems]}:
            names = {"type", "loc", "msg", "input"}
            return all(each.keys() == names and each["input"] is None for each in problems)
        case {"detail": "Not Found" | "Method Not Allowed"}:
            return response.status_code in {404, 405}
    return False


# What can be done to a token. Each takes the token and the world, and returns another text.

Place = tuple[int, str]
"""0 and a header parameter, or 1 and a claim."""


def flip_bit(token: str, world: World, *, position: int, bit: int) -> str:
    if not token:
        return token
    position %= len(token)
    return token[:position] + chr(ord(token[position]) ^ 1 << bit) + token[position + 1 :]


def cut(token: str, world: World, *, position: int, length: int) -> str:
    position %= len(token) + 1
    return token[:position] + token[position + length :]


def put(token: str, world: World, *, position: int, text: str) -> str:
    position %= len(token) + 1
    return token[:position] + text + token[position:]


def respell(token: str, world: World, *, spelling: str) -> str:
    return spelling.format(*parts_of(token))


def swap_part(token: str, world: World, *, part: int, donor: str) -> str:
    parts = parts_of(token)
    parts[part] = parts_of(world.words[donor])[part]
    return ".".join(parts)


def set_member(token: str, world: World, *, place: Place, value: object, signer: str) -> str:
    """Set a header parameter or a claim and sign again, or try to."""
    part, name = place
    parts = parts_of(token)
    parts[part] = encoded(json.dumps({**decoded_json(parts[part]), name: value}).encode())
    return sign(parts, world, signer)


def steal_member(token: str, world: World, *, place: Place, donor: str, signer: str) -> str:
    part, name = place
    value = decoded_json(parts_of(world.words[donor])[part]).get(name)
    return set_member(token, world, place=place, value=value, signer=signer)


def drop_member(token: str, world: World, *, place: Place, signer: str) -> str:
    part, name = place
    parts = parts_of(token)
    members = {key: value for key, value in decoded_json(parts[part]).items() if key != name}
    parts[part] = encoded(json.dumps(members).encode())
    return sign(parts, world, signer)


def replace_part(token: str, world: World, *, part: int, text: str, signer: str) -> str:
    parts = parts_of(token)
    parts[part] = encoded(text.encode("latin-1", "replace"))
    return sign(parts, world, signer)


def sign(parts: list[str], world: World, signer: str) -> str:
    signing_input = f"{parts[0]}.{parts[1]}"
    if signer == "nobody":
        return f"{signing_input}."
    if signer == "whoever it was":
        return f"{signing_input}.{parts[2]}"
    secret = {
        "a stranger": OTHER_KEY,
        "an empty key": b"",
        "the key id": str(decoded_json(parts[0]).get("kid")).encode("utf-8", "replace"),
        "ours": world.kit.jwt.keys.active.material,
    }[signer]
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def parts_of(token: str) -> list[str]:
    return [*token.encode("ascii", "replace").decode().split("."), "", ""][:3]


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decoded_json(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


NAMES = [f"{name} {kind}" for kind in ("access", *TOKENS, "refresh", "access") for name in PEOPLE]
STRANGERS = ("a stranger", "nobody", "whoever it was", "an empty key", "the key id")
HEADER_NAMES = ["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "cty", "zip"]
CLAIM_NAMES = [
    *("sub", "sid", "gen", "ep", "auth_time", "jti", "iat", "exp", "nbf", "token_type"),
    *("role", "scope", "iss", "aud", "email"),
]
SPELLINGS = [
    *("{0}=.{1}.{2}", "{0}.{1}=.{2}", "{0}.{1}.{2}=", "{0}.{1}.{2}==", "{0}.{1}.", "{0}..{2}"),
    *(".{1}.{2}", "{0}.{1}", "{0}.{1}.{2}.", ".{0}.{1}.{2}", "{0}.{1}.{2}.{2}.{2}", "{0}.{0}.{1}"),
    *("{0}. {1}.{2}", "{0}.{1}.{2}\t", "\x00{0}.{1}.{2}", "{0}.{1}.{2}\x00", "{0},{1},{2}"),
    *("{0}%2E{1}%2E{2}", '"{0}.{1}.{2}"', "Bearer {0}.{1}.{2}", "\xef\xbb\xbf{0}.{1}.{2}"),
    *("{0}.{1}.{2};{0}.{1}.{2}", "{0}.{1}.{2},{0}.{1}.{2}", "{0}.{1}.{2}#", "{0}/{1}/{2}"),
    '{{"protected":"{0}","payload":"{1}","signature":"{2}"}}',
    '{{"payload":"{1}","signatures":[{{"protected":"{0}","signature":"{2}"}}]}}',
]
ODD_JSON = [
    *("[" * 700, '{"a":' * 300, "[" * 300 + "]" * 300, '{"a":' * 20_000, "[" * 50_000, "[[],[]]"),
    *("NaN", "-Infinity", "1e999", "-0", "9" * 400, "9" * 5_000, "-1", "1" * 20_000, "0.1" * 9),
    *("null", "true", '"a"', "{}", "", " ", "\x00", "\xff\xfe", "\xef\xbb\xbf{}", "\xed\xa0\x80"),
    *('"\\ud800"', '{"a":"\\udfff"}', '{"alg":"HS256","alg":"none"}', "{'a':1}", "{} {}", "[1,]"),
    *('{\x00"\x00a\x00"\x00:\x001\x00}\x00', "a" * 70_000, '"' + "\\u0000" * 3_000 + '"'),
]
ODD_VALUES: list[object] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53 - 1, 2**53, 2**63, 10**400, 1.5, 1e300, [], {}),
    *(253_402_300_799, 253_402_300_800, float("nan"), float("inf"), "", "1", "01", "\u0661", "1 "),
    *("HS256", "none", "None", "HS512", "RS256", "at+jwt", "rt+jwt", "JWT", "access", "refresh"),
    *("admin", "user", "victim@example.com", "../../dev/null", "' OR 1=1 --", "\x00", "\ud800"),
    *("x" * 300, "x" * 5_000, ["1"], ["admin"], {"1": 1}, [[[[[[]]]]]], "\u202e"),
]
HEADERS: Mapping[str, Sequence[str]] = {
    "sec-fetch-site": ["same-origin", "same-site", "cross-site", "none", "", "Same-Origin"],
    "origin": ["https://testserver", "https://evil.example", "null", "", "https://["],
    "host": ["testserver", "evil.example", "[", "[::1", "a@b", "x:99999999", "", "\xe9", "a b"],
    "x-forwarded-for": ["1.2.3.4", "::1", "x", "1.2.3.4, 5.6.7.8:80", "[", "999.1.1.1"],
    "x-forwarded-host": ["evil.example"],
    "content-length": ["0", "-1", "x", "99999999999", ""],
    "content-encoding": ["gzip", "x"],
    "transfer-encoding": ["chunked"],
    "user-agent": ["", "\xff\xfe", "a" * 9_000, "\x1b[31m", "\t"],
    "accept": ["text/html", "*/*;q=x"],
}
CONTENT_TYPES = [
    *("application/json", "application/x-www-form-urlencoded", "", "text/plain", "json", "*/*"),
    *("application/json; charset=utf-16", "application/json;;=", "application/vnd.api+json"),
    *("multipart/form-data", "multipart/form-data; boundary=x", "\xff", "APPLICATION/JSON "),
]
FIELDS: Mapping[str, Sequence[str]] = {
    "email": [
        *("victim@example.com", "attacker@example.com", "ATTACKER@EXAMPLE.COM", "new@example.com"),
        *("x@y", "\x00@example.com", "a@xn--", "a" * 330 + "@example.com"),
    ],
    "username": ["victim@example.com", "attacker@example.com", "nobody"],
    "password": [
        *([PASSWORDS["attacker"]] * 3),
        *("wrong wrong wrong wrong", "\ud800" * 12, "\x00" * 12, "x" * 2_000, "short"),
    ],
    "grant_type": ["password", "password", "refresh_token", "client_credentials", ""],
    "display_name": ["Ann", "\ud800", "\x00", "\u202e"],
}
RIGHT_FIELDS: Mapping[str, Sequence[str]] = {
    "email": ["attacker@example.com", "new@example.com"],
    "username": ["attacker@example.com"],
    "password": [PASSWORDS["attacker"]],
    "grant_type": ["password", "refresh_token"],
}

latin_text = st.text(st.characters(max_codepoint=255), max_size=40)
header_text = st.text(
    st.characters(max_codepoint=255, blacklist_characters="\x00\r\n"), max_size=40
)
odd_values = st.sampled_from(ODD_VALUES) | st.text(max_size=12) | st.integers() | st.floats()
odd_json = st.sampled_from(ODD_JSON)
positions = st.integers(0, 2_000)


def often(usual: str, *odd: str) -> st.SearchStrategy[str]:
    return st.sampled_from([usual] * 2 * len(odd) + list(odd))


def with_keywords(
    change: Callable[..., str], **keywords: st.SearchStrategy[Any]
) -> st.SearchStrategy[Change]:
    return st.fixed_dictionaries(keywords).map(lambda drawn: partial(change, **drawn))


def edits(*signers: str) -> st.SearchStrategy[Change]:
    """Ways to write another header or other claims, signed by one of *signers*."""
    signer, donor = st.sampled_from(signers), st.sampled_from(NAMES)
    text = st.sampled_from([each for each in ODD_JSON if len(each) < 6_000]) | latin_text
    places = st.sampled_from(
        [(0, name) for name in HEADER_NAMES] + [(1, name) for name in CLAIM_NAMES]
    )
    return st.one_of(
        with_keywords(set_member, place=places, value=odd_values, signer=signer),
        with_keywords(steal_member, place=places, donor=donor, signer=signer),
        with_keywords(drop_member, place=places, signer=signer),
        with_keywords(replace_part, part=st.sampled_from([0, 1]), text=text, signer=signer),
    )


def damages() -> st.SearchStrategy[Change]:
    """Ways to garble a token."""
    return st.one_of(
        with_keywords(flip_bit, position=positions, bit=st.integers(0, 7)),
        with_keywords(flip_bit, position=st.just(-1), bit=st.integers(0, 3)),
        with_keywords(cut, position=positions, length=st.integers(1, 80)),
        with_keywords(put, position=positions, text=header_text),
        with_keywords(put, position=positions, text=st.sampled_from(["A" * 9_000, ".A" * 400])),
        with_keywords(respell, spelling=st.sampled_from(SPELLINGS)),
        with_keywords(swap_part, part=st.sampled_from([0, 1, 2]), donor=st.sampled_from(NAMES)),
    )


forgeries = edits(*STRANGERS) | damages()
nonsense = edits("ours")
changes: st.SearchStrategy[tuple[Change, ...]] = st.one_of(
    st.just(()),
    st.just(()),
    st.tuples(forgeries),
    st.tuples(edits(*STRANGERS)),
    st.tuples(forgeries, forgeries),
    st.tuples(nonsense),
    st.tuples(nonsense, nonsense),
)


@cache
def tokens(spelling: Callable[[str], str] = str) -> st.SearchStrategy[Word]:
    """Genuine tokens, forged ones, and ones that our own key signed over nonsense."""
    return st.builds(Word, st.sampled_from(NAMES), changes, st.just(spelling))


bearer: st.SearchStrategy[Text] = tokens().map(lambda word: ("Bearer ", word))
clean_cookie: st.SearchStrategy[Text] = st.tuples(
    st.sampled_from(["__Host-access_token=", "__Host-refresh_token="]), tokens()
)
authorization: st.SearchStrategy[Text] = st.tuples(
    often("Bearer", "bearer", "BEARER", "Basic", "DPoP", "", "Bearer Bearer", "\xa0Bearer"),
    often(" ", "  ", "\t", "", ":", ", ", " =", "\xa0"),
    tokens() | tokens() | header_text,
    often("", " ", ",", " x", "=", ", Bearer x", "\xff", ";"),
)
one_cookie: st.SearchStrategy[Text] = st.tuples(
    often("__Host-access_token", "__Host-refresh_token", "access_token", "__host-access_token", ""),
    often("=", "", " = ", "==", '="', "=Bearer ", "=%22"),
    tokens() | tokens() | header_text,
    often("; ", "", ";", ",", '"; ', "\xff", "; ; "),
)
cookies: st.SearchStrategy[Text] = st.lists(one_cookie, min_size=1, max_size=3).map(
    lambda pairs: tuple(part for pair in pairs for part in pair)
)
clean_credentials = st.one_of(
    bearer.map(lambda value: [("authorization", value)]),
    st.tuples(clean_cookie, often("same-origin", "none", "same-site", "cross-site")).map(
        lambda drawn: [("cookie", drawn[0]), ("sec-fetch-site", (drawn[1],))]
    ),
)
odd_credentials = st.one_of(
    clean_credentials,
    authorization.map(lambda value: [("authorization", value)]),
    cookies.map(lambda value: [("cookie", value), ("sec-fetch-site", ("same-origin",))]),
    st.lists(st.tuples(st.just("authorization"), authorization), max_size=3),
    st.lists(st.tuples(st.just("cookie"), cookies), max_size=3),
)
other_headers = st.lists(
    st.sampled_from([(name, (value,)) for name, values in HEADERS.items() for value in values])
    | st.tuples(st.sampled_from(sorted(HEADERS)), st.tuples(header_text)),
    max_size=3,
)


@cache
def field_values(name: str, *, as_json: bool) -> st.SearchStrategy[Text]:
    """Draw what may stand for the field *name*, spelled as it is in a body."""
    likely = [text for part, texts in FIELDS.items() if part in name for text in texts]
    texts = st.sampled_from(likely) if likely else st.text(max_size=12)
    spelled = (texts | texts | texts | odd_values).map(json.dumps if as_json else url_quoted)
    values = (spelled | spelled | odd_json).map(lambda text: (text,))
    words = tokens(json.dumps if as_json else url_quoted).map(lambda word: (word,))
    return st.one_of(words, words, words, values) if "token" in name else values


def right_values(name: str, *, as_json: bool) -> st.SearchStrategy[Text]:
    """Draw what gets an attacker, or the victim, through."""
    spell = json.dumps if as_json else url_quoted
    if "token" in name:
        return st.sampled_from(NAMES).map(lambda of: (Word(of, spelling=spell),))
    texts = [text for part, texts in RIGHT_FIELDS.items() if part in name for text in texts]
    return st.sampled_from(texts or ["x"]).map(spell).map(lambda text: (text,))


def url_quoted(value: object) -> str:
    return quote(str(value).encode("utf-8", "surrogatepass"), safe="")


@cache
def fields(route: Route, *, as_json: bool) -> st.SearchStrategy[Text]:
    """Draw a body: what the route expects, some of it odd, missing or there twice."""
    names = [*route.fields, "refresh_token", "role", "\u202e"]
    one = {name: field_values(name, as_json=as_json) for name in names}
    right = st.tuples(
        *(right_values(name, as_json=as_json).map(partial(named, name)) for name in route.fields)
    )
    expected = st.tuples(*(one[name].map(partial(named, name)) for name in route.fields))
    others = st.lists(
        st.sampled_from(names).flatmap(lambda name: one[name].map(partial(named, name))), max_size=3
    )
    spell = as_object if as_json else as_form
    both = st.tuples(expected, others).map(lambda drawn: spell([*drawn[0], *drawn[1]]))
    return st.one_of(right.map(spell), expected.map(spell), others.map(spell), both)


Field = tuple[str, Text]


def named(name: str, value: Text) -> Field:
    return name, value


def as_object(body: Sequence[Field]) -> Text:
    parts = [part for name, value in body for part in (json.dumps(name), ":", *value, ",")]
    return ("{", *parts[:-1], "}")


def as_form(body: Sequence[Field]) -> Text:
    parts = [part for name, value in body for part in (url_quoted(name), "=", *value, "&")]
    return tuple(parts[:-1])


def typed(*names: str) -> list[tuple[str, Text]]:
    return [("content-type", (name,)) for name in names]


Content = tuple[list[tuple[str, Text]], Text]
"""Content types, as headers, and a body."""


@cache
def clean_contents(route: Route) -> st.SearchStrategy[Content]:
    if not route.fields:
        return st.just(([], ()))
    content_type = typed(FORM if route.takes_form else "application/json")
    return st.tuples(st.just(content_type), fields(route, as_json=not route.takes_form))


@cache
def odd_contents(route: Route) -> st.SearchStrategy[Content]:
    odd_body = (odd_json | latin_text).map(lambda text: (text,))
    anything = fields(route, as_json=True) | fields(route, as_json=False) | odd_body
    return st.one_of(
        clean_contents(route),
        st.tuples(st.just(typed("application/json")), odd_body),
        st.tuples(st.sampled_from(CONTENT_TYPES).map(typed), anything),
        st.tuples(st.just(typed("text/plain", "application/json")), anything),
        st.tuples(st.just([]), anything | st.just(())),
    )


@cache
def paths(route: Route) -> st.SearchStrategy[Text]:
    """Fill in the path, and sometimes put a token into the query, where none may be read."""
    sessions = st.sampled_from([Word(f"{name} session") for name in PEOPLE])
    parts = [
        sessions | latin_text if part.startswith("{") else st.just(part)
        for part in re.split(r"(\{\w+\})", route.path)
    ]
    path = st.tuples(*parts)
    query = st.tuples(st.sampled_from(["?access_token=", "?refresh_token=", "?"]), tokens())
    return path | path | path | st.tuples(path, query).map(lambda both: (*both[0], *both[1]))


@cache
def attacks_on(route: Route) -> st.SearchStrategy[Attack]:
    """Draw well-formed requests, odd only in what they claim, and requests odd in every way."""
    methods = [route.method] * 5 * len(METHODS) + list(METHODS)
    clean: st.SearchStrategy[tuple[Any, ...]] = st.tuples(
        st.just(route.method), paths(route), clean_credentials, st.just([]), clean_contents(route)
    )
    odd = st.tuples(
        st.sampled_from(methods), paths(route), odd_credentials, other_headers, odd_contents(route)
    )
    return (clean | odd).map(lambda drawn: assembled(route, *drawn))


def assembled(
    route: Route,
    method: str,
    path: Text,
    credentials: list[tuple[str, Text]],
    headers: list[tuple[str, Text]],
    content: Content,
) -> Attack:
    return Attack(route, method, path, (*credentials, *headers, *content[0]), content[1])


def nonsense_on(route: Route) -> Iterator[Attack]:
    """List requests whose token holds each odd value under each name, signed with our own key."""
    places: list[Place] = [
        *((0, name) for name in HEADER_NAMES),
        *((1, name) for name in CLAIM_NAMES),
    ]
    for place in places:
        for value in ODD_VALUES:
            change = partial(set_member, place=place, value=value, signer="ours")
            token = Word("attacker access", (change,))
            yield Attack(
                route, route.method, (route.path,), (("authorization", ("Bearer ", token)),)
            )
