"""install(), get_auth() and the dependencies routes ask for."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, get_args

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from apps import EMAIL, PASSWORD, bearer, code, make_app, make_kit, refresh, register, serve
from jwt_auth_kit import (
    AdminDep,
    AuthKit,
    BearerTransport,
    ConfigurationError,
    CurrentUser,
    SignedIn,
    User,
    UserDep,
    auth_router,
    get_auth,
    get_current_user,
    get_optional_user,
    install,
    require_admin,
    require_owner,
    require_role,
    require_user,
)
from jwt_auth_kit.cli.main import make_secret


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    value = make_secret()
    monkeypatch.setenv("JWT_SECRET_KEY", value)
    return value


def sign_up(client: TestClient, path: str = "/auth/register") -> dict[str, str]:
    answer = client.post(path, json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return bearer(answer.json())


def test_require_user_is_get_current_user() -> None:
    assert require_user is get_current_user


def test_a_user_is_not_an_admin() -> None:
    with serve() as client:
        headers = bearer(register(client))

        answer = client.get("/admin/projects", headers=headers)

        assert (answer.status_code, code(answer)) == (403, "insufficient_role")


def test_an_admin_passes_user_and_admin_routes() -> None:
    kit = make_kit()
    token = kit.jwt.create_access_token({"user_id": "7", "role": "admin"})
    with serve(kit) as client:
        headers = {"Authorization": f"Bearer {token}"}

        assert client.get("/projects", headers=headers).json() == "7"
        assert client.get("/admin/projects", headers=headers).json() == "7"


@pytest.mark.parametrize(
    ("role", "status"),
    [
        *(("editor", 200), ("author", 200), ("admin", 403)),
        *((role, 403) for role in ("edit", "editors", "Editor", "author ", "editor author")),
    ],
)
def test_require_role_lets_just_the_named_roles_pass(role: str, status: int) -> None:
    kit = make_kit()
    app = make_app(kit)

    @app.get("/texts", dependencies=[Depends(require_role("editor", "author"))])
    async def texts() -> None: ...

    token = kit.jwt.create_access_token({"user_id": "1", "role": role})

    answer = TestClient(app).get("/texts", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == status


def test_require_role_needs_a_role() -> None:
    with pytest.raises(ConfigurationError):
        require_role()


@pytest.mark.parametrize(
    ("user_id", "role", "status"),
    [("7", "user", 200), ("8", "user", 403), ("8", "admin", 403)],
)
def test_require_owner_compares_the_path_with_the_caller(
    user_id: str, role: str, status: int
) -> None:
    answer = _ask_for_tasks("require_owner", user_id, role)

    assert answer == (status, "not_owner" if status == 403 else None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("Ada7", 200), ("ada7", 403), ("ADA7", 403), ("Ada70", 403), ("Ada", 403)),
        *(("0Ada7", 403), ("%20Ada7", 403), ("Ada7%20", 403), ("Ada7%00", 403)),
    ],
)
def test_require_owner_compares_letter_by_letter(path: str, status: int) -> None:
    kit = make_kit()
    app = make_app(kit)

    @app.get("/{user_id}/tasks", dependencies=[Depends(require_owner("user_id"))])
    async def tasks() -> None: ...

    token = kit.jwt.create_access_token({"user_id": "Ada7"})

    answer = TestClient(app).get(f"/{path}/tasks", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == status


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("user", 403)])
def test_require_owner_lets_admins_pass_if_asked_for(role: str, status: int) -> None:
    answer = _ask_for_tasks("with admins", "8", role)

    assert answer[0] == status


def test_require_owner_on_a_path_without_the_parameter_says_so() -> None:
    kit = make_kit()
    app = make_app(kit)

    @app.get("/tasks", dependencies=[Depends(require_owner("user_id"))])
    async def tasks() -> None: ...

    token = kit.jwt.create_access_token({"user_id": "1"})

    with pytest.raises(ConfigurationError, match=r"\{user_id\}"):
        TestClient(app).get("/tasks", headers={"Authorization": f"Bearer {token}"})


def test_optional_user_is_none_without_a_token_and_401_with_a_bad_one() -> None:
    kit = make_kit()
    app = make_app(kit)

    @app.get("/greeting")
    async def greeting(user: Annotated[CurrentUser | None, Depends(get_optional_user)]) -> str:
        return "stranger" if user is None else user.id

    token = kit.jwt.create_access_token({"user_id": "1"})
    client = TestClient(app)

    assert client.get("/greeting").json() == "stranger"
    assert client.get("/greeting", headers={"Authorization": f"Bearer {token}"}).json() == "1"
    assert client.get("/greeting", headers={"Authorization": "Bearer x"}).status_code == 401


def test_one_override_signs_in_for_user_and_admin_routes() -> None:
    app = make_app()

    @app.get("/greeting")
    async def greeting(user: Annotated[CurrentUser | None, Depends(get_optional_user)]) -> str:
        return "stranger" if user is None else user.id

    app.dependency_overrides[get_current_user] = lambda: CurrentUser(id="7", role="admin")
    client = TestClient(app)

    assert client.get("/projects").json() == "7"
    assert client.get("/greeting").json() == "7"
    assert client.get("/admin/projects").json() == "7"


def test_the_current_user_carries_what_the_token_says() -> None:
    app = make_app()

    @app.get("/whoami")
    async def whoami(user: UserDep) -> dict[str, str | None]:
        return {"name": user.display_name, "email": user.email, "session": user.session_id}

    with TestClient(app) as client:
        answer = client.get("/whoami", headers=sign_up(client)).json()

    assert (answer["name"], answer["email"]) == ("ada", EMAIL)
    assert answer["session"]


def test_user_data_that_no_claim_carries_is_none() -> None:
    app = make_app(make_kit(profile_claims=()))

    @app.get("/whoami")
    async def whoami(user: UserDep) -> list[str | None]:
        return [user.email, user.display_name]

    with TestClient(app) as client:
        headers = sign_up(client)

        assert client.get("/whoami", headers=headers).json() == [None, None]
        assert client.get("/auth/me", headers=headers).json()["email"] == EMAIL


def test_get_auth_hands_the_kit_to_a_route() -> None:
    kit = make_kit()
    app = make_app(kit)

    @app.get("/same")
    async def same(found: Annotated[AuthKit, Depends(get_auth)]) -> bool:
        return found is kit

    assert TestClient(app).get("/same").json() is True


@pytest.fixture
def scoped() -> Iterator[TestClient]:
    """An application whose users may read, and whose administrators may write too."""

    def choose_scopes(user: User) -> list[str]:
        return ["notes:read", "notes:write"] if user.role == "admin" else ["notes:read"]

    app = make_app(make_kit(scopes=choose_scopes))

    @app.get("/notes")
    async def read(
        user: Annotated[CurrentUser, Security(get_current_user, scopes=["notes:read"])],
    ) -> list[str]:
        return sorted(user.scopes)

    @app.post("/notes")
    async def write(
        user: Annotated[CurrentUser, Security(get_current_user, scopes=["notes:write"])],
    ) -> None: ...

    @app.post("/promote")
    async def promote(user: UserDep, kit: Annotated[AuthKit, Depends(get_auth)]) -> None:
        await kit.set_role(user.id, "admin")

    with TestClient(app) as client:
        yield client


def test_a_scope_of_the_token_opens_a_route(scoped: TestClient) -> None:
    headers = bearer(register(scoped))

    answer = scoped.get("/notes", headers=headers)

    assert (answer.status_code, answer.json()) == (200, ["notes:read"])


def test_a_missing_scope_is_a_403_that_names_it(scoped: TestClient) -> None:
    headers = bearer(register(scoped))

    answer = scoped.post("/notes", headers=headers)

    assert (answer.status_code, code(answer)) == (403, "insufficient_scope")
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="api", error="insufficient_scope"')
    assert challenge.endswith('scope="notes:write"')


@pytest.mark.parametrize("role", ["user", "admin"])
@pytest.mark.parametrize(
    ("scope", "status"),
    [
        *(("notes:read notes:write", 200), ("notes:write more notes:read", 200)),
        *(("", 403), ("notes:read", 403), ("notes:write", 403), ("notes", 403)),
        *(("notes:read:own notes:write:own", 403), ("NOTES:READ NOTES:WRITE", 403)),
    ],
)
def test_a_route_that_asks_for_two_scopes_needs_both(scope: str, status: int, role: str) -> None:
    kit = make_kit()
    app = make_app(kit)
    both = Security(get_current_user, scopes=["notes:read", "notes:write"])

    @app.post("/notes", dependencies=[both])
    async def write() -> None: ...

    token = kit.jwt.create_access_token({"user_id": "1", "role": role, "scope": scope})

    answer = TestClient(app).post("/notes", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == status
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.endswith('scope="notes:read notes:write"') == (status == 403)


def test_scopes_follow_the_user_at_each_refresh(scoped: TestClient) -> None:
    signed_in = register(scoped)
    scoped.post("/promote", headers=bearer(signed_in))

    refreshed = refresh(scoped, signed_in).json()

    assert scoped.post("/notes", headers=bearer(refreshed)).status_code == 200


def test_an_oauth_client_is_told_which_scopes_it_got(scoped: TestClient) -> None:
    register(scoped)
    form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}

    for wanted in ("", "notes:write"):
        answer = scoped.post("/auth/token", data={**form, "scope": wanted})

        assert answer.json()["scope"] == "notes:read"


def test_where_no_scopes_are_in_use_only_who_asks_is_told() -> None:
    form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
    with serve() as client:
        register(client)

        assert "scope" not in client.post("/auth/token", data=form).json()
        assert client.post("/auth/token", data={**form, "scope": "all"}).json()["scope"] == ""


def test_without_a_token_a_scope_is_a_401(scoped: TestClient) -> None:
    assert code(scoped.get("/notes")) == "not_authenticated"


def test_a_mounted_application_between_two_kits_says_what_to_call() -> None:
    leaf, middle = FastAPI(title="Leaf"), make_app()

    @leaf.get("/projects")
    async def projects(user: UserDep) -> None: ...

    middle.mount("/leaf", leaf)
    app = make_app()
    app.mount("/middle", middle)

    with pytest.raises(ConfigurationError, match="'Leaf'"):
        TestClient(app).get("/middle/leaf/projects")


def test_a_claim_of_the_hosts_own_user_class_is_in_the_token() -> None:
    kit = make_kit(profile_claims=("email", "is_active"))
    app = make_app(kit)

    @app.get("/active")
    async def active(user: UserDep) -> object:
        return dict(user.claims or {}).get("is_active")

    with TestClient(app) as client:
        assert client.get("/active", headers=sign_up(client)).json() is True


def test_without_install_the_kit_is_made_of_the_environment_on_first_use(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    app.include_router(auth_router)

    @app.get("/projects")
    async def projects(user: UserDep) -> str:
        return user.id

    client = TestClient(app)  # no lifespan runs
    headers = sign_up(client)

    assert client.get("/projects", headers=headers).status_code == 200
    assert [record.levelname for record in caplog.records if "memory" in record.message] == [
        "WARNING"
    ]


def test_a_missing_secret_stops_the_start_and_names_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    app = FastAPI()
    app.include_router(auth_router)

    with pytest.raises(ConfigurationError, match="python -m jwt_auth_kit secret"), TestClient(app):
        pass  # pragma: no cover


def test_install_with_durable_stores_logs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    make_app()

    assert "memory" not in caplog.text


def test_only_the_store_that_is_missing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        make_kit(users=None)

    assert "Accounts live in memory" in caplog.text


def test_install_needs_a_transport() -> None:
    with pytest.raises(ConfigurationError, match="transport"):
        install(FastAPI(), make_kit(), transports=())


def test_an_app_factory_makes_independent_applications() -> None:
    def create_app() -> FastAPI:
        app = FastAPI()
        app.include_router(auth_router)
        install(app, make_kit())
        return app

    one, other = TestClient(create_app()), TestClient(create_app())
    sign_up(one)

    assert sign_up(other)  # the address is not taken there


def test_install_inside_a_lifespan_works() -> None:
    kit = make_kit()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        install(app, kit)
        yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(auth_router)

    with TestClient(app) as client:
        sign_up(client)
        tokens = client.get("/openapi.json").json()["components"]["securitySchemes"]

    assert tokens["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"] == "/auth/token"


def test_a_feature_router_needs_the_library_alone() -> None:
    feature = APIRouter(prefix="/reports", dependencies=[Depends(require_admin)])

    @feature.get("/")
    async def reports() -> str:
        return "all of them"

    kit = make_kit()
    app = make_app(kit)
    app.include_router(feature)
    token = kit.jwt.create_access_token({"user_id": "1", "role": "admin"})

    client = TestClient(app)

    assert client.get("/reports/").status_code == 401
    assert client.get("/reports/", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_mounted_application_uses_the_kit_of_its_parent() -> None:
    sub = FastAPI()

    @sub.get("/projects")
    async def projects(user: UserDep) -> str:
        return user.id

    app = make_app()
    app.mount("/sub", sub)

    with TestClient(app) as client:
        assert client.get("/sub/projects", headers=sign_up(client)).status_code == 200
        assert client.get("/sub/projects").status_code == 401


def test_a_mounted_application_with_its_own_kit_keeps_it() -> None:
    sub = make_app()
    app = make_app()
    app.mount("/sub", sub)

    with TestClient(app) as client:
        headers = sign_up(client)

        answer = client.get("/sub/projects", headers=headers)

        assert (answer.status_code, code(answer)) == (401, "invalid_token")


def test_a_mounted_application_without_any_kit_says_what_to_call(secret: str) -> None:
    sub = FastAPI(title="Reports")
    sub.include_router(auth_router)
    app = FastAPI()
    app.mount("/sub", sub)

    with pytest.raises(ConfigurationError, match=r"'Reports'.*install\(sub_app, kit\)"):
        TestClient(app).get("/sub/auth/me")


def test_routes_in_a_plain_mount_use_the_kit_of_their_application(secret: str) -> None:
    async def knows_a_kit(request: Request) -> JSONResponse:
        return JSONResponse(await get_auth(request) is not None)

    app = FastAPI(routes=[Mount("/inner", routes=[Route("/kit", knows_a_kit)])])

    assert TestClient(app).get("/inner/kit").json() is True


class HeaderTransport(BearerTransport):
    """A transport of the host's own: the token comes in X-Token and goes out in X-Access."""

    def read_access_token(self, connection: HTTPConnection) -> str | None:
        return connection.headers.get("x-token")

    def read_refresh_token(self, connection: HTTPConnection, sent: str | None) -> str | None:
        return connection.headers.get("x-refresh")

    def write(self, response: Response, signed_in: SignedIn) -> None:
        response.headers["X-Access"] = signed_in.tokens.access_token

    def clear(self, response: Response) -> None:
        response.headers["X-Access"] = "gone"


