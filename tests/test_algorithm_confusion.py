"""A token cannot say how it is verified, or with what: tricks against keys of every kind.

The plain ones stand in test_keys.py; those that need one kind of key, in test_tokens.py and
test_wycheproof.py.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, get_args

import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient

from apps import make_app, make_kit
from jwt_auth_kit import InvalidToken, JWTManager, Key, KeyRing, create_jwks_router
from jwt_auth_kit.keys.key import AlgorithmName

ALGORITHMS: tuple[AlgorithmName, ...] = get_args(AlgorithmName)
PUBLIC: tuple[AlgorithmName, ...] = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
SECRET: tuple[AlgorithmName, ...] = ("HS256", "HS384", "HS512")
RSA_SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
every_public_algorithm = pytest.mark.parametrize("algorithm", PUBLIC)
every_other_algorithm = pytest.mark.parametrize("other", ALGORITHMS)


@cache
def our_key(algorithm: AlgorithmName) -> Key:
    return Key.generate(algorithm)


@cache
def their_key(algorithm: AlgorithmName) -> Key:
    """A key of the attacker."""
    return Key.generate(algorithm)


def token(header: Mapping[str, Any], signer: Key, *, by: str | None = None) -> str:
    """Make a token with good claims; *by* is an algorithm that *signer* is not bound to."""
    start = signing_input(header)
    algorithm: Any = pyjwt.get_algorithm_by_name(by or signer.algorithm)
    return f"{start}.{encoded(algorithm.sign(start.encode(), signer.material))}"


def signing_input(header: Mapping[str, Any]) -> str:
    now = int(datetime.now(UTC).timestamp())
    claims = {"sub": "42", "jti": "1", "iat": now, "exp": now + 900, "token_type": "access"}
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def header_for(key: Key, **changes: Any) -> dict[str, Any]:
    return {"alg": key.algorithm, "kid": key.id, "typ": "at+jwt", **changes}


def accepted_by(token: str, key: Key) -> list[str]:
    """Tell which rings take *token*, of those that *key* may stand in."""
    others = [our_key(name) for name in ALGORITHMS if our_key(name) != key]
    rings = {"alone": KeyRing(key), "first of many": KeyRing(key, others)}
    if not key.is_symmetric:
        public = Key.from_jwk(key.public_jwk())
        rings["public among many"] = KeyRing(others[0], [public, *others[1:]])
    return [name for name, ring in rings.items() if accepts(ring, token)]


def accepts(ring: KeyRing, token: str) -> bool:
    try:
        JWTManager(ring).verify_access_token(token)
    except InvalidToken:
        return False
    return True


@every_algorithm
def test_the_tokens_of_these_tests_pass_without_a_trick(algorithm: AlgorithmName) -> None:
    key = our_key(algorithm)

    rings = accepted_by(token(header_for(key), key), key)

    assert rings == ["alone", "first of many", "public among many"][: 2 if key.is_symmetric else 3]


class TestTheAlgorithm:
    @pytest.mark.parametrize(
        ("algorithm", "by"),
        [(name, other) for name in SECRET for other in SECRET if other != name]
        + [(name, other) for name in RSA_SIGNATURES for other in RSA_SIGNATURES if other != name],
    )
    def test_the_right_key_with_another_algorithm_is_refused(
        self, algorithm: AlgorithmName, by: str
    ) -> None:
        key = our_key(algorithm)

        for named in (by, algorithm):
            assert accepted_by(token(header_for(key, alg=named), key, by=by), key) == []

    @pytest.mark.parametrize("named", ["ES256", "ES384", "ES512", "ES256K"])
    @pytest.mark.parametrize("digest", [hashes.SHA384(), hashes.SHA512()], ids=["384", "512"])
    def test_the_right_curve_with_another_hash_is_refused(
        self, named: str, digest: hashes.HashAlgorithm
    ) -> None:
        key = our_key("ES256")
        start = signing_input(header_for(key, alg=named))

        der = key.material.sign(start.encode(), ec.ECDSA(digest))

        assert accepted_by(f"{start}.{encoded(raw_of(der))}", key) == []

    def test_an_elliptic_signature_in_another_format_is_refused(self) -> None:
        key = our_key("ES256")
        start = signing_input(header_for(key))
        der = key.material.sign(start.encode(), ec.ECDSA(hashes.SHA256()))

        assert accepted_by(f"{start}.{encoded(raw_of(der))}", key) != []
        assert accepted_by(f"{start}.{encoded(der)}", key) == []

    @every_algorithm
    @every_other_algorithm
    def test_a_key_of_another_kind_signs_nothing_under_this_id(
        self, algorithm: AlgorithmName, other: AlgorithmName
    ) -> None:
        key = our_key(algorithm)
        strangers = {their_key(other), our_key(other)} - {key}

        for signer in strangers:
            for named in (other, algorithm):
                forged = token(header_for(key, alg=named), signer)
                assert accepted_by(forged, key) == []


class TestAPublicKeyAsASecret:
    @every_public_algorithm
    @pytest.mark.parametrize("secret_algorithm", SECRET)
    def test_nothing_that_is_public_signs_anything(
        self, algorithm: AlgorithmName, secret_algorithm: AlgorithmName
    ) -> None:
        key = our_key(algorithm)

        for key_id in (key.id, *(our_key(name).id for name in SECRET)):
            for named in (secret_algorithm, algorithm):
                start = signing_input({"alg": named, "kid": key_id, "typ": "at+jwt"})
                for secret in public_bytes_of(key):
                    tag = hmac.digest(secret, start.encode(), f"sha{secret_algorithm[2:]}")
                    assert accepted_by(f"{start}.{encoded(tag)}", key) == []


class TestTheKeyId:
    @every_algorithm
    @pytest.mark.parametrize(
        "trick", ["absent", "null", "list", "object", "number", "unknown", "nul"]
    )
    def test_a_key_that_is_not_named_by_its_own_id_is_not_found(
        self, algorithm: AlgorithmName, trick: str
    ) -> None:
        key = our_key(algorithm)
        header = header_for(key)
        key_ids = {
            "null": None,
            "list": [key.id],
            "object": {"kid": key.id},
            "number": 0,
            "unknown": "unknown",
            "nul": f"{key.id}\0",
        }
        if trick == "absent":
            del header["kid"]
        else:
            header["kid"] = key_ids[trick]

        for signer in (key, their_key(algorithm)):
            assert accepted_by(token(header, signer), key) == []

    @every_algorithm
    @pytest.mark.parametrize(
        "path", ["{0}", "file://{0}", "key", "./key", "../{1}/key", "{0}\0.pem"]
    )
    def test_an_id_that_is_a_path_opens_no_file(
        self, algorithm: AlgorithmName, path: str, tmp_path: Path
    ) -> None:
        theirs = their_key(algorithm)
        file = tmp_path / "key"  # the tests run in this folder
        file.write_bytes(theirs.material if theirs.is_symmetric else pem_of(theirs))
        key_id = path.format(file, tmp_path.name)

        forged = token(header_for(theirs, kid=key_id), theirs)

        assert (Path.cwd() / "key").samefile(file)
        assert accepted_by(forged, our_key(algorithm)) == []


class TestAKeyThatTheTokenBringsAlong:
    """Header members of RFC 7515 sections 4.1.2 to 4.1.8, each with all an attacker needs."""

    @every_algorithm
    @pytest.mark.parametrize("member", ["jku", "jwk", "x5u", "x5c"])
    def test_it_is_neither_used_nor_fetched(
        self, algorithm: AlgorithmName, member: str, attacker: "Attacker"
    ) -> None:
        key, theirs = our_key(algorithm), their_key(algorithm)
        brought = attacker.members(member, theirs)

        for key_id in (key.id, theirs.id, None):
            forged = token(header_for(key, kid=key_id, **brought), theirs)
            assert accepted_by(forged, key) == []
        assert attacker.requests == []

    @every_algorithm
    @pytest.mark.parametrize("member", ["jku", "jwk", "x5u"])
    def test_it_changes_nothing_about_a_genuine_token(
        self, algorithm: AlgorithmName, member: str, attacker: "Attacker"
    ) -> None:
        key = our_key(algorithm)
        brought = attacker.members(member, their_key(algorithm))

        assert "alone" in accepted_by(token(header_for(key, **brought), key), key)
        assert attacker.requests == []


class Attacker:
    """A server of the attacker, which hands out keys to whoever believes a token's header."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.content = b""
        attacker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                attacker.requests.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(attacker.content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def members(self, member: str, key: Key) -> dict[str, Any]:
        """Return the header members with which *key* may come, and serve what they point to."""
        jwk = key.private_jwk() if key.is_symmetric else key.public_jwk()
        if member == "jwk":
            return {"jwk": jwk}
        if member == "jku":
            self.content = json.dumps({"keys": [jwk]}).encode()
            return {"jku": f"{self.url}/jwks.json"}
        # A secret has no certificate: the bytes that would be taken for it have to do.
        der = key.material if key.is_symmetric else certificate_of(key).public_bytes(Encoding.DER)
        thumbprint = {"x5t#S256": encoded(hashlib.sha256(der).digest())}
        if member == "x5c":
            return {"x5c": [base64.b64encode(der).decode()], **thumbprint}
        pem = b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n"
        self.content = pem % base64.encodebytes(der)
        return {"x5u": f"{self.url}/chain.pem", **thumbprint}


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    attacker = Attacker()
    thread = Thread(target=attacker.server.serve_forever, args=(0.01,))
    thread.start()
    yield attacker
    attacker.server.shutdown()
    thread.join()
    attacker.server.server_close()


@cache
def public_bytes_of(key: Key) -> set[bytes]:
    """Return all that an attacker may take for the secret: whatever holds the public key."""
    public = key.material.public_key()
    formats = [
        *(
            (encoding, PublicFormat.SubjectPublicKeyInfo)
            for encoding in (Encoding.PEM, Encoding.DER)
        ),
        *{
            "RSA": [(Encoding.PEM, PublicFormat.PKCS1), (Encoding.DER, PublicFormat.PKCS1)],
            "EC": [
                (Encoding.X962, PublicFormat.UncompressedPoint),
                (Encoding.X962, PublicFormat.CompressedPoint),
            ],
            "OKP": [(Encoding.Raw, PublicFormat.Raw)],
        }[key.public_jwk()["kty"]],
    ]
    exported = [public.public_bytes(*each) for each in formats]
    members = [str(value) for value in key.public_jwk().values()]
    certificate = certificate_of(key)
    return {
        b"",
        *exported,
        *(text.strip() for text in exported),
        *(text.replace(b"\n", b"\r\n") for text in exported),
        *(certificate.public_bytes(encoding) for encoding in (Encoding.PEM, Encoding.DER)),
        *(json.dumps(key.public_jwk(), separators=each).encode() for each in (None, (",", ":"))),
        published(key),
        *(text.encode() for text in members),
        *(base64.urlsafe_b64decode(text + "==") for text in members if len(text) > 40),
    }


def published(key: Key) -> bytes:
    """Return the JWK Set as its route shows it."""
    app = make_app(make_kit(keys=KeyRing(key)))
    app.include_router(create_jwks_router())
    answer = TestClient(app).get("/.well-known/jwks.json")
    assert key.id in answer.text
    return answer.content


def pem_of(key: Key) -> bytes:
    public = key.material.public_key()
    pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@cache
def certificate_of(key: Key) -> x509.Certificate:
    """Sign a certificate of *key* with itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.material.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    return builder.sign(key.material, None if key.algorithm == "EdDSA" else hashes.SHA256())


def raw_of(signature: bytes) -> bytes:
    """Return a signature in DER as a JWS wants it (RFC 7518 section 3.4)."""
    return b"".join(number.to_bytes(32) for number in decode_dss_signature(signature))
