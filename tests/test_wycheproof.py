"""Wycheproof: its vectors against our keys, and the attacks of its vectors against our tokens."""

import base64
import hashlib
import hmac
import json
import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jwt_auth_kit import ConfigurationError, InvalidToken, JWTManager, Key, KeyRing

VECTORS = Path(__file__).parent / "vectors"
EITHER_ANSWER = {346, 347, 350, 351, 367, 370, 372, 373}
"""Faults in the data, told in vectors/README.md."""

SECRET = hashlib.sha256(b"ours").digest()
OURS = Key(id="ours", algorithm="HS256", material=SECRET)


@dataclass(frozen=True, slots=True)
class Vector:
    """A signed message, the keys it is for, and whether it is good."""

    id: int
    attack: str
    jws: str
    keys: tuple[Mapping[str, Any], ...]
    is_valid: bool


def read_vectors(file: str) -> list[Vector]:
    groups = json.loads((VECTORS / file).read_text())["testGroups"]
    return [
        Vector(
            id=test["tcId"],
            attack=test["comment"],
            jws=test["jws"],
            keys=tuple(keys_of(group.get("public", group["private"]))),
            is_valid=test["result"] == "valid",
        )
        for group in groups
        for test in group["tests"]
    ]


def keys_of(jwk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(jwk["keys"]) if "keys" in jwk else [jwk]


def why_refused(jwk: Mapping[str, Any]) -> str | None:
    """Tell why we do not take a key; None if we do."""
    try:
        Key.from_jwk(jwk)
    except ConfigurationError as error:
        return str(error)
    return None


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def is_verified_by(key: Key, jws: str) -> bool:
    """Ask *key* about a message that is well formed and meant for it."""
    parts = jws.split(".")
    if len(parts) != 3 or not all(is_base64url(part) for part in parts):
        return False
    try:
        header = json.loads(decoded(parts[0]))
    except ValueError:
        return False
    if (header.get("alg"), header.get("kid")) != (key.algorithm, key.id):
        return False
    try:
        key.verify(".".join(parts[:2]).encode(), decoded(parts[2]))
    except InvalidToken:
        return False
    return True


def is_base64url(part: str) -> bool:
    try:
        return encoded(decoded(part)) == part
    except ValueError:
        return False


def is_token(jws: str, ring: KeyRing) -> bool:
    """Tell whether *jws* is accepted; any error but InvalidToken fails the test."""
    try:
        JWTManager(ring).verify_access_token(jws)
    except InvalidToken:
        return False
    return True


SIGNATURES = read_vectors("json_web_signature_test.json")
KEY_SETS = read_vectors("json_web_key_test.json")
NAMED = [vector for vector in SIGNATURES if "alg" in vector.keys[0]]
USABLE = [vector for vector in NAMED if why_refused(vector.keys[0]) is None]


class TestVectors:
    def test_all_of_them_are_here(self) -> None:
        assert (len(SIGNATURES), len(KEY_SETS)) == (401, 26)
        assert len(USABLE) >= 330

    def test_a_key_is_refused_for_its_algorithm_or_because_it_can_be_guessed(self) -> None:
        reasons = {
            (vector.keys[0]["alg"], vector.keys[0]["kid"]): why_refused(vector.keys[0])
            for vector in NAMED
        }

        refused = {key: reason for key, reason in reasons.items() if reason is not None}
        guessed = {key for key, reason in refused.items() if "can be guessed" in reason}
        unknown = {alg for (alg, _), reason in refused.items() if "is of no use here" in reason}

        assert guessed == {
            ("HS256", "hs256-key"),  # 32 zero bytes
            ("HS256", "018c0ae5-4d9b-471b-bfd6-eef314bc7037"),  # RFC 7520 section 3.5 has it
        }
        assert unknown == {"ES521"}  # no such algorithm
        assert {alg for alg, _ in refused.keys() - guessed} == unknown

    def test_a_key_that_says_nothing_about_signatures_is_refused(self) -> None:
        silent = [vector for vector in SIGNATURES if "alg" not in vector.keys[0]]

        assert {vector.id for vector in silent} == {353, 354, 355, 356}
        assert all("not for signatures" in str(why_refused(vector.keys[0])) for vector in silent)

    def test_of_the_keys_we_take_only_what_they_signed_passes(self) -> None:
        passed = {
            vector.id
            for vector in USABLE
            if is_verified_by(Key.from_jwk(vector.keys[0]), vector.jws)
        }

        valid = {vector.id for vector in USABLE if vector.is_valid}
        clear = {vector.id for vector in USABLE} - EITHER_ANSWER
        invalid_accepted = passed & clear - valid
        valid_refused = (valid & clear) - passed
        print(
            f"\n{len(USABLE)} vectors have a key we take: invalid accepted {len(invalid_accepted)} "
            f"of {len(clear - valid)}, valid refused {len(valid_refused)} of {len(valid & clear)}"
        )
        print("valid ones refused with their key:", dict(valid_ones_refused_with_their_key()))
        assert (invalid_accepted, valid_refused) == (set(), set())
        assert len(valid & clear) >= 10

    @pytest.mark.parametrize("vector", SIGNATURES + KEY_SETS, ids=lambda vector: vector.attack)
    def test_none_of_them_is_a_token(self, vector: Vector) -> None:
        # Their payloads hold no claims, so the good ones are none either.
        taken = [Key.from_jwk(jwk) for jwk in vector.keys if why_refused(jwk) is None]
        names = {jwk["kid"] for jwk in vector.keys}
        namesakes = [Key(id=name, algorithm="HS256", material=SECRET) for name in names]

        for keys in filter(None, (taken, namesakes)):
            for key in keys:
                others = [other for other in keys if other.id != key.id]
                assert not is_token(vector.jws, KeyRing(key, others))


def valid_ones_refused_with_their_key() -> Counter[str]:
    """Count them by the reason."""
    reasons = [why_refused(vector.keys[0]) for vector in NAMED if vector.is_valid]
    return Counter(re.split(r"[;.] ", reason)[0] for reason in reasons if reason is not None)


class TestKeySets:
    def test_only_good_sets_give_a_key_that_verifies(self) -> None:
        passed = {vector.id for vector in KEY_SETS if is_verified_with(vector)}

        valid = {vector.id for vector in KEY_SETS if vector.is_valid}
        # Two kinds of key in one set are called ambiguous; ours are found by their id.
        # The secrets of 13 to 15 count from 0 to 64, so they can be guessed.
        assert passed == valid - {13, 14, 15} | {1}
        assert len(valid) == 5

    @pytest.mark.parametrize(
        ("id_", "reason"),
        [
            (4, "Two keys of the ring have one id"),
            (6, "not for signatures"),
            (7, "CVE-2017-15361"),
            (8, "1024 bits"),
            (9, "cannot be read"),
            *((id_, "at least") for id_ in (10, 11, 12)),
            *((id_, "base64url") for id_ in (16, 17, 18)),
            *((id_, "is of no use here") for id_ in (19, 20, 23, 24, 25, 26)),
            (21, "not for signatures"),
        ],
    )
    def test_a_key_is_refused_for_its_own_reason(self, id_: int, reason: str) -> None:
        vector = next(vector for vector in KEY_SETS if vector.id == id_)

        with pytest.raises(ConfigurationError, match=reason):
            ring_of(vector)


def ring_of(vector: Vector) -> KeyRing:
    first, *others = (Key.from_jwk(jwk) for jwk in vector.keys)
    return KeyRing(first, others)


def is_verified_with(vector: Vector) -> bool:
    try:
        ring = ring_of(vector)
    except ConfigurationError:
        return False
    kid = json.loads(decoded(vector.jws.split(".")[0])).get("kid")
    key = ring.find(kid, datetime.now(UTC), keep=timedelta(hours=1))
    return key is not None and is_verified_by(key, vector.jws)


TOKEN = JWTManager(KeyRing(OURS), access_ttl=timedelta(days=1)).create_access_token(
    {"user_id": "42", "role": "admin"}
)
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")
MEMBERS: dict[str, Any] = json.loads(decoded(HEADER))


def signed(
    header: str, payload: str = PAYLOAD, *, secret: bytes = SECRET, hash_: Any = "sha256"
) -> str:
    """Sign two parts as they are, by hand: whoever has the key can still write nonsense."""
    signing_input = f"{header}.{payload}"
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), hash_))}"


