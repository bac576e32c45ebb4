"""A user, or another value of ours, that stands in a signature is never read from the request."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, NamedTuple

import pydantic.dataclasses
import pytest
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, Form, Header, Query, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel, PlainValidator, TypeAdapter, ValidationError
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from typing_extensions import TypedDict

import jwt_auth_kit
from apps import make_kit
from jwt_auth_kit import (
    AuthKit,
    AuthSettings,
    Client,
    ConfigurationError,
    CurrentUser,
    NewUser,
    Session,
    TokenPair,
    UserDep,
    auth_router,
    deny_by_default,
    install,
)
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.stores.base import Epochs, Revocations
from jwt_auth_kit.stores.memory import MemoryUser

EVIL: dict[str, str | int] = {
    "id": "evil",
    "role": "admin",
    "ip": "6.6.6.6",
    "sub": "evil",
    "jti": "1",
    "iat": 1,
    "exp": 2,
    "token_type": "access",
    "email": "evil@example.com",
    "display_name": "evil",
    "password_hash": "evil",
}


@dataclass(frozen=True)
class Employee(CurrentUser):
    """What a host may make of a user."""

    department: str = "none"


class Order(BaseModel):
    """The body of a host's route."""

    title: str = "tea"
    buyer: CurrentUser


class Filter(TypedDict):
    """Another one."""

    owner: CurrentUser


@dataclass
class Share:
    """And another."""

    users: list[CurrentUser]


class Pair(NamedTuple):
    """And one more."""

    first: CurrentUser


BODIES: list[Any] = [
    CurrentUser,
    Employee,
    Order,
    Filter,
    Share,
    Pair,
    CurrentUser | None,
    list[CurrentUser],
    dict[str, CurrentUser],
    tuple[CurrentUser, ...],
    list[Order | None],
    Annotated[CurrentUser, Body()],
    Annotated[CurrentUser, Body(embed=True)],
    Annotated[Order, Query()],
    Annotated[Order, Form()],
    Annotated[Order, Header()],
    Annotated[Order, Cookie()],
    AuthSettings,
    Annotated[AuthSettings, Query()],
    Client,
    Session,
    NewUser,
    MemoryUser,
    TokenPair,
]


def declare(app: Any, annotation: Any) -> None:
    def route(value: Any) -> Any:
        return value

    route.__annotations__["value"] = annotation
    app.post("/orders", response_model=None)(route)


def bodies_of(value: dict[str, Any]) -> list[Any]:
    """List what an attacker would send to have *value* taken for a user."""
    return [
        value,
        [value],
        {"buyer": value},
        {"owner": value},
        {"users": [value]},
        {"value": value},
        [{"buyer": value}],
        [[value]],
    ]


@pytest.mark.parametrize("annotation", BODIES, ids=str)
def test_no_request_fills_a_value_of_ours_even_where_nothing_was_installed(annotation: Any) -> None:
    app = FastAPI()
    declare(app, annotation)
    client = TestClient(app, cookies={name: str(value) for name, value in EVIL.items()})

    answers = [client.post("/orders", json=body, params=EVIL) for body in bodies_of(EVIL)]
    answers.append(client.post("/orders", data=EVIL, headers={k: str(v) for k, v in EVIL.items()}))

    assert {answer.status_code for answer in answers} == {422}


@pytest.mark.parametrize("annotation", BODIES, ids=str)
def test_a_route_that_would_read_a_value_of_ours_is_refused_by_its_name(annotation: Any) -> None:
    app = FastAPI()
    declare(app, annotation)

    with pytest.raises(ConfigurationError, match=r"POST /orders reads its parameter 'value'"):
        install(app, make_kit())


@pytest.mark.parametrize(
    ("annotation", "cure"),
    [
        (CurrentUser, "Write 'user: UserDep'."),
        (Employee, "Write 'user: UserDep'."),
        (Client, "Write 'client: ClientDep'."),
        (Session, "Annotated[Session, Depends(...)]"),
    ],
)
def test_the_refusal_says_what_to_write_instead(annotation: Any, cure: str) -> None:
    app = FastAPI()
    declare(app, annotation)

    with pytest.raises(ConfigurationError) as refused:
        install(app, make_kit())

    assert cure in str(refused.value)


@pytest.mark.parametrize(
    "kind", [CurrentUser, Employee, Client, Session, partial(CurrentUser, role="user")], ids=str
)
def test_a_class_of_ours_in_depends_is_refused_where_the_route_is_declared(kind: Any) -> None:
    app = FastAPI()

    with pytest.raises(ConfigurationError, match="from the query"):
        declare(app, Annotated[Any, Depends(kind)])


@pytest.mark.parametrize("kind", [AuthSettings, partial(AuthSettings, issuer="shop")], ids=str)
def test_settings_in_depends_are_refused_at_the_start(kind: Any) -> None:
    app = FastAPI()
    declare(app, Annotated[AuthSettings, Depends(kind)])

    with pytest.raises(ConfigurationError, match="AuthSettings"):
        install(app, make_kit())


