"""Hashes that other libraries made: they sign in, and new ones are never weaker."""

import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from itertools import count

import argon2
import bcrypt
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from passlib.context import CryptContext
from werkzeug.security import generate_password_hash

from jwt_auth_kit import (
    Argon2Hasher,
    AuthEvent,
    AuthKit,
    AuthSettings,
    ConfigurationError,
    InvalidCredentials,
    KeyRing,
    NewUser,
    PasslibHasher,
    PasswordHasher,
    auth_router,
    install,
)

PASSWORD = "correct horse battery staple"

# Django 5.2.19, with PASSWORD_HASHERS naming all of these:
# make_password("correct horse battery staple", hasher="pbkdf2_sha256") and so on.
DJANGO = {
    "pbkdf2_sha256": "pbkdf2_sha256$1000000$CqhIOg9GMxuXajVmeNaqFE"
    "$1+Ad/gXOHrOanO89Jo72vgVWc4O8vOI/fbHxz6eaaTA=",
    "pbkdf2_sha1": "pbkdf2_sha1$1000000$IJEdFBTNVToBO1UfxP4zz9$KAjNfcQspN+VeZdamwkBNbvoVnk=",
    "argon2": "argon2$argon2id$v=19$m=102400,t=2,p=8$dU15dW5qcnBpaERlVGhPZU1uaUVFUA"
    "$ZFQLTx4f+QcxN1VG12rBT77qerLOplaA2h3IwIqTp0U",
    "bcrypt_sha256": "bcrypt_sha256$$2b$12$hivS6gsWOj/2DBhnvbHHeenwSQMGWrBjurTYZmNNaOHnqSc.mBVa6",
    "bcrypt": "bcrypt$$2b$12$HhwygdW.QOHuvCNldwrChO/gQM7QAuvhlaXIPLAiXkZO12M/FywdS",
    "scrypt": "scrypt$16384$8TAm3lE1BGT6bzAgN1QTsM$8$5$AUPjgx3ZXfubcK6rzPwODyjxPKzt9G8U"
    "pYdXzjugVcu51Q4AdJx1d2uRzsgfyF3FTwpCfW+oYx/5BFDiR6+Trw==",
}
DJANGO_UNUSABLE = "!akWAumV2CgY2C7gfnnd3KNZFXdtmDrd4EREp3GPp"  # make_password(None)

# pwdlib 0.3.1: Argon2Hasher().hash(...) and BcryptHasher(rounds=4).hash(...)
PWDLIB_ARGON2 = (
    "$argon2id$v=19$m=65536,t=3,p=4$oaQ7CdQOJ6ZEBArDUDWvKw"
    "$kzYaAQ0o522+y6scMyvlkUZwTvL3oKMIGoMoC0IMesY"
)
PWDLIB_BCRYPT = "$2b$04$lilhdqc94EOkcs88FWz78.ConFp3Dvnp9hITN9fpmj1Y2wNKnkC3K"

SCHEMES = [*PasslibHasher().schemes, "scrypt"]
WEAK = Argon2Hasher.weak_for_tests()


class CountingHasher:
    """Hands on to another hasher, and keeps the hashes that were checked."""

    def __init__(self, hasher: PasslibHasher | Argon2Hasher) -> None:
        self._hasher = hasher
        self.checked: list[str] = []

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, password: str, password_hash: str) -> bool:
        self.checked.append(password_hash)
        return self._hasher.verify(password, password_hash)

    def needs_rehash(self, password_hash: str) -> bool:
        return self._hasher.needs_rehash(password_hash)

    def can_read(self, password_hash: str) -> bool:
        return self._hasher.can_read(password_hash)


async def kit_with(
    *password_hashes: str | None,
    hasher: PasswordHasher | None = None,
    events: list[AuthEvent] | None = None,
) -> AuthKit:
    """Make a kit whose accounts user0@example.com, user1@example.com ... have these hashes."""
    kit = AuthKit(
        settings=AuthSettings(),
        keys=KeyRing.random(),
        hasher=hasher or Argon2Hasher(),
        on_event=(lambda _: None) if events is None else events.append,
    )
    for number, password_hash in enumerate(password_hashes):
        await kit.users.create(
            NewUser(
                email=f"user{number}@example.com",
                display_name="Somebody",
                password_hash=password_hash,  # type: ignore[arg-type]  # a store may hold none
            )
        )
    return kit


