"""Errors, handlers and columns of a host: its own routes answer as ours do, and never with 500."""

import enum
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from sqlalchemy import ColumnElement, Enum, String, case, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from apps import make_kit
from engines import engine_on
from jwt_auth_kit import (
    AdminDep,
    AuthKit,
    ConfigurationError,
    CookieTransport,
    auth_router,
    get_auth,
    install,
)
from jwt_auth_kit.stores.base import NewUser
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyUserStore

EMAIL, PASSWORD = "ada@example.com", "a good password"
KitDep = Annotated[AuthKit, Depends(get_auth)]


def make_app(kit: AuthKit | None = None) -> FastAPI:
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit or make_kit())

    @app.post("/join")
    async def join(email: str, password: str, kit: KitDep) -> str:
        return (await kit.register(email, password)).session_id

    @app.post("/promote")
    async def promote(user_id: str, kit: KitDep) -> None:
        await kit.set_role(user_id, "admin")

    @app.get("/admin")
    async def only_admins(admin: AdminDep) -> str:
        return admin.role

    return app


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/join", {"email": EMAIL, "password": "password1"}, 422, "weak_password"),
        ("/join", {"email": "ada", "password": PASSWORD}, 422, "invalid_email"),
        ("/promote", {"user_id": "nobody"}, 404, "user_not_found"),
    ],
)
def test_what_the_kit_refuses_in_a_host_route_is_no_500(
    path: str, query: dict[str, str], status: int, code: str
) -> None:
    with TestClient(make_app()) as client:
        answer = client.post(path, params=query)

    assert answer.status_code == status
    assert answer.json()["detail"]["code"] == code
    assert not any(value in answer.text for value in query.values())


async def test_a_wrong_use_in_code_is_a_value_error_as_before() -> None:
    kit = make_kit()

    with pytest.raises(ValueError, match="valid e-mail"):
        await kit.register("ada", PASSWORD)
    with pytest.raises(LookupError):
        await kit.enable_user("nobody")


def test_a_handler_that_reads_the_input_of_an_error_finds_none() -> None:
    app = make_app()

    @app.exception_handler(RequestValidationError)
    async def show(_: Request, error: RequestValidationError) -> JSONResponse:
        shown = [{"at": each["loc"], "input": each["input"]} for each in error.errors()]
        return JSONResponse({"problems": shown}, status_code=422)

    with TestClient(app) as client:
        short = client.post("/auth/register", json={"email": EMAIL, "password": "password1"})
        broken = client.post(
            "/auth/register", content=b"{", headers={"Content-Type": "application/json"}
        )

    assert short.json() == {"problems": [{"at": ["body", "password"], "input": None}]}
    assert broken.json() == {"problems": [{"at": ["body", 1], "input": None}]}


class Role(enum.Enum):
    """A plain enum, whose members are no strings."""

    USER = "user"
    ADMIN = "admin"


class Base(DeclarativeBase):
    """What the tables of this host inherit from."""


class Member(Base):
    """An account whose role is a member of an enum, or NULL."""

    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    display_name: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[Role | None] = mapped_column(Enum(Role))
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))


async def test_a_role_column_may_be_an_enum_or_null(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "app.db") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        kit = make_kit(users=SQLAlchemyUserStore(engine, Member))
        transport = ASGITransport(make_app(kit))
        async with AsyncClient(transport=transport, base_url="https://testserver") as client:
            body = {"email": EMAIL, "password": PASSWORD}
            new = (await client.post("/auth/register", json=body)).json()
            await kit.set_role(new["user_id"], "admin")
            admin = (await client.post("/auth/login", json=body)).json()
            headers = {"Authorization": f"Bearer {admin['access_token']}"}
            asked = await client.get("/admin", headers=headers)
            async with engine.begin() as connection:
                await connection.execute(text("UPDATE members SET role = NULL"))
            without = (await client.post("/auth/login", json=body)).json()
        await kit.aclose()

    assert [each["role"] for each in (new, admin, without)] == ["user", "admin", "user"]
    assert asked.json() == "admin"


class Rank(enum.IntEnum):
    """An enum of numbers, whose names are the roles."""

    user = 1
    admin = 2


class Ranked(Base):
    """An account whose role is a member of an enum of numbers."""

    __tablename__ = "ranked"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    display_name: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[Rank] = mapped_column(Enum(Rank))
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))


