"""Keys that sign and verify tokens, and the ring that holds them."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jwt.algorithms import Algorithm, HMACAlgorithm

from .errors import ConfigurationError, InvalidToken

MIN_SECRET_BYTES = 32
MIN_DISTINCT_BYTES = 8
HOW_TO_MAKE_A_SECRET = (
    "Make one with `python -m jwt_auth_kit secret` and set it as JWT_SECRET_KEY "
    "(in the environment or in .env)."
)

_ALGORITHMS: Mapping[str, Algorithm] = {"HS256": HMACAlgorithm(HMACAlgorithm.SHA256)}


@dataclass(frozen=True, slots=True)
class Key:
    """One signing key; its algorithm is fixed here and never read from a token.

    Raises:
        ConfigurationError: the material is under 32 bytes, or plainly not random.
    """

    id: str
    algorithm: str
    material: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.algorithm not in _ALGORITHMS:
            raise ConfigurationError(
                f"{self.algorithm!r} is no algorithm of a Key; use {', '.join(_ALGORITHMS)}."
            )
        if len(self.material) < MIN_SECRET_BYTES:
            # RFC 7518 section 3.2: an HS256 key is at least as long as the hash.
            raise ConfigurationError(
                f"JWT_SECRET_KEY holds {len(self.material)} bytes, but at least "
                f"{MIN_SECRET_BYTES} are needed. {HOW_TO_MAKE_A_SECRET}"
            )
        if len(set(self.material)) < MIN_DISTINCT_BYTES:
            raise ConfigurationError(
                f"JWT_SECRET_KEY repeats a few bytes and can be guessed. {HOW_TO_MAKE_A_SECRET}"
            )

    @classmethod
    def from_secret(cls, secret: str) -> "Key":
        """Make an HS256 key of a base64 *secret*.

        Raises:
            ConfigurationError: not base64, under 32 bytes, or plainly not random.
        """
        material = _decode_secret(secret)
        return cls(id=_secret_id(material), algorithm="HS256", material=material)

    def sign(self, payload: bytes, *, token_type: str) -> str:
        """Sign *payload* as a compact JWS whose ``typ`` is *token_type*."""
        header = _header(self.algorithm, self.id, token_type)
        signing_input = b".".join((header, _encoded(payload)))
        signature = _ALGORITHMS[self.algorithm].sign(signing_input, self.material)
        return b".".join((signing_input, _encoded(signature))).decode()

    def derive(self, purpose: str) -> bytes:
        """Make 32 bytes for another *purpose* than signing; they tell nothing about the key."""
        return hmac.digest(self.material, f"jwt-auth-kit/{purpose}".encode(), hashlib.sha256)

    def verify(self, signing_input: bytes, signature: bytes) -> None:
        """Check a signature (RFC 7515 section 5.2); the caller has decoded the token.

        Raises:
            InvalidToken: another key or another algorithm made it.
        """
        if not _ALGORITHMS[self.algorithm].verify(signing_input, self.material, signature):
            raise InvalidToken


class KeyRing:
    """The keys of an issuer: *active* signs, *active* and *retiring* verify."""

    def __init__(self, active: Key, retiring: Iterable[Key] = ()) -> None:
        self.active = active
        self._by_id: Mapping[str, Key] = {key.id: key for key in (active, *retiring)}

    @classmethod
    def from_secret(cls, secret: str | None) -> "KeyRing":
        """Make a ring of one HS256 key; *secret* is base64, usually JWT_SECRET_KEY.

        Raises:
            ConfigurationError: it is missing or weak; the message says how to make one.
        """
        if not secret:
            raise ConfigurationError(f"JWT_SECRET_KEY is not set. {HOW_TO_MAKE_A_SECRET}")
        return cls(Key.from_secret(secret))

    @classmethod
    def random(cls) -> "KeyRing":
        """Make a ring of one new HS256 key, for tests: no other process and no restart knows it."""
        return cls.from_secret(base64.b64encode(secrets.token_bytes(MIN_SECRET_BYTES)).decode())

    def get(self, key_id: Any) -> Key | None:
        """Find a key by the ``kid`` of a token; whatever the token holds there is safe to pass."""
        return self._by_id.get(key_id) if isinstance(key_id, str) else None

    def __repr__(self) -> str:
        return f"KeyRing(active={self.active!r}, keys={len(self._by_id)})"


@cache
def _header(algorithm: str, key_id: str, token_type: str) -> bytes:
    header = {"alg": algorithm, "kid": key_id, "typ": token_type}
    return _encoded(json.dumps(header, separators=(",", ":")).encode())


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _decode_secret(secret: str) -> bytes:
    text = "".join(secret.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"JWT_SECRET_KEY is not base64. {HOW_TO_MAKE_A_SECRET}") from None


def _secret_id(material: bytes) -> str:
    # The id stands in every token. A plain hash of the secret would let an attacker test
    # guesses of it faster than by signing; a derived value costs the same and reveals no hash
    # that is used elsewhere.
    derived = hmac.digest(material, b"jwt-auth-kit/kid", hashlib.sha256)
    return base64.urlsafe_b64encode(derived[:12]).decode()
