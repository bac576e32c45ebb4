"""What a kit is made of: a wrong part is refused when the kit is made."""

from collections.abc import Mapping
from inspect import getattr_static, isfunction
from typing import NamedTuple

from ..errors import ConfigurationError


class _Part(NamedTuple):
    method: str
    example: str


PARTS: Mapping[str, _Part] = {
    "users": _Part("get_by_email", "SQLAlchemyUserStore(engine)"),
    "tokens": _Part("list_by_user", "SQLAlchemyTokenStore(engine)"),
    "keys": _Part("signer", "KeyRing.from_secret(secret)"),
    "hasher": _Part("verify", "Argon2Hasher()"),
    "password_policy": _Part("check", "PasswordPolicy(min_length=12)"),
    "throttle": _Part("reserve", 'LoginThrottle("redis://localhost")'),
}


def check_parts(**parts: object) -> None:
    """Refuse an engine, a class or a text in the place of what works with it.

    Raises:
        ConfigurationError: a part, other than None, lacks the method that it is there for.
    """
    for name, part in parts.items():
        method, example = PARTS[name]
        if part is None or (hasattr(part, method) and not _is_class(part, method)):
            continue
        given = f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__
        raise ConfigurationError(
            f"AuthKit({name}=...) cannot use {given}. Write {name}={example}, for example."
        )


def _is_class(part: object, method: str) -> bool:
    """Tell whether *part* is a class whose *method* needs an object of it."""
    return isinstance(part, type) and isfunction(getattr_static(part, method))
