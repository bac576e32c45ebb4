"""No token, password, hash, salt or key gets into a log, an error, a repr or a wrong answer.

Passwords and the signing key hold the word ``quetzal``; tokens, hashes and salts are remembered
as they come. What was logged, raised and answered is searched for all of them.
"""

import base64
import json
import logging
import sqlite3
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from redis.asyncio import Redis
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect
from websockets.typing import Subprotocol

import jwt_auth_kit
from apps import Clock, Events, make_kit
from jwt_auth_kit import (
    Argon2Hasher,
    AuthError,
    AuthEvent,
    AuthKit,
    AuthSettings,
    BearerTransport,
    Client,
    CookieTransport,
    JWTManager,
    Key,
    KeyDirectory,
    KeyFile,
    KeyRing,
    KeySet,
    KeySource,
    LoginThrottle,
    MemoryTokenStore,
    MemoryUserStore,
    NewUser,
    PasslibHasher,
    PasswordPolicy,
    RingKey,
    SignedIn,
    TokenFormat,
    TokenPair,
    TokenVerifier,
    Transport,
    UserDep,
    accept_while_signed_in,
    auth_router,
    install,
    log_event,
)
from jwt_auth_kit.stores.redis import RedisTokenStore
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    User,
    create_schema,
)
from jwt_auth_kit.tokens.jws import SignedToken
from jwt_auth_kit.web.bodies import (
    AuthLoginBody,
    AuthPasswordBody,
    AuthRefreshBody,
    AuthRegisterBody,
    AuthSignedInBody,
)
from jwt_auth_kit.web.installation import Credential
from jwt_auth_kit.web.oauth_form import AuthTokenBody, AuthTokenForm
from live import live_server

EMAIL = "ada@example.com"
OTHER_EMAIL = "bob@example.com"
KEY = b"quetzal, the signing key: " + bytes(range(6))
SECRET = base64.b64encode(KEY).decode()
PASSWORD = "quetzal Zq4 the password"
NEW_PASSWORD = "quetzal Nv2 the new one"
WRONG_PASSWORD = "quetzal Wx7 a wrong guess"
WEAK_PASSWORD = "quetzal"
UNCHECKED_PASSWORD = "quetzal Br5 nobody can tell"
REDIS = "redis://quetzal:quetzal@127.0.0.1:1/0"
REDIS_WITHOUT_HOST = "redis://quetzal@:quetzal"
REPEATED_SECRET = base64.b64encode(b"quetzal" * 9).decode()

GIVES_TOKENS = {"/auth/register", "/auth/login", "/auth/token", "/auth/refresh", "/auth/password"}
COUNTS_GUESSES = {"/auth/login", "/auth/password", "/auth/token"}
CANNOT_FAIL = {"GET /auth/session"}

FORM = "application/x-www-form-urlencoded"
EVERY_FIELD = ("email", "username", "password", "current_password", "new_password", "refresh_token")
ALL_WRONG = dict.fromkeys((*EVERY_FIELD, "grant_type", "x"), WRONG_PASSWORD)

NOT_UNICODE = f"{PASSWORD} \ud800"
DRIVERS = ("aiosqlite", "sqlalchemy")
"""They log statements with what is in them, if they are told to log so much."""

logger = logging.getLogger("host")


class Secrets:
    """What must not be found, in every spelling."""

    def __init__(self) -> None:
        self._others = {
            "quetzal": "a password or the key",
            SECRET: "the key in base64",
            "$argon2": "a hash",
            "[parameters:": "the values of a statement",
        }
        self._tokens: dict[str, str] = {}

    def add_token(self, token: str) -> None:
        # Header and claims are no secret; the signature makes it a token.
        self._tokens[token.rpartition(".")[2]] = "a token"

    def add_hash(self, password_hash: str) -> None:
        self._others[password_hash.rpartition("$")[2]] = "a hash"

    def add_salt(self, salt: bytes) -> None:
        for spelling in (salt.hex(), base64.b64encode(salt).decode(), repr(salt)[2:-1]):
            self._others[spelling] = "a salt"

    def add_private_key(self, key: Key) -> None:
        self._others[key.private_jwk()["d"]] = "a private key"

    def find(self, where: str, *, except_tokens: bool = False) -> set[str]:
        spellings = self._others | ({} if except_tokens else self._tokens)
        folded = where.lower()
        return {what for spelling, what in spellings.items() if spelling.lower() in folded}


