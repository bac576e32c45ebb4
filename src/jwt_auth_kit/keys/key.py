"""Keys that sign and verify tokens; each is bound to one algorithm."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    HMACAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)
from jwt.exceptions import InvalidKeyError

from ..errors import ConfigurationError, InvalidToken
from ..trusted_values import Hidden, TrustedValue
from .weak_secrets import find_weakness

AlgorithmName = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]

MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
NEW_RSA_BITS = 3072
MAX_ID_BYTES = 200  # it stands in the header of every token
HOW_TO_MAKE_A_SECRET = (
    "Make one with `python -m jwt_auth_kit secret` and set it as JWT_SECRET_KEY "
    "(in the environment or in .env)."
)
HOW_TO_MAKE_A_KEY = "Make one with `python -m jwt_auth_kit keys new`."

_ALGORITHMS: Mapping[str, Algorithm] = {
    "HS256": HMACAlgorithm(HMACAlgorithm.SHA256),
    "HS384": HMACAlgorithm(HMACAlgorithm.SHA384),
    "HS512": HMACAlgorithm(HMACAlgorithm.SHA512),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1),
    "ES384": ECAlgorithm(ECAlgorithm.SHA384, ec.SECP384R1),
    "ES512": ECAlgorithm(ECAlgorithm.SHA512, ec.SECP521R1),
    "EdDSA": OKPAlgorithm(),
}
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Least length of a secret (RFC 7518 section 3.2): that of the hash."""

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}
"""The one curve of each algorithm (RFC 7518 section 3.4)."""

_KEY_TYPES = {**dict.fromkeys(_RSA, "RSA"), **dict.fromkeys(_CURVES, "EC"), "EdDSA": "OKP"}
_THUMBPRINT_MEMBERS = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}
_PRIVATE_MEMBERS = frozenset({"d", "k", "p", "q", "dp", "dq", "qi", "oth"})
_ENCODED_MEMBERS = ("k", "n", "e", "x", "y", "d", "p", "q", "dp", "dq", "qi")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")

# Keys of faulty chips (CVE-2017-15361) can be computed from their modulus. All of them, and one
# other in 2**27, have for each of these primes a remainder that is a power of 65537.
_FAULTY_REMAINDERS = {
    prime: frozenset(pow(65537, exponent, prime) for exponent in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}

_PRIVATE_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)


