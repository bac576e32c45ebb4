"""Our tokens pass in other libraries, and theirs in ours: npm's jose and Python's joserfc."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, get_args

import httpx
import pytest
from joserfc import jwk, jwt
from joserfc.errors import BadSignatureError

from jwt_auth_kit import InvalidToken, JWTManager, Key, KeyRing
from jwt_auth_kit.keys.key import AlgorithmName
from live import live_server
from node import Node, node

# joserfc prefers the name "Ed25519", which is newer than its own registration of "EdDSA".
pytestmark = pytest.mark.filterwarnings(
    "ignore:EdDSA is deprecated via RFC 9864:joserfc.errors.SecurityWarning"
)

ISSUER, AUDIENCE = "https://auth.example.com", "https://api.example.com"
USER = {"user_id": "42", "email": "ann@example.com", "display_name": "Zoë 😀", "role": "admin"}

ALGORITHMS: tuple[AlgorithmName, ...] = get_args(AlgorithmName)
OURS: dict[AlgorithmName, Key] = {name: Key.generate(name) for name in ALGORITHMS}
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)

HOST = """
from fastapi import FastAPI
from jwt_auth_kit import auth_router, create_jwks_router

app = FastAPI()
app.include_router(auth_router)
app.include_router(create_jwks_router())

@app.get("/health")
async def health() -> str:
    return "well"
"""


class BadSignature(Exception):
    """The other library refused a token, and because of its signature."""


class Peer(Protocol):
    """Another library."""

    def verify(self, token: str, key: Key) -> dict[str, Any]:
        """Verify a token of ours: by the JWK Set we publish, or the secret if *key* is one."""
        ...

    def make_key(self, algorithm: AlgorithmName) -> dict[str, Any]:
        """Make a key to sign with; return what we need to verify, as a JWK."""
        ...

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Sign with the key that *header* names."""
        ...


class Jose:
    """npm's jose, in a Node process."""

    def __init__(self, process: Node, jwks_url: str) -> None:
        self.process = process
        self.jwks_url = jwks_url

    def verify(self, token: str, key: Key) -> dict[str, Any]:
        keys = {"jwk": key.private_jwk()} if key.is_symmetric else {"jwksUrl": self.jwks_url}
        options = {
            "algorithms": [key.algorithm],
            "typ": "at+jwt",
            "issuer": ISSUER,
            "audience": AUDIENCE,
        }
        answer = self.process.ask("verify", token=token, options=options, **keys)
        if answer.get("refused") == "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
            raise BadSignature
        claims: dict[str, Any] = answer["claims"]
        return claims

    def make_key(self, algorithm: AlgorithmName) -> dict[str, Any]:
        return self.process.ask("makeKey", algorithm=algorithm)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return str(self.process.ask("sign", header=header, claims=claims)["token"])


class Joserfc:
    """joserfc, in this process."""

    def __init__(self, jwks_url: str) -> None:
        self.jwks_url = jwks_url
        self.own: dict[str, Any] = {}

    def verify(self, token: str, key: Key) -> dict[str, Any]:
        keys: Any = {"keys": [key.private_jwk()]}
        if not key.is_symmetric:
            keys = httpx.get(self.jwks_url).raise_for_status().json()
        try:
            read = jwt.decode(token, jwk.KeySet.import_key_set(keys), algorithms=[key.algorithm])
        except BadSignatureError:
            raise BadSignature from None
        assert read.header["typ"] == "at+jwt"
        jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
        ).validate(read.claims)
        return read.claims

    def make_key(self, algorithm: AlgorithmName) -> dict[str, Any]:
        members: Any = {"kid": f"theirs {algorithm}", "alg": algorithm, "use": "sig"}
        key: Any
        match algorithm:
            case "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512":
                key = jwk.RSAKey.generate_key(2048, members)
            case "ES256" | "ES384" | "ES512":
                curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
                key = jwk.ECKey.generate_key(curve, members)
            case "EdDSA":
                key = jwk.OKPKey.generate_key("Ed25519", members)
            case _:
                key = jwk.OctKey.generate_key(int(algorithm[2:]), members)
        self.own[members["kid"]] = key
        return dict(key.as_dict(private=algorithm.startswith("HS")))

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return jwt.encode(header, claims, self.own[header["kid"]], algorithms=[header["alg"]])