class Visit:
    """Calls every route in many ways, and keeps what comes back."""

    def __init__(self, client: Any, secrets: Secrets, *, has_cookies: bool) -> None:
        self.secrets = secrets
        self.statuses: dict[str, set[int]] = {}
        self.answers: list[tuple[str, str, bool]] = []
        """What came back: where, the text, and whether a token belongs there."""
        self.access_token = self.refresh_token = ""
        self.address = "198.51.100.1"
        self._client = client
        self.has_cookies = has_cookies

    def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Any:
        self._client.cookies.clear()  # only those in *headers* count
        own = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": self.address}
        answer = self._client.request(method, path, headers={**own, **(headers or {})}, **body)
        is_one = path.startswith("/auth/sessions/")
        operation = f"{method} {'/auth/sessions/{session_id}' if is_one else path}"
        self.statuses.setdefault(operation, set()).add(answer.status_code)
        gives_tokens = answer.is_success and path in GIVES_TOKENS
        in_cookies = gives_tokens and self.has_cookies and path != "/auth/token"
        if gives_tokens:
            self._remember(dict(answer.cookies) if in_cookies else answer.json())
        where = f"{answer.status_code} {method} {path}"
        others = [item for item in answer.headers.multi_items() if item[0] != "set-cookie"]
        self.keep(f"{where}: body", answer.text, may_be_token=gives_tokens and not in_cookies)
        cookies = answer.headers.get_list("set-cookie")
        self.keep(f"{where}: cookies", repr(cookies), may_be_token=in_cookies)
        self.keep(f"{where}: headers", repr(others))
        return answer

    def keep(self, where: str, answer: str, *, may_be_token: bool = False) -> None:
        self.answers.append((where, answer, may_be_token))

    def find_leaks(self) -> list[tuple[str, set[str]]]:
        return [
            (where, found)
            for where, answer, may_be_token in self.answers
            if (found := self.secrets.find(answer, except_tokens=may_be_token))
        ]

    def carry(self, access_token: str, refresh_token: str = "") -> dict[str, str]:
        """Make the headers that carry a token; a refresh token only in cookies."""
        if not self.has_cookies:
            return {"Authorization": f"Bearer {access_token}"}
        refresh_token = refresh_token or self.refresh_token
        cookies = {"__Host-access_token": access_token, "__Host-refresh_token": refresh_token}
        return {"Cookie": "; ".join(map("=".join, cookies.items()))}

    def refresh(self, refresh_token: str) -> Any:
        headers = self.carry(self.access_token, refresh_token)
        body = {} if self.has_cookies else {"json": {"refresh_token": refresh_token}}
        return self.call("POST", "/auth/refresh", headers=headers, **body)

    def sign_in(self, email: str = EMAIL) -> dict[str, str]:
        """Sign in and return the headers of the new session."""
        self.call("POST", "/auth/login", json={"email": email, "password": PASSWORD})
        return self.carry(self.access_token)

    def _remember(self, holder: Mapping[str, str]) -> None:
        tokens = {name.removeprefix("__Host-"): value for name, value in holder.items()}
        self.access_token = tokens["access_token"]
        self.refresh_token = tokens.get("refresh_token", self.refresh_token)
        self.secrets.add_token(self.access_token)
        self.secrets.add_token(self.refresh_token)