def test_transports_are_asked_in_order_and_the_first_answers_logins() -> None:
    app = make_app()
    install(app, make_kit(), transports=[HeaderTransport(), BearerTransport()])
    client = TestClient(app)

    signed_in = client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
    body, token = signed_in.json(), signed_in.headers["x-access"]

    assert client.get("/projects", headers={"X-Token": token}).status_code == 200
    assert client.get("/projects", headers=bearer(body)).status_code == 200
    refreshed = client.post("/auth/refresh", headers={"X-Refresh": body["refresh_token"]})
    assert refreshed.status_code == 200
    logout = client.post("/auth/logout", headers={"X-Token": token})
    assert logout.headers["x-access"] == "gone"


def test_the_aliases_are_the_annotated_forms() -> None:
    assert get_args(AdminDep) == (CurrentUser, Depends(require_admin))
    assert get_args(UserDep) == (CurrentUser, Depends(require_user))


def _ask_for_tasks(check: str, user_id: str, role: str) -> tuple[int, str | None]:
    kit = make_kit()
    app = make_app(kit)
    owner = require_owner("user_id", admin=check == "with admins")

    @app.get("/api/{user_id}/tasks", dependencies=[Depends(owner)])
    async def tasks(user_id: int) -> int:
        return user_id

    token = kit.jwt.create_access_token({"user_id": user_id, "role": role})
    answer = TestClient(app).get("/api/7/tasks", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, None if answer.status_code == 200 else code(answer)
