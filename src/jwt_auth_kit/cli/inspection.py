"""What a token says, and what is wrong with it: read without trusting it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from ..encoding import decode_part, read_object
from ..errors import InvalidToken
from ..keys.key import AlgorithmName
from ..tokens.jws import MAX_HEADER_LENGTH, MAX_TOKEN_LENGTH
from ..tokens.manager import (
    CLOCK_SKEW,
    COUNT_CLAIMS,
    HEADER_TYPES,
    TEXT_CLAIMS,
    JWTManager,
    TokenType,
    is_count,
)
from .terminal import from_now, in_short

KINDS: Mapping[Any, TokenType] = {header_type: kind for kind, header_type in HEADER_TYPES.items()}
REQUIRED_TEXTS = ("sub", "jti", "token_type")
REQUIRED_COUNTS = ("exp", "iat")
KEY_MEMBERS = ("jku", "jwk", "x5u", "x5c")
LONGEST_VALUE = 60

_PART = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found out about a token."""

    kind: TokenType | None = None
    header: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] | None = None
    signature: str | None = None
    """Whether it is good, and by which key; None where it was not checked."""

    problems: Sequence[str] = ()
    """Sentences; there are none where nothing is wrong."""

    notes: Sequence[str] = ()
    """Sentences about what is odd and does no harm."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What became of the check of a signature."""

    verdict: str | None = None
    problem: str | None = None


def inspect_token(token: str, jwt: JWTManager | None, *, now: datetime) -> Inspection:
    """Find out what *token* says and what is wrong with it; any text will do.

    Args:
        token: what is looked at.
        jwt: whose keys and names it is compared with; without it no signature is checked.
        now: the moment.
    """
    if problems := list(_about_shape(token)):
        return Inspection(problems=problems)
    header_part, payload_part, _ = token.split(".")
    header, claims = _read(header_part), _read(payload_part)
    signature = Signature()
    if header is None:
        problems.append("The header is no JSON object, or one that readers could differ about.")
    else:
        problems += _about_header(header, len(header_part))
        signature = _check_signature(token, header, jwt, now)
    if claims is None:
        problems.append("The claims are no JSON object, or one that readers could differ about.")
    else:
        problems += _about_claims(claims, header or {})
        problems += _about_time(claims, now, timedelta(0) if jwt is None else jwt.leeway)
        problems += _about_names(claims, jwt)
    if signature.problem is not None:
        problems.append(signature.problem)
    kind = KINDS.get(_text((header or {}).get("typ")))
    if jwt is not None and kind is not None and not problems:
        problems += _refusal(token, jwt, kind)  # who verifies has the last word
    return Inspection(
        kind=kind,
        header=header,
        claims=claims,
        signature=signature.verdict,
        problems=problems,
        notes=list(_oddities(header or {})),
    )


