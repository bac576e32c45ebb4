"""Operations have names, summaries, examples and limits that generators and readers can use."""

from collections import Counter
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel

from apps import make_app, make_kit
from jwt_auth_kit import (
    BearerTransport,
    CookieTransport,
    KeyRing,
    PasswordPolicy,
    TokenVerifier,
    UserDep,
    auth_router,
    create_auth_router,
    create_jwks_router,
    install,
)

PLAIN = {
    "POST /auth/register": "register",
    "POST /auth/login": "login",
    "POST /auth/token": "createToken",
    "POST /auth/refresh": "refresh",
    "POST /auth/logout": "logout",
    "GET /auth/me": "getMe",
    "GET /auth/session": "getSession",
    "POST /auth/password": "changePassword",
    "POST /auth/logout-all": "logoutAll",
    "GET /auth/sessions": "listSessions",
    "DELETE /auth/sessions": "endOtherSessions",
    "DELETE /auth/sessions/{session_id}": "endSession",
    "GET /.well-known/jwks.json": "getPublicKeys",
}
PUBLIC = ("register", "login", "token", "refresh")
ISSUER: dict[str, Any] = {"issuer": "https://issuer.example", "audience": "api"}


def operations_of(app: FastAPI) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
    }


def ids_of(app: FastAPI) -> dict[str, str]:
    return {place: operation["operationId"] for place, operation in operations_of(app).items()}


def example_of(app: FastAPI, path: str, name: str) -> dict[str, Any]:
    content = operations_of(app)[f"POST {path}"]["requestBody"]["content"]
    media = next(iter(content.values()))
    return dict(media["examples"][name]["value"])


def name_by_route(route: APIRoute) -> str:
    return f"host-{route.name}-{len(route.path)}"


def test_operation_ids_are_plain_at_the_first_include() -> None:
    app = FastAPI()
    app.include_router(auth_router)
    app.include_router(create_jwks_router())

    assert ids_of(app) == PLAIN


@pytest.mark.parametrize(
    ("prefix", "start"), [("/v2", "v2"), ("/api/v2", "apiV2"), ("/{tenant}", "tenant")]
)
def test_operation_ids_have_a_prefix_at_the_second_include(prefix: str, start: str) -> None:
    app = FastAPI()
    app.include_router(auth_router)
    app.include_router(auth_router, prefix=prefix)

    ids = ids_of(app)

    assert ids["POST /auth/login"] == "login"
    assert ids[f"POST {prefix}/auth/login"] == f"{start}Login"
    assert ids[f"GET {prefix}/auth/me"] == f"{start}GetMe"
    assert ids[f"DELETE {prefix}/auth/sessions/{{session_id}}"] == f"{start}EndSession"
    assert max(Counter(ids.values()).values()) == 1


def test_a_second_router_of_another_place_has_the_prefix_of_its_place() -> None:
    app = FastAPI()
    app.include_router(auth_router, prefix="/v1")
    app.include_router(create_auth_router(prefix="/staff"), prefix="/v1")
    app.include_router(auth_router)

    ids = ids_of(app)

    assert ids["POST /v1/auth/login"] == "login"
    assert ids["POST /v1/staff/login"] == "v1StaffLogin"
    assert ids["POST /auth/login"] == "authLogin"
    assert max(Counter(ids.values()).values()) == 1


@pytest.mark.parametrize("place", ["application", "router", "include"])
def test_the_function_of_the_host_names_the_operations_where_it_is_set(place: str) -> None:
    named: dict[str, Any] = {"generate_unique_id_function": name_by_route}
    app = FastAPI(**(named if place == "application" else {}))
    router = APIRouter(**(named if place == "router" else {}))
    router.include_router(auth_router)
    app.include_router(router, prefix="/api", **(named if place == "include" else {}))

    ids = ids_of(app)

    assert ids["POST /api/auth/login"] == "host-login-15"
    assert all(name.startswith("host-") for name in ids.values())


def test_an_operation_of_the_host_keeps_its_id_and_ours_gives_way() -> None:
    app = make_app()

    @app.post("/login", operation_id="login")
    async def login() -> None: ...

    ids = ids_of(app)

    assert ids["POST /login"] == "login"
    assert ids["POST /auth/login"] == "authLogin"
    assert ids["GET /auth/me"] == "getMe"


def test_every_operation_says_what_it_does_in_a_few_words() -> None:
    app = FastAPI()
    app.include_router(auth_router)
    app.include_router(create_jwks_router())

    operations = operations_of(app)

    summaries = {place: operations[place]["summary"] for place in PLAIN}
    assert len(set(summaries.values())) == len(PLAIN)
    assert all(" " in summary for summary in summaries.values())
    assert summaries["POST /auth/login"] == "Sign in"
    assert all(operation["description"] for operation in operations.values())


def test_the_tags_of_our_routers_are_described() -> None:
    app = FastAPI()
    app.include_router(auth_router)
    app.include_router(create_jwks_router())

    tags = {tag["name"]: tag["description"] for tag in app.openapi()["tags"]}

    assert tags.keys() == {"auth", "keys"}
    assert "sign in" in tags["auth"]


def test_the_host_describes_its_tags_itself() -> None:
    own = [{"name": "auth", "description": "Mine"}, {"name": "things"}]
    described, renamed = FastAPI(openapi_tags=own), FastAPI()
    described.include_router(auth_router)
    renamed.include_router(create_auth_router(tags=["accounts"]))

    assert described.openapi()["tags"] == own
    assert "tags" not in renamed.openapi()


