"""deny_by_default(), public() and unprotected_routes()."""

from collections.abc import Callable
from copy import copy
from functools import partial, update_wrapper, wraps
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.endpoints import HTTPEndpoint
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Host, Match, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

from apps import bearer, code, make_kit, register
from jwt_auth_kit import (
    AuthKit,
    ConfigurationError,
    CookieTransport,
    CurrentUser,
    UserDep,
    auth_router,
    get_current_user,
    get_optional_user,
    install,
    require_admin,
    require_user,
)
from jwt_auth_kit.testing.routes import unprotected_routes
from jwt_auth_kit.web.protection import deny_by_default, public

HAS_FRONTENDS = hasattr(FastAPI, "frontend")
"""FastAPI >= 0.138."""

AddRoute = Callable[[FastAPI, Path], None]


@pytest.fixture
def kit() -> AuthKit:
    return make_kit()


@pytest.fixture
def headers(kit: AuthKit) -> dict[str, str]:
    return {"Authorization": f"Bearer {kit.jwt.create_access_token({'user_id': '7'})}"}


def make_app(kit: AuthKit, *public_paths: str) -> FastAPI:
    app = FastAPI()
    deny_by_default(app, public_paths=public_paths)
    install(app, kit)
    return app


async def secret() -> str:
    return "secret"


async def plain_secret(request: Request) -> PlainTextResponse:
    return PlainTextResponse("secret")


