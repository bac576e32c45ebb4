"""Rows of a mapped class of the application's own: made from a new account, and checked."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper

from ..errors import ConfigurationError
from .base import NewUser, name_role, read_role

ATTRIBUTES = ("id", "email", "display_name", "role", "is_active", "password_hash")


def check_model(model: type[Any]) -> None:
    """Refuse a class that cannot hold accounts.

    Raises:
        ConfigurationError: it is not mapped, or it lacks an attribute.
    """
    if not isinstance(_mapper(model), Mapper):
        raise ConfigurationError(
            f"SQLAlchemyUserStore needs a class that SQLAlchemy maps to a table, not {model!r}."
        )
    names = set(dir(model))  # reading a hybrid attribute runs its code
    if missing := [name for name in ATTRIBUTES if name not in names]:
        raise ConfigurationError(
            f"{model.__name__} has no {' and no '.join(missing)}. Add the column, or a synonym of "
            "the column that holds it."
        )


def make_row(model: type[Any], new: NewUser, role: Any) -> Any:
    """Return a row of *model* that holds *new*, which nothing has written yet.

    Args:
        model: the mapped class.
        new: the account.
        role: its role, as the column takes it.

    Raises:
        ConfigurationError: the class does not take what an account consists of.
    """
    values = {
        "email": new.email,
        "display_name": new.display_name,
        "password_hash": new.password_hash,
        "role": role,
        "is_active": True,
    }
    # A constructor may know the columns alone, or drop names that it does not know.
    columns = {name: _attribute(model, name) for name in values}
    row = _construct(model, {columns[name]: value for name, value in values.items()})
    for name, value in values.items():
        if getattr(row, name, None) != value:
            setattr(row, columns[name], value)
    _check_row(row, new)
    return row


def _construct(model: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return model(**values)
    except TypeError as error:
        raise ConfigurationError(
            f"{model.__name__} cannot be made for a new account. Its constructor must take "
            f"{', '.join(values)} by name and need nothing else."
        ) from error


def _check_row(row: Any, new: NewUser) -> None:
    """Refuse a row that lost something: a sign-up must not end without its password."""
    kept = {
        "email": row.email == new.email,
        "display_name": row.display_name is not None,  # a validator may shorten it
        "password_hash": row.password_hash == new.password_hash,
        "role": read_role(row) == name_role(new.role),
        "is_active": row.is_active is True,
    }
    if lost := [name for name, is_kept in kept.items() if not is_kept]:
        raise ConfigurationError(
            f"A new {type(row).__name__} does not keep the {' and the '.join(lost)} that it is "
            "given, so nothing was written. Is each of them a column, or a synonym of one?"
        )


def _attribute(model: type[Any], name: str) -> str:
    """Return the name of the attribute that *name* is a synonym of."""
    synonyms = _mapper(model).synonyms
    while name in synonyms:
        name = synonyms[name].name
    return name


def _mapper(model: type[Any]) -> Any:
    try:
        return inspect(model)
    except NoInspectionAvailable:
        return None
