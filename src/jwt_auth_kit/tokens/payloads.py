"""Writes what an access token says, and refuses what a token or its carrier cannot hold."""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from ..encoding import read_object
from ..errors import ConfigurationError, InvalidToken
from .jws import MAX_TOKEN_LENGTH

MOST_NAMED = 3

_FIXED = frozenset("jti iat exp token_type ep sid gen auth_time iss aud".split())  # noqa: SIM905


class Carrier(NamedTuple):
    """What takes access tokens to a client and back."""

    max_length: int
    """The characters that a token may have."""

    reason: str
    """Where the limit comes from, for people."""


HEADER: Carrier = Carrier(
    MAX_TOKEN_LENGTH, f"tokens of more than {MAX_TOKEN_LENGTH} characters are refused unread"
)
"""The ``Authorization`` header."""


def write_payload(claims: Mapping[str, Any]) -> bytes:
    """Write *claims* as JSON; a UUID becomes a string, and a member of an Enum its value.

    Raises:
        ConfigurationError: a claim is not JSON, or is JSON that no token may hold.
    """
    try:
        payload = _ENCODER.encode(claims).encode()
        if not all(isinstance(value, str | int) for value in claims.values()):
            read_object(payload)  # as whoever verifies it does
    except (TypeError, ValueError, RecursionError, InvalidToken):
        raise ConfigurationError(" ".join(_problems(claims))) from None
    return payload


def check_length(token: str, claims: Mapping[str, Any], carrier: Carrier) -> None:
    """Let a token of *claims* pass that *carrier* can hold.

    Raises:
        ConfigurationError: it is too long; the message names the largest claims.
    """
    if len(token) <= carrier.max_length:
        return
    sizes = {name: len(_ENCODER.encode(claims[name])) for name in claims.keys() - _FIXED}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:MOST_NAMED]
    raise ConfigurationError(
        f"The access token of user {claims['sub']} would have {len(token)} characters, which is "
        f"too long: {carrier.reason}. Its largest claims, in characters, are "
        f"{', '.join(f'{name} ({sizes[name]})' for name in largest)}. "
        "Grant fewer scopes, or put less into it with AuthKit(profile_claims=...)."
    )


def _problems(claims: Mapping[str, Any]) -> Iterator[str]:
    for name, value in claims.items():
        try:
            read_object(_ENCODER.encode({name: value}).encode())
        except UnicodeEncodeError:
            problem = "half of a surrogate pair, which is not text"
        except (TypeError, ValueError) as error:
            found = error.args[0] if isinstance(error, _NotJSON) else "NaN or a key"
            problem = f"{found}, which JSON does not have"
        except (InvalidToken, RecursionError):
            problem = "JSON that cannot be read, because it is nested too deeply"
        else:
            continue
        yield (
            f"The claim {name!r} of user {claims['sub']} holds {problem}. profile_claims may name "
            "strings, numbers, UUIDs, and lists and dicts of them."
        )


class _NotJSON(TypeError):
    """A value of a type that JSON does not have."""


def _as_json(value: object) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise _NotJSON(f"a {type(value).__name__}")


_ENCODER = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_json
)
