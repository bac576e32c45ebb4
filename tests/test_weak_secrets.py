"""A secret that somebody could guess stops the start; one that was made at random never does."""

import base64
import hashlib
import json
import secrets
import string
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from jwt_auth_kit import (
    AuthKit,
    AuthSettings,
    ConfigurationError,
    Key,
    KeyDirectory,
    KeyFile,
    KeyRing,
    KeySet,
    TokenVerifier,
)

RANDOM = secrets.token_urlsafe(32)

PUBLISHED = {
    "FastAPI": "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "Flask": "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "jose": "cc7e0d44fd473002f1c42167459001140ec6389b7353f8088f4d9a95f2f596f2",
    "Spring": "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "Hasura": "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R",
    "BezKoder": "======================BezKoder=Spring===========================",
    "RFC 7515": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/"
    "T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "RFC 7520": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG+Onbc6mxCcYg",
    "Spring, once more": "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
    "word lists": "8jt6q2e6MVmvZuDUNkxmRtAPgSaBbrkN",
    "word lists, hex": "11ca6be05d2043f2bfa680fbe4d3883e",
    "word lists, longer": "YV4bg3LibCiXgP7ppMhz6i6iuzdWXTh9EkOOWjy7h2nacpi7sxyHzcA4YboDUuHs",
    "ASP.NET": "DhftOS5uphK3vmCJQrexST1RsyjZBjXWRgJMFPU4",
    "ASP.NET, in many courses": "Yh2k7QSu4l8CZg5p6X3Pna9L0Miy4D3Bvt0JVr87UcOj69Kqw5R2Nmf4FWs03Hdx",
    "ASP.NET, once more": "ByYM000OLlMQG6VVVp1OH7Xzyr7gHuw1qvUC5dcGt3SNM",
}
OF_ONE_GENERATOR = [
    "413F4428472B4B6250655368566D5970337336763979244226452948404D6351",
    "5367566B59703373367639792F423F4528482B4D6251655468576D5A71347437",
    "357638792F423F4428472B4B6250655368566D597133743677397A2443264629",
    "76397924423F4528482B4D6251655468576D5A7134743777217A25432A46294A",
]
"""Made by one web site in steps through the alphabet, and copied through guides to Spring."""
PHRASES = [
    "my super secret jwt signing key!",
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-384-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "your-256-bit-secret-your-256-bit-secret",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "reallyreallyreallyreallyverysafe",
    "django-insecure-change-me-in-production-please",
    "changeme_changeme_changeme_please",
    "MySuperSecretJwtSigningKey2026!!!",
    "mysupersecretjwtsigningkeythatislong",
    "THIS_IS_A_PLACEHOLDER_CHANGE_IT_NOW",
    "ThisIsMyVerySecretKeyForMyProject",
    "p@ssw0rdp@ssw0rdp@ssw0rdp@ssw0rd1",
    "s3cr3tk3yf0rpr0duct10ns3rv3r12345",
    "correct horse battery staple again",
    "Mein Schlüssel für das Forum der Schule",
    "le-cheval-est-dans-la-cuisine-de-ma-mere",
    "пароль для нашего сервера и сайта",
    "to be or not to be, that is the question",
    "hunter2 and twenty-five more ...",
    "padded with nothing at all\0\0\0\0\0\0\0",
    "my_super_duper_long_secret_key_12345\n",
    "https://example.com/path/to/secret\n",
    "$3cr3t_k3y_f0r_jwt_t0k3n_g3n3r4t10n",
    "Test1234!Test1234?Test1234#Test1234%",
    "-----BEGIN PRIVATE KEY-----MIIEvQ",
    "http://localhost:8000/auth/login?next=",
    "thequickbrownfoxjumpsoverthelazydog",
    "このシステムの秘密の鍵です誰にも教えない",
    "мойсекретныйключдляподписитокенов",
    "deadbeefcafebabe0123456789abcdef",
]
SEQUENCES = {
    "ascending": bytes(range(32)),
    "from the middle": bytes(range(100, 132)),
    "descending": bytes(range(255, 223, -1)),
    "in steps of seven": bytes(7 * n % 256 for n in range(48)),
    "two runs": bytes([*range(16), *range(200, 216)]),
    "alphabet": b"abcdefghijklmnopqrstuvwxyz0123456789",
    "alphabet backwards": b"ZYXWVUTSRQPONMLKJIHGFEDCBA987654",
    "keyboard": b"qwertyuiopasdfghjklzxcvbnm123456",
    "keyboard, columns": b"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,",
    "keyboard, zigzag": b"1q2w3e4r5t6y7u8i9o0p1q2w3e4r5t6y",
    "keyboard, shifted": b"~!@#$%^&*()_+1234567890-=qwertyuiop",
    "letters and digits in turn": b"a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
    "numbers": "".join(f"{n:02}" for n in range(20)).encode(),
    "dates": b"2026-01-01 2026-02-03 2026-11-30",
    "digits of pi": b"31415926535897932384626433832795028841971",
}
REPEATED = {
    "a word": b"secret" * 8,
    "a word, cut": (b"correcthorse" * 4)[:40],
    "a word with an end": b"iloveyou" * 4 + b"1!",
    "a phrase with a year": b"winteriscoming" * 2 + b"2026",
    "a list of names": b"johnpaulgeorgeringojohnpaulgeorge",
    "random, twice": bytes.fromhex("8f3ac1e97b5d4206") * 4,
    "few bytes": bytes(byte % 7 for byte in hashlib.sha256(b"ours").digest()),
}