def quoted(value: Any) -> str:
    """Return *value* as JSON, cut short where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _about_shape(token: str) -> Iterator[str]:
    parts = token.split(".")
    if not token:
        yield "There is no token."
    elif len(token) > MAX_TOKEN_LENGTH:
        yield f"It has {len(token)} characters; more than {MAX_TOKEN_LENGTH} are refused unread."
    elif len(parts) == 5:  # noqa: PLR2004  RFC 7516 section 3.1
        yield "It has five parts, so it is an encrypted token (JWE), which nothing here reads."
    elif len(parts) != 3:  # noqa: PLR2004  RFC 7515 section 3.1
        yield f"A token has three parts with dots between them, but this has {len(parts)}."
    else:
        for name, part in zip(("header", "payload", "signature"), parts, strict=True):
            if not part:
                yield f"The {name} is empty."
            elif _PART.fullmatch(part) is None:
                yield f"The {name} is no base64url without padding: it was changed or cut."


def _read(part: str) -> Mapping[str, Any] | None:
    try:
        return read_object(decode_part(part))
    except InvalidToken:
        return None


def _about_header(header: Mapping[str, Any], length: int) -> Iterator[str]:
    algorithm, known = _text(header.get("alg")), get_args(AlgorithmName)
    if "alg" not in header:
        yield "alg is missing: the header names no algorithm."
    elif algorithm is not None and algorithm.lower() == "none":
        yield "alg is none: nobody signed it, so anybody can have written it."
    elif algorithm not in known:
        yield f"alg is {quoted(header['alg'])}; we know {', '.join(known)}."
    if "kid" not in header:
        yield "kid is missing: the header names no key."
    if "typ" not in header:
        yield "typ is missing: ours are at+jwt (access) and rt+jwt (refresh)."
    elif _text(header["typ"]) not in KINDS:
        yield f"typ is {quoted(header['typ'])}; ours are at+jwt (access) and rt+jwt (refresh)."
    for name in ("crit", "b64"):
        if name in header:
            yield f"{name} asks for an extension; we have none, so it is refused."
    if length > MAX_HEADER_LENGTH:
        yield f"The header has {length} characters; more than {MAX_HEADER_LENGTH} are refused."


def _oddities(header: Mapping[str, Any]) -> Iterator[str]:
    for name in KEY_MEMBERS:
        if name in header:
            yield f"The header brings a key of its own ({name}); nobody here looks at it."


def _about_claims(claims: Mapping[str, Any], header: Mapping[str, Any]) -> Iterator[str]:
    for name in (*REQUIRED_TEXTS, *REQUIRED_COUNTS):
        if name not in claims:
            yield f"{name} is missing."
    for name in (*REQUIRED_TEXTS, *TEXT_CLAIMS):
        if name in claims and not isinstance(claims[name], str):
            yield f"{name} is no text."
    for name in (*REQUIRED_COUNTS, *COUNT_CLAIMS):
        if name in claims and not is_count(claims[name]):
            yield f"{name} is no whole number that can be used."
    token_type, kind = _text(claims.get("token_type")), KINDS.get(_text(header.get("typ")))
    if token_type is not None and token_type not in HEADER_TYPES:
        yield f"token_type is {quoted(token_type)}; ours are access and refresh."
    elif None not in (token_type, kind) and token_type != kind:
        yield f"typ says {kind}, and token_type says {token_type}."


def _about_time(claims: Mapping[str, Any], now: datetime, leeway: timedelta) -> Iterator[str]:
    seconds, skew = now.timestamp(), max(CLOCK_SKEW, leeway)
    moments = {name: claims[name] for name in ("exp", "nbf", "iat") if is_count(claims.get(name))}
    if "exp" in moments and seconds >= moments["exp"] + leeway.total_seconds():
        yield f"It expired {from_now(_moment(moments['exp']), now)}."
    for name, what in (("nbf", "It is not yet valid"), ("iat", "It was made in the future")):
        if moments.get(name, 0) > seconds + skew.total_seconds():
            away = in_short(_moment(moments[name]) - now)
            yield f"{what}: {name} is {away} ahead of the clock here."


def _about_names(claims: Mapping[str, Any], jwt: JWTManager | None) -> Iterator[str]:
    if jwt is None:
        return
    issuer, audience = claims.get("iss"), claims.get("aud")
    if jwt.issuer is not None and issuer != jwt.issuer:
        yield f"iss is {quoted(issuer)}, but JWT_ISSUER is {quoted(jwt.issuer)}."
    audiences = audience if isinstance(audience, list) else [audience]
    if jwt.audience not in audiences:
        yield f"aud is {quoted(audience)}, but JWT_AUDIENCE is {quoted(jwt.audience)}."


def _check_signature(
    token: str, header: Mapping[str, Any], jwt: JWTManager | None, now: datetime
) -> Signature:
    if jwt is None or "kid" not in header:
        return Signature()
    item = next((item for item in jwt.keys.keys if item.key.id == header["kid"]), None)
    if item is None:
        return Signature(problem=f"None of our keys has the kid {quoted(header['kid'])}.")
    key, name = item.key, f"{item.key.algorithm} key {item.key.id}"
    if header.get("alg") != key.algorithm:
        return Signature("bad", f"The header does not name the algorithm of our {name}.")
    signing_input, _, signature = token.rpartition(".")
    try:
        key.verify(signing_input.encode(), decode_part(signature))
    except InvalidToken:
        return Signature("bad", f"The signature is not by our {name}: something was changed.")
    keep = jwt.life_of(header.get("typ"))
    state = item.state(now, keep=keep)
    problem = None if item.verifies(now, keep=keep) else f"The {name} is {state}: it is refused."
    return Signature(f"good, by {name} ({state})", problem)


def _refusal(token: str, jwt: JWTManager, kind: TokenType) -> Iterator[str]:
    try:
        jwt.verify_token(token, kind)
    except InvalidToken as error:
        yield f"{error.message}."


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