async def feed(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("secret")
    await websocket.close()


def api_route(app: FastAPI, directory: Path) -> None:
    app.get("/secret")(secret)


def handmade_api_route(app: FastAPI, directory: Path) -> None:
    app.router.routes.append(APIRoute("/secret", secret))


def hidden_route(app: FastAPI, directory: Path) -> None:
    app.get("/secret", include_in_schema=False)(secret)


def included_route(app: FastAPI, directory: Path) -> None:
    inner, outer = APIRouter(prefix="/b"), APIRouter(prefix="/a")
    inner.get("/secret")(secret)
    outer.include_router(inner)
    app.include_router(outer)


def route_added_to_an_included_router(app: FastAPI, directory: Path) -> None:
    inner = APIRouter()
    inner.get("/secret")(secret)
    app.include_router(inner, prefix="/late")
    inner.get("/later")(secret)


def plain_route(app: FastAPI, directory: Path) -> None:
    app.router.routes.append(Route("/secret", plain_secret))


def plain_route_of_a_router(app: FastAPI, directory: Path) -> None:
    router = APIRouter()
    router.add_route("/secret", plain_secret)
    app.include_router(router, prefix="/a")


def class_route(app: FastAPI, directory: Path) -> None:
    class Secret(HTTPEndpoint):
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse("secret")

    app.router.routes.append(Route("/secret", Secret))


def mounted_files(app: FastAPI, directory: Path) -> None:
    app.mount("/files", StaticFiles(directory=directory))


def mounted_routes(app: FastAPI, directory: Path) -> None:
    app.router.routes.append(Mount("/a", routes=[Route("/secret", plain_secret)]))


def mounted_application(app: FastAPI, directory: Path) -> None:
    inner = FastAPI(openapi_url=None)
    inner.get("/secret")(secret)
    app.mount("/a", inner)


def host_route(app: FastAPI, directory: Path) -> None:
    app.router.routes.append(Host("testserver", PlainTextResponse("secret")))


WAYS = [
    (api_route, "/secret", "GET /secret"),
    (handmade_api_route, "/secret", "GET /secret"),
    (hidden_route, "/secret", "GET /secret"),
    (included_route, "/a/b/secret", "GET /a/b/secret"),
    (route_added_to_an_included_router, "/late/secret", "GET /late/secret"),
    (plain_route, "/secret", "GET /secret"),
    (plain_route_of_a_router, "/a/secret", "GET /a/secret"),
    (class_route, "/secret", "ANY /secret"),
    (mounted_files, "/files/index.html", "MOUNT /files"),
    (mounted_routes, "/a/secret", "GET /a/secret"),
    (mounted_application, "/a/secret", "GET /a/secret"),
    (host_route, "/anything", "MOUNT testserver"),
]

if HAS_FRONTENDS:

    def frontend(app: FastAPI, directory: Path) -> None:
        app.frontend("/web", directory=directory)

    def frontend_at_the_root(app: FastAPI, directory: Path) -> None:
        app.frontend("/", directory=directory)

    def included_frontend(app: FastAPI, directory: Path) -> None:
        inner, outer = APIRouter(prefix="/b"), APIRouter(prefix="/a")
        inner.frontend("/web", directory=directory)
        outer.include_router(inner)
        app.include_router(outer)

    WAYS += [
        (frontend, "/web/index.html", "FRONTEND /web"),
        (frontend_at_the_root, "/index.html", "FRONTEND /"),
        (included_frontend, "/a/b/web/index.html", "FRONTEND /a/b/web"),
    ]

WEBSOCKETS: list[Callable[[FastAPI], Any]] = [
    lambda app: app.websocket("/feed")(feed),
    lambda app: app.router.routes.append(WebSocketRoute("/feed", feed)),
    lambda app: app.include_router(_router_with_feed()),
    lambda app: app.mount("/", Mount("/", routes=[WebSocketRoute("/feed", feed)])),
]


def _router_with_feed() -> APIRouter:
    router = APIRouter()
    router.websocket("/feed")(feed)
    return router


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("secret")
    return tmp_path


@pytest.mark.parametrize(("add", "path", "label"), WAYS)
def test_a_route_requires_a_user_whichever_way_it_was_added(
    add: AddRoute, path: str, label: str, kit: AuthKit, headers: dict[str, str], directory: Path
) -> None:
    app = make_app(kit)
    add(app, directory)
    client = TestClient(app)

    refused, answered = client.get(path), client.get(path, headers=headers)

    assert (refused.status_code, code(refused)) == (401, "not_authenticated")
    assert "secret" not in refused.text
    assert (answered.status_code, "secret" in answered.text) == (200, True)


@pytest.mark.parametrize(("add", "path", "label"), WAYS)
def test_a_route_is_listed_as_unprotected_just_where_it_can_be_reached(
    add: AddRoute, path: str, label: str, kit: AuthKit, directory: Path
) -> None:
    opened, denied = FastAPI(openapi_url=None), FastAPI(openapi_url=None)
    deny_by_default(denied)
    for app in (opened, denied):
        install(app, kit)
        add(app, directory)

    assert "secret" in TestClient(opened).get(path).text
    assert label in unprotected_routes(opened)
    assert unprotected_routes(denied) == []


@pytest.mark.parametrize("add", WEBSOCKETS)
def test_a_websocket_requires_a_user_whichever_way_it_was_added(
    add: Callable[[FastAPI], Any], kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit)
    add(app)
    client = TestClient(app)

    with client.websocket_connect("/feed", headers=headers) as websocket:
        assert websocket.receive_text() == "secret"
    with client.websocket_connect("/feed") as websocket:
        with pytest.raises(WebSocketDisconnect) as closed:
            websocket.receive_text()

        assert (closed.value.code, closed.value.reason) == (4401, "not_authenticated")


def test_a_public_websocket_is_open_and_listed(kit: AuthKit) -> None:
    app = make_app(kit)
    app.websocket("/feed")(public(_copy(feed)))

    with TestClient(app).websocket_connect("/feed") as websocket:
        assert websocket.receive_text() == "secret"
    assert unprotected_routes(app) == ["WS /feed"]


def test_a_bad_token_does_not_close_a_public_websocket(kit: AuthKit) -> None:
    app = make_app(kit)
    app.websocket("/feed")(public(_copy(feed)))

    bad = {"Authorization": "Bearer x"}

    with TestClient(app).websocket_connect("/feed", headers=bad) as websocket:
        assert websocket.receive_text() == "secret"


def test_public_stands_above_or_below_the_route(kit: AuthKit) -> None:
    app = make_app(kit)

    @app.get("/below")
    @public
    async def below() -> str:
        return "open"

    @public
    @app.get("/above")
    async def above() -> str:
        return "open"

    client = TestClient(app)

    assert (client.get("/below").json(), client.get("/above").json()) == ("open", "open")
    assert unprotected_routes(app) == ["GET /above", "GET /below"]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def log(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return log


def test_a_private_function_that_wraps_a_public_one_is_private(
    kit: AuthKit, caplog: pytest.LogCaptureFixture
) -> None:
    opened = public(_copy(secret))
    made_from_it: list[Callable[..., Any]] = [
        logged(opened),
        update_wrapper(partial(secret), opened),
    ]
    app = make_app(kit)
    for number, endpoint in enumerate(made_from_it):
        app.get(f"/{number}")(endpoint)
    client = TestClient(app)

    assert [client.get(f"/{number}").status_code for number in range(2)] == [401, 401]
    assert unprotected_routes(app) == []
    assert "put @public above its other decorators" in caplog.text


def test_public_above_another_decorator_opens_the_route(kit: AuthKit) -> None:
    app = make_app(kit)
    app.get("/logged")(public(logged(_copy(secret))))
    app.get("/partial")(public(partial(secret)))

    client = TestClient(app)

    assert (client.get("/logged").json(), client.get("/partial").json()) == ("secret", "secret")


def test_a_public_method_is_public_and_a_copy_of_a_public_application_is_not(
    kit: AuthKit, directory: Path
) -> None:
    class Page:
        @public
        async def show(self) -> str:
            return "open"

        async def hide(self) -> str:
            return "secret"

    app = make_app(kit)
    app.get("/show")(Page().show)
    app.get("/hide")(Page().hide)
    files = public(StaticFiles(directory=directory))
    app.mount("/files", files)
    app.mount("/copy", copy(files))
    client = TestClient(app)

    assert (client.get("/show").json(), client.get("/hide").status_code) == ("open", 401)
    assert client.get("/copy/secret.txt").status_code == 401
    assert unprotected_routes(app) == ["GET /show", "MOUNT /files"]


def test_a_route_of_a_router_is_public_on_its_own(kit: AuthKit) -> None:
    router = APIRouter(prefix="/reports")
    router.get("/open")(public(_copy(secret)))
    router.get("/closed")(secret)
    outer = APIRouter(prefix="/api")
    outer.include_router(router)
    app = make_app(kit)
    app.include_router(outer)

    client = TestClient(app)

    assert client.get("/api/reports/open").json() == "secret"
    assert client.get("/api/reports/closed").status_code == 401
    assert unprotected_routes(app) == ["GET /api/reports/open"]


def test_a_public_route_that_asks_for_a_user_gets_one(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit)

    @app.get("/mine")
    @public
    async def mine(user: UserDep) -> str:
        return user.id

    client = TestClient(app)

    assert client.get("/mine").status_code == 401
    assert client.get("/mine", headers=headers).json() == "7"
    assert unprotected_routes(app) == []


def test_a_public_route_does_not_mind_a_bad_token(kit: AuthKit) -> None:
    app = make_app(kit)
    app.get("/open")(public(_copy(secret)))

    answer = TestClient(app).get("/open", headers={"Authorization": "Bearer x"})

    assert answer.json() == "secret"


def test_a_bad_token_is_refused_with_its_own_code(kit: AuthKit) -> None:
    app = make_app(kit)
    app.get("/secret")(secret)

    answer = TestClient(app).get("/secret", headers={"Authorization": "Bearer x"})

    assert (answer.status_code, code(answer)) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_an_optional_user_is_required_unless_the_route_is_public(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit)

    async def greet(user: Annotated[CurrentUser | None, Depends(get_optional_user)]) -> str:
        return "stranger" if user is None else user.id

    app.get("/closed")(greet)
    app.get("/open")(public(_copy(greet)))
    client = TestClient(app)

    assert client.get("/closed").status_code == 401
    assert client.get("/closed", headers=headers).json() == "7"
    assert client.get("/open").json() == "stranger"
    assert client.get("/open", headers=headers).json() == "7"


def test_a_class_does_not_inherit_that_its_base_is_public(kit: AuthKit) -> None:
    @public
    class Open(HTTPEndpoint):
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse("open")

    class Closed(Open):
        pass

    app = make_app(kit)
    app.router.routes += [Route("/open", Open), Route("/closed", Closed)]
    client = TestClient(app)

    assert client.get("/open").text == "open"
    assert client.get("/closed").status_code == 401


@pytest.mark.parametrize("what", ["/health", None, object(), [].append])
def test_public_refuses_what_it_cannot_mark(what: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"public\(\)"):
        public(what)


def test_a_mounted_application_can_be_public(kit: AuthKit, directory: Path) -> None:
    app = make_app(kit)
    app.mount("/files", public(StaticFiles(directory=directory)))
    app.router.routes.append(Host("www.example.com", public(PlainTextResponse("open"))))
    client = TestClient(app)

    assert client.get("/files/index.html").text == "secret"
    assert client.get("/", headers={"Host": "www.example.com"}).text == "open"
    assert unprotected_routes(app) == ["MOUNT /files", "MOUNT www.example.com"]


def test_the_documentation_pages_require_a_user_unless_their_paths_are_public(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    closed, opened = make_app(kit), make_app(kit, "/docs", "/openapi.json")
    pages = ["/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"]

    def statuses(app: FastAPI, headers: dict[str, str]) -> list[int]:
        return [TestClient(app).get(page, headers=headers).status_code for page in pages]

    assert statuses(closed, {}) == [401, 401, 401, 401]
    assert statuses(closed, headers) == [200, 200, 200, 200]
    assert statuses(opened, {}) == [200, 200, 200, 401]
    assert unprotected_routes(opened) == [f"GET {page}" for page in pages[:3]]


@pytest.mark.parametrize(
    ("opened", "path", "status"),
    [
        ("/files", "/files", 200),
        ("/files/", "/files", 200),
        ("/files", "/files/a", 200),
        ("/files", "/files/a/b", 200),
        ("/files", "/files2", 401),
        ("/files", "/file", 401),
        ("/files/a", "/files", 401),
        ("/", "/", 200),
        ("/", "/files", 401),
    ],
)
def test_a_public_path_opens_what_is_declared_there_and_below(
    opened: str, path: str, status: int, kit: AuthKit
) -> None:
    app = make_app(kit, opened)
    app.get(path)(secret)

    answer = TestClient(app).get(path)

    assert answer.status_code == status
    assert (f"GET {path}" in unprotected_routes(app)) == (status == 200)


def test_a_public_path_counts_the_prefixes_of_routers(kit: AuthKit) -> None:
    app = make_app(kit, "/v1/hooks")
    app.include_router(_router_with("/hooks/{name}", "GET"), prefix="/v1")
    app.include_router(_router_with("/hooks/{name}", "GET"), prefix="/v2")
    client = TestClient(app)

    assert client.get("/v1/hooks/paid").json() == "secret"
    assert client.get("/v2/hooks/paid").status_code == 401
    assert unprotected_routes(app) == ["GET /v1/hooks/{name}"]


@pytest.mark.parametrize(
    "path",
    [
        "/open/../secret",
        "/open/%2e%2e/secret",
        "/open%2f..%2fsecret",
        "//open/secret",
        "/open//../secret",
        "/open/..;/secret",
        "/OPEN/secret",
        "/open%00/secret",
        "/secret?/open",
        "/secret#/open",
        "/open/secret",
    ],
)
def test_no_way_to_write_a_request_makes_a_private_route_public(
    path: str, kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit, "/open")

    @app.get("/{path:path}")
    async def catch_all(path: str) -> str:
        return "secret"

    # httpx would tidy the path up.
    scope_path = path.partition("?")[0].partition("#")[0]
    client = TestClient(_AsWritten(app, scope_path))

    assert client.get("/").status_code == 401
    assert client.get("/", headers=headers).json() == "secret"


class _AsWritten:
    """Sends the path of each request as a client may write it, and as servers decode it."""

    def __init__(self, app: FastAPI, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from urllib.parse import unquote

        raw = {"path": unquote(self._path), "raw_path": self._path.encode()}
        await self._app({**scope, **raw} if scope["type"] == "http" else scope, receive, send)


@pytest.mark.parametrize("path", ["/files/../secret", "/files/%2e%2e/secret", "/files//secret"])
def test_a_public_mount_shows_nothing_of_what_stands_beside_it(
    path: str, kit: AuthKit, directory: Path
) -> None:
    app = make_app(kit, "/files")
    app.mount("/files", StaticFiles(directory=directory))
    app.get("/secret")(secret)

    answer = TestClient(_AsWritten(app, path)).get("/")

    assert (answer.status_code, "secret" in answer.text) == (404, False)


def test_a_root_path_makes_no_difference(kit: AuthKit, headers: dict[str, str]) -> None:
    app = make_app(kit, "/open")
    app.get("/open")(secret)
    app.get("/secret")(secret)
    app.get("/proxy/open")(_copy(secret))
    client = TestClient(app, root_path="/proxy")

    statuses = [client.get(path).status_code for path in ("/proxy/open", "/proxy/secret")]

    assert statuses == [200, 401]
    assert client.get("/proxy/secret", headers=headers).status_code == 200
    assert TestClient(app).get("/proxy/open").status_code == 401


def test_a_root_mount_is_opened_by_its_path_alone(kit: AuthKit, directory: Path) -> None:
    app = make_app(kit, "/")
    app.get("/secret")(secret)
    app.mount("/", StaticFiles(directory=directory, html=True))
    client = TestClient(app)

    assert client.get("/").text == "secret"
    assert client.get("/index.html").text == "secret"
    assert client.get("/secret").status_code == 401
    assert unprotected_routes(app) == ["MOUNT /"]


def test_unknown_paths_other_methods_and_missing_slashes_are_answered_as_ever(
    kit: AuthKit,
) -> None:
    app = make_app(kit)
    app.get("/secret")(secret)
    app.get("/folder/")(secret)
    app.router.routes.append(Route("/plain", plain_secret))
    client = TestClient(app, follow_redirects=False)

    assert client.get("/nowhere").status_code == 404
    assert client.post("/secret").status_code == 405
    assert client.post("/plain").status_code == 405
    assert client.get("/folder").headers["location"] == "http://testserver/folder/"
    assert client.get("/folder/").status_code == 401


def test_of_two_methods_of_a_path_each_is_public_on_its_own(kit: AuthKit) -> None:
    app = make_app(kit)
    app.get("/things")(public(_copy(secret)))
    app.post("/things")(secret)
    app.include_router(_router_with("/things", "PUT"))
    client = TestClient(app)

    statuses = [client.request(method, "/things").status_code for method in ("GET", "POST", "PUT")]

    assert statuses == [200, 401, 401]
    assert {m: o["security"] for m, o in app.openapi()["paths"]["/things"].items()} == {
        "get": [],
        "post": [{"OAuth2PasswordBearer": []}],
        "put": [{"OAuth2PasswordBearer": []}],
    }


def test_a_preflight_and_a_refusal_have_the_headers_of_cors(kit: AuthKit) -> None:
    app = make_app(kit)
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"], allow_methods=["GET"])
    app.get("/secret")(secret)
    client = TestClient(app, headers={"Origin": "https://a.example"})

    preflight = client.options("/secret", headers={"Access-Control-Request-Method": "GET"})
    refused = client.get("/secret")

    assert (preflight.status_code, refused.status_code) == (200, 401)
    for answer in (preflight, refused):
        assert answer.headers["access-control-allow-origin"] == "https://a.example"


def test_a_refusal_goes_through_the_error_handlers_of_the_application(kit: AuthKit) -> None:
    app = make_app(kit)
    app.mount("/files", PlainTextResponse("secret"))

    @app.exception_handler(401)
    async def explain(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"sign in at": "/login"}, status_code=401)

    assert TestClient(app).get("/files/").json() == {"sign in at": "/login"}


def test_one_override_signs_in_everywhere(kit: AuthKit, directory: Path) -> None:
    app = make_app(kit)
    for number, (add, _, _) in enumerate(WAYS):
        inner = FastAPI(openapi_url=None)
        add(inner, directory)
        app.mount(f"/{number}", inner)
    app.get("/secret")(secret)
    app.websocket("/feed")(feed)
    app.dependency_overrides[get_current_user] = lambda: CurrentUser(id="7")
    client = TestClient(app)

    for number, (_, path, _) in enumerate(WAYS):
        assert "secret" in client.get(f"/{number}{path}").text
    assert client.get("/secret").json() == "secret"
    with client.websocket_connect("/feed") as websocket:
        assert websocket.receive_text() == "secret"


def test_an_override_may_refuse_and_have_dependencies(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    def read_name(request: Request) -> str | None:
        return request.headers.get("x-name")

    def sign_in(name: Annotated[str | None, Depends(read_name)]) -> CurrentUser:
        if name is None:
            raise HTTPException(418)
        return CurrentUser(id=name)

    app = make_app(kit)
    app.get("/secret")(secret)
    app.get("/open")(public(_copy(secret)))
    app.dependency_overrides[get_current_user] = sign_in
    client = TestClient(app)

    assert client.get("/secret", headers=headers).status_code == 418
    assert client.get("/secret", headers={"X-Name": "ada"}).json() == "secret"
    assert client.get("/open").json() == "secret"


def test_an_override_of_another_dependency_leaves_no_route_without_a_user(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit)

    async def find_member(user: UserDep) -> str:
        return user.id

    app.get("/admin", dependencies=[Depends(require_admin)])(secret)
    app.get("/member", dependencies=[Depends(find_member)])(secret)
    app.dependency_overrides = {require_admin: lambda: None, find_member: lambda: "anybody"}
    client = TestClient(app)

    statuses = [client.get(path).status_code for path in ("/admin", "/member")]

    assert statuses == [401, 401]
    assert client.get("/member", headers=headers).json() == "secret"


def test_an_override_of_the_user_that_finds_nobody_opens_nothing(kit: AuthKit) -> None:
    app = make_app(kit)
    app.get("/secret")(secret)
    app.get("/asked", dependencies=[Depends(require_user)])(secret)
    app.dependency_overrides[get_current_user] = lambda: None
    client = TestClient(app)

    assert [client.get(path).status_code for path in ("/secret", "/asked")] == [401, 401]


def test_an_override_that_asks_for_the_user_still_does(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit)
    app.get("/admin", dependencies=[Depends(require_admin)])(secret)
    app.dependency_overrides[require_admin] = get_current_user
    client = TestClient(app)

    assert client.get("/admin").status_code == 401
    assert client.get("/admin", headers=headers).json() == "secret"


PATHS = ["/plain", "/asked", "/api/inherited", "/docs", *(["/web/"] if HAS_FRONTENDS else [])]


@pytest.mark.parametrize("path", PATHS)
def test_the_dependency_is_evaluated_once_for_a_request(
    path: str, kit: AuthKit, directory: Path
) -> None:
    app = make_app(kit)
    if HAS_FRONTENDS:
        frontend(app, directory)
    app.get("/plain")(secret)

    @app.get("/asked", dependencies=[Depends(require_admin)])
    async def asked(user: UserDep) -> None: ...

    api = APIRouter(prefix="/api", dependencies=[Depends(require_user)])
    api.include_router(_router_with("/inherited", "GET"))
    app.include_router(api)
    calls = []

    def sign_in() -> CurrentUser:
        calls.append(path)
        return CurrentUser(id="7", role="admin")

    app.dependency_overrides[get_current_user] = sign_in

    assert TestClient(app).get(path).status_code == 200
    assert calls == [path]


def test_a_route_included_elsewhere_keeps_requiring_a_user(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app, elsewhere = make_app(kit), FastAPI()
    app.get("/secret")(secret)
    elsewhere.include_router(app.router)
    install(elsewhere, kit)
    client = TestClient(elsewhere)

    assert client.get("/secret").status_code == 401
    assert client.get("/secret", headers=headers).json() == "secret"


def test_a_route_that_was_not_foreseen_requires_a_user(kit: AuthKit) -> None:
    class Shy(APIRoute):
        """Comes out when it is asked a second time."""

        asked = 0

        def matches(self, scope: Any) -> Any:
            self.asked += 1
            return (Match.NONE, {}) if self.asked % 2 else super().matches(scope)

    app = make_app(kit)
    app.router.route_class = Shy
    app.get("/secret")(secret)
    app.router.route_class = APIRoute
    app.get("/{path}")(public(_copy(secret)))
    client = TestClient(app)

    assert client.get("/secret").status_code == 401
    assert client.get("/other").json() == "secret"


def test_what_answers_in_the_place_of_404_requires_a_user(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app = make_app(kit)
    app.router.default = PlainTextResponse("secret")
    client = TestClient(app)

    assert client.get("/nowhere").status_code == 401
    assert client.get("/nowhere", headers=headers).text == "secret"


def test_a_public_mounted_application_may_deny_by_itself(
    kit: AuthKit, headers: dict[str, str]
) -> None:
    app, inner = make_app(kit, "/inner"), make_app(kit, "/docs")
    inner.get("/secret")(secret)
    inner.get("/open")(public(_copy(secret)))
    app.mount("/inner", inner)
    client = TestClient(app)

    assert client.get("/inner/open").json() == "secret"
    assert client.get("/inner/secret").status_code == 401
    assert client.get("/inner/secret", headers=headers).json() == "secret"
    assert client.get("/inner/docs").status_code == 200
    assert unprotected_routes(app) == [
        "GET /inner/docs",
        "GET /inner/docs/oauth2-redirect",
        "GET /inner/open",
    ]


def test_a_private_mount_hides_what_the_mounted_application_opens(kit: AuthKit) -> None:
    app, inner = make_app(kit), make_app(kit)
    inner.get("/open")(public(_copy(secret)))
    app.mount("/inner", inner)

    assert TestClient(app).get("/inner/open").status_code == 401
    assert unprotected_routes(app) == []


def test_a_cookie_from_another_site_opens_nothing(kit: AuthKit) -> None:
    app = FastAPI()
    deny_by_default(app)
    install(app, kit, transports=[CookieTransport()])
    app.post("/secret")(secret)
    token = kit.jwt.create_access_token({"user_id": "7"})
    cookie = {"Cookie": f"__Host-access_token={token}"}
    client = TestClient(app, base_url="https://testserver", headers=cookie)

    strange = client.post("/secret", headers={"Sec-Fetch-Site": "cross-site"})
    own = client.post("/secret", headers={"Sec-Fetch-Site": "same-origin"})

    assert (strange.status_code, own.json()) == (403, "secret")


def test_the_way_in_is_open(kit: AuthKit) -> None:
    app = make_app(kit)
    app.include_router(auth_router)
    app.get("/secret")(secret)

    with TestClient(app) as client:
        tokens = register(client)
        refreshed = client.post(
            "/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
        ).json()
        answer = client.get("/secret", headers=bearer(refreshed))
        me = client.get("/auth/me")

    assert (answer.json(), me.status_code) == ("secret", 401)
    assert unprotected_routes(app) == [
        "GET /auth/session",
        "POST /auth/login",
        "POST /auth/logout",
        "POST /auth/refresh",
        "POST /auth/register",
        "POST /auth/token",
    ]


@pytest.mark.parametrize("install_first", [True, False])
def test_openapi_shows_the_lock_and_the_401_on_all_but_public_routes(
    install_first: bool, kit: AuthKit
) -> None:
    app = FastAPI()
    if install_first:
        install(app, kit)
    deny_by_default(app, public_paths=["/paths"])
    if not install_first:
        install(app, kit)
    app.include_router(auth_router, prefix="/api")
    app.get("/secret")(secret)
    app.get("/open")(public(_copy(secret)))
    app.include_router(_router_with("/paths/{name}", "GET"))
    app.include_router(_router_with("/routed/{name}", "GET"))

    @app.get("/greeting")
    async def greeting(
        user: Annotated[CurrentUser | None, Depends(get_optional_user)],
    ) -> None: ...

    document = app.openapi()

    operations = {path: item.get("get", {}) for path, item in document["paths"].items()}
    for path in ("/secret", "/routed/{name}", "/greeting", "/api/auth/me"):
        assert operations[path]["security"] == [{"OAuth2PasswordBearer": []}]
        assert "401" in operations[path]["responses"]
    for path in ("/open", "/paths/{name}"):
        assert operations[path]["security"] == []
        assert "401" not in operations[path]["responses"]
    assert document["paths"]["/api/auth/login"]["post"]["security"] == []
    assert document["paths"]["/api/auth/logout"]["post"]["security"][0] == {}
    flows = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]
    assert flows["password"]["tokenUrl"] == "/api/auth/token"
    assert app.openapi() == document


def test_openapi_describes_the_first_of_two_routes_as_it_is_the_one_that_answers(
    kit: AuthKit,
) -> None:
    app = make_app(kit)
    app.get("/twice")(public(_copy(secret)))
    app.get("/twice", operation_id="again")(secret)

    assert "security" not in app.openapi()["paths"]["/twice"]["get"]


def test_openapi_has_no_way_around_the_lock(kit: AuthKit) -> None:
    app = make_app(kit)
    app.get("/secret", openapi_extra={"security": [{}]})(secret)

    assert app.openapi()["paths"]["/secret"]["get"]["security"] == [{"OAuth2PasswordBearer": []}]


def test_openapi_of_an_application_with_nothing_but_public_routes_has_no_lock() -> None:
    app = FastAPI()
    deny_by_default(app)
    app.get("/open")(public(_copy(secret)))

    assert "components" not in app.openapi()


def test_cookies_are_in_openapi_although_install_came_first(kit: AuthKit) -> None:
    app = FastAPI()
    install(app, kit, transports=[CookieTransport()])
    deny_by_default(app)
    app.get("/secret")(secret)

    document = app.openapi()

    assert document["paths"]["/secret"]["get"]["security"] == [{"CookieAuth": []}]
    assert document["components"]["securitySchemes"].keys() == {"CookieAuth"}


def test_openapi_keeps_the_schemes_and_answers_of_the_host(kit: AuthKit) -> None:
    from fastapi.security import APIKeyHeader

    app = make_app(kit)
    key = APIKeyHeader(name="X-Key")
    app.get("/keyed", dependencies=[Depends(key)], responses={401: {"description": "Mine"}})(secret)

    document = app.openapi()

    operation = document["paths"]["/keyed"]["get"]
    assert {"APIKeyHeader": []} in operation["security"]
    assert {"OAuth2PasswordBearer": []} in operation["security"]
    assert operation["responses"]["401"]["description"] == "Mine"
    assert "APIKeyHeader" in document["components"]["securitySchemes"]


def _add_before(app: FastAPI, directory: Path) -> None:
    app.websocket("/feed")(feed)


@pytest.mark.parametrize("add", [api_route, included_route, handmade_api_route, _add_before])
def test_it_says_that_it_comes_too_late(add: AddRoute, directory: Path) -> None:
    app = FastAPI()
    add(app, directory)

    with pytest.raises(ConfigurationError, match=r"right after FastAPI\(\)"):
        deny_by_default(app)


def test_plain_routes_may_be_there_already(kit: AuthKit) -> None:
    callbacks = APIRouter()
    callbacks.post("/called")(secret)
    app = FastAPI(routes=[Route("/secret", plain_secret)], callbacks=callbacks.routes)
    deny_by_default(app)
    install(app, kit)

    assert TestClient(app).get("/secret").status_code == 401
    assert unprotected_routes(app) == []


def test_it_says_that_it_was_called_before() -> None:
    app = FastAPI()
    deny_by_default(app)

    with pytest.raises(ConfigurationError, match="before"):
        deny_by_default(app)


@pytest.mark.parametrize("paths", ["/docs", ["docs"], ["/docs", ""], ["//docs"]])
def test_a_public_path_that_can_be_none_is_refused(paths: Any) -> None:
    with pytest.raises(ConfigurationError, match="/docs"):
        deny_by_default(FastAPI(), public_paths=paths)


def test_without_a_kit_private_routes_say_what_is_missing_and_public_ones_work() -> None:
    app = FastAPI()
    deny_by_default(app)
    app.get("/secret")(secret)
    app.get("/open")(public(_copy(secret)))
    client = TestClient(app)

    assert client.get("/open").json() == "secret"
    with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY"):
        client.get("/secret")


def test_unprotected_routes_are_told_from_protected_ones_without_deny_by_default(
    kit: AuthKit,
) -> None:
    app = FastAPI(redoc_url=None, docs_url=None)
    install(app, kit)
    guarded = APIRouter(dependencies=[Depends(require_admin)])
    guarded.get("/guarded")(secret)
    app.include_router(guarded)
    app.include_router(_router_with("/given", "GET"), dependencies=[Depends(require_user)])

    @app.api_route("/both", methods=["GET", "POST"])
    async def both() -> None: ...

    @app.get("/mine")
    async def mine(user: UserDep) -> None: ...

    @app.get("/greeting")
    async def greeting(
        user: Annotated[CurrentUser | None, Depends(get_optional_user)],
    ) -> None: ...

    app.websocket("/feed")(feed)

    assert unprotected_routes(app) == [
        "GET /both",
        "GET /greeting",
        "GET /openapi.json",
        "POST /both",
        "WS /feed",
    ]


def test_every_operation_of_openapi_that_answers_without_a_token_is_listed() -> None:
    app = FastAPI()
    app.include_router(auth_router, prefix="/api")
    app.include_router(_router_with("/deep/{name}", "PATCH"), prefix="/v1")
    install(app, make_kit())
    documented = {
        f"{method.upper()} {path}"
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if {} in (operation["security"] or [{}])
    }

    assert documented <= set(unprotected_routes(app))
    assert "PATCH /v1/deep/{name}" in documented


if HAS_FRONTENDS:

    def test_a_frontend_that_was_there_before_requires_a_user(
        kit: AuthKit, headers: dict[str, str], directory: Path
    ) -> None:
        app = FastAPI(openapi_url=None)
        app.frontend("/web", directory=directory)
        deny_by_default(app)
        install(app, kit)
        client = TestClient(app)

        assert client.get("/web/index.html").status_code == 401
        assert client.get("/web/index.html", headers=headers).text == "secret"
        assert unprotected_routes(app) == []

    def test_a_frontend_is_listed_where_the_dependencies_of_the_application_leave_it_open(
        kit: AuthKit, directory: Path
    ) -> None:
        app = FastAPI(openapi_url=None, dependencies=[Depends(require_user)])
        app.frontend("/web", directory=directory)
        install(app, kit)

        is_open = TestClient(app).get("/web/").status_code == 200

        assert unprotected_routes(app) == (["FRONTEND /web"] if is_open else [])

    @pytest.mark.parametrize(("opened", "status"), [("/web", 200), ("/we", 401), ("/", 401)])
    def test_a_frontend_is_opened_by_the_path_where_it_stands(
        opened: str, status: int, kit: AuthKit, directory: Path
    ) -> None:
        app = make_app(kit, opened)
        app.frontend("/web", directory=directory)

        answer = TestClient(app).get("/web/index.html")

        assert answer.status_code == status
        assert unprotected_routes(app) == (["FRONTEND /web"] if status == 200 else [])

    def test_a_frontend_at_the_root_is_opened_without_the_api(
        kit: AuthKit, directory: Path
    ) -> None:
        app = make_app(kit, "/")
        app.get("/secret")(secret)
        app.frontend("/", directory=directory)
        app.frontend("/admin", directory=directory)
        client = TestClient(app, root_path="/proxy")

        assert client.get("/proxy/index.html").text == "secret"
        assert client.get("/proxy/").text == "secret"
        assert client.get("/proxy/secret").status_code == 401
        assert client.get("/proxy/admin/index.html").status_code == 401
        assert unprotected_routes(app) == ["FRONTEND /"]

    def test_a_frontend_of_a_public_mount_requires_a_user_where_its_application_denies(
        kit: AuthKit, directory: Path
    ) -> None:
        app, inner = make_app(kit), make_app(kit)
        inner.frontend("/web", directory=directory)
        app.mount("/inner", public(inner))

        assert TestClient(app).get("/inner/web/index.html").status_code == 401
        assert unprotected_routes(app) == []


def _router_with(path: str, method: str) -> APIRouter:
    router = APIRouter()
    router.add_api_route(path, _copy(secret), methods=[method])
    return router


def _copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that other tests use too, so that marking it leaves theirs alone."""

    @wraps(function)
    async def copied(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return copied
