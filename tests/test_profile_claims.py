"""profile_claims: what access tokens carry of an account, claims of the application included."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from fastapi import Depends
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, synonym

from apps import EMAIL, PASSWORD, bearer, code, make_app, make_kit, register
from engines import engine_on
from jwt_auth_kit import (
    AuthKit,
    ConfigurationError,
    EmailTaken,
    JWTManager,
    KeyRing,
    NotOwner,
    UserDep,
)
from jwt_auth_kit.current_user import CurrentUser
from jwt_auth_kit.stores.base import NewUser
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyUserStore


class Base(DeclarativeBase):
    pass


class Person(Base):
    """A table of the application; one column has another name, and a class is not there yet."""

    __tablename__ = "people_with_claims"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    role: Mapped[str] = mapped_column(default="user")
    is_active: Mapped[bool] = mapped_column(default=True)
    password: Mapped[str | None]
    kind: Mapped[str] = mapped_column(default="person")
    tenant_id: Mapped[str] = mapped_column(default="blue")
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams_with_claims.id"))
    team: Mapped["Team"] = relationship()  # type: ignore[name-defined]  # noqa: F821

    password_hash: Mapped[str | None] = synonym("password")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012

    @property
    def domain(self) -> str:
        return self.email.partition("@")[2]


class Employee(Person):
    """A kind of account that has more."""

    department: Mapped[str | None] = mapped_column()
    __mapper_args__ = {"polymorphic_identity": "employee"}  # noqa: RUF012


@dataclass
class Account:
    """A user class without a database."""

    id: str
    email: str
    display_name: str | None
    role: str = "user"
    is_active: bool = True
    password_hash: str | None = field(default=None, repr=False)
    tenant_id: str = "blue"


class Accounts:
    """A user store of the application."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    async def get_by_id(self, user_id: str) -> Account | None:
        return self.accounts.get(user_id)

    async def get_by_email(self, email: str) -> Account | None:
        return next((each for each in self.accounts.values() if each.email == email), None)

    async def create(self, user: NewUser) -> Account:
        if await self.get_by_email(user.email):
            raise EmailTaken
        account = Account(
            id=str(len(self.accounts) + 1),
            email=user.email,
            display_name=user.display_name,
            role=user.role,
            password_hash=user.password_hash,
            tenant_id="red" if user.email.startswith("red") else "blue",
        )
        self.accounts[account.id] = account
        return account

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        self.accounts[user_id].password_hash = new
        return True

    async def set_role(self, user_id: str, role: str) -> bool:
        self.accounts[user_id].role = role
        return True

    async def set_active(self, user_id: str, *, active: bool) -> bool:
        self.accounts[user_id].is_active = active
        return True


class Unannotated(Accounts):
    async def get_by_id(self, user_id: str):  # type: ignore[no-untyped-def]
        return self.accounts.get(user_id)


class Model(BaseModel):
    id: str
    tenant_id: str


class Row(NamedTuple):
    id: str


class Plain:
    def __init__(self) -> None:
        self.tenant_id = "blue"


def test_an_unknown_name_stops_the_start_and_the_near_one_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'emial'.*MemoryUserStore.*mean 'email'\?"):
        make_kit(profile_claims=("emial",))


@pytest.mark.parametrize("name", ["tenant_di", "tenant"])
def test_an_unknown_name_is_refused_for_a_store_of_the_application(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'.*Accounts.*mean 'tenant_id'"):
        make_kit(users=Accounts(), profile_claims=("email", name))


@pytest.mark.parametrize("name", ["tenant_id", "department", "domain", "is_active", "team_id"])
async def test_columns_properties_and_those_of_subclasses_are_known(
    name: str, tmp_path: Path
) -> None:
    async with engine_on(tmp_path / "app.db") as engine:
        make_kit(users=SQLAlchemyUserStore(engine, Person), profile_claims=(name,))


@pytest.mark.parametrize("name", ["tenant_ib", "team", "password", "password_hash"])
async def test_relationships_hashes_and_unknown_columns_are_refused(
    name: str, tmp_path: Path
) -> None:
    async with engine_on(tmp_path / "app.db") as engine:
        store = SQLAlchemyUserStore(engine, Person)

        with pytest.raises(ConfigurationError, match=name):
            make_kit(users=store, profile_claims=(name,))


def test_a_single_text_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"write \('email',\)"):
        make_kit(profile_claims="email")