def do_everything_right(visit: Visit) -> None:
    """Call each route so that it succeeds."""
    account = {"email": EMAIL, "password": PASSWORD}
    visit.call("POST", "/auth/register", json=account)
    user = visit.sign_in()
    for path in ("/auth/me", "/auth/session", "/auth/sessions"):
        visit.call("GET", path, headers=user)
    visit.refresh(visit.refresh_token)
    form = {"username": EMAIL, "password": PASSWORD}
    visit.call("POST", "/auth/token", data={"grant_type": "password", **form})
    form = {"refresh_token": visit.refresh_token}
    visit.call("POST", "/auth/token", data={"grant_type": "refresh_token", **form})
    for old, new in ((PASSWORD, NEW_PASSWORD), (NEW_PASSWORD, PASSWORD)):
        change = {"current_password": old, "new_password": new}
        headers = visit.carry(visit.access_token)
        visit.call("POST", "/auth/password", headers=headers, json=change)
    user = visit.sign_in()
    session_id = visit.call("GET", "/auth/sessions", headers=user).json()[0]["id"]
    visit.call("DELETE", f"/auth/sessions/{session_id}", headers=user)
    user = visit.sign_in()
    visit.call("DELETE", "/auth/sessions", headers=user)
    visit.call("POST", "/auth/logout", headers=user)
    visit.call("POST", "/auth/logout-all", headers=visit.sign_in())


def do_everything_wrong(visit: Visit, operations: Sequence[tuple[str, str]], expired: str) -> None:
    """Call each route with all sorts of tokens and bodies."""
    forged = JWTManager(KeyRing.random()).create_access_token({"user_id": "1", "role": "admin"})
    for method, path in operations:
        good = visit.sign_in()
        wrong = [expired, forged, visit.refresh_token, visit.access_token[:-1], PASSWORD, ""]
        visit.secrets.add_token(forged)
        for headers in ({}, good, *map(visit.carry, wrong)):
            for body in make_wrong_bodies() if method == "POST" else [{}]:
                content_type = body.pop("headers", {})
                visit.call(method, path, headers={**headers, **content_type}, **body)


def make_wrong_bodies() -> Iterator[dict[str, Any]]:
    whole = json.dumps(ALL_WRONG)
    as_json, as_form = {"Content-Type": "application/json"}, {"Content-Type": FORM}
    yield {}
    yield {"json": ALL_WRONG}
    yield {"json": PASSWORD}
    yield {"json": [PASSWORD]}
    yield {"json": {"x": PASSWORD}}
    yield {"json": {name: [PASSWORD] for name in EVERY_FIELD}}
    yield {"json": {name: {PASSWORD: PASSWORD} for name in EVERY_FIELD}}
    yield {"json": {**ALL_WRONG, "email": EMAIL}}
    yield {"json": {**ALL_WRONG, "email": OTHER_EMAIL, "password": WEAK_PASSWORD}}
    yield {"json": {**ALL_WRONG, "email": "new@example.com", "password": UNCHECKED_PASSWORD}}
    yield {"json": {**ALL_WRONG, "current_password": PASSWORD, "new_password": WEAK_PASSWORD}}
    yield {"json": dict.fromkeys(EVERY_FIELD, PASSWORD * 50)}
    yield {"json": dict.fromkeys(EVERY_FIELD, PASSWORD * 1000)}
    yield {"content": whole[:-9], "headers": as_json}
    yield {"content": whole.encode() + b"\xff", "headers": as_json}
    yield {"content": whole.replace("quetzal", "\\ud800 quetzal"), "headers": as_json}
    yield {"content": whole, "headers": {"Content-Type": "text/plain"}}
    yield {"content": whole, "headers": as_form}
    yield {"content": f"password={PASSWORD}&password={PASSWORD}", "headers": as_form}
    yield {"data": ALL_WRONG}
    yield {"data": {**ALL_WRONG, "grant_type": "password", "username": EMAIL}}
    yield {"data": {**ALL_WRONG, "grant_type": "refresh_token"}}
    yield {"files": {"password": PASSWORD.encode()}}


def text_of_error(error: BaseException) -> str:
    """Return what could be written about an error and its causes."""
    lines = traceback.format_exception(error)
    return "\n".join([*lines, repr(error), str(error), repr(error.args), repr(vars(error))])


