"""Which attributes of an account ``profile_claims`` may name."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import ConfigurationError
from ..stores.base import ClaimNamer

logger: logging.Logger = logging.getLogger("jwt_auth_kit")


def check_claim_names(names: Collection[str], users: object) -> None:
    """Refuse *names* that no account of the store *users* has, as far as that can be known.

    Raises:
        ConfigurationError: there is one; the message says which name is near.
    """
    known = users.claim_names() if isinstance(users, ClaimNamer) else _annotated_names(users)
    if known is None:
        return
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"profile_claims names {name!r}, but the accounts of {type(users).__name__} have "
                f"no such value.{_hint(name, known)}"
            )


def warn_of_missing(name: str, account: object) -> None:
    """Say that an account lacks what ``profile_claims`` names."""
    logger.warning(
        "profile_claims names %r, but a %s has no such attribute, so its access token does not "
        "carry it.%s",
        name,
        type(account).__name__,
        _hint(name, dir(account)),
    )


def _hint(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, [each for each in known if not each.startswith("_")], n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _annotated_names(users: object) -> Collection[str] | None:
    """Return the attributes of the class that ``get_by_id`` says it returns; None if unknown."""
    try:
        annotation = get_type_hints(getattr(users, "get_by_id", None)).get("return")
    except (NameError, TypeError):  # a name of a TYPE_CHECKING block, or no function
        return None
    is_union = get_origin(annotation) in {Union, UnionType}
    classes: set[Any] = {*get_args(annotation)} - {NoneType}
    if not is_union or not classes or not all(map(_is_closed, classes)):
        return None
    kinds = [kind for each in classes for kind in _with_subclasses(each)]
    return {name for kind in kinds for name in (*dir(kind), *_fields(kind))}


def _is_closed(kind: Any) -> bool:
    """Tell whether the class says which attributes its instances have."""
    if not isinstance(kind, type):
        return False
    if hasattr(kind, "model_fields"):  # pydantic
        return getattr(kind, "model_config", {}).get("extra") != "allow"
    return not hasattr(kind, "__getattr__") and (is_dataclass(kind) or hasattr(kind, "__mapper__"))


def _with_subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _with_subclasses(each)


def _fields(kind: Any) -> Collection[str]:
    return {*getattr(kind, "__dataclass_fields__", ()), *getattr(kind, "model_fields", ())}
