"""Ids of accounts: tokens carry them as strings, and a column may be of any type."""

import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    Numeric,
    SmallInteger,
    String,
    TypeDecorator,
    Uuid,
    false,
)
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine

from ..errors import ConfigurationError

USUAL_KINDS = (uuid.UUID, int, str)

COMPARED = (Integer, String, Uuid)
"""How ids are stored, where what the driver takes is also what it gives back."""


class IdColumn:
    """Finds the value of a column that a string stands for.

    A type that says which Python class it returns is believed. Others, such as a
    ``TypeDecorator``, are tried with a UUID, an integer and a string: the value whose string is
    the same after it went through the type is the right one.

    Args:
        column: the mapped attribute.
        dialect: the database, which may store the type in its own way.
    """

    def __init__(self, column: InstrumentedAttribute[Any], dialect: Dialect) -> None:
        kind: TypeEngine[Any] = column.type.dialect_impl(dialect)
        self._column = column
        self._kinds = tuple(_kinds(column.type))
        self._bind = kind.bind_processor(dialect) or _unchanged
        self._stored = _stored_type(kind)
        self._read = _reader(kind, dialect) if isinstance(self._stored, COMPARED) else _unchanged
        self._limit = _limit(self._stored, dialect)
        self._has_native_uuid = dialect.supports_native_uuid

    def equals(self, user_id: str) -> ColumnElement[bool]:
        """Compare in the column's own type; what that type cannot hold is nobody's id."""
        found = self.find(user_id)
        return cast("ColumnElement[bool]", self._column == found[0]) if found else false()

    def find(self, user_id: str) -> tuple[Any] | None:
        """Return the value that *user_id* stands for; None where no row can have it."""
        if "\x00" in user_id or not _is_unicode(user_id):
            return None
        values = (self._as(kind, user_id) for kind in self._kinds)
        return next((value for value in values if value is not None), None)

    def check(self, value: object) -> None:
        """Refuse a type whose ids cannot be found again by their string.

        Raises:
            ConfigurationError: *value*, the id of a row, is such an id.
        """
        if self.find(str(value)) is None:
            raise ConfigurationError(
                f"{self._column} holds a {type(value).__name__}, and no row can be found by the "
                "string of one, which is what tokens carry. Give its column type a python_type "
                "whose constructor takes that string."
            )

    def _as(self, kind: Callable[[str], Any], user_id: str) -> tuple[Any] | None:
        try:
            value = kind(user_id)
            # One account has one spelling of its id: "07" is not "7".
            is_this = str(value) == user_id and self._comes_back(value, user_id)
        except Exception:  # noqa: BLE001  a type of the application's own refuses as it likes
            return None
        return (value,) if is_this else None

    def _comes_back(self, value: Any, user_id: str) -> bool:
        """Tell whether the driver takes what the type makes of *value*, and gives it back."""
        bound = self._bind(value)
        if isinstance(self._stored, Integer):
            is_integer = isinstance(bound, int) and not isinstance(bound, bool)
            return (
                is_integer
                and -self._limit <= bound < self._limit
                and str(self._read(bound)) == user_id
            )
        if isinstance(self._stored, Uuid):
            read = uuid.UUID(str(bound))  # also where the driver gives strings
            is_native = self._has_native_uuid and self._stored.native_uuid
            return str(self._read(read if is_native else str(read))) == user_id
        if isinstance(self._stored, String):
            return isinstance(bound, str) and str(self._read(bound)) == user_id
        if isinstance(self._stored, Numeric) and isinstance(value, Decimal):
            return _fits(value, self._stored)
        return True


def _kinds(kind: TypeEngine[Any]) -> Iterator[Callable[[str], Any]]:
    try:
        yield kind.python_type
    except NotImplementedError:
        yield from USUAL_KINDS
        return
    if isinstance(kind, TypeDecorator):  # it may return something else than it says
        yield from USUAL_KINDS


def _reader(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any]:
    return kind.result_processor(dialect, None) or _unchanged


def _stored_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    while isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return kind


def _limit(stored: TypeEngine[Any], dialect: Dialect) -> int:
    """Return the number from which on a driver refuses an integer."""
    if dialect.name == "sqlite" or isinstance(stored, BigInteger):
        return 2**63
    return 2**15 if isinstance(stored, SmallInteger) else 2**31


def _fits(value: Decimal, stored: Numeric[Any]) -> bool:
    """Tell whether a column of fixed digits holds *value*, written as it writes it."""
    digits, exponent = value.as_tuple()[1:]
    has_room = stored.precision is None or len(digits) <= stored.precision
    return has_room and exponent == -(stored.scale or 0)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _unchanged(value: Any) -> Any:
    return value