async def stored_hash(kit: AuthKit, number: int = 0) -> str | None:
    user = await kit.users.get_by_email(f"user{number}@example.com")
    assert user is not None
    return user.password_hash


@pytest.mark.parametrize(
    "made_elsewhere",
    [argon2.PasswordHasher(), argon2.PasswordHasher(time_cost=2, memory_cost=20_000)],
    ids=["argon2-cffi's default", "a little more memory"],
)
async def test_a_login_never_weakens_a_hash(made_elsewhere: argon2.PasswordHasher) -> None:
    password_hash = made_elsewhere.hash(PASSWORD)
    kit = await kit_with(password_hash)

    await kit.login("user0@example.com", PASSWORD)

    assert await stored_hash(kit) == password_hash


def short_bcrypt(password: str | bytes) -> str:
    text = password.encode() if isinstance(password, str) else password
    return bcrypt.hashpw(text, bcrypt.gensalt(4)).decode()


MADE_ELSEWHERE = {
    **{f"Django {name}": password_hash for name, password_hash in DJANGO.items()},
    "Werkzeug scrypt": generate_password_hash(PASSWORD),
    "Werkzeug scrypt, other cost": generate_password_hash(PASSWORD, "scrypt:1024:4:3"),
    "Werkzeug PBKDF2": generate_password_hash(PASSWORD, "pbkdf2:sha256:1000"),
    "Werkzeug PBKDF2, SHA-1": generate_password_hash(PASSWORD, "pbkdf2:sha1:1000", 8),
    "Werkzeug PBKDF2, SHA-512": generate_password_hash(PASSWORD, "pbkdf2:sha512:1000"),
    "pwdlib argon2": PWDLIB_ARGON2,
    "pwdlib bcrypt": PWDLIB_BCRYPT,
    "bcrypt of PHP": short_bcrypt(PASSWORD).replace("$2b$", "$2y$"),
}


@pytest.mark.parametrize("password_hash", MADE_ELSEWHERE.values(), ids=MADE_ELSEWHERE)
async def test_a_hash_of_another_framework_signs_in_and_is_replaced_if_it_is_weaker(
    password_hash: str,
) -> None:
    kit = await kit_with(password_hash, hasher=PasslibHasher())

    with pytest.raises(InvalidCredentials):
        await kit.login("user0@example.com", PASSWORD + "x")
    await kit.login("user0@example.com", PASSWORD)

    now = await stored_hash(kit)
    assert now is not None
    is_strong = "argon2id" in password_hash
    assert now == password_hash if is_strong else now.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await kit.login("user0@example.com", PASSWORD)


async def test_django_s_argon2_is_read_without_a_hasher_for_old_hashes() -> None:
    kit = await kit_with(DJANGO["argon2"])

    await kit.login("user0@example.com", PASSWORD)

    assert await stored_hash(kit) == DJANGO["argon2"]


