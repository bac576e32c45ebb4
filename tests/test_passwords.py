"""Password hashes: how strong they are, which old ones still count, and where they are made."""

import asyncio
import base64
import hashlib
import threading
import time
import unicodedata
from collections.abc import Callable

import argon2
import pytest
from anyio.to_thread import run_sync
from passlib import hash as old_hashes

from jwt_auth_kit import Argon2Hasher, Busy, ConfigurationError, PasslibHasher, PasswordHasher
from jwt_auth_kit.passwords.hashers import Passwords

PASSWORD = "correct horse battery staple"


class TestArgon2Hasher:
    def test_a_hash_has_at_least_the_parameters_owasp_asks_for(self) -> None:
        parameters = argon2.extract_parameters(Argon2Hasher().hash(PASSWORD))

        assert parameters.type is argon2.Type.ID
        assert parameters.version == 19
        assert (parameters.memory_cost, parameters.time_cost) == (19_456, 2)
        assert parameters.parallelism == 1
        assert parameters.salt_len >= 16
        assert parameters.hash_len >= 32

    @pytest.mark.parametrize(
        "parameters",
        [{"memory_cost": 19_455}, {"memory_cost": 8}, {"time_cost": 1}, {"time_cost": 0}],
    )
    def test_weaker_parameters_are_refused(self, parameters: dict[str, int]) -> None:
        with pytest.raises(ConfigurationError, match="19456"):
            Argon2Hasher(**parameters)

    def test_stronger_parameters_are_used(self) -> None:
        hasher = Argon2Hasher(memory_cost=20_000, time_cost=3, parallelism=2)

        parameters = argon2.extract_parameters(hasher.hash(PASSWORD))

        assert (parameters.memory_cost, parameters.time_cost) == (20_000, 3)
        assert parameters.parallelism == 2

    def test_the_right_password_passes_and_another_does_not(self) -> None:
        hasher = Argon2Hasher.weak_for_tests()

        password_hash = hasher.hash(PASSWORD)

        assert hasher.verify(PASSWORD, password_hash)
        assert not hasher.verify(PASSWORD + " ", password_hash)
        assert not hasher.verify(PASSWORD.upper(), password_hash)
        assert not hasher.verify("", password_hash)

    def test_two_hashes_of_one_password_differ(self) -> None:
        hasher = Argon2Hasher.weak_for_tests()

        assert hasher.hash(PASSWORD) != hasher.hash(PASSWORD)

    @pytest.mark.parametrize("start", ["x" * 127, "x" * 5_000, "a\0b"])
    def test_no_password_is_cut_off(self, start: str) -> None:
        hasher = Argon2Hasher.weak_for_tests()

        password_hash = hasher.hash(start + "1")

        assert hasher.verify(start + "1", password_hash)
        assert not hasher.verify(start + "2", password_hash)
        assert not hasher.verify(start, password_hash)

    @pytest.mark.parametrize(
        "password_hash",
        [
            *("", "!", "*", PASSWORD, "\0", "$", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$"),
            *("$argon2id$v=19$m=x,t=2,p=1$c2FsdHNhbHQ$aGFzaA", "$argon2x$v=19$m=8,t=1,p=1$YQ$YQ"),
            *("$2b$12$abcdefghijklmnopqrstuv", "pbkdf2_sha256$1$a$b", "{SHA}2jmj7l5rSw0yVb", "é"),
            *("$argon2id$é", "x" * 100_000),
        ],
        ids=lambda text: repr(text[:30]),
    )
    def test_a_hash_of_an_unknown_kind_matches_nothing(self, password_hash: str) -> None:
        hasher = Argon2Hasher.weak_for_tests()

        assert hasher.verify(PASSWORD, password_hash) is False
        assert hasher.needs_rehash(password_hash) is True

    def test_hashes_with_other_parameters_are_to_be_replaced(self) -> None:
        hasher = Argon2Hasher()

        assert not hasher.needs_rehash(hasher.hash(PASSWORD))
        assert hasher.needs_rehash(Argon2Hasher.weak_for_tests().hash(PASSWORD))
        assert hasher.needs_rehash(argon2.PasswordHasher(type=argon2.Type.I).hash(PASSWORD))

    @pytest.mark.parametrize(
        "parameters",
        [
            *("m=65536,t=3,p=4", "m=102400,t=2,p=8", "m=65536,t=4,p=1", "m=19456,t=2,p=4"),
            *("m=19457,t=2,p=1", "m=19456,t=3,p=1", "m=47104,t=1,p=1", "m=12288,t=3,p=1"),
            *("m=7168,t=5,p=1", "m=1048576,t=2,p=64", "m=104857,t=20,p=1"),
        ],
    )
    def test_a_stronger_hash_is_kept(self, parameters: str) -> None:
        assert not Argon2Hasher().needs_rehash(encoded(parameters))

    @pytest.mark.parametrize(
        "parameters",
        [
            *("m=19455,t=2,p=1", "m=19456,t=1,p=1", "m=16384,t=2,p=8", "m=512,t=2,p=2"),
            *("m=4096,t=3,p=1", "m=8,t=20,p=1", "m=40000,t=1,p=1", "m=7167,t=5,p=1"),
        ],
    )
    def test_a_weaker_hash_is_to_be_replaced(self, parameters: str) -> None:
        assert Argon2Hasher().needs_rehash(encoded(parameters))

    @pytest.mark.parametrize(
        "password_hash",
        [
            lambda: encoded("m=65536,t=3,p=4", kind="argon2i"),
            lambda: encoded("m=65536,t=3,p=4", kind="argon2d"),
            lambda: encoded("m=65536,t=3,p=4", version="v=16"),
            lambda: encoded("m=65536,t=3,p=4").replace("v=19$", ""),
            lambda: encoded("m=19456,t=2,p=1", salt=15),
            lambda: encoded("m=19456,t=2,p=1", tag=31),
        ],
    )
    def test_an_older_kind_of_argon2_is_to_be_replaced(
        self, password_hash: Callable[[], str]
    ) -> None:
        assert Argon2Hasher().needs_rehash(password_hash())

    @pytest.mark.parametrize(
        "password_hash",
        [
            lambda: argon2.PasswordHasher(21, 8, 1).hash(PASSWORD),
            lambda: argon2.PasswordHasher(1, 8 * 65, 65).hash(PASSWORD),
            lambda: encoded("m=1048577,t=1,p=1"),
            lambda: encoded("m=1048576,t=3,p=1"),
            lambda: encoded("m=104858,t=20,p=1"),
        ],
    )
    def test_a_hash_that_may_cost_gigabytes_or_minutes_is_not_checked(
        self, password_hash: Callable[[], str]
    ) -> None:
        assert Argon2Hasher().verify(PASSWORD, password_hash()) is False
        assert Argon2Hasher().needs_rehash(password_hash())

    def test_a_cost_that_the_application_chose_is_never_too_much(self) -> None:
        hasher = Argon2Hasher(time_cost=21)

        password_hash = hasher.hash(PASSWORD)

        assert hasher.verify(PASSWORD, password_hash)
        assert not hasher.needs_rehash(password_hash)

    def test_memory_times_passes_may_be_what_the_application_chose(self) -> None:
        hasher = Argon2Hasher(memory_cost=2**20, time_cost=4)

        assert hasher.can_read(encoded("m=1048576,t=4,p=1"))
        assert not hasher.can_read(encoded("m=1048576,t=5,p=1"))


def encoded(
    parameters: str, *, kind: str = "argon2id", version: str = "v=19", salt: int = 16, tag: int = 32
) -> str:
    """Write an argon2 hash of nothing, which costs nothing to make."""
    salt_text, tag_text = (
        base64.b64encode(b"x" * length).decode().rstrip("=") for length in (salt, tag)
    )
    return f"${kind}${version}${parameters}${salt_text}${tag_text}"


def bcrypt(password: str) -> str:
    return str(old_hashes.bcrypt.using(rounds=4).hash(password))


def pbkdf2_sha256(password: str) -> str:
    return str(old_hashes.pbkdf2_sha256.using(rounds=10).hash(password))


def sha512_crypt(password: str) -> str:
    return str(old_hashes.sha512_crypt.using(rounds=1000).hash(password))


def django_pbkdf2_sha256(password: str) -> str:
    """Written as Django does it, without passlib."""
    tag = hashlib.pbkdf2_hmac("sha256", password.encode(), b"saltsalt", 10)
    return f"pbkdf2_sha256$10$saltsalt${base64.b64encode(tag).decode()}"


class TestPasslibHasher:
    @pytest.mark.parametrize(
        "make_old_hash", [bcrypt, pbkdf2_sha256, sha512_crypt, django_pbkdf2_sha256]
    )
    def test_an_old_hash_still_counts_and_is_to_be_replaced(
        self, make_old_hash: Callable[[str], str]
    ) -> None:
        hasher = PasslibHasher(primary=Argon2Hasher.weak_for_tests())

        old_hash = make_old_hash(PASSWORD)

        assert hasher.verify(PASSWORD, old_hash) is True
        assert hasher.verify("another password", old_hash) is False
        assert hasher.needs_rehash(old_hash) is True

    def test_new_hashes_are_argon2id_and_stay(self) -> None:
        hasher = PasslibHasher()

        new_hash = hasher.hash(PASSWORD)

        assert new_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert hasher.verify(PASSWORD, new_hash)
        assert not hasher.verify("another password", new_hash)
        assert not hasher.needs_rehash(new_hash)

    @pytest.mark.parametrize("password", ["x" * 73, "é" * 37, "x" * 128])
    def test_of_a_long_password_bcrypt_sees_the_first_72_bytes(self, password: str) -> None:
        hasher = PasslibHasher(primary=Argon2Hasher.weak_for_tests())
        truncated = old_hashes.bcrypt.using(rounds=4).hash(password.encode()[:72])

        assert hasher.verify(password, truncated) is True
        assert hasher.verify("y" + password[1:], truncated) is False
        assert hasher.verify(password, bcrypt(PASSWORD)) is False

    @pytest.mark.parametrize("password", ["a\0b", "", "x" * 72])
    @pytest.mark.parametrize("make_old_hash", [bcrypt, sha512_crypt])
    def test_a_strange_password_breaks_no_old_hash(
        self, make_old_hash: Callable[[str], str], password: str
    ) -> None:
        hasher = PasslibHasher(primary=Argon2Hasher.weak_for_tests())

        assert hasher.verify(password, make_old_hash(PASSWORD)) is False

    @pytest.mark.parametrize(
        "password_hash",
        ["", "!", "é", "$2b$12$", "$2b$12$tooshort", "$6$", "pbkdf2_sha256$", "$pbkdf2-sha256$"],
    )
    def test_a_broken_hash_matches_nothing(self, password_hash: str) -> None:
        hasher = PasslibHasher(primary=Argon2Hasher.weak_for_tests())

        assert hasher.verify(PASSWORD, password_hash) is False
        assert hasher.needs_rehash(password_hash) is True

    def test_only_the_named_schemes_count(self) -> None:
        hasher = PasslibHasher(["bcrypt"], primary=Argon2Hasher.weak_for_tests())

        assert hasher.verify(PASSWORD, bcrypt(PASSWORD))
        assert not hasher.verify(PASSWORD, sha512_crypt(PASSWORD))

    def test_one_scheme_without_a_list_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"PasslibHasher\(\['bcrypt'\]\)"):
            PasslibHasher("bcrypt")

    @pytest.mark.parametrize("schemes", [["no_such_scheme"], ["bcrypt", "rot13"]])
    def test_an_unknown_scheme_is_refused_by_name(self, schemes: list[str]) -> None:
        with pytest.raises(ConfigurationError, match=schemes[-1]):
            PasslibHasher(schemes)


