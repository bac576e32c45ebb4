"""A request is decided when it begins: strangers upload nothing, and uploads outlive tokens."""

import asyncio
import json
import socket
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, File, Request, Security, UploadFile
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps import EMAIL, PASSWORD, Clock, Events, make_kit
from jwt_auth_kit import (
    AdminDep,
    AuthKit,
    ConfigurationError,
    CookieTransport,
    CurrentUser,
    Key,
    KeyRing,
    SessionDep,
    TokenVerifier,
    UserDep,
    auth_router,
    get_current_user,
    get_optional_user,
    install,
    require_admin,
    require_owner,
    require_recent_login,
    require_scopes,
    require_user,
)
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.testing import signed_in_as
from jwt_auth_kit.web.protection import deny_by_default, public
from live import running

PIECE = b"x" * 1024
FORM = "multipart/form-data; boundary=b"
BINARY = "application/octet-stream"
BEFORE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
AFTER = b"\r\n--b--\r\n"

OptionalUser = Annotated[CurrentUser | None, Depends(get_optional_user)]


@dataclass
class Answer:
    """What a client was told, and how much of its body the application had taken by then."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    taken: int = 0

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["detail"]["code"])


async def upload(
    app: ASGIApp,
    path: str = "/files",
    *,
    pieces: AsyncGenerator[bytes, None] | None = None,
    content_type: str = FORM,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send *pieces* to *app*, each of them when the application asks for it."""
    sent = {"host": "test", "content-type": content_type, **(headers or {})}
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("192.0.2.1", 50000),
        "server": ("test", 80),
    }
    answer = Answer()

    async with aclosing(pieces or some_pieces()) as body:
        is_over, is_answered = False, asyncio.Event()

        async def receive() -> Message:
            nonlocal is_over
            if is_over:
                await is_answered.wait()
                return {"type": "http.disconnect"}
            piece = await anext(body, None)
            is_over = piece is None
            answer.taken += len(piece or b"")
            return {"type": "http.request", "body": piece or b"", "more_body": not is_over}

        async def send(message: Message) -> None:
            if not message.get("more_body", True):
                is_answered.set()
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    name.decode(): value.decode() for name, value in message["headers"]
                }
            else:
                answer.body += message.get("body", b"")

        await app(scope, receive, send)
    return answer