async def test_a_weak_argon2_hash_of_django_is_replaced() -> None:
    password_hash = "argon2" + argon2.PasswordHasher(2, 512, 2).hash(PASSWORD)
    kit = await kit_with(password_hash)

    await kit.login("user0@example.com", PASSWORD)

    assert (await stored_hash(kit) or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_new_hashes_are_not_replaced_where_argon2_is_named_as_an_old_scheme() -> None:
    hasher = PasslibHasher(["argon2", "bcrypt"])

    assert not hasher.needs_rehash(hasher.hash(PASSWORD))
    assert hasher.verify(PASSWORD, PWDLIB_ARGON2)
    assert not hasher.needs_rehash(PWDLIB_ARGON2)


def test_argon2_can_be_an_old_scheme_beside_a_primary_of_another_kind() -> None:
    hasher = PasslibHasher(["django_argon2"], primary=Bcrypt())

    assert hasher.verify(PASSWORD, DJANGO["argon2"])
    assert hasher.verify(PASSWORD, PWDLIB_ARGON2)
    assert hasher.needs_rehash(PWDLIB_ARGON2)
    assert hasher.verify(PASSWORD, hasher.hash(PASSWORD))
    assert not hasher.needs_rehash(hasher.hash(PASSWORD))


class Bcrypt:
    """A hasher of the application that cannot tell which hashes it knows."""

    def hash(self, password: str) -> str:
        return short_bcrypt(password)

    def verify(self, password: str, password_hash: str) -> bool:
        return bcrypt.checkpw(password.encode(), password_hash.encode())

    def needs_rehash(self, password_hash: str) -> bool:
        return False


def make_cheaply(scheme: str, password: str) -> str:
    """Make a hash with the fewest rounds that passlib allows."""
    handler = CryptContext([scheme]).handler(scheme)
    if least := getattr(handler, "min_rounds", None):
        handler = handler.using(rounds=least)
    return str(handler.hash(password))


class TestUnusableHashes:
    @pytest.mark.parametrize(
        ("password_hash", "reason"),
        [
            (None, "no_password"),
            ("", "no_password"),
            (DJANGO_UNUSABLE, "no_password"),
            *(("!", "no_password"), ("!!", "no_password"), ("*", "no_password")),
            (PWDLIB_BCRYPT, "unreadable_hash"),
            (DJANGO["bcrypt_sha256"], "unreadable_hash"),
            (DJANGO["scrypt"], "unreadable_hash"),
            (MADE_ELSEWHERE["Werkzeug scrypt"], "unreadable_hash"),
            (MADE_ELSEWHERE["Werkzeug PBKDF2"], "unreadable_hash"),
            ("correct horse battery staple", "unreadable_hash"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "unreadable_hash"),
            ("$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "unreadable_hash"),
            ("$argon2id$v=19$m=8,t=2,p=2$c2FsdHNhbHQ$aGFzaGhhc2g", "unreadable_hash"),
            ("$argon2id$v=19$m=8,t=0,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "unreadable_hash"),
            (argon2.PasswordHasher(1, 8, 1).hash("another password"), "wrong_password"),
        ],
        ids=count(),  # the hashes are new at each run
    )
    async def test_the_log_says_why_no_password_fits(
        self, password_hash: str | None, reason: str
    ) -> None:
        events: list[AuthEvent] = []
        kit = await kit_with(password_hash, hasher=WEAK, events=events)

        with pytest.raises(InvalidCredentials):
            await kit.login("user0@example.com", PASSWORD)

        assert [(event.name, event.reason) for event in events] == [("login_failed", reason)]

    async def test_a_password_change_says_so_too(self) -> None:
        events: list[AuthEvent] = []
        kit = await kit_with(PWDLIB_BCRYPT, hasher=WEAK, events=events)
        user = await kit.users.get_by_email("user0@example.com")
        assert user is not None

        with pytest.raises(InvalidCredentials):
            await kit.change_password(str(user.id), PASSWORD, "an entirely new password")

        assert [event.reason for event in events] == ["unreadable_hash"]

    @pytest.mark.parametrize("password", [PASSWORD, "e\u0301clair du matin"])
    @pytest.mark.parametrize("hasher", [WEAK, PasslibHasher(primary=WEAK)])
    @pytest.mark.parametrize(
        "password_hash",
        [
            *(
                None,
                "",
                "!",
                DJANGO_UNUSABLE,
                "*",
                "x",
                "md5$salt$" + "0" * 32,
                "$2b$12$tooshort",
                "$2b$31$",
            ),
            *("$2x$04$" + PWDLIB_BCRYPT[7:], "$2b$31$" + PWDLIB_BCRYPT[7:], "pbkdf2:md5:1$a$00"),
            *("scrypt:1073741824:8:1$a$" + "0" * 128, "pbkdf2:sha256:99999999$a$" + "0" * 64),
            *(
                "$argon2id$v=19$m=8,t=999999999,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
                "$6$rounds=999999999$a$",
            ),
        ],
        ids=count(),  # the hashes are new at each run
    )
    async def test_an_account_that_no_password_opens_costs_what_an_unknown_one_costs(
        self, password_hash: str | None, hasher: PasslibHasher | Argon2Hasher, password: str
    ) -> None:
        counting = CountingHasher(hasher)
        kit = await kit_with(password_hash, hasher=counting)
        checked = []

        for address in ("nobody@example.com", "user0@example.com"):
            with pytest.raises(InvalidCredentials):
                await kit.login(address, password)
            checked.append(list(counting.checked))
            counting.checked.clear()

        unknown, known = checked
        assert known == unknown
        assert len(set(known)) == 1
        assert known[0] != password_hash

    async def test_the_password_of_the_decoy_opens_nothing(self) -> None:
        class Everything(Bcrypt):
            def verify(self, password: str, password_hash: str) -> bool:
                return True

        kit = await kit_with(DJANGO_UNUSABLE, None, hasher=Everything())

        for address in ("user0@example.com", "user1@example.com", "nobody@example.com"):
            with pytest.raises(InvalidCredentials):
                await kit.login(address, PASSWORD)

    async def test_a_hasher_that_cannot_tell_is_asked(self) -> None:
        kit = await kit_with(short_bcrypt(PASSWORD), hasher=Bcrypt())

        await kit.login("user0@example.com", PASSWORD)


class TestHashesThatCannotBeComputed:
    @pytest.mark.parametrize(
        "password_hash",
        [
            *("scrypt:65536:1:1$salt$" + "0" * 128, "scrypt$65536$salt$1$1$" + "A" * 86 + "=="),
            *(
                "$scrypt$ln=16,r=1,p=1$W0uJ8T7nHIOQsjYmxHgPwQ$" + "A" * 43,
                "scrypt:32768:8:1$\ud800$" + "0" * 128,
            ),
            *(
                "pbkdf2:sha256:1000$\ud800$" + "0" * 64,
                "$2b$04$\ud800",
                "$6$\ud800$" + "a" * 86,
                "bcrypt$\ud800",
            ),
        ],
        ids=count(),
    )
    async def test_a_login_is_answered_as_one_with_a_wrong_password(
        self, password_hash: str
    ) -> None:
        hasher = PasslibHasher(SCHEMES, primary=WEAK)
        app = FastAPI()
        kit = install(app, await kit_with(password_hash, hasher=hasher))
        app.include_router(auth_router)
        body = {"email": "user0@example.com", "password": PASSWORD}

        async with AsyncClient(transport=ASGITransport(app), base_url="https://test") as client:
            answer = await client.post("/auth/login", json=body)

        assert answer.status_code == 401
        assert kit.passwords.hasher.verify(PASSWORD, password_hash) is False

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory this way")
    def test_too_little_memory_is_a_wrong_password(self) -> None:
        program = f"""if True:
            import resource
            from jwt_auth_kit import PasslibHasher
            hasher = PasslibHasher(["werkzeug_scrypt"])
            resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
            for stored in (
                "scrypt:1048576:8:1$salt$" + "0" * 128,
                "$argon2id$v=19$m=1048576,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
            ):
                print(hasher.can_read(stored), hasher.verify({PASSWORD!r}, stored))
        """

        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        assert done.stdout.split() == ["True", "False"] * 2


class TestSpelling:
    @pytest.mark.parametrize("typed", ["e\u0301clair du matin", "\u212bngstr\u00f6m 1814"])
    @pytest.mark.parametrize(
        "make_hash",
        [short_bcrypt, generate_password_hash, argon2.PasswordHasher().hash],
        ids=["bcrypt", "Werkzeug", "argon2"],
    )
    async def test_a_password_that_was_hashed_as_typed_still_fits(
        self, make_hash: Callable[[str], str], typed: str
    ) -> None:
        kit = await kit_with(make_hash(typed), hasher=PasslibHasher())
        assert unicodedata.normalize("NFC", typed) != typed

        await kit.login("user0@example.com", typed)

    async def test_after_that_login_every_spelling_fits(self) -> None:
        typed = "e\u0301clair du matin"
        kit = await kit_with(short_bcrypt(typed), hasher=PasslibHasher())

        await kit.login("user0@example.com", typed)

        await kit.login("user0@example.com", unicodedata.normalize("NFC", typed))
        await kit.login("user0@example.com", typed)

    async def test_a_wrong_password_costs_the_same_in_every_account(self) -> None:
        counting = CountingHasher(PasslibHasher(primary=WEAK))
        kit = await kit_with(WEAK.hash(PASSWORD), short_bcrypt(PASSWORD), hasher=counting)

        for password, tries in (("e\u0301clair", 2), ("\u00e9clair", 1)):
            for address in ("user0@example.com", "user1@example.com", "nobody@example.com"):
                with pytest.raises(InvalidCredentials):
                    await kit.login(address, password)
                assert len(counting.checked) == tries
                counting.checked.clear()


class TestLongPasswords:
    @pytest.mark.parametrize("password", ["x" * 100, "é" * 50, "a" + "é" * 50])
    async def test_a_bcrypt_hash_of_the_first_72_bytes_is_replaced_by_one_of_the_whole(
        self, password: str
    ) -> None:
        kit = await kit_with(short_bcrypt(password.encode()[:72]), hasher=PasslibHasher())

        await kit.login("user0@example.com", password)

        with pytest.raises(InvalidCredentials):
            await kit.login("user0@example.com", password[:-1])
        await kit.login("user0@example.com", password)

    async def test_django_s_bcrypt_sha256_sees_the_whole(self) -> None:
        context = CryptContext(["django_bcrypt_sha256"], django_bcrypt_sha256__rounds=4)
        kit = await kit_with(context.hash("x" * 100), hasher=PasslibHasher())

        with pytest.raises(InvalidCredentials):
            await kit.login("user0@example.com", "x" * 99)
        await kit.login("user0@example.com", "x" * 100)

    @pytest.mark.parametrize("password", ["a\0b", "\0", "x" * 5_000, "", "\ud800"])
    @pytest.mark.parametrize(
        "password_hash", [PWDLIB_BCRYPT, *MADE_ELSEWHERE.values()], ids=count()
    )
    def test_no_password_breaks_an_old_hash(self, password_hash: str, password: str) -> None:
        if "1000000" not in password_hash:  # the slow ones are alike
            assert PasslibHasher(primary=WEAK).verify(password, password_hash) is False

    @pytest.mark.parametrize("make_hash", [generate_password_hash, argon2.PasswordHasher().hash])
    def test_a_nul_byte_is_a_character_like_others(self, make_hash: Callable[[str], str]) -> None:
        hasher = PasslibHasher(["werkzeug_scrypt"])

        assert hasher.verify("before\0after", make_hash("before\0after"))
        assert not hasher.verify("before\0", make_hash("before\0after"))
        assert not hasher.verify("before", make_hash("before\0after"))


class TestSchemes:
    @pytest.mark.parametrize(
        "scheme",
        ["plaintext", "ldap_plaintext", "roundup_plaintext", "PLAINTEXT", "ldap-plaintext"],
    )
    def test_a_scheme_that_stores_the_password_itself_is_refused(self, scheme: str) -> None:
        with pytest.raises(ConfigurationError, match="plaintext keeps passwords readable"):
            PasslibHasher(["bcrypt", scheme])

    def test_a_scheme_is_found_by_every_spelling_that_passlib_knows(self) -> None:
        password_hash = CryptContext(["sha512_crypt"]).hash(PASSWORD)

        assert PasslibHasher(["SHA512-Crypt"]).verify(PASSWORD, password_hash)

    def test_a_scheme_that_can_be_decrypted_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="cisco_type7 keeps passwords readable"):
            PasslibHasher(["cisco_type7"])

    @pytest.mark.parametrize("scheme", ["unix_disabled", "django_disabled"])
    def test_a_scheme_for_accounts_without_a_password_is_refused(self, scheme: str) -> None:
        with pytest.raises(ConfigurationError, match=f"{scheme} marks accounts without"):
            PasslibHasher([scheme])

    @pytest.mark.parametrize("scheme", ["postgres_md5", "oracle10", "msdcc", "htdigest"])
    def test_a_scheme_that_needs_the_user_s_name_is_refused(self, scheme: str) -> None:
        with pytest.raises(ConfigurationError, match=f"{scheme} needs the user's name"):
            PasslibHasher([scheme])

    def test_what_stands_in_the_table_opens_no_account_by_any_scheme_that_is_accepted(
        self,
    ) -> None:
        from passlib.registry import list_crypt_handlers

        for scheme in list_crypt_handlers():
            try:
                hasher = PasslibHasher([scheme], primary=WEAK)
            except ConfigurationError:
                continue
            stored = make_cheaply(scheme, "pässword")
            assert hasher.can_read(stored), scheme
            assert hasher.verify("pässword", stored), scheme
            assert not hasher.verify(stored, stored), scheme
            assert not hasher.verify("password", "password"), scheme

    @pytest.mark.parametrize(
        ("scheme", "password_hash"),
        [
            ("scrypt", "$scrypt$ln=24,r=8,p=1$W0uJ8T7nHIOQsjYmxHgPwQ$" + "A" * 43),
            ("phpass", "$P$Q" + "a" * 30),
            ("sha512_crypt", "$6$rounds=1000001$saltsalt$" + "a" * 86),
            ("sha256_crypt", "$5$rounds=1000001$saltsalt$" + "a" * 43),
            ("bsdi_crypt", "_zzz.saltKgl7BCJJe9s"),
            ("werkzeug_scrypt", "scrypt:2:1:8388608$salt$" + "0" * 128),
            ("werkzeug_scrypt", "scrypt:2:1:1025$salt$" + "0" * 128),
            ("werkzeug_scrypt", "scrypt:65536:1:1$salt$" + "0" * 128),
            ("django_scrypt", "scrypt$65536$salt$1$1$" + "A" * 86 + "=="),
            ("scrypt", "$scrypt$ln=16,r=1,p=1$W0uJ8T7nHIOQsjYmxHgPwQ$" + "A" * 43),
            ("django_scrypt", "scrypt$2097152$salt$4$2$" + "A" * 86 + "=="),
            ("django_bcrypt", "bcrypt$$2b$17$" + PWDLIB_BCRYPT[7:]),
            ("django_scrypt", "scrypt$16777216$salt$8$1$" + "A" * 86 + "=="),
            ("django_scrypt", "scrypt$16385$salt$8$1$" + "A" * 86 + "=="),
            ("werkzeug_scrypt", "scrypt:16384:8:999999999$salt$" + "0" * 128),
            ("werkzeug_pbkdf2", "pbkdf2:sha256:5000001$salt$" + "0" * 64),
            ("werkzeug_pbkdf2", "pbkdf2:sha256:0$salt$" + "0" * 64),
            ("werkzeug_pbkdf2", "pbkdf2:sha256:1000$salt$" + "0" * 63),
            ("werkzeug_pbkdf2", "pbkdf2:sha256:1000$salt$" + "0" * 62),
            ("werkzeug_pbkdf2", "pbkdf2:sha256:1000$$" + "0" * 64),
            ("bcrypt", PWDLIB_BCRYPT[:29]),
            ("bcrypt", "$2x$04$" + PWDLIB_BCRYPT[7:]),
        ],
    )
    def test_a_hash_that_is_broken_or_would_take_minutes_is_not_read(
        self, scheme: str, password_hash: str
    ) -> None:
        hasher = PasslibHasher([scheme], primary=WEAK)

        assert hasher.can_read(password_hash) is False
        assert hasher.verify(PASSWORD, password_hash) is False
        assert hasher.needs_rehash(password_hash) is True

    @pytest.mark.parametrize(
        ("missing", "schemes", "told"),
        [
            ("passlib", ["werkzeug_scrypt", "werkzeug_pbkdf2", "django_argon2"], "made"),
            ("passlib", ["django_scrypt", "bcrypt"], "needs passlib for bcrypt: pip install"),
            ("bcrypt", ["pbkdf2_sha256"], "made"),
            ("bcrypt", ["pbkdf2_sha256", "django_bcrypt"], "django_bcrypt needs a package"),
        ],
    )
    def test_what_is_not_installed_is_asked_for_at_the_start(
        self, missing: str, schemes: list[str], told: str
    ) -> None:
        program = f"""if True:
            import sys
            sys.modules[{missing!r}] = None
            from jwt_auth_kit import ConfigurationError, PasslibHasher
            try:
                PasslibHasher({schemes!r})
            except ConfigurationError as error:
                print(error)
            else:
                print("made")
        """

        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        assert told in done.stdout