def header_with(**members: object) -> str:
    return encoded({**MEMBERS, **members})


def with_unused_bits(text: bytes) -> tuple[str, str]:
    """Encode *text* twice: well, and with the bits set that its last character does not use."""
    part = encoded(text + b" " * ((1 - len(text)) % 3))
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return part, part[:-1] + digits[digits.index(part[-1]) + 1]


GOOD_PART, BAD_PART = with_unused_bits(decoded(PAYLOAD))
THEIR_SECRET = hashlib.sha256(b"theirs").digest()
THEIR_JWK = {"kty": "oct", "kid": "ours", "alg": "HS256", "k": encoded(THEIR_SECRET)}

ATTACKS: Mapping[str, list[str]] = {
    "rejectsModifiedSignature": [
        f"{HEADER}.{PAYLOAD}.{'X' if SIGNATURE[0] != 'X' else 'Y'}{SIGNATURE[1:]}"
    ],
    "rejectsMissingSignature": [f"{HEADER}.{PAYLOAD}."],
    "rejectsMissingSignatureAndSeparator": [f"{HEADER}.{PAYLOAD}"],
    "rejectsModifiedPayload": [f"{HEADER}.X{PAYLOAD[1:]}.{SIGNATURE}"],
    "rejectsMissingPayload": [f"{HEADER}..{SIGNATURE}", signed(HEADER, "")],
    "rejectsMissingPayloadAndSeparator": [f"{HEADER}.{SIGNATURE}"],
    "rejectsModifiedHeader": [
        f"{header_with(kid='Xurs')}.{PAYLOAD}.{SIGNATURE}",
        signed(header_with(kid="Xurs")),
    ],
    "rejectsMissingHeader": [f".{PAYLOAD}.{SIGNATURE}", signed("")],
    "rejectsMissingHeaderAndSeparator": [f"{PAYLOAD}.{SIGNATURE}"],
    "rejectsMissingHeaderAndSignature": [f".{PAYLOAD}."],
    "rejectsMissingHeaderSignatureAndSeparators": [PAYLOAD],
    "rejectsEmptyString": [""],
    "rejectsExtraEmptyComponent": [f"{TOKEN}."],
    "rejectsExtraComponent": [f"{TOKEN}.foo"],
    "rejectsNoneAlgorithmAndMissingSignature": [f"{header_with(alg='none')}.{PAYLOAD}."],
    "rejectsValidJsonSerialization": [
        json.dumps(
            {
                "payload": PAYLOAD,
                "signatures": [
                    {"protected": HEADER, "header": {"unknown": "x"}, "signature": SIGNATURE}
                ],
            }
        ),
        json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": SIGNATURE}),
    ],
    "rejectsSpacesInMac": [f"{HEADER}.{PAYLOAD}.    {SIGNATURE}"],
    "rejectsInvalidCharacterInsertedInMac": [
        f"{HEADER}.{PAYLOAD}.?{SIGNATURE}",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE}?",
    ],
    "rejects0ReplacedbyInvalidCharacter": [f"{HEADER}.{PAYLOAD}.?{SIGNATURE[1:]}"],
    "rejectsInvalidCharacters": [f"{HEADER}.{PAYLOAD}.????{SIGNATURE[4:]}"],
    "spacesInHeader": [signed(f"{HEADER}    "), f"{HEADER}    .{PAYLOAD}.{SIGNATURE}"],
    "invalidCharactersInHeader": [signed(f"{HEADER}####")],
    "invalidBase64Padding": [signed(HEADER + "=" * count) for count in (1, 2, 3, 4)],
    "spacesInPayload": [signed(HEADER, f"    {PAYLOAD}")],
    "invalidCharactersInPayload": [signed(HEADER, f"####{PAYLOAD}")],
    "invalidBase64PaddingInPayload": [
        signed(HEADER, PAYLOAD + "=" * count) for count in (1, 2, 3, 4)
    ],
    "InvalidCharacterInPayload": [signed(HEADER, f"?{PAYLOAD}")],
    "InvalidCharacterInsertedInHeader": [f"{HEADER[:-1]}?{HEADER[-1]}.{PAYLOAD}.{SIGNATURE}"],
    "InvalidCharacterInsertedInPayload": [f"{HEADER}.{PAYLOAD[:-1]}?{PAYLOAD[-1]}.{SIGNATURE}"],
    "ModifiedUnusedBitsInPayload": [
        f"{HEADER}.{BAD_PART}.{signed(HEADER, GOOD_PART).rpartition('.')[2]}"
    ],
    "MacOfIncorrectlyEncodedMessage": [signed(HEADER, BAD_PART)],
    "algIsNone": [
        f"{encoded(header)}.{PAYLOAD}.{signature}"
        for signature in ("", SIGNATURE)
        for header in (
            {"alg": "none"},
            {"alg": "NONE"},
            {"alg": "none", "kid": "none"},
            {"alg": "none", "kid": "ours"},
            {**MEMBERS, "alg": "nOnE"},
        )
    ],
    "UsingOtherHash": [
        signed(header_with(alg="HS384"), hash_=hashlib.sha384),
        signed(header_with(alg="HS512"), hash_=hashlib.sha512),
        signed(HEADER, hash_=hashlib.sha512),
    ],
    "UsingOtherAlgorithm": [signed(header_with(alg=name)) for name in ("RS256", "ES256", "PS256")],
    "rejectsAttackerProvidedEmbeddedJwk": [signed(header_with(jwk=THEIR_JWK), secret=THEIR_SECRET)],
    "rejectsSymmetryConfusion": [
        signed(HEADER, secret=public) for public in (b"", b"ours", encoded(SECRET).encode())
    ],
    "critical extension": [
        signed(header_with(crit=["exp"], exp=1)),
        signed(header_with(b64=False, crit=["b64"])),
        signed(header_with(b64=False, crit=["b64"]), decoded(PAYLOAD).decode()),
    ],
    "name that comes twice": [
        signed(encoded(decoded(HEADER)[:-1] + member))
        for member in (b',"alg":"HS256"}', b',"alg":"none"}', b',"kid":"ours"}', b',"typ":"JWT"}')
    ],
}
"""What is done to a token of ours, by the name the vectors give it."""