@dataclass(frozen=True, slots=True)
class Key(TrustedValue):
    """One key; its algorithm is fixed here and never read from a token.

    Args:
        id: the ``kid`` of its tokens.
        algorithm: HS256, RS256, PS256 or ES256, each also with 384 and 512; or EdDSA (Ed25519).
        material: the bytes of a secret, or a private or public key of ``cryptography``.

    Raises:
        ConfigurationError: the material is weak, or of another algorithm.
    """

    id: str
    algorithm: AlgorithmName
    material: Hidden[Any] = field(repr=False, compare=False)
    can_sign: bool = field(init=False, repr=False)
    """Whether it is a secret or a private key."""
    thumbprint: str = field(init=False, repr=False)
    """Tells its material from that of every other key, whatever their ids are (RFC 7638)."""
    _verifies: Any = field(init=False, repr=False, hash=False)

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_material(self.algorithm, self.material)
        is_private = isinstance(self.material, _PRIVATE_KEYS)
        object.__setattr__(self, "can_sign", self.is_symmetric or is_private)
        object.__setattr__(self, "_verifies", _public(self.material))
        object.__setattr__(self, "thumbprint", _thumbprint_of(self.algorithm, self.material))

    @classmethod
    def from_secret(cls, secret: str, algorithm: AlgorithmName = "HS256") -> "Key":
        """Make a symmetric key of a base64 *secret*.

        Raises:
            ConfigurationError: not base64, too short, or one that can be guessed.
        """
        material = _decode_secret(secret)
        return cls(id=_secret_id(material), algorithm=algorithm, material=material)

    @classmethod
    def from_pem(cls, pem: str | bytes, algorithm: AlgorithmName | None = None) -> "Key":
        """Make a key of a private key (PKCS#8, unencrypted) or a public one in PEM.

        *algorithm* has to be said for RSA alone, if it is not RS256.

        Raises:
            ConfigurationError: it is no such key, or a weak one.
        """
        material = _read_pem(pem if isinstance(pem, bytes) else pem.encode(errors="replace"))
        return cls._of(material, algorithm or _default_algorithm(material))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> "Key":
        """Make a key of a JSON Web Key (RFC 7517), a private or a public one.

        Without ``kid`` its id is its thumbprint; RSA keys need ``alg``.

        Raises:
            ConfigurationError: it is no key for signatures, of an unknown kind, or weak.
        """
        # RFC 7517 sections 4.2 and 4.3: a key that says it is for something else is not ours.
        operations = jwk.get("key_ops", ["verify"])
        is_for_tokens = isinstance(operations, list) and (
            "sign" in operations or "verify" in operations
        )
        if jwk.get("use", "sig") != "sig" or not is_for_tokens:
            raise ConfigurationError("This JWK is not for signatures; see its use and key_ops.")
        algorithm = _algorithm_of(jwk)
        return cls._of(_read_jwk(algorithm, jwk), algorithm, jwk.get("kid"))

    @classmethod
    def generate(cls, algorithm: AlgorithmName = "EdDSA") -> "Key":
        """Make a new random key.

        Raises:
            ConfigurationError: there is no such algorithm.
        """
        _check_algorithm(algorithm)
        material: Any
        match _KEY_TYPES.get(algorithm):
            case "RSA":
                material = rsa.generate_private_key(public_exponent=65537, key_size=NEW_RSA_BITS)
            case "EC":
                material = ec.generate_private_key(_CURVES[algorithm]())
            case "OKP":
                material = ed25519.Ed25519PrivateKey.generate()
            case _:
                material = secrets.token_bytes(_SECRET_BYTES[algorithm])
        key = cls._of(material, algorithm)
        # On a command line an id that begins like an option would be taken for one.
        return cls.generate(algorithm) if key.id.startswith("-") else key

    @classmethod
    def _of(cls, material: Any, algorithm: AlgorithmName, key_id: Any = None) -> "Key":
        _check_material(algorithm, material)
        if key_id is None:
            key_id = _thumbprint_of(algorithm, material)
        return cls(id=key_id, algorithm=algorithm, material=material)

    @property
    def is_symmetric(self) -> bool:
        """Whether who can verify can also sign."""
        return self.algorithm in _SECRET_BYTES

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as a JWK (RFC 7517).

        Raises:
            ConfigurationError: a symmetric key has no public part.
        """
        if self.is_symmetric:
            raise ConfigurationError("A symmetric key has no public part to publish.")
        members = _jwk(self.algorithm, self._verifies)
        return {**public_members(members), "kid": self.id, "alg": self.algorithm, "use": "sig"}

    def private_jwk(self) -> dict[str, Any]:
        """Return the whole key as a JWK: keep it as you keep a password."""
        return {
            **_jwk(self.algorithm, self.material),
            "kid": self.id,
            "alg": self.algorithm,
            "use": "sig",
        }

    def sign(self, payload: bytes, *, token_type: str) -> str:
        """Sign *payload* as a compact JWS whose ``typ`` is *token_type*."""
        header = _header(self.algorithm, self.id, token_type)
        signing_input = b".".join((header, _encoded(payload)))
        signature = _ALGORITHMS[self.algorithm].sign(signing_input, self.material)
        return b".".join((signing_input, _encoded(signature))).decode()

    def derive(self, purpose: str) -> bytes:
        """Make 32 bytes for another *purpose* than signing; they tell nothing about the key."""
        material = self.material if self.is_symmetric else _private_bytes(self.material)
        return hmac.digest(material, f"jwt-auth-kit/{purpose}".encode(), hashlib.sha256)

    def verify(self, signing_input: bytes, signature: bytes) -> None:
        """Check a signature (RFC 7515 section 5.2); the caller has decoded the token.

        Raises:
            InvalidToken: another key or another algorithm made it.
        """
        if not _ALGORITHMS[self.algorithm].verify(signing_input, self._verifies, signature):
            raise InvalidToken("bad_signature")


def public_members(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return *jwk* without what is private in keys of any kind (RFC 7518 section 6)."""
    return {name: jwk[name] for name in jwk if name not in _PRIVATE_MEMBERS}


def _check_id(key_id: Any) -> None:
    if (
        not isinstance(key_id, str)
        or not key_id.isprintable()
        or not 0 < len(key_id.encode()) <= MAX_ID_BYTES
    ):
        raise ConfigurationError(
            f"The id (kid) of a key is a printable text of 1 to {MAX_ID_BYTES} bytes."
        )


def _check_material(algorithm: str, material: Any) -> None:
    _check_algorithm(algorithm)
    if algorithm in _SECRET_BYTES:
        _check_secret(algorithm, material)
    else:
        _check_key(algorithm, material)


def _check_algorithm(algorithm: Any) -> None:
    if algorithm not in _ALGORITHMS:
        raise ConfigurationError(
            f"{algorithm!r} is no algorithm of a Key; use {', '.join(_ALGORITHMS)}."
        )


def _check_secret(algorithm: str, secret: Any) -> None:
    if not isinstance(secret, bytes):
        raise ConfigurationError(f"This is no key for {algorithm}, which takes bytes.")
    least = _SECRET_BYTES[algorithm]
    how = HOW_TO_MAKE_A_SECRET if algorithm == "HS256" else HOW_TO_MAKE_A_KEY
    if len(secret) < least:
        raise ConfigurationError(
            f"The secret holds {len(secret)} bytes, but at least {least} are needed for "
            f"{algorithm}. {how}"
        )
    if weakness := find_weakness(secret):
        raise ConfigurationError(f"The secret {weakness} and can be guessed. {how}")