def encoded(material: bytes) -> str:
    return base64.b64encode(material).decode()


def weak_secrets() -> dict[str, bytes]:
    """Secrets by what they are, as the bytes that an HMAC would be keyed with."""
    published = {
        f"{name}, {spelling}": material
        for name, text in PUBLISHED.items()
        for spelling, material in spellings_of(text).items()
    }
    phrases = {text: text.encode() for text in PHRASES}
    made = {
        f"{text}, {way}": value
        for text in OF_ONE_GENERATOR
        for way, value in spellings_of(text).items()
    }
    wide = {f"UTF-16, {text}": text.encode("utf-16-le") for text in PHRASES if text.isascii()}
    return {**published, **made, **phrases, **wide, **SEQUENCES, **REPEATED}


def spellings_of(text: str) -> dict[str, bytes]:
    spellings = {"typed": text.encode(), "by echo": f"{text}\n".encode()}
    if set(text) <= set(string.hexdigits) and len(text) >= 64:
        spellings["decoded from hex"] = bytes.fromhex(text)
        spellings["in small letters"] = text.lower().encode()
    if "==" not in text and len(text) % 4 != 1 and len(text) >= 43:
        spellings["decoded from base64"] = base64.b64decode(text + "=" * (-len(text) % 4))
    return spellings


WEAK = weak_secrets()


@pytest.mark.parametrize("name", WEAK)
def test_a_secret_that_can_be_guessed_is_refused_with_the_cure(name: str) -> None:
    secret = encoded(WEAK[name])

    with pytest.raises(ConfigurationError) as refusal:
        AuthKit(settings=AuthSettings(secret_key=secret))

    assert "can be guessed" in str(refusal.value)
    assert "python -m jwt_auth_kit secret" in str(refusal.value)
    assert secret not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        PUBLISHED["FastAPI"],
        PUBLISHED["Hasura"],
        encoded(PHRASES[0].encode()),
        encoded(encoded(PHRASES[0].encode()).encode()),
        encoded(PHRASES[0].encode().hex().encode()),
        "mysupersecretjwtsigningkeythatislongenoughforall",
        "a-valid-string-secret-that-is-at-least-384-bits",
        "secretsecretsecretsecretsecretsecretsecretsecret",
        "0123456789abcdef0123456789abcdef0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV",
    ],
    ids=range(10),
)
def test_no_spelling_of_a_setting_hides_that_it_can_be_guessed(text: str) -> None:
    with pytest.raises(ConfigurationError, match="can be guessed"):
        KeyRing.from_secret(text)


def ways_in() -> dict[str, Callable[[bytes, Path], object]]:
    """Every place where a secret enters."""

    def jwk(secret: bytes) -> dict[str, str]:
        k = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        return {"kty": "oct", "alg": "HS256", "k": k}

    def key_set(secret: bytes) -> str:
        return json.dumps({"keys": [jwk(secret)]})

    def settings(secret: bytes, **other: str) -> AuthSettings:
        return AuthSettings(secret_key=encoded(secret), **other)

    def in_file(secret: bytes, folder: Path) -> Path:
        (folder / "keys.json").write_text(key_set(secret))
        return folder / "keys.json"

    def in_directory(secret: bytes, folder: Path) -> Path:
        (folder / "one.jwk").write_text(json.dumps(jwk(secret)))
        return folder

    def verifier(secret: bytes) -> TokenVerifier:
        return TokenVerifier(settings=settings(secret, issuer="us", audience="them"))

    return {
        "Key": lambda secret, _: Key(id="ours", algorithm="HS256", material=secret),
        "Key.from_secret": lambda secret, _: Key.from_secret(encoded(secret)),
        "Key.from_jwk": lambda secret, _: Key.from_jwk(jwk(secret)),
        "JWT_SECRET_KEY": lambda secret, _: AuthKit(settings=settings(secret)),
        "JWT_KEYS": lambda secret, _: AuthKit(settings=AuthSettings(keys=key_set(secret))),
        "KeySet": lambda secret, _: KeyRing.from_source(KeySet(key_set(secret))),
        "KeyFile": lambda secret, path: KeyRing.from_source(KeyFile(in_file(secret, path))),
        "KeyDirectory": lambda secret, path: KeyRing.from_source(
            KeyDirectory(in_directory(secret, path))
        ),
        "TokenVerifier": lambda secret, _: verifier(secret),
    }


