"""Strict base64url and JSON: one spelling each, so that no two readers see different things."""

import base64
import binascii
import json
import re
from itertools import accumulate
from typing import Any

from .errors import InvalidToken

MAX_DEPTH = 16

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def decode_part(part: str) -> bytes:
    """Decode one part of a token.

    Raises:
        InvalidToken: no base64url without padding, or a second spelling of the same bytes.
    """
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise InvalidToken from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise InvalidToken
    return decoded


def read_object(part: bytes) -> dict[str, Any]:
    """Read a JSON object, refusing what parsers understand in more than one way.

    Raises:
        InvalidToken: it is none.
    """
    try:
        text = part.decode()
        _check_depth(text)
        value = _DECODER.decode(text)
        if "\\u" in text:
            ENCODER.encode(value).encode()  # half a surrogate pair would break whoever writes it
    except ValueError:
        raise InvalidToken from None
    if not isinstance(value, dict):
        raise InvalidToken
    return value


def _check_depth(text: str) -> None:
    # How deep a parser can go depends on the interpreter and on who calls it; this does not.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    brackets = _BRACKET.findall(_QUOTED.sub("", text))
    depths = accumulate(1 if bracket in "[{" else -1 for bracket in brackets)
    if any(depth > MAX_DEPTH for depth in depths):
        raise ValueError("nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers differ in which of two equal names wins, so one could check what another uses.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
