"""OpenAPI is right about authentication without work by the host."""

import secrets
from typing import Annotated, Any
from urllib.parse import urljoin

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, create_model

from apps import EMAIL, PASSWORD, make_app, make_kit
from jwt_auth_kit import (
    CurrentUser,
    UserDep,
    auth_router,
    create_jwks_router,
    get_optional_user,
    install,
)

ROUTES = {
    "register": {"201", "409", "413", "415", "422", "429", "503"},
    "login": {"200", "401", "413", "415", "422", "429", "503"},
    "token": {"200", "400", "403", "413", "429", "503"},
    "refresh": {"200", "401", "413", "415", "422", "503"},
    "logout": {"204", "401", "413", "415", "422", "503"},
    "password": {"200", "401", "413", "415", "422", "429", "503"},
    "me": {"200", "401", "503"},
    "session": {"200", "503"},
}


def token_url(document: dict[str, Any]) -> str:
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    return str(scheme["flows"]["password"]["tokenUrl"])


def under_a_prefix() -> tuple[FastAPI, str]:
    app = FastAPI()
    version = APIRouter(prefix="/v1")
    version.include_router(auth_router)
    app.include_router(version, prefix="/api")
    install(app, make_kit())
    return app, ""


def in_a_mount() -> tuple[FastAPI, str]:
    app = FastAPI()
    app.mount("/sub", make_app())
    return app, "/sub"


def under_a_prefix_in_two_mounts() -> tuple[FastAPI, str]:
    inner, middle, outer = FastAPI(), FastAPI(), FastAPI()
    inner.include_router(auth_router, prefix="/v1")
    install(inner, make_kit())
    middle.mount("/b", inner)
    outer.mount("/a", middle)
    return outer, "/a/b"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: (make_app(), ""), "/auth/token"),
        (under_a_prefix, "/api/v1/auth/token"),
        (in_a_mount, "/sub/auth/token"),
        (under_a_prefix_in_two_mounts, "/a/b/v1/auth/token"),
    ],
    ids=["plain", "prefix", "mount", "both"],
)
def test_token_url_is_the_real_path_of_the_token_route(make: Any, expected: str) -> None:
    app, root = make()
    client = TestClient(app)

    url = token_url(client.get(f"{root}/openapi.json").json())

    assert url == expected
    form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
    assert client.post(url, data=form).json()["error"] == "invalid_grant"


def test_token_url_follows_the_root_path_of_a_proxy() -> None:
    client = TestClient(make_app(), root_path="/behind/proxy")

    document = client.get("/openapi.json").json()

    assert token_url(document) == "/behind/proxy/auth/token"
    assert urljoin("http://h/behind/proxy/", token_url(document)).endswith("/proxy/auth/token")


def test_the_lifespan_completes_an_application_that_installs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", secrets.token_urlsafe(32))
    app = FastAPI()
    app.include_router(auth_router, prefix="/api")

    with TestClient(app) as client:
        document = client.get("/openapi.json").json()

    assert token_url(document) == "/api/auth/token"


def test_an_openapi_function_of_the_host_is_completed_too() -> None:
    app = make_app()
    build = app.openapi

    def titled() -> dict[str, Any]:
        return {**build(), "info": {"title": "Mine", "version": "1"}}

    app.openapi = titled  # type: ignore[method-assign]
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()

    assert document["info"]["title"] == "Mine"
    assert token_url(document) == "/auth/token"


def test_secured_routes_of_the_host_document_their_401() -> None:
    app = make_app()

    @app.get("/open")
    async def opened() -> None: ...

    @app.get("/own", responses={401: {"description": "My own words"}})
    async def own(user: UserDep) -> None: ...

    paths = app.openapi()["paths"]

    answer = paths["/projects"]["get"]["responses"]["401"]
    assert answer["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/AuthErrorBody"
    }
    assert "WWW-Authenticate" in answer["headers"]
    assert paths["/projects"]["get"]["security"] == [{"OAuth2PasswordBearer": []}]
    assert "401" not in paths["/open"]["get"]["responses"]
    assert paths["/own"]["get"]["responses"]["401"]["description"] == "My own words"