@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [(None, 8, 128), (PasswordPolicy(min_length=15, max_length=200), 15, 200)],
)
def test_the_limits_of_new_passwords_are_those_of_the_policy(
    policy: PasswordPolicy | None, least: int, most: int
) -> None:
    app = make_app(make_kit(password_policy=policy))
    client = TestClient(app)
    schemas = app.openapi()["components"]["schemas"]
    letters = "zq7 xk!vw3 jd_mh8 " * 20

    statuses = [
        client.post(
            "/auth/register", json={"email": f"{n}@example.com", "password": letters[:n]}
        ).status_code
        for n in (least - 1, least, most, most + 1)
    ]

    assert statuses == [422, 201, 201, 422]
    for model, field in (("AuthRegisterBody", "password"), ("AuthPasswordBody", "new_password")):
        limits = schemas[model]["properties"][field]
        assert (limits["minLength"], limits["maxLength"]) == (least, most)
    for model, field in (("AuthLoginBody", "password"), ("AuthPasswordBody", "current_password")):
        limits = schemas[model]["properties"][field]
        assert (limits.get("minLength"), limits["maxLength"]) == (None, 1024)


def test_the_requests_of_the_examples_are_answered() -> None:
    app = make_app()
    client = TestClient(app)

    def send(path: str, example: str, **options: Any) -> Any:
        kind = "data" if path == "/auth/token" else "json"
        sent: Any = {kind: example_of(app, path, example)}
        return client.post(path, **sent, **options)

    signed_up = send("/auth/register", "ada")
    assert signed_up.status_code == 201, signed_up.text
    headers = {"Authorization": f"Bearer {signed_up.json()['access_token']}"}
    assert send("/auth/login", "ada").status_code == 200
    assert send("/auth/token", "password").status_code == 200
    assert send("/auth/password", "ada", headers=headers).status_code == 200
    assert send("/auth/refresh", "bearer").json()["detail"]["code"] == "invalid_token"
    assert send("/auth/refresh", "cookies").json()["detail"]["code"] == "not_authenticated"
    assert send("/auth/token", "refresh_token").json()["error"] == "invalid_grant"


@pytest.mark.parametrize("least", [29, 40, 64])
def test_the_passwords_of_the_examples_pass_the_policy(least: int) -> None:
    app = make_app(make_kit(password_policy=PasswordPolicy(min_length=least, max_length=64)))
    client = TestClient(app)
    body = example_of(app, "/auth/register", "ada")
    change = example_of(app, "/auth/password", "ada") | {"current_password": body["password"]}

    signed_up = client.post("/auth/register", json=body)
    headers = {"Authorization": f"Bearer {signed_up.json().get('access_token')}"}
    changed = client.post("/auth/password", json=change, headers=headers)

    assert (signed_up.status_code, changed.status_code) == (201, 200)


def test_routes_without_a_user_say_that_they_are_open() -> None:
    app = make_app()
    app.include_router(create_jwks_router())

    @app.get("/health")
    async def health() -> None: ...

    operations = operations_of(app)

    for route in PUBLIC:
        assert operations[f"POST /auth/{route}"]["security"] == []
    assert operations["GET /.well-known/jwks.json"]["security"] == []
    assert operations["GET /health"]["security"] == []
    assert all("security" in operation for operation in operations.values())


def test_a_requirement_of_the_whole_document_stays() -> None:
    app = FastAPI()

    @app.get("/health")
    async def health() -> None: ...

    build = app.openapi
    app.openapi = lambda: {**build(), "security": [{"Mine": []}]}  # type: ignore[method-assign]
    app.include_router(auth_router)

    document = app.openapi()

    assert document["security"] == [{"Mine": []}]
    assert "security" not in document["paths"]["/health"]["get"]
    assert document["paths"]["/auth/login"]["post"]["security"] == []


def answer_503(verifier: TokenVerifier | None) -> Any:
    app = FastAPI()
    install(app, verifier or make_kit())

    @app.get("/projects")
    async def projects(user: UserDep) -> None: ...

    answer = operations_of(app)["GET /projects"]["responses"].get("503")
    return answer and [*answer["content"]["application/json"]["examples"]]


def test_a_route_says_when_it_is_unavailable() -> None:
    remote = TokenVerifier("https://issuer.example/jwks.json", **ISSUER)
    local = TokenVerifier(keys=KeyRing.random(), **ISSUER)

    assert answer_503(remote) == ["keys_unavailable"]
    assert answer_503(local) is None
    assert answer_503(None) == ["store_unavailable"]


class AuthSignedInBody(BaseModel):
    """A model of the host with the name of one of ours."""

    mine: str


class AuthErrorBody(BaseModel):
    """Another one."""

    mine: int


class SignedInBody(BaseModel):
    """One that is named as ours was."""

    mine: bool


@pytest.mark.parametrize("cookies", [False, True])
@pytest.mark.parametrize("has_router", [False, True])
def test_models_of_the_host_may_have_the_names_of_ours(has_router: bool, cookies: bool) -> None:
    app = FastAPI()
    install(app, make_kit(), transports=[CookieTransport() if cookies else BearerTransport()])
    if has_router:
        app.include_router(auth_router)

    @app.get("/own", responses={400: {"model": AuthErrorBody}, 418: {"model": SignedInBody}})
    async def own(user: UserDep) -> AuthSignedInBody:
        return AuthSignedInBody(mine=user.id)

    document = TestClient(app).get("/openapi.json").json()

    def model(status: str, path: str = "/own", method: str = "get") -> Any:
        response = document["paths"][path][method]["responses"][status]
        name = response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return document["components"]["schemas"][name]

    for status in ("200", "400", "418"):
        assert model(status)["properties"].keys() == {"mine"}
    assert model("401")["properties"].keys() == {"detail"}
    if has_router:
        answer = model("200", "/auth/login", "post")["properties"]
        assert ("access_token" in answer) is not cookies