async def some_pieces(
    between: Callable[[], Awaitable[object]] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Give a form with a file; *between* is called when half of it was taken."""
    yield BEFORE + PIECE
    if between is not None:
        await between()
    yield PIECE + AFTER


def authorized(kit: AuthKit, **claims: Any) -> dict[str, str]:
    return bearing(kit.jwt.create_access_token({"user_id": "7", **claims}))


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def make_app(kit: AuthKit | None = None) -> FastAPI:
    app = FastAPI()
    install(app, kit or make_kit())
    return app


def take_form(app: FastAPI) -> None:
    @app.post("/files")
    async def add(user: UserDep, file: UploadFile) -> str | None:
        return file.filename


def take_form_fields(app: FastAPI) -> None:
    @app.put("/files")
    @app.post("/files")
    async def add(file: Annotated[bytes, File()], user: UserDep) -> int:
        return len(file)


def take_json(app: FastAPI) -> None:
    @app.post("/files")
    async def add(user: UserDep, note: Annotated[dict[str, Any], Body()]) -> None: ...


def take_bytes(app: FastAPI) -> None:
    @app.post("/files")
    async def add(user: UserDep, content: Annotated[bytes, Body()]) -> None: ...


def take_stream(app: FastAPI) -> None:
    @app.post("/files")
    async def add(user: UserDep, request: Request) -> int:
        return sum([len(piece) async for piece in request.stream()])


def read_in_a_dependency_in_front(app: FastAPI) -> None:
    async def read(request: Request) -> bytes:
        return await request.body()

    @app.post("/files", dependencies=[Depends(read)])
    async def add(user: UserDep) -> None: ...


def read_in_a_route_class(app: FastAPI) -> None:
    class Reading(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handle = super().get_route_handler()

            async def read_and_handle(request: Request) -> Response:
                await request.body()
                return await handle(request)

            return read_and_handle

    router = APIRouter(route_class=Reading)

    @router.post("/files")
    async def add(user: UserDep) -> None: ...

    app.include_router(router)


def depend_for_the_route(app: FastAPI) -> None:
    app.post("/files", dependencies=[Depends(require_user)])(take)


def depend_for_the_router(app: FastAPI) -> None:
    router = APIRouter(dependencies=[Depends(require_user)])
    router.post("/files")(take)
    app.include_router(router)


def depend_where_a_router_is_included(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.post("/files")(take)
    outer.include_router(inner, dependencies=[Depends(require_user)])
    app.include_router(outer)


def depend_below_other_dependencies(app: FastAPI) -> None:
    async def find_owner(user: UserDep) -> str:
        return user.id

    async def find_folder(owner: Annotated[str, Depends(find_owner)]) -> str:
        return owner

    @app.post("/files")
    async def add(folder: Annotated[str, Depends(find_folder)], file: UploadFile) -> None: ...


def require_a_role(app: FastAPI) -> None:
    @app.post("/files")
    async def add(admin: AdminDep, file: UploadFile) -> None: ...


def require_a_scope(app: FastAPI) -> None:
    app.post("/files", dependencies=[Depends(require_scopes("files"))])(take)


def require_a_scope_by_security(app: FastAPI) -> None:
    app.post("/files", dependencies=[Security(get_current_user, scopes=["files"])])(take)


def require_the_owner(app: FastAPI) -> None:
    app.post("/{user_id}", dependencies=[Depends(require_owner("user_id"))])(take)


def require_a_session(app: FastAPI) -> None:
    @app.post("/files")
    async def add(user: SessionDep, file: UploadFile) -> None: ...


def require_a_fresh_login(app: FastAPI) -> None:
    recent = require_recent_login(timedelta(minutes=5))
    app.post("/files", dependencies=[Depends(recent)])(take)


def mount_an_application(app: FastAPI) -> None:
    inner = FastAPI()
    take_form(inner)
    app.mount("/", inner)


def mount_an_application_with_its_own_kit(app: FastAPI) -> None:
    inner = make_app()
    take_form(inner)
    app.mount("/", inner)


def mount_behind_middleware(app: FastAPI) -> None:
    inner = FastAPI()
    take_form(inner)
    inner.add_middleware(Passing)
    app.mount("/", inner)


def mount_a_router(app: FastAPI) -> None:
    router = APIRouter()
    router.post("/files")(take_if_signed_in)
    app.mount("/", router)


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def take(file: UploadFile) -> str | None:
    return file.filename


async def take_if_signed_in(user: UserDep, file: UploadFile) -> None: ...


ROUTES = [
    *(take_form, take_form_fields, take_json, take_bytes, take_stream),
    *(read_in_a_dependency_in_front, read_in_a_route_class),
    *(depend_for_the_route, depend_for_the_router, depend_where_a_router_is_included),
    *(depend_below_other_dependencies, require_a_role, require_a_scope),
    *(require_a_scope_by_security, require_the_owner, require_a_session, require_a_fresh_login),
    *(mount_an_application, mount_an_application_with_its_own_kit, mount_behind_middleware),
    mount_a_router,
]
every_route = pytest.mark.parametrize("add_route", ROUTES)


class TestAStranger:
    @every_route
    async def test_is_refused_before_the_body_is_read(
        self, add_route: Callable[[FastAPI], None]
    ) -> None:
        app = make_app()
        add_route(app)

        answer = await upload(app)

        assert (answer.status, answer.code, answer.taken) == (401, "not_authenticated", 0)
        assert answer.headers["www-authenticate"] == 'Bearer realm="api"'

    @every_route
    async def test_is_refused_before_the_body_is_read_where_everything_is_denied_by_default(
        self, add_route: Callable[[FastAPI], None]
    ) -> None:
        app = FastAPI()
        deny_by_default(app)
        install(app, make_kit())
        add_route(app)

        answer = await upload(app)

        assert (answer.status, answer.code, answer.taken) == (401, "not_authenticated", 0)

    async def test_is_refused_before_the_body_is_read_where_nothing_else_names_a_user(self) -> None:
        app = FastAPI()
        deny_by_default(app)
        install(app, make_kit())
        app.post("/files")(take)

        answer = await upload(app)

        assert (answer.status, answer.taken) == (401, 0)

    @pytest.mark.parametrize("header", ["Bearer x", "Bearer ", "Bearer a.b.c"])
    async def test_with_a_forged_token_is_refused_before_the_body_is_read(
        self, header: str
    ) -> None:
        app = make_app()
        take_form(app)

        answer = await upload(app, headers={"authorization": header})

        assert (answer.status, answer.code, answer.taken) == (401, "invalid_token", 0)

    async def test_with_a_forged_token_is_no_optional_user_after_an_upload(self) -> None:
        app = make_app()

        @app.post("/files")
        async def add(user: OptionalUser, file: UploadFile) -> str | None:
            return None if user is None else user.id

        forged = await upload(app, headers={"authorization": "Bearer x"})
        nobody = await upload(app)

        assert (forged.status, forged.code, forged.taken) == (401, "invalid_token", 0)
        assert (nobody.status, nobody.body) == (200, b"null")

    async def test_is_refused_before_the_body_is_read_where_a_plain_route_is_denied(self) -> None:
        async def read(request: Request) -> Response:
            return Response(await request.body())

        app = FastAPI()
        deny_by_default(app)
        install(app, make_kit())
        app.router.routes.append(Route("/files", read, methods=["POST"]))

        answer = await upload(app)

        assert (answer.status, answer.taken) == (401, 0)

    async def test_is_refused_before_the_body_is_read_where_the_router_makes_the_kit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", make_secret())
        app = FastAPI()
        app.include_router(auth_router)
        take_form(app)

        async with app.router.lifespan_context(app):
            answer = await upload(app)

        assert (answer.status, answer.taken) == (401, 0)

    async def test_is_refused_before_the_body_is_read_once_a_request_has_made_the_kit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", make_secret())
        app = FastAPI()
        take_form(app)

        first, second = await upload(app), await upload(app)

        assert (first.status, second.status, second.taken) == (401, 401, 0)

    async def test_learns_nothing_about_the_body_a_route_takes(self) -> None:
        kit = make_kit()
        app = make_app(kit)
        take_json(app)
        client = TestClient(app)

        stranger = client.post("/files", content=b"{", headers={"Content-Type": "application/json"})
        user = client.post(
            "/files",
            content=b"{",
            headers={"Content-Type": "application/json", **authorized(kit)},
        )

        assert (stranger.status_code, user.status_code) == (401, 422)

    async def test_may_upload_to_a_public_route(self) -> None:
        app = FastAPI()
        deny_by_default(app)
        install(app, make_kit())
        app.post("/files")(public(take))

        answer = await upload(app)

        assert (answer.status, answer.body) == (200, b'"f"')

    @pytest.mark.parametrize("path", ["/auth/password", "/v1/auth/password"])
    async def test_is_refused_before_a_new_password_is_read(self, path: str) -> None:
        app = make_app()
        app.include_router(auth_router)
        app.include_router(auth_router, prefix="/v1")

        answer = await upload(app, path, content_type="application/json")

        assert (answer.status, answer.code, answer.taken) == (401, "not_authenticated", 0)

    @pytest.mark.parametrize(("path", "method"), [("/nothing", "POST"), ("/files", "PUT")])
    async def test_is_told_what_is_not_there(self, path: str, method: str) -> None:
        app = make_app()
        take_form(app)

        answer = await upload(app, path, method=method)

        assert answer.status == (404 if path == "/nothing" else 405)
        assert answer.taken == 0


class TestAUserWithoutTheRight:
    @pytest.mark.parametrize(
        ("add_route", "code"),
        [
            (require_a_role, "insufficient_role"),
            (require_a_scope, "insufficient_scope"),
            (require_a_scope_by_security, "insufficient_scope"),
            (require_the_owner, "not_owner"),
        ],
    )
    async def test_is_refused_before_the_body_is_read(
        self, add_route: Callable[[FastAPI], None], code: str
    ) -> None:
        events = Events()
        kit = make_kit(on_event=events)
        app = make_app(kit)
        add_route(app)

        answer = await upload(app, headers=authorized(kit, scopes=["notes"]))

        assert (answer.status, answer.code, answer.taken) == (403, code, 0)
        assert events.names == ["access_denied"]

    async def test_is_refused_before_the_body_is_read_for_an_old_login(self) -> None:
        clock = Clock()
        kit = make_kit(clock=clock)
        app = make_app(kit)
        require_a_fresh_login(app)
        signed_in = await kit.register(EMAIL, PASSWORD)
        clock.advance(minutes=6)

        answer = await upload(
            app, headers={"authorization": f"Bearer {signed_in.tokens.access_token}"}
        )

        assert (answer.status, answer.code, answer.taken) == (401, "recent_login_required", 0)

    async def test_of_a_session_that_ended_is_refused_before_the_body_is_read(self) -> None:
        clock = Clock()  # stands still, so that the feed of revocations is not read again
        kit = make_kit(clock=clock)
        app = make_app(kit)
        require_a_session(app)
        signed_in = await kit.register(EMAIL, PASSWORD)
        headers = bearing(signed_in.tokens.access_token)
        assert (await upload(app, headers=headers)).status == 200
        await kit.tokens.revoke_all(str(signed_in.user.id), "elsewhere", clock())

        answer = await upload(app, headers=headers)

        assert (answer.status, answer.code, answer.taken) == (401, "token_revoked", 0)

    async def test_whose_browser_was_sent_by_another_site_is_refused_before_the_body_is_read(
        self,
    ) -> None:
        events = Events()
        kit = make_kit(on_event=events)
        app = FastAPI()
        cookies = CookieTransport(body_types=["multipart/form-data"])
        install(app, kit, transports=[cookies])
        take_form(app)
        token = kit.jwt.create_access_token({"user_id": "7"})
        cookie = f"{cookies.cookie_name}={token}"

        answer = await upload(app, headers={"cookie": cookie, "origin": "https://evil.example"})
        other_type = await upload(
            app, headers={"cookie": cookie, "origin": "http://test"}, content_type=BINARY
        )

        assert (answer.status, answer.code, answer.taken) == (403, "cross_site_request", 0)
        assert (other_type.status, other_type.taken) == (415, 0)
        assert events.names == ["access_denied"]


class TestAnUpload:
    @pytest.mark.parametrize(
        "add_route",
        [
            *(take_form, take_stream, read_in_a_dependency_in_front, read_in_a_route_class),
            *(depend_where_a_router_is_included, depend_below_other_dependencies),
            *(require_a_role, require_a_scope_by_security, require_the_owner, require_a_session),
            *(mount_an_application, mount_behind_middleware, mount_a_router),
        ],
    )
    @pytest.mark.parametrize("is_denied_by_default", [False, True])
    async def test_may_outlive_its_token(
        self, add_route: Callable[[FastAPI], None], is_denied_by_default: bool
    ) -> None:
        clock = Clock()
        kit = make_kit(clock=clock, scopes=lambda _: ["files"])
        app = FastAPI()
        if is_denied_by_default:
            deny_by_default(app)
        install(app, kit)
        add_route(app)
        account = await kit.create_user(EMAIL, PASSWORD, role="admin")
        signed_in = await kit.login(EMAIL, PASSWORD)
        path = f"/{account.id}" if add_route is require_the_owner else "/files"
        headers = bearing(signed_in.tokens.access_token)

        async def wait() -> None:
            clock.advance(hours=1)

        answer = await upload(app, path, pieces=some_pieces(wait), headers=headers)
        next_one = await upload(app, path, headers=headers)

        assert answer.status == 200, answer.body
        assert (next_one.status, next_one.code, next_one.taken) == (401, "token_expired", 0)

    async def test_may_outlive_the_token_of_an_optional_user(self) -> None:
        clock = Clock()
        kit = make_kit(clock=clock)
        app = make_app(kit)

        @app.post("/files")
        async def add(user: OptionalUser, file: UploadFile) -> str | None:
            return None if user is None else user.id

        async def wait() -> None:
            clock.advance(hours=1)

        answer = await upload(app, pieces=some_pieces(wait), headers=authorized(kit))

        assert (answer.status, answer.body) == (200, b'"7"')

    async def test_makes_no_login_an_old_one(self) -> None:
        clock = Clock()
        kit = make_kit(clock=clock)
        app = make_app(kit)
        require_a_fresh_login(app)

        async def wait() -> None:
            clock.advance(minutes=6)

        signed_in = await kit.register(EMAIL, PASSWORD)
        headers = bearing(signed_in.tokens.access_token)

        answer = await upload(app, pieces=some_pieces(wait), headers=headers)
        next_one = await upload(app, headers=headers)

        assert answer.status == 200
        assert (next_one.status, next_one.code) == (401, "recent_login_required")

    @pytest.mark.parametrize("add_route", [take_form, take_stream, require_a_session])
    async def test_may_outlive_its_session(self, add_route: Callable[[FastAPI], None]) -> None:
        kit = make_kit()
        app = make_app(kit)
        add_route(app)
        signed_in = await kit.register(EMAIL, PASSWORD)
        headers = bearing(signed_in.tokens.access_token)

        async def sign_out() -> None:
            await kit.logout_all(str(signed_in.user.id))

        answer = await upload(app, pieces=some_pieces(sign_out), headers=headers)
        next_one = await upload(app, headers=headers)

        assert answer.status == 200, answer.body
        assert (next_one.status, next_one.code, next_one.taken) == (401, "token_revoked", 0)

    async def test_is_read_by_a_handler_of_the_application_where_it_was_refused(self) -> None:
        app = make_app()
        take_form(app)

        @app.exception_handler(401)
        async def explain(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"sent": len(await request.body())}, 401)

        answer = await upload(app)

        assert (answer.status, json.loads(answer.body)) == (401, {"sent": answer.taken})
        assert answer.taken == len(BEFORE + PIECE + PIECE + AFTER)

    async def test_may_be_read_by_a_handler_of_a_mounted_application(self) -> None:
        app, handled = make_app(), list[int]()
        between, inner = FastAPI(), make_app()
        take_form(inner)
        app.mount("/", between)
        between.mount("/", inner)

        @inner.exception_handler(401)
        async def explain(request: Request, error: Exception) -> JSONResponse:
            handled.append(len(await request.body()))
            return JSONResponse({}, 401)

        answer = await upload(app)

        assert (answer.status, handled) == (401, [answer.taken])

    async def test_is_seen_by_middleware_of_the_application(self) -> None:
        kit = make_kit()
        app = make_app(kit)
        take_form(app)
        app.add_middleware(Passing)

        assert (await upload(app)).status == 401
        assert (await upload(app, headers=authorized(kit))).body == b'"f"'

    async def test_to_a_route_that_is_set_up_wrongly_is_an_error_of_the_application(self) -> None:
        kit = make_kit()
        app = make_app(kit)
        app.post("/files", dependencies=[Depends(require_owner("user_id"))])(take)

        with pytest.raises(ConfigurationError, match="user_id"):
            await upload(app, headers=authorized(kit))


class CountedKeys:
    """The keys of an issuer, which are asked for with each verification."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self.count = 0

    async def get(self, key_id: Any) -> Key:
        self.count += 1
        return self._key


class TestADecision:
    @pytest.mark.parametrize("is_denied_by_default", [False, True])
    @pytest.mark.parametrize("add_route", [take_form, take_stream, require_a_role, mount_a_router])
    async def test_is_made_once_for_each_request(
        self, add_route: Callable[[FastAPI], None], is_denied_by_default: bool
    ) -> None:
        key = Key.generate("EdDSA")
        issuer = make_kit(
            keys=KeyRing(key), settings={"issuer": "https://id.example", "audience": "files"}
        )
        keys = CountedKeys(key)
        app = FastAPI()
        if is_denied_by_default:
            deny_by_default(app)
        install(app, TokenVerifier(issuer="https://id.example", audience="files", keys=keys))
        add_route(app)

        answer = await upload(app, headers=authorized(issuer, role="admin"))

        assert (answer.status, keys.count) == (200, 1), answer.body

    @pytest.mark.parametrize("is_installed_first", [False, True])
    async def test_tells_of_a_forged_token_once(self, is_installed_first: bool) -> None:
        events = Events()
        clock = Clock()
        kit = make_kit(on_event=events, clock=clock)
        app = FastAPI()
        if is_installed_first:
            install(app, kit)
        deny_by_default(app)
        install(app, kit)
        take_form(app)

        await upload(app, headers={"authorization": "Bearer x"})
        clock.advance(seconds=2)
        await upload(app, headers={"authorization": "Bearer x"})

        assert [(event.name, event.count) for event in events] == [("token_rejected", None)] * 2

    async def test_tells_of_a_request_of_another_site_once(self) -> None:
        events = Events()
        kit = make_kit(on_event=events)
        app = FastAPI()
        deny_by_default(app)
        cookies = CookieTransport()
        install(app, kit, transports=[cookies])
        take_form(app)
        token = kit.jwt.create_access_token({"user_id": "7"})

        cookie = f"{cookies.cookie_name}={token}"

        answer = await upload(app, headers={"cookie": cookie, "origin": "https://evil.example"})

        assert answer.status == 403
        assert events.names == ["access_denied"]

    async def test_is_not_kept_for_a_request_inside_a_request(self) -> None:
        clock = Clock()
        kit = make_kit(clock=clock)
        app = make_app(kit)
        app.get("/{user_id}/files", dependencies=[Depends(require_owner("user_id"))])(say_yes)

        @app.post("/batch")
        async def batch(
            request: Request, user: UserDep, paths: Annotated[list[str], Body()]
        ) -> list[int]:
            statuses = [await ask(request, path) for path in paths]
            clock.advance(hours=1)
            return [*statuses, *[await ask(request, path) for path in paths]]

        async def ask(request: Request, path: str) -> int:
            statuses: list[int] = []

            async def send(message: Message) -> None:
                statuses.append(message.get("status", 0))

            scope = {**request.scope, "method": "GET", "path": path, "path_params": {}}
            await app(scope, request.receive, send)
            return statuses[0]

        answer = TestClient(app).post(
            "/batch", json=["/7/files", "/8/files"], headers=authorized(kit)
        )

        assert answer.json() == [200, 403, 401, 401]

    @pytest.mark.parametrize("has_own_kit", [False, True])
    async def test_about_one_token_says_nothing_about_another(self, has_own_kit: bool) -> None:
        kit = make_kit()
        inner = make_app(kit) if has_own_kit else APIRouter()
        other = authorized(kit, role="admin")["authorization"].encode()

        @inner.post("/who")
        async def who(admin: AdminDep, content: Annotated[bytes, Body()]) -> str:
            return admin.role

        async def impersonate(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
            scope["headers"] = [*headers, (b"authorization", other)]
            await inner(scope, receive, send)

        app = FastAPI()
        deny_by_default(app)
        install(app, kit)
        app.mount("/", impersonate)

        answer = await upload(app, "/who", content_type=BINARY, headers=authorized(kit))

        assert (answer.status, answer.body) == (200, b'"admin"')

    async def test_is_not_made_by_what_only_copies_the_mark_of_a_dependency(self) -> None:
        kit = make_kit()
        app = make_app(kit)
        calls = []

        @wraps(require_admin)
        async def log(connection: HTTPConnection, user: UserDep) -> CurrentUser:
            calls.append(user.id)
            return user

        del log.__wrapped__

        @app.post("/files", dependencies=[Depends(log)])
        async def add(file: UploadFile) -> str | None:
            return file.filename

        answer = await upload(app, headers=authorized(kit))

        assert (answer.status, calls) == (200, ["7"])

    async def test_is_not_made_again_while_an_answer_is_streamed(self) -> None:
        kit = make_kit()
        app = make_app(kit)

        async def forget_token(request: Request) -> None:
            request.scope["headers"] = []

        @app.get("/files", dependencies=[Depends(require_user), Depends(forget_token)])
        async def read() -> StreamingResponse:
            async def count() -> AsyncIterator[str]:
                for number in range(3):
                    await asyncio.sleep(0)
                    yield str(number)

            return StreamingResponse(count())

        answer = await upload(app, method="GET", headers=authorized(kit))

        assert (answer.status, answer.body) == (200, b"012")


class TestOverrides:
    async def test_a_user_from_an_override_uploads_without_a_token(self) -> None:
        app = make_app()
        take_form(app)
        require_a_role_at(app, "/admin/files")

        with signed_in_as(app, CurrentUser(id="7")):
            answer = await upload(app)
            refused = await upload(app, "/admin/files")

        assert (answer.status, answer.body) == (200, b'"f"')
        assert (refused.status, refused.code) == (403, "insufficient_role")

    async def test_an_overridden_dependency_asks_for_no_user(self) -> None:
        app = make_app()

        async def find_owner(user: UserDep) -> str:
            return user.id

        @app.post("/files")
        async def add(owner: Annotated[str, Depends(find_owner)], file: UploadFile) -> str:
            return owner

        app.dependency_overrides[find_owner] = lambda: "nobody"

        answer = await upload(app)

        assert (answer.status, answer.body) == (200, b'"nobody"')

    async def test_an_override_of_something_else_lets_no_stranger_upload(self) -> None:
        app = make_app()
        take_form(app)
        app.dependency_overrides[take] = lambda: None

        answer = await upload(app)

        assert (answer.status, answer.taken) == (401, 0)


def require_a_role_at(app: FastAPI, path: str) -> None:
    app.post(path, dependencies=[Depends(require_admin)])(take)


async def say_yes() -> str:
    return "yes"


SERVERS = ["h11", "httptools"]
LENGTH = 100_000_000
TIMEOUT = 30.0


@pytest.mark.parametrize("http", SERVERS)
class TestAServer:
    def test_answers_a_stranger_while_the_upload_goes_on(self, http: str) -> None:
        start = BEFORE + PIECE * 64
        with running(make_site(make_kit()), http=http) as address, talk(address) as connection:
            connection.sendall(head(f"Content-Length: {LENGTH}") + start)
            answer = read_answer(connection)

            # The rest is thrown away, and the next request is understood.
            connection.sendall(bytes(LENGTH - len(start)) + head(method="GET"))
            next_answer = read_answer(connection)

        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'"not_authenticated"' in answer
        assert next_answer.startswith(b"HTTP/1.1 200 ")

    def test_does_not_ask_a_stranger_to_go_on(self, http: str) -> None:
        with running(make_site(make_kit()), http=http) as address, talk(address) as connection:
            connection.sendall(head(f"Content-Length: {LENGTH}", "Expect: 100-continue"))

            answer = read_answer(connection)

        assert answer.startswith(b"HTTP/1.1 401 ")

    def test_asks_a_user_to_go_on(self, http: str) -> None:
        kit = make_kit()
        body = BEFORE + PIECE + AFTER
        lines = [
            f"Content-Length: {len(body)}",
            f"Authorization: {authorized(kit)['authorization']}",
            "Expect: 100-continue",
        ]
        with running(make_site(kit), http=http) as address, talk(address) as connection:
            connection.sendall(head(*lines))
            interim = connection.recv(65_536)

            connection.sendall(body)
            answer = read_answer(connection)

        assert interim.startswith(b"HTTP/1.1 100 ")
        assert answer.startswith(b"HTTP/1.1 200 ")


def make_site(kit: AuthKit) -> FastAPI:
    app = make_app(kit)
    take_form(app)
    app.get("/files")(say_yes)
    return app


@contextmanager
def talk(address: Any) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        yield connection


def head(*lines: str, method: str = "POST") -> bytes:
    """Write the head of a request; without *lines*, of one that has no body."""
    types = [f"Content-Type: {FORM}"] if lines else []
    return "\r\n".join([f"{method} /files HTTP/1.1", "Host: test", *types, *lines, "", ""]).encode()


def read_answer(connection: socket.socket) -> bytes:
    """Read an answer to the end of its body, and nothing behind it."""
    with connection.makefile("rb") as stream:
        lines = list(iter(stream.readline, b"\r\n"))
        length = next(line for line in lines if line.lower().startswith(b"content-length:"))
        return b"".join(lines) + stream.read(int(length.partition(b":")[2]))
