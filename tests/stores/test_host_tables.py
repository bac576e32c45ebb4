"""SQLAlchemyUserStore on tables of a host's own, and where its database fails."""

import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from engines import engine_on
from host_tables import (
    DecoratedFlagAccount,
    DemandingAccount,
    FlagAccount,
    HostTables,
    LosingAccount,
    NumberedAccount,
    OpaqueAccount,
    RenamedAccount,
    StubbornAccount,
    UniqueNickname,
)
from jwt_auth_kit import (
    ConfigurationError,
    EmailTaken,
    NewUser,
    StoreUnavailable,
    UserStore,
)
from jwt_auth_kit.stores.base import UserStoreOf
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyUserStore

ANN = NewUser(email="ann@example.com", display_name="Ann", password_hash="hash-of-ann", role="user")


@asynccontextmanager
async def host_engine(folder: Path) -> AsyncIterator[AsyncEngine]:
    async with engine_on(folder / "host.sqlite3") as engine:
        async with engine.begin() as connection:
            await connection.run_sync(HostTables.metadata.create_all)
        yield engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with host_engine(tmp_path) as made:
        yield made


class TestTablesOfAHost:
    async def test_a_password_can_be_set_where_there_was_none(self, engine: AsyncEngine) -> None:
        await insert(engine, old_account(password_hash=None))
        store = SQLAlchemyUserStore(engine, NumberedAccount)

        refused = await store.set_password_hash("7", "new", expected="")
        done = await store.set_password_hash("7", "new", expected=None)

        assert (refused, done) == (False, True)
        found = await store.get_by_id("7")
        assert found is not None
        assert found.password_hash == "new"

    async def test_an_old_address_with_capitals_is_found(self, engine: AsyncEngine) -> None:
        await insert(engine, old_account(email="Ann.Lee@Example.COM"))
        store = SQLAlchemyUserStore(engine, NumberedAccount)

        found = await store.get_by_email("ann.lee@example.com")

        assert found is not None
        assert found.id == 7
        assert found.email == "Ann.Lee@Example.COM"

    async def test_an_old_address_under_another_name_is_found(self, engine: AsyncEngine) -> None:
        account = RenamedAccount(
            account_number=7, mail="Ann@Example.com", level="user", enabled=True
        )
        await insert(engine, account)

        found = await SQLAlchemyUserStore(engine, RenamedAccount).get_by_email("ann@example.com")

        assert isinstance(found, RenamedAccount)
        assert found.account_number == 7

    async def test_an_old_address_with_capitals_is_taken(self, engine: AsyncEngine) -> None:
        await insert(engine, old_account(email="Ann@Example.com"))
        store = SQLAlchemyUserStore(engine, NumberedAccount)

        with pytest.raises(EmailTaken):
            await store.create(ANN)

    async def test_columns_of_the_host_come_along(self, engine: AsyncEngine) -> None:
        store = SQLAlchemyUserStore(engine, NumberedAccount)

        user = await store.create(ANN)

        assert isinstance(user, NumberedAccount)
        assert user.newsletter is False
        assert isinstance(user.id, int)

    async def test_a_table_that_asks_for_more_is_named_and_no_address_is_called_taken(
        self, engine: AsyncEngine
    ) -> None:
        store = SQLAlchemyUserStore(engine, DemandingAccount)

        with pytest.raises(ValueError, match=r"DemandingAccount .* column birthday ") as caught:
            await store.create(ANN)

        shown = "".join(traceback.format_exception(caught.value))
        assert "hash-of-ann" not in shown
        assert "ann@example.com" not in shown

    async def test_a_constraint_of_the_host_is_named(self, engine: AsyncEngine) -> None:
        store = SQLAlchemyUserStore(engine, UniqueNickname)
        await store.create(ANN)

        with pytest.raises(
            ValueError, match=r"UniqueNickname .* constraint with_nickname.nickname"
        ):
            await store.create(replace(ANN, email="bob@example.com"))


class TestNamesOfPostgreSQL:
    """Each driver tells them in its own way."""

    @pytest.fixture
    async def engine(self, postgresql_engine: AsyncEngine) -> AsyncEngine:
        async with postgresql_engine.begin() as connection:
            await connection.run_sync(HostTables.metadata.drop_all)
            await connection.run_sync(HostTables.metadata.create_all)
        return postgresql_engine

    async def test_the_column_that_got_no_value_is_named(self, engine: AsyncEngine) -> None:
        with pytest.raises(ValueError, match=r"DemandingAccount .* column birthday "):
            await SQLAlchemyUserStore(engine, DemandingAccount).create(ANN)

    async def test_the_constraint_is_named(self, engine: AsyncEngine) -> None:
        store = SQLAlchemyUserStore(engine, UniqueNickname)
        await store.create(ANN)

        with pytest.raises(ValueError, match="constraint with_nickname_nickname_key"):
            await store.create(replace(ANN, email="bob@example.com"))