def test_a_dependency_that_would_read_a_user_is_refused_too() -> None:
    app = FastAPI()

    async def find_tenant(user: CurrentUser) -> str:
        return user.id

    @app.get("/tenants")
    async def tenants(tenant: Annotated[str, Depends(find_tenant)]) -> str:
        return tenant

    with pytest.raises(ConfigurationError, match=r"GET /tenants reads its parameter 'user'"):
        install(app, make_kit())


def add_route(app: FastAPI) -> None:
    @app.get("/tea")
    async def tea(user: CurrentUser) -> str:
        return user.id


def add_websocket(app: FastAPI) -> None:
    @app.websocket("/tea")
    async def tea(websocket: WebSocket, user: Annotated[Order, Query()]) -> None: ...


def add_router(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter(prefix="/shop")

    @inner.get("/tea")
    async def tea(user: CurrentUser) -> str:
        return user.id

    outer.include_router(inner)
    app.include_router(outer)


def add_mounted(app: FastAPI) -> None:
    inner = FastAPI()
    add_route(inner)
    app.mount("/shop", inner)


def add_wrapped(app: FastAPI) -> None:
    inner = FastAPI()
    add_route(inner)
    app.mount("/shop", GZipMiddleware(inner))


def add_mount_with_middleware(app: FastAPI) -> None:
    inner = FastAPI()
    add_route(inner)
    app.router.routes.append(Mount("/shop", inner, middleware=[Middleware(GZipMiddleware)]))


PLACES = [
    add_route,
    add_websocket,
    add_router,
    add_mounted,
    add_wrapped,
    add_mount_with_middleware,
]


@pytest.mark.parametrize("add", PLACES)
def test_a_route_that_was_added_after_install_stops_the_start(
    add: Callable[[FastAPI], None],
) -> None:
    app = FastAPI()
    install(app, make_kit())
    add(app)

    with pytest.raises(ConfigurationError, match="UserDep"), TestClient(app):
        pass


@pytest.mark.parametrize("add", PLACES)
def test_without_a_lifespan_the_first_request_is_refused_and_all_others(
    add: Callable[[FastAPI], None],
) -> None:
    app = FastAPI()
    install(app, make_kit())
    add(app)
    client = TestClient(app)

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="UserDep"):
            client.get("/openapi.json")