def test_an_optional_user_is_documented_as_nothing_or_a_token() -> None:
    app = make_app()

    @app.get("/greeting")
    async def greeting(
        user: Annotated[CurrentUser | None, Depends(get_optional_user)],
    ) -> None: ...

    operation = app.openapi()["paths"]["/greeting"]["get"]

    assert operation["security"] == [{}, {"OAuth2PasswordBearer": []}]


def test_the_error_body_is_in_the_document_of_a_host_without_the_router() -> None:
    app = FastAPI()
    install(app, make_kit())

    @app.get("/projects")
    async def projects(user: UserDep) -> None: ...

    document = app.openapi()

    assert {"AuthErrorBody", "AuthErrorDetail"} <= document["components"]["schemas"].keys()
    scheme = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    assert scheme == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def test_a_host_that_secures_nothing_keeps_its_document() -> None:
    app = FastAPI()
    before = app.openapi()

    install(app, make_kit())

    assert app.openapi() == before


def test_asking_twice_changes_nothing() -> None:
    app = make_app()
    install(app, make_kit())

    assert app.openapi() == app.openapi()


@pytest.mark.parametrize(("route", "statuses"), ROUTES.items())
def test_each_route_documents_the_statuses_it_can_answer(route: str, statuses: set[str]) -> None:
    operation = next(iter(make_app().openapi()["paths"][f"/auth/{route}"].values()))

    assert operation["responses"].keys() == statuses


def test_errors_are_documented_with_their_codes() -> None:
    operation = make_app().openapi()["paths"]["/auth/refresh"]["post"]

    examples = operation["responses"]["401"]["content"]["application/json"]["examples"]
    assert examples.keys() == {
        "not_authenticated",
        "invalid_token",
        "wrong_token_type",
        "session_expired",
        "session_revoked",
        "refresh_reused",
    }


def test_the_token_form_is_documented() -> None:
    operation = make_app().openapi()["paths"]["/auth/token"]["post"]

    form = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert "required" not in form  # which fields are needed depends on the grant
    assert form["properties"]["grant_type"]["enum"] == ["password", "refresh_token"]
    assert form["properties"]["grant_type"]["default"] == "password"


def test_bodies_are_bodies_and_not_query_parameters() -> None:
    paths = make_app().openapi()["paths"]

    for route in ("register", "login", "refresh", "logout"):
        assert "parameters" not in paths[f"/auth/{route}"]["post"]
        assert "application/json" in paths[f"/auth/{route}"]["post"]["requestBody"]["content"]


def test_operation_ids_are_unique() -> None:
    operations = [op for path in make_app().openapi()["paths"].values() for op in path.values()]

    ids = [operation["operationId"] for operation in operations]

    assert len(ids) == len(set(ids))


def test_a_model_of_the_host_keeps_its_name() -> None:
    class ErrorBody(BaseModel):
        mine: str

    app = make_app()

    @app.get("/own", responses={400: {"model": ErrorBody}})
    async def own(user: UserDep) -> None: ...

    schemas = app.openapi()["components"]["schemas"]
    assert schemas["ErrorBody"]["properties"].keys() == {"mine"}
    assert schemas["AuthErrorBody"]["properties"].keys() == {"detail"}


def test_logout_is_documented_with_and_without_an_access_token() -> None:
    operation = make_app().openapi()["paths"]["/auth/logout"]["post"]

    assert operation["security"] == [{}, {"OAuth2PasswordBearer": []}]


OLD_NAMES = [
    *("Profile", "SessionBody", "SessionInfo", "SignedInBody", "TokenBody", "OAuthError"),
    *("LoginBody", "RegisterBody", "PasswordBody", "RefreshBody", "TokenForm", "JWKSet"),
]


@pytest.mark.parametrize("name", OLD_NAMES)
def test_a_model_of_the_host_does_not_share_its_name_with_one_of_ours(name: str) -> None:
    mine = create_model(name, mine=(str, ...))
    app = make_app()
    app.include_router(create_jwks_router())
    app.post("/own", response_model=mine)(lambda body: body)

    schemas = app.openapi()["components"]["schemas"]

    assert schemas[name]["properties"].keys() == {"mine"}
    assert [each for each in schemas if "__" in each] == []
    ours = {each for each in schemas if each != name and not each.endswith("ValidationError")}
    assert all(each.startswith("Auth") for each in ours)