class Listed(Base):
    """An account whose role is one of two strings, or NULL."""

    __tablename__ = "listed"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    display_name: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[str | None] = mapped_column(Enum("user", "admin", name="listed_role"))
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))


class Flagged(Base):
    """An account whose role is a flag, as the guide to user tables shows."""

    __tablename__ = "flagged"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    is_superuser: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str | None]

    @hybrid_property
    def role(self) -> str:
        return "admin" if self.is_superuser else "user"

    @role.inplace.setter
    def _set_role(self, role: str) -> None:
        self.is_superuser = role == "admin"

    @role.inplace.expression
    @classmethod
    def _role_in_queries(cls) -> ColumnElement[str]:
        return case((cls.is_superuser, "admin"), else_="user")

    @role.inplace.update_expression
    @classmethod
    def _role_in_updates(cls, value: Any) -> list[tuple[Any, Any]]:
        return [(cls.is_superuser, value == "admin")]


@pytest.mark.parametrize("model", [Member, Ranked, Listed, Flagged])
async def test_every_route_knows_a_role_from_an_enum_column(
    model: type[Base], tmp_path: Path
) -> None:
    body = {"email": EMAIL, "password": PASSWORD}
    async with engine_on(tmp_path / "app.db") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        kit = make_kit(users=SQLAlchemyUserStore(engine, model))
        transport = ASGITransport(make_app(kit))
        async with AsyncClient(transport=transport, base_url="https://testserver") as client:

            async def look(signed_in: dict[str, str]) -> list[object]:
                headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
                me = await client.get("/auth/me", headers=headers)
                admin = await client.get("/admin", headers=headers)
                return [signed_in["role"], me.json()["role"], admin.status_code]

            new = (await client.post("/auth/register", json=body)).json()
            as_user = await look(new)
            await kit.set_role(new["user_id"], "admin")
            login = (await client.post("/auth/login", json=body)).json()
            as_admin = await look(login)
            sent = {"refresh_token": login["refresh_token"]}
            refreshed = (await client.post("/auth/refresh", json=sent)).json()
        await kit.aclose()

    assert as_user == ["user", "user", 403]
    assert as_admin == ["admin", "admin", 200]
    assert refreshed["role"] == "admin"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Member, r"Member\.role takes user, admin, not 'editor'"),
        (Ranked, r"Ranked\.role takes user, admin, not 'editor'"),
        (Listed, r"Listed\.role takes user, admin, not 'editor'"),
    ],
)
async def test_a_role_that_the_column_cannot_hold_is_told_before_anything_is_written(
    model: type[Base], told: str, tmp_path: Path
) -> None:
    async with engine_on(tmp_path / "app.db") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        store = SQLAlchemyUserStore(engine, model)
        new = NewUser(email=EMAIL, display_name="Ada", password_hash="h", role="editor")

        with pytest.raises(ConfigurationError, match=told):
            await store.create(new)
        assert await store.get_by_email(EMAIL) is None
        ada = await store.create(replace(new, role="user"))
        with pytest.raises(ConfigurationError, match=told):
            await store.set_role(str(ada.id), "editor")


class TestTokenForm:
    @pytest.fixture
    def client(self) -> TestClient:
        client = TestClient(make_app())
        client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        return client

    def test_the_form_of_fastapi_needs_no_grant_type(self, client: TestClient) -> None:
        answer = client.post("/auth/token", data={"username": EMAIL, "password": PASSWORD})

        assert answer.status_code == 200
        assert answer.json()["token_type"] == "bearer"

    def test_without_a_password_the_grant_type_is_missed(self, client: TestClient) -> None:
        answer = client.post("/auth/token", data={"username": EMAIL})

        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_multipart_is_told_what_to_send(self, client: TestClient) -> None:
        answer = client.post("/auth/token", files={"username": (None, EMAIL)})

        assert answer.status_code == 400
        assert answer.json() == {
            "error": "invalid_request",
            "error_description": "Send Content-Type: application/x-www-form-urlencoded",
        }


def test_a_client_that_keeps_cookies_and_sends_no_origin_is_told_so() -> None:
    app = FastAPI()
    app.include_router(auth_router)
    install(app, make_kit(), transports=[CookieTransport()])

    with TestClient(app, base_url="https://testserver") as client:
        client.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        answer = client.post("/auth/refresh")

    assert answer.status_code == 403
    assert answer.json()["detail"]["code"] == "cross_site_request"
    assert "Authorization header" in answer.json()["detail"]["message"]