@pytest.fixture(scope="module")
def jwks_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server that publishes all our public keys."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "host.py").write_text(HOST)
    keys = json.dumps({"keys": [key.private_jwk() for key in OURS.values()]})
    with live_server("host:app", app_dir=folder, JWT_KEYS=keys, JWT_SECRET_KEY="") as url:
        yield f"{url}/.well-known/jwks.json"


@pytest.fixture(scope="module")
def jose(jwks_url: str) -> Iterator[Jose]:
    with node("jose.mjs") as process:
        yield Jose(process, jwks_url)


@pytest.fixture(scope="module", params=["jose", "joserfc"])
def peer(request: pytest.FixtureRequest, jose: Jose, jwks_url: str) -> Peer:
    return jose if request.param == "jose" else Joserfc(jwks_url)


class TestOurTokensElsewhere:
    @every_algorithm
    def test_a_token_passes_with_all_its_claims(self, peer: Peer, algorithm: AlgorithmName) -> None:
        ours = manager(OURS[algorithm])
        token = ours.create_access_token(USER)

        claims = peer.verify(token, OURS[algorithm])

        assert claims == ours.verify_access_token(token)
        assert (claims["sub"], claims["display_name"]) == ("42", "Zoë 😀")

    @every_algorithm
    def test_a_token_whose_signature_was_changed_is_refused(
        self, peer: Peer, algorithm: AlgorithmName
    ) -> None:
        token = manager(OURS[algorithm]).create_access_token(USER)

        with pytest.raises(BadSignature):
            peer.verify(with_changed_signature(token), OURS[algorithm])


class TestTheirTokensHere:
    @every_algorithm
    def test_a_token_passes_with_all_its_claims(self, peer: Peer, algorithm: AlgorithmName) -> None:
        theirs = peer.make_key(algorithm)
        claims = claims_of_now()

        token = peer.sign(header_for(theirs), claims)

        assert who_trusts(theirs).verify_access_token(token) == claims

    @every_algorithm
    def test_a_token_whose_signature_was_changed_is_refused(
        self, peer: Peer, algorithm: AlgorithmName
    ) -> None:
        theirs = peer.make_key(algorithm)
        token = peer.sign(header_for(theirs), claims_of_now())

        with pytest.raises(InvalidToken):
            who_trusts(theirs).verify_access_token(with_changed_signature(token))

    @every_algorithm
    def test_a_token_of_another_kind_is_refused(self, peer: Peer, algorithm: AlgorithmName) -> None:
        theirs = peer.make_key(algorithm)
        token = peer.sign({**header_for(theirs), "typ": "JWT"}, claims_of_now())

        with pytest.raises(InvalidToken):
            who_trusts(theirs).verify_access_token(token)


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_jose_gives_a_key_the_same_thumbprint_as_we_do(
    jose: Jose, algorithm: AlgorithmName
) -> None:
    theirs = jose.make_key(algorithm)

    thumbprint = theirs.pop("kid")

    assert Key.from_jwk(theirs).id == thumbprint


def manager(key: Key, *others: Key) -> JWTManager:
    return JWTManager(KeyRing(key, others), issuer=ISSUER, audience=AUDIENCE)


def who_trusts(jwk: Mapping[str, Any]) -> JWTManager:
    """Make a manager that signs with a key of its own and also takes what *jwk* verifies."""
    return manager(OURS["EdDSA"], Key.from_jwk(jwk))


def header_for(jwk: Mapping[str, Any]) -> dict[str, Any]:
    return {"alg": jwk["alg"], "kid": jwk["kid"], "typ": "at+jwt"}


def claims_of_now() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": [AUDIENCE, "https://other.example.com"],
        "sub": "42",
        "jti": "a-token-id",
        "iat": now,
        "exp": now + 900,
        "token_type": "access",
        "role": "admin",
        "email": "ann@example.com",
        "display_name": "Zoë 😀",
    }


def with_changed_signature(token: str) -> str:
    signing_input, _, text = token.rpartition(".")
    signature = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    changed = bytes([*signature[:-1], signature[-1] ^ 1])
    return f"{signing_input}.{base64.urlsafe_b64encode(changed).rstrip(b'=').decode()}"
