"""OpenAPI is right before anything runs: in a script, and served without a lifespan."""

import secrets
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.testclient import TestClient

from apps import make_kit
from jwt_auth_kit import (
    CookieTransport,
    CurrentUser,
    UserDep,
    auth_router,
    create_jwks_router,
    deny_by_default,
    get_current_user,
    get_optional_user,
    install,
)

MARKS = ("jwt_auth_kit", "jwt-auth-kit")


def add_routes(app: FastAPI) -> FastAPI:
    @app.get("/projects")
    async def projects(user: UserDep) -> str:
        return user.id

    @app.get("/greeting")
    async def greeting(user: Annotated[CurrentUser | None, Depends(get_optional_user)]) -> str:
        return "nobody" if user is None else user.id

    app.include_router(create_jwks_router())
    return app


def plain() -> FastAPI:
    app = FastAPI()
    app.include_router(auth_router)
    return add_routes(app)


def under_a_prefix() -> FastAPI:
    app = add_routes(FastAPI())
    app.include_router(auth_router, prefix="/api")
    return app


def nested() -> FastAPI:
    app, outer, inner = FastAPI(), APIRouter(prefix="/v1"), APIRouter()
    inner.include_router(auth_router, prefix="/users")
    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    return add_routes(app)


def with_a_root_path() -> FastAPI:
    app = plain()
    app.root_path = "/behind/proxy"
    return app


def denied_by_default() -> FastAPI:
    app = FastAPI()
    deny_by_default(app, public_paths=["/openapi.json"])
    app.include_router(auth_router, prefix="/api")
    return add_routes(app)


IN_A_SCRIPT = [
    (plain, "/auth/token"),
    (under_a_prefix, "/api/auth/token"),
    (nested, "/api/v1/users/auth/token"),
    (with_a_root_path, "/behind/proxy/auth/token"),
    (denied_by_default, "/api/auth/token"),
]
in_a_script = pytest.mark.parametrize(
    ("make", "token_url"), IN_A_SCRIPT, ids=[make.__name__ for make, _ in IN_A_SCRIPT]
)


def in_mounts() -> tuple[FastAPI, str]:
    middle, outer = FastAPI(), FastAPI()
    middle.mount("/b", under_a_prefix())
    outer.mount("/a", middle)
    return outer, "/a/b"


def list_texts(value: Any) -> Iterator[str]:
    """List the keys and the texts of a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from list_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from list_texts(item)
    elif isinstance(value, str):
        yield value


def find_marks(document: Any) -> list[str]:
    return [
        text
        for text in list_texts(document)
        if text.startswith("x-") or any(mark in text for mark in MARKS)
    ]


def scheme_of(document: dict[str, Any]) -> Any:
    return document["components"]["securitySchemes"]["OAuth2PasswordBearer"]


def token_url_of(document: dict[str, Any]) -> str:
    return str(scheme_of(document)["flows"]["password"]["tokenUrl"])


@in_a_script
def test_a_script_gets_the_url_the_locks_and_the_refusals(
    make: Callable[[], FastAPI], token_url: str
) -> None:
    document = make().openapi()

    projects = document["paths"]["/projects"]["get"]
    assert token_url_of(document) == token_url
    assert projects["security"] == [{"OAuth2PasswordBearer": []}]
    assert {"401", "503"} <= projects["responses"].keys()
    schema = projects["responses"]["401"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/AuthErrorBody"}
    assert find_marks(document) == []


@in_a_script
def test_a_script_gets_what_the_running_application_serves(
    make: Callable[[], FastAPI], token_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", secrets.token_urlsafe(32))
    app = make()
    before = app.openapi()

    with TestClient(app, root_path=app.root_path) as client:
        served = client.get("/openapi.json").json()

    assert served == before


@pytest.mark.parametrize(
    ("root_path", "token_url"), [("", "/api/auth/token"), ("/proxy", "/proxy/api/auth/token")]
)
def test_a_client_without_a_lifespan_gets_the_same(root_path: str, token_url: str) -> None:
    client = TestClient(under_a_prefix(), root_path=root_path)

    document = client.get("/openapi.json").json()

    assert token_url_of(document) == token_url
    assert document["servers"] == [{"url": root_path or "/"}]
    assert "401" in document["paths"]["/projects"]["get"]["responses"]
    assert find_marks(document) == []


def test_a_mounted_application_without_a_lifespan_knows_where_it_stands() -> None:
    app, place = in_mounts()

    document = TestClient(app).get(f"{place}/openapi.json").json()

    assert token_url_of(document) == "/a/b/api/auth/token"
    assert find_marks(document) == []


def test_an_optional_user_and_an_optional_token_are_shown_as_such() -> None:
    paths = plain().openapi()["paths"]

    for place in (("/greeting", "get"), ("/auth/logout", "post"), ("/auth/session", "get")):
        operation = paths[place[0]][place[1]]
        assert operation["security"] == [{}, {"OAuth2PasswordBearer": []}]
    assert "401" in paths["/greeting"]["get"]["responses"]
    assert "401" not in paths["/auth/session"]["get"]["responses"]


def test_a_function_of_the_host_that_came_last_is_completed_when_it_is_served() -> None:
    app = under_a_prefix()

    def build() -> dict[str, Any]:  # as FastAPI's documentation shows it
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="Mine", version="1", routes=app.routes)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]
    client = TestClient(app)
    first, second = (client.get("/openapi.json").json() for _ in range(2))

    assert first["info"]["title"] == "Mine"
    assert token_url_of(first) == "/api/auth/token"
    assert first == second


@pytest.mark.parametrize("make", [plain, nested, denied_by_default])
def test_what_fastapi_builds_alone_has_no_mark_and_no_wrong_url(
    make: Callable[[], FastAPI],
) -> None:
    app = make()

    document = get_openapi(title="Mine", version="1", routes=app.routes)

    assert find_marks(document) == []
    assert scheme_of(document) == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert [{}] != document["paths"]["/projects"]["get"]["security"] != []


@pytest.mark.parametrize("cookies", [False, True])
def test_no_mark_is_published_once_something_is_installed(cookies: bool) -> None:
    app = nested()
    if cookies:
        install(app, make_kit(), transports=[CookieTransport()])
    else:
        install(app, make_kit())

    assert find_marks(app.openapi()) == []


def test_a_router_that_is_filled_after_it_was_included_shows_no_mark() -> None:
    app, outer = FastAPI(), APIRouter()
    app.include_router(outer, prefix="/api")
    outer.include_router(auth_router)
    add_routes(app)

    assert find_marks(app.openapi()) == []


def test_an_application_without_our_routers_keeps_its_document() -> None:
    app = FastAPI()

    @app.get("/things")
    async def things(request: Request) -> None: ...

    before = app.openapi()
    install(app, make_kit())

    assert app.openapi() == before


def test_an_override_is_an_optional_user_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    app = plain()
    app.dependency_overrides[get_current_user] = lambda: CurrentUser(id="ada")
    client = TestClient(app)

    assert client.get("/greeting").json() == "ada"
    assert client.get("/greeting").json() == "ada"
