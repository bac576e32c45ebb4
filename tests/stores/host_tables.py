"""User tables as host applications had them before the library came."""

import uuid

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, synonym


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
