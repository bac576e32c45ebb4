"""A route asks of an overridden user what it asks of others."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Annotated, Any
from unittest.mock import patch

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from apps import Events, bearer, code, make_kit, register
from jwt_auth_kit import (
    ConfigurationError,
    CurrentUser,
    SessionDep,
    UserDep,
    auth_router,
    deny_by_default,
    get_current_user,
    get_optional_user,
    install,
    require_admin,
    require_owner,
    require_recent_login,
    require_role,
    require_scopes,
    require_session,
    require_user,
)
from jwt_auth_kit.testing import signed_in_as

ADA = CurrentUser(id="ada")
READER = CurrentUser(id="ada", scopes=frozenset({"read"}))
WRITER = CurrentUser(id="ada", scopes=frozenset({"read", "write"}))
ROOT = CurrentUser(id="root", role="admin", scopes=frozenset({"read"}))


def make_app(*, installed: bool = True, events: Events | None = None) -> FastAPI:
    app = FastAPI()
    app.include_router(auth_router)
    add_routes(app)
    if installed:
        install(app, make_kit(on_event=Events() if events is None else events))
    return app


def add_routes(app: FastAPI | APIRouter) -> None:
    @app.get("/security")
    async def security(user: Annotated[Any, Security(get_current_user, scopes=["write"])]) -> str:
        return str(user.id)

    @app.get("/scopes", dependencies=[Depends(require_scopes("read", "write"))])
    async def scopes() -> str:
        return "ada"

    @app.get("/session")
    async def session(user: Annotated[Any, Security(require_session, scopes=["write"])]) -> str:
        return str(user.id)

    @app.get("/optional")
    async def optional(user: Annotated[Any, Security(get_optional_user, scopes=["write"])]) -> str:
        return "nobody" if user is None else str(user.id)

    @app.get("/admin")
    async def admin(user: Annotated[Any, Security(require_admin, scopes=["write"])]) -> str:
        return str(user.id)

    @app.get("/user")
    async def plain(user: UserDep) -> str:
        return user.id

    @app.websocket("/ws")
    async def ws(
        websocket: WebSocket, user: Annotated[Any, Security(get_current_user, scopes=["write"])]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(str(user.id))
        await websocket.close()


class FromHeader:
    """An instance as an override, with a dependency of its own."""

    def __init__(self, user: CurrentUser | None) -> None:
        self._user = user

    async def __call__(self, x_test: Annotated[str, Header()] = "") -> CurrentUser | None:
        assert x_test == "here"
        return self._user


def as_function(user: Any) -> Callable[..., Any]:
    return lambda: user


def as_coroutine(user: Any) -> Callable[..., Any]:
    async def give() -> Any:
        return user

    return give


def as_generator(user: Any) -> Callable[..., Any]:
    def give() -> Iterator[Any]:
        yield user

    return give


def as_async_generator(user: Any) -> Callable[..., Any]:
    async def give() -> AsyncIterator[Any]:
        yield user

    return give


def as_partial(user: Any) -> Callable[..., Any]:
    return partial(lambda who: who, user)


def as_dependant(user: Any) -> Callable[..., Any]:
    async def give(found: Annotated[Any, Depends(as_generator(user))]) -> Any:
        return found

    return give


KINDS = [
    as_function,
    as_coroutine,
    as_generator,
    as_async_generator,
    as_partial,
    as_dependant,
    FromHeader,
]


@pytest.mark.parametrize("kind", KINDS)
def test_scopes_are_asked_of_an_overridden_user_whatever_the_override_is(
    kind: Callable[[Any], Any],
) -> None:
    app = make_app()
    client = TestClient(app, headers={"x-test": "here"})

    app.dependency_overrides[get_current_user] = kind(READER)
    refused = client.get("/security")
    app.dependency_overrides[get_current_user] = kind(WRITER)
    passed = client.get("/security")

    assert (refused.status_code, code(refused)) == (403, "insufficient_scope")
    assert 'scope="write"' in refused.headers["www-authenticate"]
    assert passed.json() == "ada"


@pytest.mark.parametrize(
    ("dependency", "path"),
    [
        (require_user, "/security"),
        (require_session, "/session"),
        (get_optional_user, "/optional"),
        (require_admin, "/admin"),
    ],
)
def test_scopes_are_asked_whichever_dependency_is_overridden(dependency: Any, path: str) -> None:
    app = make_app()
    client = TestClient(app)

    app.dependency_overrides[dependency] = lambda: READER
    refused = client.get(path)
    app.dependency_overrides[dependency] = lambda: WRITER

    assert (refused.status_code, code(refused)) == (403, "insufficient_scope")
    assert client.get(path).json() == "ada"


@pytest.mark.parametrize("installed", [True, False])
def test_require_scopes_asks_an_overridden_user(installed: bool) -> None:
    app = make_app(installed=installed)
    client = TestClient(app)

    app.dependency_overrides[get_current_user] = lambda: READER
    refused = client.get("/scopes")
    app.dependency_overrides[get_current_user] = lambda: WRITER

    assert (refused.status_code, code(refused)) == (403, "insufficient_scope")
    assert client.get("/scopes").json() == "ada"


def test_require_scopes_lets_tokens_with_all_of_them_pass() -> None:
    app = FastAPI()
    app.include_router(auth_router)
    add_routes(app)
    kit = make_kit()
    install(app, kit)
    client = TestClient(app)

    def ask(scope: str) -> int:
        token = kit.jwt.create_access_token({"user_id": "1", "scope": scope})
        return client.get("/scopes", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [ask("read write"), ask("write"), ask("read")] == [200, 403, 403]
    assert client.get("/scopes").status_code == 401
    security = client.get("/openapi.json").json()["paths"]["/scopes"]["get"]["security"]
    assert security == [{"OAuth2PasswordBearer": ["read", "write"]}]


def test_require_scopes_needs_a_scope() -> None:
    with pytest.raises(ConfigurationError):
        require_scopes()


def test_a_dict_that_a_test_sets_anew_or_keeps_is_checked_too() -> None:
    app = make_app()
    client = TestClient(app)
    own: dict[Any, Any] = {}

    app.dependency_overrides = {get_current_user: lambda: READER}
    statuses = [client.get("/security").status_code]
    app.dependency_overrides = own
    own[get_current_user] = lambda: READER
    statuses.append(client.get("/security").status_code)
    own[get_current_user] = lambda: WRITER
    statuses.append(client.get("/security").status_code)
    own.clear()
    statuses.append(client.get("/security").status_code)

    assert statuses == [403, 403, 200, 401]


def test_tests_read_and_change_their_overrides_as_ever() -> None:
    app = make_app()

    def give() -> CurrentUser:
        return READER

    app.dependency_overrides[get_current_user] = give
    TestClient(app).get("/user")

    overrides = app.dependency_overrides
    assert overrides[get_current_user] is overrides.get(get_current_user) is give
    assert dict(overrides) == {get_current_user: give}
    with patch.dict(overrides, {require_admin: give}):
        assert set(app.dependency_overrides) == {get_current_user, require_admin}
    assert set(app.dependency_overrides) == {get_current_user}
    assert overrides.pop(get_current_user) is give
    assert not app.dependency_overrides


def test_other_overrides_are_left_alone() -> None:
    app = make_app()

    def find_tenant() -> str:
        return "none"

    @app.get("/tenant")
    async def tenant(
        name: Annotated[str, Security(find_tenant, scopes=["write"])], user: UserDep
    ) -> str:
        return name

    app.dependency_overrides = {find_tenant: lambda: "acme", get_current_user: lambda: ADA}

    assert TestClient(app).get("/tenant").json() == "acme"


def test_an_override_that_finds_nobody_is_a_401() -> None:
    app = make_app()
    app.dependency_overrides[get_current_user] = lambda: None
    client = TestClient(app)

    for path in ("/user", "/security", "/scopes", "/admin"):
        assert (client.get(path).status_code, code(client.get(path))) == (401, "not_authenticated")
    assert client.get("/optional").json() == "nobody"
    app.dependency_overrides = {get_optional_user: lambda: None}
    assert client.get("/optional").json() == "nobody"


def test_an_account_of_the_host_in_the_place_of_a_user_has_no_scopes() -> None:
    class Account:
        id = 7

    events = Events()
    app = make_app(events=events)
    app.dependency_overrides[get_current_user] = Account
    client = TestClient(app)

    assert client.get("/security").status_code == 403
    assert events.names == ["access_denied"]


@pytest.mark.parametrize(
    ("scopes", "status"), [("read write", 200), ("etirw", 403), ("rewrite", 403)]
)
def test_scopes_of_an_overridden_user_may_be_one_text(scopes: str, status: int) -> None:
    class Account:
        id = 7

        def __init__(self) -> None:
            self.scopes = scopes

    app = make_app()

    @app.get("/short")
    async def short(user: Annotated[Any, Security(get_current_user, scopes=["w"])]) -> str:
        return "in"

    app.dependency_overrides[get_current_user] = Account
    client = TestClient(app)

    assert client.get("/security").status_code == status
    assert client.get("/short").status_code == 403


def test_a_websocket_is_refused_to_an_overridden_user_without_the_scope() -> None:
    app = make_app()
    client = TestClient(app)

    app.dependency_overrides[get_current_user] = lambda: READER
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/ws"):
        pass
    app.dependency_overrides[get_current_user] = lambda: WRITER

    assert closed.value.code == 4403
    with client.websocket_connect("/ws") as websocket:
        assert websocket.receive_text() == "ada"


def test_roles_owners_and_recent_logins_are_asked_of_an_overridden_user() -> None:
    app = make_app()
    checks = {
        "/editors": require_role("editor"),
        "/users/{user_id}": require_owner("user_id"),
        "/recent": require_recent_login(timedelta(minutes=5)),
    }
    for path, check in checks.items():
        app.get(path, dependencies=[Depends(check)])(lambda: "here")
    app.dependency_overrides[get_current_user] = lambda: ADA
    client = TestClient(app)

    codes = [code(client.get(path)) for path in ("/editors", "/users/bob", "/recent")]

    assert codes == ["insufficient_role", "not_owner", "recent_login_required"]
    assert client.get("/users/ada").json() == "here"


def test_a_mounted_application_asks_its_own_overridden_user() -> None:
    app, inner = make_app(), FastAPI()
    add_routes(inner)
    app.mount("/inner", inner)
    inner.dependency_overrides[get_current_user] = lambda: READER

    assert TestClient(app).get("/inner/security").status_code == 403


def test_deny_by_default_asks_an_overridden_user_for_scopes() -> None:
    app = FastAPI()
    deny_by_default(app)
    add_routes(app)
    app.dependency_overrides[get_current_user] = lambda: READER
    client = TestClient(app)

    assert client.get("/security").status_code == 403
    app.dependency_overrides[get_current_user] = lambda: None
    assert client.get("/user").status_code == 401


def test_with_a_lifespan_the_kit_of_the_environment_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "q3J5mY0pZ3vT0h8mX1x9cJ8H5k2b7n4w6t1u9r3e5y0=")
    app = make_app(installed=False)
    app.dependency_overrides[get_current_user] = lambda: READER

    with TestClient(app) as client:
        assert client.get("/security").status_code == 403


@pytest.mark.parametrize("installed", [True, False])
def test_signed_in_as_signs_in_everywhere_and_out_again(installed: bool) -> None:
    app, inner = make_app(installed=installed), FastAPI()
    add_routes(inner)
    app.mount("/inner", inner)

    @app.get("/now")
    async def now(user: SessionDep) -> str:
        return user.id

    client = TestClient(app)
    with signed_in_as(app, READER):
        refused = [client.get(path).status_code for path in ("/security", "/admin", "/session")]
        refused.append(client.get("/inner/security").status_code)
        passed = [client.get(path).json() for path in ("/user", "/now", "/inner/user")]
        with signed_in_as(app, ROOT):
            assert client.get("/user").json() == "root"
        assert client.get("/user").json() == "ada"
    with signed_in_as(app, WRITER):
        passed += [client.get(path).json() for path in ("/security", "/session", "/scopes")]

    assert refused == [403, 403, 403, 403]
    assert passed == ["ada"] * 6
    assert not app.dependency_overrides
    assert not inner.dependency_overrides


def test_without_an_override_nothing_changes() -> None:
    app = make_app()

    with TestClient(app) as client:
        headers = bearer(register(client))

        assert client.get("/user", headers=headers).status_code == 200
        assert client.get("/security", headers=headers).status_code == 403
    assert type(app.dependency_overrides) is dict