@pytest.mark.parametrize("way", ways_in())
def test_there_is_no_way_in_for_a_secret_that_can_be_guessed(way: str, tmp_path: Path) -> None:
    enter = ways_in()[way]
    enter(secrets.token_bytes(32), tmp_path)

    with pytest.raises(ConfigurationError, match="can be guessed"):
        enter(PHRASES[0].encode(), tmp_path)


def pwgen(length: int) -> str:
    """A random text that can be pronounced, with capitals and digits, as pwgen makes them."""
    consonants, vowels = [*"bcdfghjklmnpqrstvwxz", "th", "ch", "sh", "ph", "qu"], [*"aeiou"]
    vowels += ["ae", "ie", "oo", "ei", "ai", "ah", "oh", "ee"]
    text = ""
    while len(text) < length:
        after_vowel = not text or text[-1].lower() in "aeiou"
        part = secrets.choice(consonants if after_vowel else vowels)
        part = part.capitalize() if secrets.randbelow(8) == 0 else part
        text += part + (secrets.choice(string.digits) if secrets.randbelow(8) == 0 else "")
    return text[:length]


def pick(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


STRONG: dict[str, Callable[[], bytes]] = {
    "token_bytes(32)": lambda: secrets.token_bytes(32),
    "token_bytes(64)": lambda: secrets.token_bytes(64),
    "token_urlsafe(32), typed": lambda: secrets.token_urlsafe(32).encode(),
    "token_hex(32), typed": lambda: secrets.token_hex(32).encode(),
    "token_hex(32), as base64": lambda: base64.b64decode(secrets.token_hex(32)),
    "openssl rand -base64 32, typed": lambda: base64.b64encode(secrets.token_bytes(32)),
    "openssl rand -base64 48, typed": lambda: base64.b64encode(secrets.token_bytes(48)),
    "uuid4 twice": lambda: b"".join(str(uuid.uuid4()).encode() for _ in range(2)),
    "uuid4 twice, with a hyphen": lambda: b"-".join(str(uuid.uuid4()).encode() for _ in range(2)),
    "uuid4 once": lambda: str(uuid.uuid4()).encode(),
    "base32": lambda: base64.b32encode(secrets.token_bytes(32)).rstrip(b"="),
    "letters and digits": lambda: pick(string.ascii_letters + string.digits, 32).encode(),
    "small letters": lambda: pick(string.ascii_lowercase, 32).encode(),
    "printable": lambda: pick(string.printable[:94], 32).encode(),
    "Django's alphabet": lambda: pick(
        "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)", 50
    ).encode(),
    "hex in pairs": lambda: secrets.token_bytes(32).hex(":").encode(),
    "hex in fours": lambda: secrets.token_bytes(32).hex(" ", 2).encode(),
    "small letters and digits in groups": lambda: "-".join(
        pick(string.ascii_lowercase + string.digits, 8) for _ in range(4)
    ).encode(),
    "product key": lambda: "-".join(
        pick(string.ascii_uppercase + string.digits, 5) for _ in range(7)
    ).encode(),
    "printable, with spaces": lambda: pick(string.printable[:95], 32).encode(),
    "base85": lambda: base64.b85encode(secrets.token_bytes(32)),
    "openssl rand -base64 64, with its line ends": lambda: base64.encodebytes(
        secrets.token_bytes(64)
    ),
    "pwgen 32": lambda: pwgen(32).encode(),
    "pwgen 44, as base64": lambda: base64.b64decode(pwgen(44)),
}


@pytest.mark.parametrize(
    "secret",
    [
        "be:54:69:98:a6:c9:04:92:f4:e6:51:63:e2:a7:b8:ac:03:70:a2:cc:83:f0:cc:88:44:77:b5:02:ad:ee",
        "nrjjjmok-hjegaxq3-knkrfeor-wxdtow18",
        "dqzcyajs-flfkorww-cgvnbyfa-poowhyig",
        "VEEAPSNM-MZKVHBAM-CNEIWWP8-DOKVSHQT-YCTKRJQA",
        r"Qr9#z,YS_ {KK[GBA4\!%s :H;< {hkj",
    ],
)
def test_a_random_secret_that_looks_a_little_like_a_phrase_is_good(secret: str) -> None:
    key = Key(id="ours", algorithm="HS256", material=secret.encode())

    assert key.id == "ours"


@pytest.mark.parametrize("kind", STRONG)
def test_no_secret_that_was_made_at_random_is_refused(kind: str) -> None:
    for _ in range(300):
        secret = STRONG[kind]()

        assert Key(id="ours", algorithm="HS256", material=secret).material == secret