def text_of_record(record: logging.LogRecord) -> str:
    """Return what a handler could write about a record."""
    error = record.exc_info[1] if record.exc_info else None
    about_error = "" if error is None else text_of_error(error)
    return "\n".join([record.getMessage(), repr(vars(record)), about_error])


def fail_on(event: AuthEvent) -> None:
    """An event hook with a mistake."""
    log_event(event)
    raise RuntimeError(f"cannot write {event}")


async def ask_a_list(password: str) -> bool:
    """A list of stolen passwords that is away."""
    if password == UNCHECKED_PASSWORD:
        raise ConnectionError("the list does not answer")
    return False


def make_talkative_app(
    kit: AuthKit, transports: Sequence[Transport], engine: AsyncEngine
) -> FastAPI:
    """Make an application that logs every error with all it knows."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await create_schema(engine)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.include_router(auth_router)
    install(app, kit, transports=transports)

    @app.websocket("/live")
    async def live(websocket: WebSocket, user: UserDep) -> None:
        async with accept_while_signed_in(websocket, user):
            await websocket.send_text(repr(user))

    @app.exception_handler(RequestValidationError)
    async def show_problems(request: Request, error: RequestValidationError) -> Response:
        logger.error("%r %r", error.body, error.errors(), exc_info=error)
        return await request_validation_exception_handler(request, error)

    @app.exception_handler(AuthError)
    async def show_refusal(request: Request, error: AuthError) -> Response:
        logger.error("%r", error.headers, exc_info=error)
        return await http_exception_handler(request, error)

    @app.exception_handler(Exception)
    async def show_error(request: Request, error: Exception) -> Response:
        logger.error("%r", request, exc_info=error)
        return PlainTextResponse("Sorry", status_code=500)

    return app


def connect_in_every_way(client: TestClient, visit: Visit, token: str) -> None:
    forged = JWTManager(KeyRing.random()).create_access_token({"user_id": "1"})
    visit.secrets.add_token(forged)
    for sent in (token, forged, PASSWORD, f"{token}x"):
        header = {"Authorization": f"Bearer {sent}"}
        cookie = {"Cookie": f"__Host-access_token={sent}"}
        for options in (
            {"headers": header},
            {"headers": {**cookie, "Origin": "https://testserver"}},
            {"headers": {**cookie, "Origin": "https://elsewhere.example"}},
            {"subprotocols": ["bearer", sent]},
        ):
            visit.keep("WebSocket", describe_connection(client, options))


def describe_connection(client: TestClient, options: dict[str, Any]) -> str:
    client.cookies.clear()
    try:
        with client.websocket_connect("wss://testserver/live", **options) as socket:
            accepted = repr((socket.accepted_subprotocol, socket.extra_headers))
            return accepted + socket.receive_text()
    except WebSocketDisconnect as closed:
        return repr(vars(closed))


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what was logged by everything but the test's own client."""
    for driver in DRIVERS:
        caplog.set_level(logging.WARNING, logger=driver)
    caplog.set_level(logging.DEBUG)
    clients = ("httpx", "httpx2", "httpcore", "httpcore2", "websockets.client")
    return lambda: [
        text_of_record(record) for record in caplog.records if not record.name.startswith(clients)
    ]