class CountingHasher:
    """Takes 5 ms in a thread, and counts how many do so at once and what was checked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self.most_at_once = 0
        self.verified: list[tuple[str, str]] = []

    def hash(self, password: str) -> str:
        self._work()
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        self._work()
        self.verified.append((password, password_hash))
        return password_hash == f"hash of {password}"

    def needs_rehash(self, password_hash: str) -> bool:
        return False

    def _work(self) -> None:
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        time.sleep(0.005)
        with self._lock:
            self._running -= 1


class GatedHasher:
    """Hashes wait until the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def hash(self, password: str) -> str:
        self.entered.set()
        self.gate.wait(timeout=5)
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        return self.hash(password) == password_hash

    def needs_rehash(self, password_hash: str) -> bool:
        return False

    def close(self) -> None:
        self.gate.clear()
        self.entered.clear()


class TestPasswords:
    @pytest.mark.parametrize(
        ("typed", "typed_elsewhere"),
        [("\u00e9clair 12", "e\u0301clair 12"), ("\u00c5ngstr\u00f6m", "A\u030angstro\u0308m")],
    )
    async def test_the_same_keys_give_the_same_password_on_every_system(
        self, typed: str, typed_elsewhere: str
    ) -> None:
        passwords = Passwords(Argon2Hasher.weak_for_tests())

        first, second = await passwords.hash(typed), await passwords.hash(typed_elsewhere)

        assert typed != typed_elsewhere
        assert await passwords.verify(typed_elsewhere, first)
        assert await passwords.verify(typed, second)

    async def test_letters_that_only_look_alike_stay_different(self) -> None:
        passwords = Passwords(Argon2Hasher.weak_for_tests())

        password_hash = await passwords.hash("\ufb01le \u00b2 \uff46ull")

        assert unicodedata.normalize("NFKC", "\ufb01le \u00b2 \uff46ull") == "file 2 full"
        assert not await passwords.verify("file 2 full", password_hash)

    async def test_without_a_hash_the_time_of_a_real_one_is_taken(self) -> None:
        hasher = CountingHasher()
        passwords = Passwords(hasher)

        matches = await passwords.verify(PASSWORD, None)

        assert matches is False
        assert len(hasher.verified) == 1

    async def test_the_decoy_has_the_parameters_of_new_hashes(self) -> None:
        checked: list[str] = []

        class Recording(Argon2Hasher):
            def verify(self, password: str, password_hash: str) -> bool:
                checked.append(password_hash)
                return super().verify(password, password_hash)

        hasher = Recording(memory_cost=20_000, time_cost=3)

        assert not await Passwords(hasher).verify(PASSWORD, None)

        assert argon2.extract_parameters(checked[0]) == argon2.extract_parameters(hasher.hash("x"))

    @pytest.mark.parametrize("absent", [None, ""])
    async def test_no_password_opens_an_account_that_has_none(self, absent: str | None) -> None:
        hasher = CountingHasher()
        passwords = Passwords(hasher)
        await passwords.verify("anything", None)
        decoy = hasher.verified[0][1].removeprefix("hash of ")

        assert await passwords.verify(decoy, absent) is False
        assert await passwords.verify("", absent) is False

    async def test_a_hash_to_replace_is_known(self) -> None:
        passwords = Passwords(Argon2Hasher())

        assert passwords.needs_rehash(Argon2Hasher.weak_for_tests().hash(PASSWORD))
        assert not passwords.needs_rehash(await passwords.hash(PASSWORD))

    async def test_the_event_loop_is_free_while_a_password_is_hashed(self) -> None:
        hasher = GatedHasher()
        passwords = Passwords(hasher)
        hasher.close()

        hashing = asyncio.create_task(passwords.hash(PASSWORD))
        await run_sync(hasher.entered.wait)
        done_before_the_gate_opened = hashing.done()
        hasher.gate.set()

        assert await hashing == f"hash of {PASSWORD}"
        assert not done_before_the_gate_opened

    @pytest.mark.parametrize("hasher", [Argon2Hasher(), PasslibHasher()])
    async def test_a_heartbeat_goes_on_while_real_hashes_are_made(
        self, hasher: PasswordHasher
    ) -> None:
        passwords = Passwords(hasher)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        heart = asyncio.create_task(beat())
        await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(4)))
        heart.cancel()

        assert beats > 100

    @pytest.mark.parametrize("threads", [1, 3])
    async def test_only_so_many_passwords_are_hashed_at_once(self, threads: int) -> None:
        hasher = CountingHasher()
        passwords = Passwords(hasher, threads=threads)

        await asyncio.gather(*(passwords.verify(PASSWORD, None) for _ in range(12)))

        assert hasher.most_at_once == threads

    async def test_a_full_queue_answers_at_once_and_recovers(self) -> None:
        hasher = GatedHasher()
        passwords = Passwords(hasher, threads=1, queue=2)
        hasher.close()
        waiting = [await started(passwords) for _ in range(3)]

        with pytest.raises(Busy):
            await passwords.verify(PASSWORD, None)
        with pytest.raises(Busy):
            await passwords.hash(PASSWORD)

        hasher.gate.set()
        assert await asyncio.gather(*waiting) == [f"hash of {PASSWORD}"] * 3
        assert await passwords.hash("later") == "hash of later"

    async def test_a_burst_within_one_moment_does_not_get_past_the_queue(self) -> None:
        hasher = GatedHasher()
        passwords = Passwords(hasher, threads=1, queue=2)
        hasher.close()

        burst = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(20)]
        await run_sync(hasher.entered.wait)
        hasher.gate.set()
        answers = await asyncio.gather(*burst, return_exceptions=True)

        assert sum(isinstance(answer, Busy) for answer in answers) == 17

    async def test_a_caller_who_leaves_frees_the_place_in_the_queue(self) -> None:
        hasher = GatedHasher()
        passwords = Passwords(hasher, threads=1, queue=1)
        hasher.close()
        first, second = await started(passwords), await started(passwords)

        second.cancel()
        await asyncio.wait([second])
        third = await started(passwords)
        hasher.gate.set()

        assert await first == await third == f"hash of {PASSWORD}"

    def test_one_pool_serves_one_event_loop_after_another(self) -> None:
        passwords = Passwords(Argon2Hasher.weak_for_tests(), threads=1)

        password_hash = asyncio.run(passwords.hash(PASSWORD))

        assert asyncio.run(passwords.verify(PASSWORD, password_hash))


async def started(passwords: Passwords) -> asyncio.Task[str]:
    """Begin to hash a password, and give the task time to reach a thread or the queue."""
    task = asyncio.create_task(passwords.hash(PASSWORD))
    for _ in range(5):
        await asyncio.sleep(0)
    return task