class TestClassesThatDoNotFit:
    """Nothing is written before the refusal."""

    async def test_an_id_that_no_string_leads_to_is_refused_before_the_account_is_made(
        self, engine: AsyncEngine
    ) -> None:
        store = SQLAlchemyUserStore(engine, OpaqueAccount)

        with pytest.raises(ConfigurationError, match=r"OpaqueAccount\.id holds a AccountNumber"):
            await store.create(ANN)

        assert await rows_of(engine, OpaqueAccount) == 0

    async def test_an_old_account_with_such_an_id_is_told_at_its_login(
        self, engine: AsyncEngine
    ) -> None:
        await insert(
            engine,
            OpaqueAccount(email="ann@example.com", role="user", is_active=True, password_hash="x"),
        )

        with pytest.raises(ConfigurationError, match=r"OpaqueAccount\.id"):
            await SQLAlchemyUserStore(engine, OpaqueAccount).get_by_email("ann@example.com")

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (LosingAccount, "does not keep the password_hash"),
            (StubbornAccount, "must take email, display_name, password_hash, role, is_active"),
        ],
    )
    async def test_a_class_that_loses_what_it_is_given_is_refused(
        self, model: type[HostTables], message: str, engine: AsyncEngine
    ) -> None:
        store = SQLAlchemyUserStore(engine, model)

        with pytest.raises(ConfigurationError, match=f"{model.__name__}.*{message}") as caught:
            await store.create(ANN)

        assert "hash-of-ann" not in "".join(traceback.format_exception(caught.value))
        assert await rows_of(engine, model) == 0

    @pytest.mark.parametrize("model", [FlagAccount, DecoratedFlagAccount])
    async def test_a_role_that_a_flag_cannot_hold_is_refused(
        self, model: type[HostTables], engine: AsyncEngine
    ) -> None:
        store = SQLAlchemyUserStore(engine, model)
        with pytest.raises(ConfigurationError, match=model.__name__):
            await store.create(replace(ANN, role="editor"))
        ann = await store.create(replace(ANN, role="admin"))

        with pytest.raises(ConfigurationError, match=model.__name__):
            await store.set_role(str(ann.id), "editor")

        found = await store.get_by_id(str(ann.id))
        assert found is not None
        assert found.role == "admin"

    async def test_a_class_that_is_not_mapped_is_refused_at_the_start(
        self, engine: AsyncEngine
    ) -> None:
        with pytest.raises(ConfigurationError, match="maps to a table"):
            SQLAlchemyUserStore(engine, NewUser)

    async def test_a_role_that_only_rows_can_tell_is_read(self, engine: AsyncEngine) -> None:
        class Staff(HostTables):
            __tablename__ = "staff"

            id: Mapped[int] = mapped_column(primary_key=True)
            email: Mapped[str]
            display_name: Mapped[str | None]
            is_boss: Mapped[bool]
            is_active: Mapped[bool]
            password_hash: Mapped[str | None]

            @hybrid_property
            def role(self) -> str:
                return "admin" if self.is_boss else "user"

        async with engine.begin() as connection:
            await connection.run_sync(HostTables.metadata.create_all)
        await insert(engine, Staff(email="ann@example.com", is_boss=True, is_active=True))

        found = await SQLAlchemyUserStore(engine, Staff).get_by_email("ann@example.com")

        assert found is not None
        assert found.role == "admin"

    async def test_a_class_that_lacks_an_attribute_is_refused_at_the_start(
        self, engine: AsyncEngine
    ) -> None:
        class Note(HostTables):
            __tablename__ = "notes"

            id: Mapped[int] = mapped_column(primary_key=True)
            email: Mapped[str]
            role: Mapped[str]
            is_active: Mapped[bool]

        with pytest.raises(
            ConfigurationError, match="Note has no display_name and no password_hash"
        ):
            SQLAlchemyUserStore(engine, Note)


OPERATIONS: dict[str, Callable[[UserStore], Any]] = {
    "get_by_id": lambda store: store.get_by_id("7"),
    "get_by_email": lambda store: store.get_by_email("ann@example.com"),
    "create": lambda store: store.create(ANN),
    "set_password_hash": lambda store: store.set_password_hash(
        "7", "hash-of-ann", expected="hash-of-bob"
    ),
    "set_role": lambda store: store.set_role("7", "admin"),
    "set_active": lambda store: store.set_active("7", active=False),
}


class TestADatabaseThatFails:
    def test_every_method_of_the_protocol_is_tried(self) -> None:
        methods = {name for name in vars(UserStoreOf) if not name.startswith("_")}

        assert methods == OPERATIONS.keys()

    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_a_database_that_cannot_be_reached_is_no_empty_one(
        self, operation: str, tmp_path: Path
    ) -> None:
        async with engine_on(tmp_path / "no" / "such" / "folder" / "auth.sqlite3") as engine:
            with pytest.raises(StoreUnavailable):
                await OPERATIONS[operation](SQLAlchemyUserStore(engine))

    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_a_failed_statement_is_logged_without_its_parameters(
        self, operation: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with engine_on(tmp_path / "without_tables.sqlite3") as engine:
            with pytest.raises(StoreUnavailable) as caught:
                await OPERATIONS[operation](SQLAlchemyUserStore(engine))

        shown = caplog.text + "".join(traceback.format_exception(caught.value))
        for secret in ("hash-of", "@example.com", "users", "INSERT", "SELECT", "UPDATE"):
            assert secret not in shown
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


def old_account(**fields: Any) -> NumberedAccount:
    """A row that was written before the library came."""
    account = {
        "id": 7,
        "email": "old@example.com",
        "role": "user",
        "is_active": True,
        "password_hash": "old",
    }
    return NumberedAccount(**{**account, **fields})


async def insert(engine: AsyncEngine, row: HostTables) -> None:
    async with AsyncSession(engine) as database:
        database.add(row)
        await database.commit()


async def rows_of(engine: AsyncEngine, model: type[HostTables]) -> int:
    async with AsyncSession(engine) as database:
        return (await database.scalars(select(func.count()).select_from(model))).one()