HARMLESS: Mapping[str, str] = {
    "ValidSpacesInJsonHeader": signed(encoded(decoded(HEADER).replace(b":", b" : "))),
    "ValidWhiteSpaceInJsonHeader": signed(encoded(decoded(HEADER).replace(b",", b",\n\t"))),
}
"""What the vectors do and call valid."""


class TestOurTokensUnderTheSameAttacks:
    def test_the_token_under_attack_passes(self) -> None:
        assert is_token(TOKEN, KeyRing(OURS))
        assert signed(HEADER) == TOKEN
        assert is_token(signed(HEADER, GOOD_PART), KeyRing(OURS))

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_an_attacked_token_is_refused(self, attack: str) -> None:
        accepted = [token for token in ATTACKS[attack] if is_token(token, KeyRing(OURS))]

        assert ATTACKS[attack]
        assert accepted == []

    @pytest.mark.parametrize("change", HARMLESS)
    def test_a_change_that_harms_nothing_passes(self, change: str) -> None:
        assert HARMLESS[change] != TOKEN
        assert is_token(HARMLESS[change], KeyRing(OURS))

    def test_every_attack_on_a_secret_key_is_tried(self) -> None:
        with_secrets = [vector for vector in SIGNATURES if vector.keys[0]["kty"] == "oct"]
        attacks = {vector.attack for vector in with_secrets if not vector.is_valid}

        print(f"\n{len(attacks)} kinds of attack, {sum(map(len, ATTACKS.values()))} tokens")
        assert len(attacks) > 25
        assert attacks <= ATTACKS.keys()