@pytest.mark.parametrize("name", ["password_hash", "sub", "scope"])
def test_no_manager_puts_a_hash_or_a_claim_of_ours_into_a_token(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        JWTManager(KeyRing.random(), profile_claims=(name,))


@pytest.mark.parametrize("kind", [Row, Plain, Any])
def test_a_class_that_does_not_say_what_it_has_may_have_anything(kind: Any) -> None:
    class Store(Accounts):
        async def get_by_id(self, user_id: str) -> Account | None: ...

    Store.get_by_id.__annotations__["return"] = kind | None if kind is not Any else Any

    make_kit(users=Store(), profile_claims=("tenant_id",))


def test_a_pydantic_model_says_what_it_has() -> None:
    class Store(Accounts):
        async def get_by_id(self, user_id: str) -> Model | None:  # type: ignore[override]
            ...

    make_kit(users=Store(), profile_claims=("tenant_id",))
    with pytest.raises(ConfigurationError, match="'tenant'"):
        make_kit(users=Store(), profile_claims=("tenant",))


def test_a_store_can_tell_itself_which_names_there_are() -> None:
    class Store(Unannotated):
        def claim_names(self) -> set[str]:
            return {"email", "tenant_id"}

    make_kit(users=Store(), profile_claims=("tenant_id",))
    with pytest.raises(ConfigurationError, match="'team'"):
        make_kit(users=Store(), profile_claims=("team",))


async def test_where_nothing_says_it_the_first_login_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kit = make_kit(users=Unannotated(), profile_claims=("email", "tenant"))
    await kit.register(EMAIL, PASSWORD)
    await kit.login(EMAIL, PASSWORD)

    (said,) = [each.getMessage() for each in caplog.records if "profile_claims" in each.msg]

    assert "'tenant'" in said
    assert "Did you mean 'tenant_id'?" in said


@contextmanager
def shop() -> Iterator[tuple[TestClient, AuthKit]]:
    kit = make_kit(users=Accounts(), profile_claims=("email", "tenant_id"))
    app = make_app(kit)

    async def require_tenant(tenant: str, user: UserDep) -> CurrentUser:
        if (user.claims or {}).get("tenant_id") != tenant:
            raise NotOwner
        return user

    @app.get("/{tenant}/bills")
    async def bills(user: Annotated[CurrentUser, Depends(require_tenant)]) -> str:
        return user.id

    with TestClient(app) as client:
        yield client, kit


@pytest.mark.parametrize(("tenant", "status"), [("blue", 200), ("red", 403)])
def test_a_claim_of_the_application_keeps_tenants_apart(tenant: str, status: int) -> None:
    with shop() as (client, _):
        body = register(client)

        answer = client.get(f"/{tenant}/bills", headers=bearer(body))

    assert answer.status_code == status
    assert status == 200 or code(answer) == "not_owner"


def test_a_claim_of_the_application_follows_the_account_at_the_next_refresh() -> None:
    with shop() as (client, kit):
        body = register(client)
        account = kit.users.accounts[body["user_id"]]  # type: ignore[attr-defined]
        account.tenant_id = "red"

        refreshed = client.post("/auth/refresh", json={"refresh_token": body["refresh_token"]})

        assert client.get("/red/bills", headers=bearer(refreshed.json())).status_code == 200


def test_a_claim_that_is_none_is_left_out() -> None:
    with shop() as (client, kit):
        body = register(client)
        kit.users.accounts[body["user_id"]].tenant_id = None  # type: ignore[attr-defined]

        refreshed = client.post("/auth/refresh", json={"refresh_token": body["refresh_token"]})
        user = client.portal.call(kit.authenticate, refreshed.json()["access_token"])  # type: ignore[union-attr]

    assert "tenant_id" not in (user.claims or {})
