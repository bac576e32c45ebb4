"""What a kit is made of, and what its parts may return: something else is refused."""

from collections.abc import Iterable, Mapping
from inspect import getattr_static, isfunction
from typing import NamedTuple

from ..errors import ConfigurationError


class _Part(NamedTuple):
    method: str
    example: str


PARTS: Mapping[str, _Part] = {
    "users": _Part("get_by_email", "SQLAlchemyUserStore(engine)"),
    "tokens": _Part("list_by_user", "SQLAlchemyTokenStore(engine)"),
    "settings": _Part("access_ttl", "AuthSettings(access_ttl=timedelta(minutes=10))"),
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


def read_scopes(given: object) -> frozenset[str]:
    """Return the scopes that the application's function gave: a list, or one string of them.

    Raises:
        ConfigurationError: it gave something else, or a name with white space.
    """
    names = given.split() if isinstance(given, str) else given
    names = [*names] if isinstance(names, Iterable) else [None]
    if not all(isinstance(name, str) for name in names):
        raise ConfigurationError(
            "The function in AuthKit(scopes=...) must return a list of names, and without await, "
            f"not {type(given).__name__}."
        )
    # A token holds them in one string, separated by spaces (RFC 9068 section 2.2.3). A user who
    # names a team "x admin" must not get the scope admin by a scope such as team:x admin.
    if any(name.split() != [name] for name in names if name):
        raise ConfigurationError(
            "The function in AuthKit(scopes=...) returned a name with white space, which would be "
            "read as several scopes. Replace it, by a hyphen for example."
        )
    return frozenset(name for name in names if name)