@pytest.mark.parametrize("add", PLACES)
def test_the_kit_of_the_environment_is_not_made_for_such_an_application(
    add: Callable[[FastAPI], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", make_secret())
    app = FastAPI()
    app.include_router(auth_router)
    add(app)

    with pytest.raises(ConfigurationError, match="UserDep"), TestClient(app):
        pass
    with pytest.raises(ConfigurationError, match="UserDep"):
        TestClient(app).get("/auth/me")


@pytest.mark.parametrize("add", PLACES)
def test_deny_by_default_refuses_such_an_application(add: Callable[[FastAPI], None]) -> None:
    app = FastAPI()
    deny_by_default(app)
    add(app)

    with pytest.raises(ConfigurationError, match="UserDep"), TestClient(app):
        pass
    with pytest.raises(ConfigurationError, match="UserDep"):
        TestClient(app).get("/tea")


def test_a_mounted_application_with_its_own_kit_looks_at_its_own_routes() -> None:
    app, inner = FastAPI(), FastAPI()
    install(inner, make_kit())
    app.mount("/shop", inner)
    add_route(inner)

    with pytest.raises(ConfigurationError, match="UserDep"):
        TestClient(app).get("/shop/tea")


def classes() -> list[type]:
    named = [getattr(jwt_auth_kit, name) for name in jwt_auth_kit.__all__]
    return [each for each in [*named, MemoryUser, Epochs, Revocations] if isinstance(each, type)]


@pytest.mark.parametrize("kind", classes())
@pytest.mark.parametrize("wrap", [lambda kind: kind, lambda kind: Annotated[kind, Depends()]])
def test_each_public_class_in_a_signature_is_refused(
    kind: type, wrap: Callable[[type], Any]
) -> None:
    app = FastAPI()
    is_protocol = getattr(kind, "_is_protocol", False)

    try:
        declare(app, wrap(kind))
    except Exception:  # noqa: BLE001  FastAPI, pydantic and inspect each have an error of their own
        return
    if is_protocol:  # which cannot be called
        answer = TestClient(app, raise_server_exceptions=False).post(
            "/orders", json={}, params=EVIL
        )
        assert answer.status_code >= 400
    else:
        with pytest.raises(ConfigurationError, match=kind.__name__):
            install(app, make_kit())


def test_a_class_of_the_host_with_a_validator_of_its_own_is_fine() -> None:
    class Color:
        """No class that pydantic knows."""

    app = FastAPI()
    declare(app, Annotated[Color, PlainValidator(lambda _: Color()), Body()])

    install(app, make_kit())


def test_what_comes_from_dependencies_and_bodies_of_the_host_are_fine() -> None:
    app = FastAPI()

    class Title(BaseModel):
        text: str

    @app.post("/titles")
    async def rename(
        user: UserDep, title: Title, kit: Annotated[AuthKit, Depends(make_kit)]
    ) -> str:
        return title.text

    install(app, make_kit())

    with TestClient(app) as client:
        assert client.post("/titles", json={"text": "x"}).status_code == 401


USER = CurrentUser(
    id="7", email="ada@example.com", claims={"secret": 1}, key_id="k", key_thumbprint="t"
)
SHOWN: dict[str, Any] = {
    "id": "7",
    "role": "user",
    "email": "ada@example.com",
    "display_name": None,
    "session_id": None,
    "auth_time": None,
    "scopes": [],
}


@pytest.mark.parametrize("separate", [True, False])
def test_an_answer_shows_a_user_without_claims_and_key(separate: bool) -> None:
    app = FastAPI(separate_input_output_schemas=separate)

    @app.get("/model")
    async def in_a_model() -> Order:
        return Order(buyer=USER)

    @app.get("/bare")
    async def bare():  # type: ignore[no-untyped-def]
        return {"user": USER, "all": [USER]}

    @app.get("/one")
    async def one() -> CurrentUser:
        return USER

    @app.get("/several")
    async def several() -> list[CurrentUser | None]:
        return [USER, None]

    @app.get("/without-email", response_model_exclude={"email"})
    async def without_email() -> CurrentUser | None:
        return USER

    client = TestClient(app)

    assert client.get("/one").json() == SHOWN
    assert client.get("/several").json() == [SHOWN, None]
    assert client.get("/model").json() == {"title": "tea", "buyer": SHOWN}
    assert client.get("/bare").json() == {"user": SHOWN, "all": [SHOWN]}
    assert "email" not in client.get("/without-email").json()
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["CurrentUser"]["properties"].keys() == SHOWN.keys()
    assert schemas["Order"]["properties"]["buyer"] == {"$ref": "#/components/schemas/CurrentUser"}


def test_an_answer_shows_no_salt_and_no_hash_of_a_password() -> None:
    user = MemoryUser(id="1", email="a@example.com", display_name="a", password_hash="h")
    new = NewUser(email="a@example.com", display_name="a", password_hash="h")

    assert TypeAdapter(MemoryUser).dump_python(user).keys() == {
        *("id", "email", "display_name", "role", "is_active")
    }
    assert TypeAdapter(NewUser).dump_python(new).keys() == {"email", "display_name", "role"}
    assert "salt" not in TypeAdapter(Session).json_schema()["properties"]
    assert "salt" not in TypeAdapter(Session).json_schema(mode="serialization")["properties"]


def test_an_answer_may_hold_tokens() -> None:
    app = FastAPI()

    @app.get("/tokens")
    async def tokens() -> TokenPair:
        return TokenPair(access_token="a", refresh_token="r", expires_in=1)

    assert TestClient(app).get("/tokens").json()["access_token"] == "a"


@pytest.mark.parametrize("kind", [CurrentUser, Employee])
def test_a_user_keeps_what_is_not_shown_when_it_is_copied(kind: type[CurrentUser]) -> None:
    user = kind(id="7", claims={"exp": 9}, key_id="k", key_thumbprint="t")

    copies = [
        replace(user, role="admin"),
        copy.copy(user),
        copy.deepcopy(user),
        pickle.loads(pickle.dumps(user)),
    ]

    for each in copies:
        assert (each.claims, each.key_id, each.key_thumbprint) == ({"exp": 9}, "k", "t")
    assert asdict(user).keys().isdisjoint({"claims", "key_id", "key_thumbprint"})
    assert copies[1:] == [user] * 3
    assert copies[2].claims is not user.claims


def test_a_dataclass_of_pydantic_may_inherit_from_a_user() -> None:
    @pydantic.dataclasses.dataclass(frozen=True)
    class Member(CurrentUser):
        team: str = "none"

    member = Member(id="7", team="blue", claims={"exp": 9})

    assert (member.team, member.claims) == ("blue", {"exp": 9})
    with pytest.raises(ValidationError):
        TypeAdapter(Member).validate_python({"id": "7"})


def test_settings_are_made_as_ever_and_stay_out_of_other_settings() -> None:
    class Child(AuthSettings):
        name: str = "shop"

    class Parent(BaseModel):
        auth: AuthSettings

    settings = Child(access_ttl=timedelta(seconds=60), name="x")

    assert (settings.access_ttl.total_seconds(), settings.name) == (60, "x")
    assert Parent(auth=settings).auth is settings
    with pytest.raises(ValidationError):
        Parent.model_validate({"auth": {"access_ttl": 60}})
    Child.model_rebuild(force=True)
    assert Child(name="y").name == "y"
