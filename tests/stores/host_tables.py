"""User tables as host applications had them before the library came."""

import itertools
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Dialect,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    TypeDecorator,
    Uuid,
    case,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    mapped_column,
    synonym,
)
from sqlalchemy.types import TypeEngine


class HostTables(DeclarativeBase):
    """The tables a host application had before the library came."""


class NumberedAccount(HostTables):
    __tablename__ = "numbered"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]
    password_hash: Mapped[str | None]
    newsletter: Mapped[bool] = mapped_column(default=False)


class UuidAccount(HostTables):
    __tablename__ = "with_uuid"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]
    password_hash: Mapped[str | None]


class RenamedAccount(HostTables):
    __tablename__ = "renamed"

    account_number: Mapped[int] = mapped_column(primary_key=True)
    mail: Mapped[str] = mapped_column(String(200), unique=True)
    nickname: Mapped[str | None]
    level: Mapped[str]
    enabled: Mapped[bool]
    secret: Mapped[str | None]

    id: Mapped[int] = synonym("account_number")
    email: Mapped[str] = synonym("mail")
    display_name: Mapped[str | None] = synonym("nickname")
    role: Mapped[str] = synonym("level")
    is_active: Mapped[bool] = synonym("enabled")
    password_hash: Mapped[str | None] = synonym("secret")


class DemandingAccount(HostTables):
    """A class whose table asks for more than the library knows."""

    __tablename__ = "demanding"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]
    password_hash: Mapped[str | None]
    birthday: Mapped[str]


class Columns:
    """What an account has besides its id."""

    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]
    password_hash: Mapped[str | None]


class Guid(TypeDecorator[uuid.UUID]):
    """A UUID on each database, as fastapi-users has it; it does not say what it returns."""

    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.UUID() if is_native else CHAR(36))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None or dialect.name == "postgresql":
            return None if value is None else str(value)
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        return value if value is None or isinstance(value, uuid.UUID) else uuid.UUID(value)


class GuidAccount(Columns, HostTables):
    __tablename__ = "with_guid"

    id: Mapped[uuid.UUID] = mapped_column(Guid, primary_key=True, default=uuid.uuid4)


class PackedUuid(TypeDecorator[uuid.UUID]):
    """A UUID in 16 bytes."""

    impl = LargeBinary(16)
    cache_ok = True

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> uuid.UUID | None:
        return None if value is None else uuid.UUID(bytes=bytes(value))


class PackedAccount(Columns, HostTables):
    __tablename__ = "with_packed_uuid"

    id: Mapped[uuid.UUID] = mapped_column(PackedUuid, primary_key=True, default=uuid.uuid4)


class TextUuidAccount(Columns, HostTables):
    """A UUID that the application reads as a string."""

    __tablename__ = "with_text_uuid"

    id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), primary_key=True, default=lambda: str(uuid.uuid4())
    )


class Tagged(TypeDecorator[str]):
    """``user_7`` outside, 7 in the table."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.removeprefix("user_"))

    def process_result_value(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else f"user_{value}"


numbers = itertools.count(1)


class TaggedAccount(Columns, HostTables):
    __tablename__ = "with_tagged"

    id: Mapped[str] = mapped_column(
        Tagged, primary_key=True, default=lambda: f"user_{next(numbers)}"
    )


class PlainInteger(TypeDecorator[int]):
    """Changes nothing."""

    impl = Integer
    cache_ok = True


class DecoratedAccount(Columns, HostTables):
    __tablename__ = "with_decorated"

    id: Mapped[int] = mapped_column(PlainInteger, primary_key=True)


class SmallAccount(Columns, HostTables):
    __tablename__ = "with_small"

    id: Mapped[int] = mapped_column(
        SmallInteger().with_variant(Integer, "sqlite"), primary_key=True
    )


class LongAccount(Columns, HostTables):
    __tablename__ = "with_long"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


class TextAccount(Columns, HostTables):
    __tablename__ = "with_text"

    id: Mapped[str] = mapped_column(
        String(40), primary_key=True, default=lambda: f"né {next(numbers)}"
    )


class DecimalAccount(Columns, HostTables):
    __tablename__ = "with_decimal"

    id: Mapped[int] = mapped_column(Numeric(20, 0), primary_key=True, default=lambda: next(numbers))


@dataclass(frozen=True)
class AccountNumber:
    digits: str

    def __str__(self) -> str:
        return f"no. {self.digits}"


class Numbered(TypeDecorator[AccountNumber]):
    """A class of the application's own, which no string is turned into."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: AccountNumber | None, dialect: Dialect) -> str | None:
        return None if value is None else value.digits

    def process_result_value(self, value: str | None, dialect: Dialect) -> AccountNumber | None:
        return None if value is None else AccountNumber(value)


