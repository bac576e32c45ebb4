"""Values that the application makes and no request can fill: CurrentUser, Client, Session ..."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

from pydantic import Field, GetCoreSchemaHandler
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ArgsKwargs, CoreSchema, PydanticCustomError, core_schema

from .errors import ConfigurationError

T = TypeVar("T")
Hidden = Annotated[T, Field(exclude=True), SkipJsonSchema()]
"""The type of a field that stays out of answers and of OpenAPI."""

CURES: Mapping[str, str] = {
    "CurrentUser": "user: UserDep",
    "Client": "client: ClientDep",
    "AuthKit": "kit: Annotated[AuthKit, Depends(get_auth)]",
}
"""What to write in a signature instead."""


def describe_cure(kind: type) -> str:
    """Tell how a route gets a *kind* that is not filled from the request."""
    for base in kind.__mro__:
        if base.__name__ in CURES and is_trusted(base):
            return f"Write {CURES[base.__name__]!r}."
    return f"Take it from a function: Annotated[{kind.__name__}, Depends(...)]."


def is_trusted(kind: type) -> bool:
    """Tell whether *kind* is a class of this library."""
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


class _Signature:
    """The signature of a class, which FastAPI refuses where it stands in ``Depends(...)``.

    ``user: CurrentUser = Depends()`` would call the class with values of the query.
    """

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        own = inspect.signature(owner.__init__)  # type: ignore[misc]  # of a class
        _, *parameters = own.parameters.values()
        refused = [
            each.replace(annotation=Annotated[each.annotation, _Refusal(owner)])
            for each in parameters
        ]
        return own.replace(parameters=refused)


class _Refusal:
    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> NoReturn:
        name = self._kind.__name__
        raise ConfigurationError(
            f"Depends({name}) would fill {name} from the query, so every caller could choose "
            f"what it says. {describe_cure(self._kind)}"
        )


class TrustedValue:
    """A mixin for records that say what the application knows.

    FastAPI takes a dataclass in a signature for the body of the request. An attacker would write
    ``{"id": "1", "role": "admin"}`` and be that user, so only instances are valid here; answers
    may hold them.
    """

    __slots__ = ()
    __signature__: ClassVar[_Signature] = _Signature()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return only_instances(cls, handler(source))


def only_instances(kind: type, schema: CoreSchema) -> CoreSchema:
    """Let *schema* be valid for instances of *kind*, and for nothing that a request can hold."""

    def require_instance(value: Any) -> Any:
        # The arguments of a call: how a dataclass of pydantic makes an instance of itself.
        if isinstance(value, kind | ArgsKwargs):
            return value
        raise PydanticCustomError(
            "not_from_request", "{kind} is not read from the request", {"kind": kind.__name__}
        )

    return core_schema.no_info_before_validator_function(require_instance, schema)