@pytest.mark.parametrize("has_cookies", [False, True], ids=["bearer", "cookies"])
def test_no_route_leaks_whatever_happens(
    has_cookies: bool, tmp_path: Path, logs: Callable[[], list[str]]
) -> None:
    secrets, clock = Secrets(), Clock()
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/accounts.sqlite3")
    kit = make_kit(
        users=SQLAlchemyUserStore(engine),
        tokens=SQLAlchemyTokenStore(engine),
        keys=KeyRing.from_secret(SECRET),
        password_policy=PasswordPolicy(is_breached=ask_a_list),
        on_event=fail_on,
        clock=clock,
        settings={"secret_key": SECRET, "revocation_interval": 0, "trusted_proxies": "192.0.2.1"},
    )
    transports = [CookieTransport()] if has_cookies else []
    app = make_talkative_app(kit, [*transports, BearerTransport()], engine)
    operations = list_operations(app)

    with TestClient(
        app,
        base_url="https://testserver",
        raise_server_exceptions=False,
        client=("192.0.2.1", 50000),
    ) as client:
        assert client.portal is not None
        visit = Visit(client, secrets, has_cookies=has_cookies)
        do_everything_right(visit)
        expired = visit.access_token
        clock.advance(minutes=16)
        use_a_spent_token(visit, clock)
        visit.call("POST", "/auth/register", json={"email": OTHER_EMAIL, "password": PASSWORD})
        other = visit.carry(visit.access_token)
        connect_in_every_way(client, visit, visit.access_token)
        do_everything_wrong(visit, operations, expired)
        client.portal.call(read_secrets, engine, secrets)
        for break_down in (let_writes_fail, let_reads_fail):
            client.portal.call(break_down, engine)
            try_everything_in_vain(visit, operations, other)

    written = logs()
    assert visit.find_leaks() == []
    assert [line for line in written if secrets.find(line)] == []
    for sentence in ('"event": "logged_in"', "hook failed", "database failed", "list does not"):
        assert any(sentence in line for line in written), sentence
    assert_that_all_was_tried(visit, operations)


def list_operations(app: FastAPI) -> list[tuple[str, str]]:
    """List the routes; those that run into the throttle come last."""
    paths = app.openapi()["paths"]
    operations = [(method.upper(), path) for path in paths for method in paths[path]]
    return sorted(operations, key=lambda operation: operation[1] in COUNTS_GUESSES)


def use_a_spent_token(visit: Visit, clock: Clock) -> None:
    visit.sign_in()
    spent = visit.refresh_token
    clock.advance(minutes=1)
    visit.refresh(spent)
    visit.refresh(visit.refresh_token)  # which shows that it has arrived
    clock.advance(minutes=1)
    assert visit.refresh(spent).json()["detail"]["code"] == "refresh_reused"


async def read_secrets(engine: AsyncEngine, secrets: Secrets) -> None:
    async with engine.connect() as connection:
        for (password_hash,) in await connection.execute(text("SELECT password_hash FROM users")):
            secrets.add_hash(password_hash)
        for (salt,) in await connection.execute(text("SELECT salt FROM auth_sessions")):
            secrets.add_salt(salt)


