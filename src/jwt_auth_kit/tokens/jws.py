"""Signed tokens: read strictly, checked with one key, and remembered once they were good."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..encoding import decode_part, read_object
from ..errors import InvalidToken
from ..keys.key import Key

MAX_TOKEN_LENGTH = 8192
MAX_HEADER_LENGTH = 1024  # read before anything is known about who sent it
MAX_REMEMBERED = 4096

ClaimsT = TypeVar("ClaimsT", bound=Mapping[str, Any])

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A compact JWS (RFC 7515 section 7.1) that was read and not yet checked."""

    header: Mapping[str, Any]
    payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, token: str) -> "SignedToken":
        """Read *token*; nothing in it can be trusted yet.

        Raises:
            InvalidToken: it is too long, or spelled in a way that leaves room for doubt.
        """
        # The shape comes before any parsing: PyJWT takes padding.
        if len(token) > MAX_TOKEN_LENGTH or _SHAPE.fullmatch(token) is None:
            raise InvalidToken
        signing_input, _, signature_part = token.rpartition(".")
        header_part, _, payload_part = signing_input.partition(".")
        if len(header_part) > MAX_HEADER_LENGTH:
            raise InvalidToken
        return cls(
            header=read_object(decode_part(header_part)),
            payload=decode_part(payload_part),
            signing_input=signing_input.encode(),
            signature=decode_part(signature_part),
        )

    @property
    def type(self) -> str | None:
        """The ``typ`` header (RFC 7515 section 4.1.9)."""
        value = self.header.get("typ")
        return value if isinstance(value, str) else None

    def verify(self, key: Key) -> dict[str, Any]:
        """Check the signature with the key that the token names; return the claims.

        Raises:
            InvalidToken: another key signed, or another algorithm was used.
        """
        # The key was found in our own ring and brings its algorithm along. Nothing else in the
        # header can name one: jku, x5u, jwk and x5c are never read (RFC 8725 section 3.10), and
        # an extension that must be understood is refused (RFC 7515 section 4.1.11), b64 of
        # RFC 7797 included, which would change what was signed.
        is_extended = not self.header.keys().isdisjoint(("crit", "b64"))
        if is_extended or self.header.get("alg") != key.algorithm:
            raise InvalidToken("wrong_algorithm")
        key.verify(self.signing_input, self.signature)
        return read_object(self.payload)


@dataclass(frozen=True, slots=True)
class VerifiedToken(Generic[ClaimsT]):
    """What is remembered of a token that was good."""

    key_id: str | None
    """The ``kid`` it was sent with."""
    thumbprint: str
    """Of the key that signed it: an issuer may put another one under the same id."""
    claims: ClaimsT

    def is_by(self, key: Key | None) -> bool:
        """Tell whether *key* is the one that signed it."""
        return key is not None and key.thumbprint == self.thumbprint


class VerifiedTokens(Generic[ClaimsT]):
    """Spares the next request with a token the signature; its key and time are checked again.

    Only verified tokens get in, under their whole text, so nobody can push others out by sending
    forged ones.
    """

    def __init__(self) -> None:
        self._known: dict[str, VerifiedToken[ClaimsT]] = {}

    def get(self, token: str) -> VerifiedToken[ClaimsT] | None:
        """Return what is known of a token; None where it is new here."""
        return self._known.get(token)

    def add(self, token: str, verified: VerifiedToken[ClaimsT]) -> None:
        """Remember a token, in the place of the oldest if there are many."""
        if len(self._known) >= MAX_REMEMBERED:
            self._known.pop(next(iter(self._known)), None)
        self._known[token] = verified