class OpaqueAccount(Columns, HostTables):
    __tablename__ = "with_opaque"

    id: Mapped[AccountNumber] = mapped_column(
        Numbered, primary_key=True, default=lambda: AccountNumber(str(next(numbers)))
    )


ODD_IDS: list[type[HostTables]] = [
    *(GuidAccount, PackedAccount, TextUuidAccount, TaggedAccount, DecoratedAccount),
    *(SmallAccount, LongAccount, TextAccount),
]


class ForgetfulAccount(HostTables):
    """A class whose constructor drops the names that are no columns, as SQLModel does."""

    __tablename__ = "forgetful"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str | None]
    role: Mapped[str] = mapped_column(default="user")
    is_active: Mapped[bool] = mapped_column(default=True)
    hashed_password: Mapped[str | None]

    display_name: Mapped[str | None] = synonym("full_name")
    password_hash: Mapped[str | None] = synonym("hashed_password")

    def __init__(self, **values: Any) -> None:
        columns = self.__table__.columns.keys()
        super().__init__(**{name: value for name, value in values.items() if name in columns})


class DataclassAccount(MappedAsDataclass, HostTables):
    __tablename__ = "as_dataclass"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    email: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]
    hashed_password: Mapped[str | None] = mapped_column(repr=False)

    display_name: Mapped[str | None] = synonym("full_name", init=False)
    password_hash: Mapped[str | None] = synonym("hashed_password", init=False, repr=False)


class FlagAccount(HostTables):
    """A flag in the place of a role, told by a hybrid attribute."""

    __tablename__ = "with_flag"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    is_superuser: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool]
    password_hash: Mapped[str | None]

    @hybrid_property
    def role(self) -> str:
        return "admin" if self.is_superuser else "user"

    @role.inplace.setter
    def _set_role(self, role: str) -> None:
        self.is_superuser = role == "admin"

    @role.inplace.expression
    @classmethod
    def _role_expression(cls) -> Any:
        return case((cls.is_superuser, "admin"), else_="user")

    @role.inplace.update_expression
    @classmethod
    def _update_role(cls, value: Any) -> list[tuple[Any, Any]]:
        return [(cls.is_superuser, value == "admin")]


class RoleFlag(TypeDecorator[str]):
    """A flag in the table, a role outside."""

    impl = Boolean
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bool | None:
        if value not in {"user", "admin", None}:
            raise ValueError(f"{value!r} is neither user nor admin")
        return None if value is None else value == "admin"

    def process_result_value(self, value: bool | None, dialect: Dialect) -> str | None:
        return None if value is None else ("admin" if value else "user")


class DecoratedFlagAccount(HostTables):
    __tablename__ = "with_decorated_flag"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str] = mapped_column("is_superuser", RoleFlag)
    is_active: Mapped[bool]
    password_hash: Mapped[str | None]


class LosingAccount(HostTables):
    """A class that takes a password and does not keep it."""

    __tablename__ = "losing"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]

    @property
    def password_hash(self) -> str | None:
        return None

    @password_hash.setter
    def password_hash(self, _: str | None) -> None:
        pass


class StubbornAccount(Columns, HostTables):
    """A class that cannot be made from what an account consists of."""

    __tablename__ = "stubborn"

    id: Mapped[int] = mapped_column(primary_key=True)

    def __init__(self, invitation: str) -> None:
        super().__init__()


class UniqueNickname(Columns, HostTables):
    __tablename__ = "with_nickname"

    id: Mapped[int] = mapped_column(primary_key=True)
    nickname: Mapped[str] = mapped_column(unique=True, default="nick")