async def let_writes_fail(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def forbid(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    await engine.dispose()


async def let_reads_fail(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("PRAGMA query_only = OFF"))
        for table in ("auth_sessions", "auth_epochs", "users"):
            await connection.execute(text(f"DROP TABLE {table}"))
        await connection.commit()


def try_everything_in_vain(
    visit: Visit, operations: Sequence[tuple[str, str]], headers: Mapping[str, str]
) -> None:
    visit.address = "198.51.100.2"  # one that has guessed nothing yet
    fields: dict[str, str | None] = {**dict.fromkeys(EVERY_FIELD, PASSWORD)}
    fields |= {"email": OTHER_EMAIL, "username": OTHER_EMAIL, "grant_type": "password"}
    fields["refresh_token"] = None if visit.has_cookies else visit.refresh_token
    visit.call("POST", "/auth/register", json={"email": "c@example.com", "password": PASSWORD})
    for method, path in operations:
        body = {} if method != "POST" else {"data" if path.endswith("token") else "json": fields}
        visit.call(method, path, headers=headers, **body)


def assert_that_all_was_tried(visit: Visit, operations: Sequence[tuple[str, str]]) -> None:
    """Where nothing was said, nothing could leak."""
    for operation in map(" ".join, operations):
        statuses = visit.statuses[operation]
        assert min(statuses) < 300, operation
        assert operation in CANNOT_FAIL or {400, 401, 422} & statuses, operation
        assert 503 in statuses, operation
    said = [answer for _, answer, may_be_token in visit.answers if may_be_token]
    assert {str(visit.secrets.find(answer)) for answer in said} == {"{'a token'}"}


async def test_no_repr_leaks(tmp_path: Path) -> None:
    secrets = Secrets()
    objects = [*await make_one_of_each(secrets), *make_keys(secrets, tmp_path)]

    shown = [f"{thing!r} {thing!s} {[thing]}" for thing in objects]

    assert [line for line in shown if secrets.find(line)] == []
    assert find_public_classes() - {type(thing) for thing in objects} == set()


def find_public_classes() -> set[type]:
    """Return the classes of the public API that have instances of their own, but for errors."""
    public = [getattr(jwt_auth_kit, name) for name in jwt_auth_kit.__all__]
    classes = {thing for thing in public if isinstance(thing, type)}
    return {
        thing
        for thing in classes
        if not issubclass(thing, Exception | dict) and not getattr(thing, "_is_protocol", False)
    }


async def make_one_of_each(secrets: Secrets) -> list[Any]:
    """Make all objects that hold a secret, and those that could."""
    key = Key.from_secret(SECRET)
    settings = AuthSettings(secret_key=SECRET)
    users, store, events = MemoryUserStore(), MemoryTokenStore(), Events()
    kit = AuthKit(users=users, tokens=store, settings=settings, on_event=events)
    signed_in = await kit.register(EMAIL, PASSWORD)
    tokens = signed_in.tokens
    user = await kit.authenticate(tokens.access_token)
    stored = await store.get(user.id, signed_in.session_id)
    assert stored is not None
    assert signed_in.user.password_hash is not None
    secrets.add_token(tokens.access_token)
    secrets.add_token(tokens.refresh_token)
    secrets.add_hash(signed_in.user.password_hash)
    secrets.add_salt(stored.session.salt)
    both = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    profile = {"user_id": "1", "email": EMAIL, "display_name": None, "role": "user"}
    password_hash = signed_in.user.password_hash
    new_user = NewUser(email=EMAIL, display_name="Ada", password_hash=password_hash)
    verifier = TokenVerifier(keys=KeyRing(key), issuer="auth", audience="shop")
    return [
        *(key, KeyRing(key), settings, kit, kit.jwt, kit.passwords, kit.audit),
        *(verifier, TokenFormat(), SignedToken.parse(tokens.access_token)),
        *(users, store, events, signed_in, signed_in.user, tokens, user, stored, stored.session),
        *(Argon2Hasher(), PasslibHasher(), PasswordPolicy(), Client(), *events, new_user),
        *(BearerTransport(), CookieTransport(), LoginThrottle(), LoginThrottle(REDIS)),
        await kit.throttle.reserve(EMAIL, "192.0.2.1"),
        User(email=EMAIL, password_hash=password_hash),
        RedisTokenStore(Redis.from_url(REDIS)),
        Credential(tokens.access_token, BearerTransport()),
        AuthRegisterBody(email=EMAIL, password=PASSWORD),
        AuthLoginBody(email=EMAIL, password=PASSWORD),
        AuthPasswordBody(current_password=PASSWORD, new_password=NEW_PASSWORD),
        AuthRefreshBody(refresh_token=tokens.refresh_token),
        AuthSignedInBody.model_validate({**both, **profile, "expires_in": 1}),
        AuthTokenBody.model_validate({**both, "token_type": "bearer", "expires_in": 1}),
        AuthTokenForm(grant_type="password", username=EMAIL, password=PASSWORD),
        AuthTokenForm(grant_type="refresh_token", refresh_token=tokens.refresh_token),
    ]


def make_keys(secrets: Secrets, directory: Path) -> list[Any]:
    """Make rings and sources that hold our secret and a key with a public half."""
    pair = Key.generate("ES256")
    jwks = [pair.private_jwk(), Key.from_secret(SECRET).private_jwk()]
    secrets.add_private_key(pair)
    text_of_set = json.dumps({"keys": jwks})
    (directory / "set").write_text(text_of_set)
    kept = KeyDirectory(directory)
    kept.add(RingKey(key=pair))
    sources: list[KeySource] = [KeySet(text_of_set), KeyFile(directory / "set")]
    rings = [KeyRing.from_source(source) for source in sources]
    settings = AuthSettings(keys=text_of_set)
    return [pair, kept, *kept.read(), *sources, *rings, *rings[0].keys, settings]


async def test_no_error_leaks(logs: Callable[[], list[str]]) -> None:
    secrets, clock = Secrets(), Clock()
    kit = make_kit(keys=KeyRing.from_secret(SECRET), clock=clock)
    signed_in = await kit.register(EMAIL, PASSWORD)
    secrets.add_token(signed_in.tokens.access_token)
    secrets.add_token(signed_in.tokens.refresh_token)

    errors = [await provoke(call) for call in list_mistakes(kit, signed_in)]
    clock.advance(days=8)
    errors += [await provoke(call) for call in list_uses(kit, signed_in.tokens)]

    assert [str(error) for error in errors if secrets.find(text_of_error(error))] == []
    assert [line for line in logs() if secrets.find(line)] == []


async def provoke(call: Callable[[], Any]) -> Exception:
    """Return what *call*, or what it returns, raises."""
    try:
        await call()
    except Exception as error:  # noqa: BLE001  whatever it is
        return error
    raise AssertionError("nothing was raised")


def list_mistakes(kit: AuthKit, signed_in: SignedIn) -> list[Callable[[], Any]]:
    """List calls that fail although the tokens of *signed_in* are good."""
    tokens, user_id = signed_in.tokens, str(signed_in.user.id)
    swapped = TokenPair(tokens.refresh_token, tokens.access_token, 1)
    cut = TokenPair(tokens.access_token[:-1], tokens.refresh_token[:-1], 1)
    claims = {"user_id": user_id}
    none: Any = "none"
    return [
        *list_uses(kit, swapped),
        *list_uses(kit, cut),
        *list_uses(kit, TokenPair(PASSWORD, PASSWORD, 1)),
        lambda: kit.jwt.refresh_token_pair(tokens.refresh_token, claims),
        lambda: kit.login(EMAIL, WRONG_PASSWORD),
        lambda: kit.login(PASSWORD, PASSWORD),
        lambda: kit.register(EMAIL, PASSWORD),
        lambda: kit.register(PASSWORD, PASSWORD),
        lambda: kit.register(OTHER_EMAIL, WEAK_PASSWORD),
        lambda: kit.register(OTHER_EMAIL, NOT_UNICODE),
        lambda: kit.change_password(user_id, WRONG_PASSWORD, NEW_PASSWORD),
        lambda: kit.change_password(user_id, PASSWORD, WEAK_PASSWORD),
        lambda: kit.set_password("nobody", NEW_PASSWORD),
        lambda: KeyRing.from_secret(SECRET[:20]),
        lambda: KeyRing.from_secret(f"{SECRET}!"),
        lambda: KeyRing.from_secret(REPEATED_SECRET),
        lambda: Key(id="1", algorithm=none, material=KEY),
        lambda: Key.from_jwk({"kty": "oct", "alg": SECRET, "k": SECRET}),
        lambda: Key.from_pem(SECRET),
        lambda: KeySet(SECRET),
        lambda: KeySet(json.dumps({"keys": [{"kty": "oct", "alg": "HS512", "k": SECRET}]})),
        lambda: AuthSettings(secret_key=SECRET, access_ttl=PASSWORD),
        lambda: AuthSettings(secret_key=[SECRET]),
        lambda: RedisTokenStore(Redis.from_url(REDIS)).epochs(user_id),
        lambda: LoginThrottle(REDIS).reserve(EMAIL, None),
        lambda: LoginThrottle(REDIS.replace("redis:", "mysql:")),
        lambda: LoginThrottle(REDIS_WITHOUT_HOST),
        lambda: AuthRegisterBody.model_validate({"password": PASSWORD}),
        lambda: AuthLoginBody.model_validate({"email": EMAIL, "password": [PASSWORD]}),
        lambda: AuthPasswordBody.model_validate({"new_password": PASSWORD}),
        lambda: AuthRefreshBody.model_validate({"refresh_token": [tokens.refresh_token]}),
        lambda: AuthSignedInBody.model_validate({"access_token": tokens.access_token}),
        lambda: AuthTokenBody.model_validate({"access_token": tokens.access_token}),
        lambda: AuthTokenForm.model_validate({"password": [PASSWORD]}),
    ]


def list_uses(kit: AuthKit, tokens: TokenPair) -> list[Callable[[], Any]]:
    """List what tokens are for."""
    return [
        lambda: kit.authenticate(tokens.access_token),
        lambda: kit.jwt.verify_access_token(tokens.access_token),
        lambda: kit.refresh(tokens.refresh_token),
        lambda: kit.jwt.verify_token(tokens.refresh_token, "refresh"),
    ]


@pytest.mark.parametrize(
    "leak",
    [
        PASSWORD,
        PASSWORD.upper(),
        SECRET,
        "header.claims.the-signature",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$the-hash",
        "73616c742073616c742073616c742121",
    ],
)
def test_the_search_finds_what_is_leaked(leak: str, logs: Callable[[], list[str]]) -> None:
    secrets = Secrets()
    secrets.add_token("header.claims.the-signature")
    secrets.add_hash("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$the-hash")
    secrets.add_salt(b"salt salt salt!!")

    logging.getLogger("of.somebody").debug("%s", [leak])

    assert [secrets.find(line) for line in logs()] != [set()]


def test_a_real_server_logs_no_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    secrets = Secrets()
    database = tmp_path / "accounts.sqlite3"
    log_config = tmp_path / "logging.json"
    log_config.write_text(json.dumps(LOG_EVERYTHING))
    with (
        live_server(
            JWT_SECRET_KEY=SECRET,
            AUTH_COOKIES="1",
            DATABASE_URL=f"sqlite+aiosqlite:///{database}",
            UVICORN_LOG_LEVEL="debug",
            UVICORN_LOG_CONFIG=str(log_config),
        ) as url,
        httpx.Client(base_url=url) as client,
    ):
        visit = Visit(client, secrets, has_cookies=True)
        do_everything_right(visit)
        operations = [("POST", "/auth/register"), ("POST", "/auth/login"), ("POST", "/auth/token")]
        do_everything_wrong(visit, operations, expired=visit.access_token)
        ask_over_websockets(url, visit.access_token)
    with closing(sqlite3.connect(database)) as rows:
        for password_hash, salt in rows.execute(
            "SELECT password_hash, salt FROM users, auth_sessions"
        ):
            secrets.add_hash(password_hash)
            secrets.add_salt(salt)

    log = capfd.readouterr().err
    # The WebSocket library of uvicorn writes the headers of each handshake at this level.
    lines = [line for line in log.splitlines() if not line.startswith("DEBUG uvicorn.error <")]
    assert visit.find_leaks() == []
    assert [line for line in lines if secrets.find(line)] == []
    assert "POST /auth/login" in log
    assert "logged_in" in log
    assert "/api/live" in log
    assert "DEBUG" in log


LOG_EVERYTHING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "DEBUG", "handlers": ["stderr"]},
    "loggers": {name: {"level": "WARNING"} for name in DRIVERS},
}


def ask_over_websockets(url: str, access_token: str) -> None:
    address = f"{url.replace('http', 'ws')}/api/live"
    for options in (
        {"additional_headers": {"Authorization": f"Bearer {access_token}"}},
        {"additional_headers": {"Cookie": f"__Host-access_token={access_token}"}, "origin": url},
        {"subprotocols": [Subprotocol("bearer"), Subprotocol(access_token)]},
    ):
        with connect(address, proxy=None, **options) as socket:
            socket.send("")
            assert socket.recv() == '{"projects":0}'
