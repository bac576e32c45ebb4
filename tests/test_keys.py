"""Keys and rings: which secrets are good enough, and which key signs and verifies what."""

import base64
import hashlib
import hmac
import traceback
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest

from jwt_auth_kit import ConfigurationError, InvalidToken, JWTManager, Key, KeyRing

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MATERIAL = bytes(range(224, 256))  # its base64 holds + and /
SECRET = base64.b64encode(MATERIAL).decode()
OTHER_SECRET = base64.b64encode(bytes(range(32))).decode()
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
        key = Key.from_secret(base64.b64encode(b"01234567" * 4).decode())

        assert key.material == b"01234567" * 4

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
        ring = KeyRing.from_secret(base64.b64encode(b"hunter2 and twenty-five more ...").decode())

        shown = f"{ring!r} {ring} {ring.active!r} {ring.active}"

        assert "hunter2" not in shown
        assert "material" not in shown
        assert ring.active.id in shown

    def test_a_key_never_changes(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Key.from_secret(SECRET).algorithm = "none"  # type: ignore[misc]

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

        assert ring.get(active.id) == active
        assert ring.get(retiring.id) == retiring


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
    return signing_input.encode(), base64.urlsafe_b64decode(signature + "=")


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
def test_an_algorithm_no_key_has_is_refused(algorithm: str) -> None:
    with pytest.raises(ConfigurationError, match="HS256"):
        Key(id="k", algorithm=algorithm, material=MATERIAL)


@pytest.mark.parametrize("material", [b"x", b"x" * 64])
def test_a_weak_key_is_refused_however_it_is_made(material: bytes) -> None:
    with pytest.raises(ConfigurationError, match="python -m jwt_auth_kit secret"):
        Key(id="k", algorithm="HS256", material=material)