def _check_key(algorithm: str, material: Any) -> None:
    public = _public(material)
    fits = {
        "RSA": isinstance(public, rsa.RSAPublicKey),
        "EC": isinstance(public, ec.EllipticCurvePublicKey)
        and isinstance(public.curve, _CURVES.get(algorithm, ec.EllipticCurve)),
        "OKP": isinstance(public, ed25519.Ed25519PublicKey),
    }
    if not fits[_KEY_TYPES[algorithm]]:
        raise ConfigurationError(
            f"This is not a key for {algorithm}: those that begin with RS or PS take RSA, ES256 "
            "takes P-256, ES384 P-384, ES512 P-521, and EdDSA Ed25519."
        )
    if isinstance(public, rsa.RSAPublicKey):
        _check_rsa(public)


def _check_rsa(public: rsa.RSAPublicKey) -> None:
    if public.key_size < MIN_RSA_BITS:
        raise ConfigurationError(
            f"This RSA key has {public.key_size} bits, but at least {MIN_RSA_BITS} are needed. "
            f"{HOW_TO_MAKE_A_KEY}"
        )
    modulus = public.public_numbers().n
    if all(modulus % prime in faulty for prime, faulty in _FAULTY_REMAINDERS.items()):
        raise ConfigurationError(
            "This RSA key was made by a faulty chip and can be computed (CVE-2017-15361). "
            f"{HOW_TO_MAKE_A_KEY}"
        )


def _read_pem(pem: bytes) -> Any:
    for read in (_read_private_pem, serialization.load_pem_public_key):
        try:
            return read(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
    raise ConfigurationError(
        f"Not a private or public key in PEM, or an encrypted one. {HOW_TO_MAKE_A_KEY}"
    )


def _read_private_pem(pem: bytes) -> Any:
    return serialization.load_pem_private_key(pem, password=None)


def _read_jwk(algorithm: str, jwk: Mapping[str, Any]) -> Any:
    # Python's decoder drops what is no base64url, and a secret would be shorter than it looks.
    parts = [jwk[name] for name in _ENCODED_MEMBERS if name in jwk]
    if not all(isinstance(part, str) and _BASE64URL.fullmatch(part) for part in parts):
        raise ConfigurationError("A member of this JWK is no base64url without padding.")
    try:
        return cast("Any", _ALGORITHMS[algorithm]).from_jwk(dict(jwk))
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError):
        raise ConfigurationError("This JWK cannot be read.") from None


def _algorithm_of(jwk: Mapping[str, Any]) -> AlgorithmName:
    """Tell the one algorithm of *jwk*; what its kind leaves open, ``alg`` has to say."""
    kind, curve, named = (_text(jwk.get(name)) for name in ("kty", "crv", "alg"))
    named = "EdDSA" if named == "Ed25519" else named  # RFC 9864 gives it a second name
    possible: Mapping[Any, tuple[str, ...]] = {
        ("oct", None): ("HS256", "HS384", "HS512"),
        ("RSA", None): _RSA,
        ("EC", "P-256"): ("ES256",),
        ("EC", "P-384"): ("ES384",),
        ("EC", "P-521"): ("ES512",),
        ("OKP", "Ed25519"): ("EdDSA",),
    }
    names = possible.get((kind, curve), ())
    if named is None and len(names) == 1:
        named = names[0]
    if named not in names:
        raise ConfigurationError(
            f"A JWK with kty {kind!r}, crv {curve!r} and alg {named!r} is of no use here. "
            f"Good ones are RSA with alg {', '.join(_RSA[:-1])} or {_RSA[-1]}, EC on P-256, P-384 "
            "or P-521, OKP on Ed25519, and oct with alg HS256, HS384 or HS512."
        )
    return cast("AlgorithmName", named)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:20]


def _default_algorithm(material: Any) -> AlgorithmName:
    public = _public(material)
    if isinstance(public, rsa.RSAPublicKey):
        return "RS256"
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return "EdDSA"
    fitting = [name for name, curve in _CURVES.items() if isinstance(public.curve, curve)]
    return cast("AlgorithmName", fitting[0] if fitting else "ES256")


def _public(material: Any) -> Any:
    return material.public_key() if isinstance(material, _PRIVATE_KEYS) else material


def _private_bytes(material: Any) -> bytes:
    if not isinstance(material, _PRIVATE_KEYS):
        raise ConfigurationError("A public key keeps no secret to derive one from.")
    return material.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _jwk(algorithm: str, material: Any) -> dict[str, Any]:
    members = cast("Any", _ALGORITHMS[algorithm]).to_jwk(material, as_dict=True)
    return {name: members[name] for name in members if name != "key_ops"}


def _thumbprint_of(algorithm: str, material: Any) -> str:
    if algorithm in _SECRET_BYTES:
        return _secret_id(material)
    return _thumbprint(_jwk(algorithm, _public(material)))


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the thumbprint of a public key (RFC 7638)."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return _encoded(hashlib.sha256(text.encode()).digest()).decode()


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
