"""Keys and rings: which secrets are good enough, and which key signs and verifies what."""

import base64
import hashlib
import hmac
import json
import traceback
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from hypothesis import given, settings
from hypothesis import strategies as st

from jwt_auth_kit import ConfigurationError, InvalidToken, JWTManager, Key, KeyRing
from jwt_auth_kit.keys.key import AlgorithmName

LIFE = timedelta(hours=1)
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MATERIAL = hashlib.sha256(b"material 2").digest()  # its base64 holds + and /
SECRET = base64.b64encode(MATERIAL).decode()
OTHER_SECRET = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
USER = {"user_id": "42"}


def manager(ring: KeyRing) -> JWTManager:
    return JWTManager(ring, clock=lambda: NOW)


class TestSecrets:
    @pytest.mark.parametrize("secret", [None, ""])
    def test_a_missing_secret_is_refused_with_the_command_that_makes_one(
        self, secret: str | None
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            KeyRing.from_secret(secret)

        assert "JWT_SECRET_KEY is not set" in str(caught.value)
        assert "python -m jwt_auth_kit secret" in str(caught.value)

    @pytest.mark.parametrize(
        "secret",
        [
            *("correct horse battery staple, correct horse!", "A" * 45, "=", "$" * 44),
            *("пароль" * 10, SECRET + "!", f"{SECRET[:20]}={SECRET[20:]}", "\0" * 44),
        ],
    )
    def test_a_secret_that_is_not_base64_is_refused(self, secret: str) -> None:
        refusal = refusal_of(secret)

        assert "JWT_SECRET_KEY" in refusal
        assert "python -m jwt_auth_kit secret" in refusal

    @pytest.mark.parametrize("length", [1, 16, 24, 31])
    def test_a_short_secret_is_refused(self, length: int) -> None:
        refusal = refusal_of(base64.b64encode(MATERIAL[:length]).decode())

        assert f"holds {length} bytes" in refusal
        assert "at least 32" in refusal
        assert "python -m jwt_auth_kit secret" in refusal

    @pytest.mark.parametrize(
        "material", [b"\0" * 32, b"a" * 64, b"secret" * 8, b"changeme" * 8, b"0123456" * 10]
    )
    def test_a_secret_that_repeats_a_few_bytes_is_refused(self, material: bytes) -> None:
        refusal = refusal_of(base64.b64encode(material).decode())

        assert "can be guessed" in refusal
        assert "python -m jwt_auth_kit secret" in refusal

    def test_a_secret_of_eight_different_bytes_is_not_called_guessable(self) -> None:
        material = bytes(byte % 8 for byte in hashlib.sha256(b"ours").digest())

        key = Key.from_secret(base64.b64encode(material).decode())

        assert len(set(material)) == 8
        assert key.material == material

    @pytest.mark.parametrize(
        "secret",
        [
            SECRET,
            SECRET.rstrip("="),
            base64.urlsafe_b64encode(MATERIAL).decode(),
            base64.urlsafe_b64encode(MATERIAL).decode().rstrip("="),
            f" {SECRET}\n",
            f"{SECRET[:20]}\r\n{SECRET[20:]}",
        ],
        ids=["plain", "unpadded", "url-safe", "url-safe-unpadded", "spaces", "two-lines"],
    )
    def test_every_spelling_of_base64_gives_the_same_key(self, secret: str) -> None:
        key = Key.from_secret(secret)

        assert key == Key.from_secret(SECRET)
        assert key.material == MATERIAL
        assert key.algorithm == "HS256"

    def test_the_alphabets_of_base64_really_differ_here(self) -> None:
        assert {"+", "/"} <= set(SECRET)

    @pytest.mark.parametrize(
        "secret",
        [
            SECRET[:-9],
            "correct horse battery staple",
            base64.b64encode(b"hunter2" * 8).decode(),
            "hunter2-é" * 6,
        ],
    )
    def test_a_refusal_never_shows_the_secret(self, secret: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            KeyRing.from_secret(secret)

        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert secret not in shown
        assert "hunter2" not in shown

    def test_a_key_and_its_ring_hide_the_secret(self) -> None:
        material = b"hunter2" + hashlib.sha256(b"ours").digest()
        ring = KeyRing.from_secret(base64.b64encode(material).decode())

        shown = f"{ring!r} {ring} {ring.active!r} {ring.active}"

        assert "hunter2" not in shown
        assert "material" not in shown
        assert ring.active.id in shown

    def test_a_key_never_changes(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Key.from_secret(SECRET).algorithm = "none"  # type: ignore[misc, assignment]

    def test_a_random_ring_is_good_enough_and_never_the_same(self) -> None:
        materials = {KeyRing.random().active.material for _ in range(20)}

        assert len(materials) == 20
        assert {len(material) for material in materials} == {32}


class TestKeyIds:
    def test_a_key_id_is_no_plain_hash_of_the_secret(self) -> None:
        key_id = base64.urlsafe_b64decode(Key.from_secret(SECRET).id)

        for text in (MATERIAL, SECRET.encode()):
            for algorithm in ("sha1", "sha256", "sha512", "md5"):
                assert key_id not in hashlib.new(algorithm, text).digest()

    def test_two_secrets_have_two_ids(self) -> None:
        assert Key.from_secret(SECRET).id != Key.from_secret(OTHER_SECRET).id

    @pytest.mark.parametrize("key_id", [None, 1, True, [], {}, "", "other", b"x", "\ud800", "\0"])
    def test_a_ring_finds_nothing_under_a_strange_id(self, key_id: object) -> None:
        assert KeyRing.from_secret(SECRET).find(key_id, NOW, keep=LIFE) is None

    def test_a_ring_finds_all_its_keys(self) -> None:
        active, retiring = Key.from_secret(SECRET), Key.from_secret(OTHER_SECRET)

        ring = KeyRing(active, retiring=[retiring])

        assert ring.find(active.id, NOW, keep=LIFE) == active
        assert ring.find(retiring.id, NOW, keep=LIFE) == retiring


class TestSigning:
    def test_a_signature_is_hmac_with_sha_256(self) -> None:
        key = Key.from_secret(SECRET)

        signing_input, _, signature = key.sign(b"{}", token_type="at+jwt").rpartition(".")

        tag = hmac.digest(MATERIAL, signing_input.encode(), "sha256")
        assert signature == base64.urlsafe_b64encode(tag).rstrip(b"=").decode()

    def test_a_key_verifies_what_it_signed(self) -> None:
        key = Key.from_secret(SECRET)

        key.verify(*parts_of(key.sign(b"{}", token_type="at+jwt")))

    def test_a_key_refuses_what_another_signed(self) -> None:
        token = Key.from_secret(OTHER_SECRET).sign(b"{}", token_type="at+jwt")

        with pytest.raises(InvalidToken):
            Key.from_secret(SECRET).verify(*parts_of(token))

    @pytest.mark.parametrize("signature", [b"", b"\0" * 32, b"\0" * 31, b"\0" * 33])
    def test_a_key_refuses_what_is_no_signature(self, signature: bytes) -> None:
        with pytest.raises(InvalidToken):
            Key.from_secret(SECRET).verify(b"a.b", signature)


def parts_of(token: str) -> tuple[bytes, bytes]:
    """Return what is signed, and the signature."""
    signing_input, _, signature = token.rpartition(".")
    return signing_input.encode(), base64.urlsafe_b64decode(signature + "==")


class TestRotation:
    def test_a_retiring_key_still_verifies(self) -> None:
        old, new = Key.from_secret(OTHER_SECRET), Key.from_secret(SECRET)
        token = manager(KeyRing(old)).create_access_token(USER)

        claims = manager(KeyRing(new, retiring=[old])).verify_access_token(token)

        assert claims["sub"] == "42"

    def test_the_active_key_signs(self) -> None:
        old, new = Key.from_secret(OTHER_SECRET), Key.from_secret(SECRET)

        token = manager(KeyRing(new, retiring=[old])).create_access_token(USER)

        assert manager(KeyRing(new)).verify_access_token(token)["sub"] == "42"
        with pytest.raises(InvalidToken):
            manager(KeyRing(old)).verify_access_token(token)

    def test_a_key_that_left_the_ring_verifies_nothing(self) -> None:
        token = manager(KeyRing.from_secret(OTHER_SECRET)).create_access_token(USER)

        with pytest.raises(InvalidToken):
            manager(KeyRing.from_secret(SECRET)).verify_access_token(token)

    def test_a_retiring_key_signs_nothing_under_the_id_of_the_active_one(self) -> None:
        old, new = Key.from_secret(OTHER_SECRET), Key.from_secret(SECRET)
        mislabelled = Key(id=new.id, algorithm="HS256", material=old.material)
        token = manager(KeyRing(mislabelled)).create_access_token(USER)

        with pytest.raises(InvalidToken):
            manager(KeyRing(new, retiring=[old])).verify_access_token(token)


def refusal_of(secret: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        KeyRing.from_secret(secret)
    return str(caught.value)


@pytest.mark.parametrize("algorithm", ["none", "HS999", "", "hs256"])
def test_an_algorithm_no_key_has_is_refused(algorithm: Any) -> None:
    with pytest.raises(ConfigurationError, match="HS256"):
        Key(id="k", algorithm=algorithm, material=MATERIAL)


@pytest.mark.parametrize("material", [b"x", b"x" * 64])
def test_a_weak_key_is_refused_however_it_is_made(material: bytes) -> None:
    with pytest.raises(ConfigurationError, match="python -m jwt_auth_kit secret"):
        Key(id="k", algorithm="HS256", material=material)


ALGORITHMS: tuple[AlgorithmName, ...] = get_args(AlgorithmName)
ASYMMETRIC: tuple[AlgorithmName, ...] = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
SYMMETRIC: tuple[AlgorithmName, ...] = ("HS256", "HS384", "HS512")
PRIVATE_MEMBERS = {"d", "k", "p", "q", "dp", "dq", "qi", "oth"}

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
every_public_algorithm = pytest.mark.parametrize("algorithm", ASYMMETRIC)


@cache
def key_for(algorithm: AlgorithmName, number: int = 0) -> Key:
    """Make one key for all tests: RSA takes its time."""
    return Key.generate(algorithm)


def pem_of(material: Any, password: bytes | None = None) -> str:
    if not hasattr(material, "private_bytes"):
        pem = material.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return str(pem.decode())
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem = material.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return str(pem.decode())


def each(name: str, *values: object) -> list[dict[str, object]]:
    return [{name: value} for value in values]


def public_half(key: Key) -> Key:
    return Key.from_jwk(key.public_jwk())


def secrets_in(key: Key) -> list[str]:
    """Every text that holds private material of *key*."""
    jwk = key.private_jwk()
    texts = [str(jwk[name]) for name in PRIVATE_MEMBERS & jwk.keys()]
    if not key.is_symmetric:
        texts += pem_of(key.material).splitlines()[1:-1]
    assert texts
    return texts


class TestEveryAlgorithm:
    @every_algorithm
    def test_a_new_key_verifies_what_it_signed_and_nothing_else(
        self, algorithm: AlgorithmName
    ) -> None:
        key, other = key_for(algorithm), key_for(algorithm, 1)
        signing_input, signature = parts_of(key.sign(b"{}", token_type="at+jwt"))

        key.verify(signing_input, signature)
        for bad in (
            parts_of(other.sign(b"{}", token_type="at+jwt"))[1],
            bytes([signature[0] ^ 1]) + signature[1:],
            signature[:-1],
            signature + b"\0",
            b"",
            b"\0" * len(signature),
        ):
            with pytest.raises(InvalidToken):
                key.verify(signing_input, bad)
        with pytest.raises(InvalidToken):
            key.verify(signing_input + b"A", signature)

    @every_algorithm
    def test_two_new_keys_differ(self, algorithm: AlgorithmName) -> None:
        assert key_for(algorithm) != key_for(algorithm, 1)
        assert key_for(algorithm).id != key_for(algorithm, 1).id

    @every_algorithm
    def test_a_jwk_gives_the_same_key_again(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)

        again = Key.from_jwk(json.loads(json.dumps(key.private_jwk())))

        assert again == key
        assert hash(again) == hash(key)
        again.verify(*parts_of(key.sign(b"{}", token_type="at+jwt")))
        assert again.derive("test") == key.derive("test")

    @every_public_algorithm
    def test_a_pem_gives_the_same_key_again(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)

        again = Key.from_pem(pem_of(key.material), algorithm)

        assert again == key
        assert again.derive("test") == key.derive("test")
        assert Key.from_pem(pem_of(key.material).encode(), algorithm) == key
        assert not Key.from_pem(pem_of(key.material.public_key()), algorithm).can_sign

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_a_pem_tells_its_algorithm(self, algorithm: AlgorithmName) -> None:
        assert Key.from_pem(pem_of(key_for(algorithm).material)).algorithm == algorithm

    @every_public_algorithm
    def test_a_public_key_verifies_and_cannot_sign(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)
        public = public_half(key)

        public.verify(*parts_of(key.sign(b"{}", token_type="at+jwt")))

        assert (key.can_sign, public.can_sign) == (True, False)
        assert public.id == key.id
        assert public != key
        with pytest.raises(ConfigurationError):
            public.derive("test")

    @every_algorithm
    def test_pyjwt_verifies_our_tokens_and_we_verify_its(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)
        theirs = pyjwt.PyJWK.from_dict(key.private_jwk(), algorithm)

        token = key.sign(b'{"sub":"42"}', token_type="at+jwt")

        verifier = theirs if key.is_symmetric else pyjwt.PyJWK.from_dict(key.public_jwk())
        assert pyjwt.decode(token, verifier, algorithms=[algorithm]) == {"sub": "42"}
        key.verify(*parts_of(pyjwt.encode({"sub": "42"}, theirs, algorithm)))

    @every_algorithm
    def test_what_is_derived_is_no_part_of_the_key(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)

        assert key.derive("a") != key.derive("b")
        assert len(key.derive("a")) == 32
        if key.is_symmetric:
            assert key.derive("a") not in key.material

    def test_an_id_never_looks_like_an_option(self) -> None:
        assert not any(Key.generate("EdDSA").id.startswith("-") for _ in range(400))


class TestMaterialStaysInside:
    @every_algorithm
    def test_it_is_in_no_repr(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)

        shown = f"{key!r} {key} {KeyRing(key)!r} {KeyRing(key).keys!r}"

        assert key.id in shown
        assert not [text for text in secrets_in(key) if text in shown]
        assert "material" not in shown

    @every_public_algorithm
    def test_it_is_in_no_public_jwk(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)

        public = key.public_jwk()

        assert not PRIVATE_MEMBERS & public.keys()
        assert not [text for text in secrets_in(key) if text in json.dumps(public)]
        assert public.keys() >= {"kty", "kid", "alg", "use"}

    @pytest.mark.parametrize("algorithm", SYMMETRIC)
    def test_a_secret_has_no_public_jwk(self, algorithm: AlgorithmName) -> None:
        with pytest.raises(ConfigurationError, match="no public part"):
            key_for(algorithm).public_jwk()

    @every_algorithm
    def test_it_is_in_no_error(self, algorithm: AlgorithmName) -> None:
        jwk = key_for(algorithm).private_jwk()
        secrets = secrets_in(key_for(algorithm))

        changes: tuple[dict[str, Any], ...] = (
            *({"alg": name} for name in ("RS512", "none", jwk.get("d", jwk.get("k")))),
            {"use": "enc"},
            {"kid": ""},
            {"kty": "EC", "crv": "P-521"},
            {"d": jwk.get("d", "") + "="},
            {"k": jwk.get("k", "") + "!"},
        )
        for change in changes:
            try:
                Key.from_jwk({**jwk, **change})
            except ConfigurationError as error:
                shown = "".join(traceback.format_exception(error))
                assert not [text for text in secrets if text in shown]


class TestWeakKeys:
    @pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
    def test_a_secret_is_as_long_as_its_hash(self, algorithm: AlgorithmName, least: int) -> None:
        material = hashlib.sha512(b"ours").digest()
        secret = base64.b64encode(material[:least]).decode()
        short = base64.b64encode(material[: least - 1]).decode()

        assert Key.from_secret(secret, algorithm).algorithm == algorithm
        with pytest.raises(ConfigurationError, match=f"at least {least}"):
            Key.from_secret(short, algorithm)
        with pytest.raises(ConfigurationError, match=f"at least {least}"):
            Key.from_jwk({"kty": "oct", "alg": algorithm, "k": encoded(material[: least - 1])})
        assert len(Key.generate(algorithm).material) == least

    @pytest.mark.parametrize("algorithm", ["RS256", "PS256", "RS512", "PS384"])
    def test_a_short_rsa_key_is_refused(self, algorithm: AlgorithmName) -> None:
        short = rsa.generate_private_key(public_exponent=65537, key_size=2040)

        for pem in (pem_of(short), pem_of(short.public_key())):
            with pytest.raises(ConfigurationError, match="2040 bits"):
                Key.from_pem(pem, algorithm)
        assert key_for(algorithm).material.key_size == 3072

    def test_an_rsa_key_that_signs_nothing_is_refused(self) -> None:
        jwk = key_for("RS256").public_jwk()

        with pytest.raises(ConfigurationError):
            Key.from_jwk({**jwk, "e": "AQ"})

    def test_an_rsa_key_of_a_faulty_chip_is_refused(self) -> None:
        product = 1  # every remainder that the fault leaves is one: a modulus with the mark
        for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
            product *= prime
        modulus = product * ((1 << 2047) // product + 2) + 1
        jwk = {"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": encoded(modulus.to_bytes(256))}

        with pytest.raises(ConfigurationError, match="CVE-2017-15361"):
            Key.from_jwk(jwk)


class TestKeysOfAnotherKind:
    @pytest.mark.parametrize(
        "material",
        [
            ec.generate_private_key(ec.SECP224R1()),
            ec.generate_private_key(ec.SECP256K1()),
            ec.generate_private_key(ec.SECP256K1()).public_key(),
            ed448.Ed448PrivateKey.generate(),
            x25519.X25519PrivateKey.generate(),
            dsa.generate_private_key(2048),
        ],
        ids=lambda material: type(material).__name__,
    )
    def test_a_pem_that_no_algorithm_takes_is_refused(self, material: Any) -> None:
        for algorithm in (None, *ALGORITHMS):
            with pytest.raises(ConfigurationError):
                Key.from_pem(pem_of(material), algorithm)

    @every_algorithm
    def test_a_pem_of_another_algorithm_is_refused(self, algorithm: AlgorithmName) -> None:
        kinds = {name: "RSA" if name[:2] in {"RS", "PS"} else name for name in ASYMMETRIC}

        for other in ASYMMETRIC:
            if kinds[other] != kinds.get(algorithm):
                with pytest.raises(ConfigurationError, match=algorithm):
                    Key.from_pem(pem_of(key_for(other).material), algorithm)

    @pytest.mark.parametrize("algorithm", SYMMETRIC)
    @pytest.mark.parametrize("other", ASYMMETRIC)
    def test_a_public_key_is_never_a_secret(
        self, algorithm: AlgorithmName, other: AlgorithmName
    ) -> None:
        public = key_for(other).material.public_key()

        for material in (public, pem_of(public)):
            with pytest.raises(ConfigurationError, match="takes bytes"):
                Key(id="k", algorithm=algorithm, material=material)

    @pytest.mark.parametrize(
        "pem",
        [
            *("", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            pem_of(ed25519.Ed25519PrivateKey.generate(), b"password"),
            pem_of(ed25519.Ed25519PrivateKey.generate())[:60],
            "\ud800",
        ],
        ids=["empty", "nonsense", "wrong", "encrypted", "cut", "no text"],
    )
    def test_what_is_no_pem_is_refused_with_the_command_that_makes_a_key(self, pem: str) -> None:
        with pytest.raises(ConfigurationError, match="keys new"):
            Key.from_pem(pem)

    @pytest.mark.parametrize("algorithm", ["none", "", "ES256K", "Ed25519", None])
    def test_no_key_is_made_for_an_algorithm_we_do_not_have(self, algorithm: Any) -> None:
        with pytest.raises(ConfigurationError, match="is no algorithm"):
            Key.generate(algorithm)


class TestJwks:
    def test_the_thumbprint_of_rfc_7638(self) -> None:
        key = Key.from_jwk(RFC_7638)

        assert key.id == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    def test_the_key_and_token_of_rfc_8037(self) -> None:
        key = Key.from_jwk(RFC_8037)

        key.verify(*parts_of(RFC_8037_TOKEN))

        assert key.id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        assert key.algorithm == "EdDSA"

    def test_the_secret_of_rfc_7515_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="is published"):
            Key.from_jwk({**RFC_7515["A1"]["jwk"], "alg": "HS256"})

    @pytest.mark.parametrize("name", ["A2", "A3", "A4"])
    def test_the_keys_and_tokens_of_rfc_7515(self, name: str) -> None:
        example = RFC_7515[name]
        key = Key.from_jwk({**example["jwk"], "alg": example["alg"]})
        signing_input, signature = parts_of(example["compact"])

        key.verify(signing_input, signature)
        with pytest.raises(InvalidToken):
            key.verify(signing_input + b"A", signature)

    def test_a_key_is_good_on_the_curve_of_its_algorithm_only(self) -> None:
        jwk = RFC_7515["A4"]["jwk"]

        assert Key.from_jwk(jwk).algorithm == "ES512"
        for other in ("ES256", "ES384"):
            with pytest.raises(ConfigurationError, match=other):
                Key.from_jwk({**jwk, "alg": other})

    def test_a_key_keeps_the_id_it_has(self) -> None:
        assert Key.from_jwk({**RFC_7638, "kid": "mine"}).id == "mine"

    @pytest.mark.parametrize(
        "kid", ["", 1, True, [], {}, "x" * 201, "é" * 101, "a\nb", "\0", "\ud800", "\u202e"]
    )
    def test_an_id_that_is_no_short_printable_text_is_refused(self, kid: object) -> None:
        with pytest.raises(ConfigurationError, match="printable"):
            Key.from_jwk({**RFC_7638, "kid": kid})

    @pytest.mark.parametrize("kid", ["x" * 200, "é" * 100, "漢" * 66, "😀" * 50, "a b/../c"])
    def test_a_token_fits_whatever_the_id(self, kid: str) -> None:
        ring = KeyRing(Key.from_jwk({**key_for("EdDSA").private_jwk(), "kid": kid}))

        token = manager(ring).create_access_token(USER)

        assert manager(ring).verify_access_token(token)["sub"] == "42"

    def test_an_rsa_jwk_has_to_name_its_algorithm(self) -> None:
        with pytest.raises(ConfigurationError, match="PS384 or PS512"):
            Key.from_jwk({name: RFC_7638[name] for name in ("kty", "n", "e")})

    def test_ed25519_is_another_name_of_eddsa(self) -> None:
        assert Key.from_jwk({**RFC_8037, "alg": "Ed25519"}) == Key.from_jwk(RFC_8037)

    @pytest.mark.parametrize(
        "change",
        [
            *each("use", "enc", "", 1, []),
            *each("key_ops", ["encrypt"], [], "sign", 1, None, {"sign": 1}),
            *each("alg", "RS1", "ES384", "HS256", "ES256", "none", "", 1, [], {}),
            *each("kty", "EC", "OKP", "oct", "", None, 1, [], {}),
            *each("n", None, 1, "", "AQAB=", "A QAB", "A+/B", [], "é"),
            *each("e", None, 1, "", "AA", "AQ"),
            *each("crv", "P-256", 1),
        ],
        ids=str,
    )
    def test_a_jwk_for_something_else_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            Key.from_jwk({**RFC_7638, **change})

    @pytest.mark.parametrize(
        ("algorithm", "name"), [("HS256", "k"), ("RS256", "n"), ("ES256", "x"), ("EdDSA", "d")]
    )
    @pytest.mark.parametrize("junk", ["!", " ", "\n", "=", "é"])
    def test_characters_that_python_would_drop_are_refused(
        self, algorithm: AlgorithmName, name: str, junk: str
    ) -> None:
        jwk = key_for(algorithm).private_jwk()

        for part in (jwk[name] + junk, jwk[name][:8] + junk + jwk[name][8:]):
            with pytest.raises(ConfigurationError, match="base64url"):
                Key.from_jwk({**jwk, name: part})

    def test_a_point_that_is_not_on_the_curve_is_refused(self) -> None:
        jwk = key_for("ES256").public_jwk()

        with pytest.raises(ConfigurationError, match="cannot be read"):
            Key.from_jwk({**jwk, "y": jwk["x"]})

    def test_a_private_part_that_does_not_belong_to_the_public_one_is_refused(self) -> None:
        jwk, other = key_for("ES256").private_jwk(), key_for("ES256", 1).private_jwk()

        with pytest.raises(ConfigurationError, match="cannot be read"):
            Key.from_jwk({**jwk, "d": other["d"]})

    @given(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "k", "n", "e", "d"])
            | st.sampled_from(["x", "y", "p", "q", "dp", "dq", "qi", "oth"]),
            st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "A" * 43])
            | st.sampled_from([*ALGORITHMS, "sig", "A" * 342])
            | st.none()
            | st.integers()
            | st.text(max_size=5)
            | st.lists(st.text(max_size=3), max_size=2),
        )
    )
    def test_any_other_object_is_refused_as_a_configuration_error(
        self, jwk: dict[str, Any]
    ) -> None:
        with pytest.raises(ConfigurationError):
            Key.from_jwk(jwk)

    @settings(deadline=None, max_examples=40)  # an RSA key may take long to check
    @given(
        algorithm=st.sampled_from(ALGORITHMS),
        name=st.sampled_from(["k", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y", "oth"]),
        value=st.none() | st.integers() | st.text(alphabet="ABab01-_", max_size=90) | st.just([]),
    )
    def test_a_damaged_key_is_refused_or_still_a_key(
        self, algorithm: AlgorithmName, name: str, value: object
    ) -> None:
        jwk = {**key_for(algorithm).private_jwk(), name: value}

        try:
            key = Key.from_jwk(jwk)
        except ConfigurationError:
            return
        key.verify(*parts_of(key.sign(b"{}", token_type="at+jwt")))


class TestAlgorithmConfusion:
    """A token of every kind against a ring of every kind: the key says how it verifies."""

    @every_algorithm
    def test_another_algorithm_in_the_header_is_refused(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)
        good = payload_for(key)

        for name in (*ALGORITHMS, "none", "NONE", "", "RS384", "ES384", "HS1", "Ed25519", None, 1):
            if name != algorithm:
                signing_input = f"{encoded(header_of(key, alg=name))}.{good}".encode()
                for signature in (raw_signature(key, signing_input), b"", b"\0" * 64):
                    assert not is_accepted(f"{signing_input.decode()}.{encoded(signature)}", key)

    @every_algorithm
    def test_no_signature_is_refused(self, algorithm: AlgorithmName) -> None:
        key = key_for(algorithm)

        for name in (algorithm, "none", "None", "nOnE"):
            start = f"{encoded(header_of(key, alg=name))}.{payload_for(key)}"
            for token in (start, f"{start}.", f"{start}.AA"):
                assert not is_accepted(token, key)

    @every_public_algorithm
    @pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
    def test_a_public_key_is_never_used_as_a_secret(
        self, algorithm: AlgorithmName, digest: str
    ) -> None:
        key = key_for(algorithm)
        public = key.material.public_key()
        spellings = [
            pem_of(public).encode(),
            pem_of(public).strip().encode(),
            json.dumps(key.public_jwk()).encode(),
            *(str(value).encode() for value in key.public_jwk().values()),
            public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        ]

        for secret in spellings:
            for name in (f"HS{digest[3:]}", algorithm):
                start = f"{encoded(header_of(key, alg=name))}.{payload_for(key)}"
                tag = hmac.digest(secret, start.encode(), digest)
                assert not is_accepted(f"{start}.{encoded(tag)}", key)

    @every_algorithm
    @pytest.mark.parametrize("where", ["jwk", "jku", "x5u", "x5c", "x5t", "kid"])
    def test_a_key_that_the_token_brings_along_is_never_used(
        self, algorithm: AlgorithmName, where: str
    ) -> None:
        key, theirs = key_for(algorithm), key_for(algorithm, 1)
        brought = {
            "jwk": theirs.private_jwk() if theirs.is_symmetric else theirs.public_jwk(),
            "jku": "https://127.0.0.1:9/jwks.json",
            "x5u": "https://127.0.0.1:9/chain.pem",
            "x5c": ["AAAA" if theirs.is_symmetric else certificate_of(theirs)],
            "x5t": "AAAA",
            "kid": theirs.id,
        }
        start = f"{encoded(header_of(key, **{where: brought[where]}))}.{payload_for(key)}"
        signature = raw_signature(theirs, start.encode())

        assert not is_accepted(f"{start}.{encoded(signature)}", key)

    @every_algorithm
    def test_no_other_key_of_the_ring_is_tried(self, algorithm: AlgorithmName) -> None:
        ring = KeyRing(key_for(algorithm), [key_for(other, 1) for other in ALGORITHMS])
        signer = key_for(algorithm, 1)

        for kid in (key_for(algorithm).id, "unknown", "", None, f"{signer.id} ", signer.id.lower()):
            start = f"{encoded(header_of(signer, kid=kid))}.{payload_for(signer)}"
            token = f"{start}.{encoded(raw_signature(signer, start.encode()))}"
            with pytest.raises(InvalidToken):
                manager(ring).verify_access_token(token)
        start = f"{encoded(header_of(signer))}.{payload_for(signer)}"
        good = f"{start}.{encoded(raw_signature(signer, start.encode()))}"
        assert manager(ring).verify_access_token(good)["sub"] == "42"


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def certificate_of(key: Key) -> str:
    """Make a certificate that *key* has signed for itself, as ``x5c`` holds it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    certificate = (
        x509.CertificateBuilder(name, name, key.material.public_key(), 1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key.material, None if key.algorithm == "EdDSA" else hashes.SHA256())
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def header_of(key: Key, **changes: Any) -> dict[str, Any]:
    return {"alg": key.algorithm, "kid": key.id, "typ": "at+jwt", **changes}


def payload_for(key: Key) -> str:
    return manager(KeyRing(key)).create_access_token(USER).split(".")[1]


def raw_signature(key: Key, signing_input: bytes) -> bytes:
    """Sign any bytes, as PyJWT's algorithms do."""
    algorithm: Any = pyjwt.get_algorithm_by_name(key.algorithm)
    return bytes(algorithm.sign(signing_input, key.material))


def is_accepted(token: str, key: Key) -> bool:
    try:
        manager(KeyRing(key)).verify_access_token(token)
    except InvalidToken:
        return False
    return True


EXAMPLES = Path(__file__).parent / "vectors" / "rfc7515_appendix_a.json"
RFC_7515: dict[str, dict[str, Any]] = {
    example["name"]: example for example in json.loads(EXAMPLES.read_text())["vectors"]
}

RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"
    "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qvz"
    "qY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
    "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
}
"""The example of RFC 7638 section 3.1."""

RFC_8037 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
"""The example of RFC 8037 appendix A."""

RFC_8037_TOKEN = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg"
    "3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
