"""The password policy: what is refused, with which reason, and what it must let pass."""

import os
import random
import string
import subprocess
import sys
import time
import unicodedata
from importlib.resources import files
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_auth_kit.errors import ConfigurationError
from jwt_auth_kit.passwords.policy import PasswordPolicy, WeakPassword, WeakReason

GOOD = "correct horse battery"
LISTED = (
    (files("jwt_auth_kit.passwords") / "common_passwords.txt").read_text("utf-8").split("\n")[:-1]
)
ADA = ("ada.lovelace+news@analytical.example", "Countess Ada King", None, "")


async def refusal(
    password: str, policy: PasswordPolicy | None = None, *personal: str | None
) -> str | None:
    """Return the reason for which a password is refused, or None."""
    try:
        await (policy or PasswordPolicy()).check(password, personal=personal)
    except WeakPassword as error:
        return error.reason
    return None


class TestLength:
    @pytest.mark.parametrize(
        "password",
        [
            "korrekte",
            "   k  o    r",
            " \t\n\0 \x7f z",
            "Zażółć gęślą",
            "🐎🔋📎🌵🐙🚲🎻🧊",
            "馬電池釘正確階段",
            "k" + "\u0301\u0316\u0327\u0330" * 2,
            "".join(random.Random(1).choices(string.printable, k=128)),
        ],
    )
    async def test_any_characters_will_do(self, password: str) -> None:
        assert await refusal(password) is None

    @pytest.mark.parametrize(
        ("length", "reason"), [(0, "too_short"), (14, "too_short"), (15, None), (70, None)]
    )
    async def test_the_shortest_and_the_longest_are_accepted(
        self, length: int, reason: str | None
    ) -> None:
        policy = PasswordPolicy(min_length=15, max_length=70)
        text = "".join(random.Random(2).choices(string.ascii_letters, k=71))

        assert await refusal(text[:length], policy) == reason
        assert await refusal(text, policy) == "too_long"

    async def test_a_letter_counts_once_however_it_was_typed(self) -> None:
        letters = "éàüñçåôî"
        typed_elsewhere = unicodedata.normalize("NFD", letters)

        assert len(typed_elsewhere) == 16
        assert await refusal(typed_elsewhere) is None
        assert await refusal(typed_elsewhere[:-2]) == "too_short"

    async def test_128_letters_of_four_code_points_each_are_128_characters(self) -> None:
        of_four = [sign for sign in map(chr, range(0x1F80, 0x1FB0)) if len(decomposed(sign)) == 4]
        password = decomposed("".join(random.Random(3).choices(of_four, k=128)))

        assert len(password) == 4 * 128
        assert await refusal(password) is None

    def test_no_character_has_more_than_four_code_points(self) -> None:
        assert max(len(decomposed(chr(point))) for point in range(sys.maxunicode + 1)) == 4

    async def test_a_megabyte_of_accents_takes_no_time(self) -> None:
        password = "k" + "\u0301" * 500_000 + "\u0316" * 500_000
        begin = time.thread_time()

        assert await refusal(password) == "too_long"

        assert time.thread_time() - begin < 1

    @pytest.mark.parametrize(
        ("lengths", "cure"),
        [
            ({"min_length": 7}, "use 8 or more"),
            ({"max_length": 63}, "use 64 or more"),
            ({"min_length": 129}, "use a min_length below max_length"),
        ],
    )
    def test_an_impossible_length_is_refused_with_the_cure(
        self, lengths: dict[str, int], cure: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=cure):
            PasswordPolicy(**lengths)  # type: ignore[arg-type]  # mypy mixes the fields up

    def test_the_extreme_lengths_are_possible(self) -> None:
        assert PasswordPolicy(min_length=64, max_length=64).max_length == 64


class TestCommon:
    async def test_every_listed_password_is_refused_in_any_case(self) -> None:
        accepted = [
            entry
            for entry in LISTED
            if await refusal(entry) != "too_common" or await refusal(entry.upper()) != "too_common"
        ]

        assert accepted == []

    def test_the_list_has_enough_entries_that_could_be_passwords(self) -> None:
        folded = [unicodedata.normalize("NFC", entry.casefold()) for entry in LISTED]

        assert len(LISTED) >= 8_000
        assert len(set(folded)) == len(LISTED)
        assert folded == LISTED
        assert all(len(entry) >= 8 and entry == entry.strip() for entry in LISTED)

    def test_the_most_common_come_first(self) -> None:
        assert LISTED[:3] == ["123456789", "password", "12345678"]

    @pytest.mark.parametrize(
        "password",
        ["Password1", "PASSWORD", "iLoveYou", "Password2024!", "(football)", "pass word 99 !"],
    )
    async def test_digits_and_capitals_make_no_other_password(self, password: str) -> None:
        assert await refusal(password) == "too_common"

    @pytest.mark.parametrize(
        "password",
        ["aaaaaaaaaaaa", "🐎🐎🐎🐎🐎🐎🐎🐎", "abcabcabcabc", "kX9kX9kX9kX", "hello Hello hello",
         "passwordpassword", "Football#9football#9", "Trustno1Trustno1Trustno1", "q7#q7#" * 21],
    )  # fmt: skip
    async def test_repeating_adds_nothing(self, password: str) -> None:
        assert await refusal(password) == "too_common"

    @pytest.mark.parametrize(
        "password",
        ["abcdefghijklmnop", "ZYXWVUTSRQ", "12345678901234567", "qwertzuiop", "mlkjhgfdsq",
         "qwertyasdfgh", "1qaz2wsx3edc4rfv", "1Q2w3E4r5T6y7U", "!@#$%^&*()", "абвгдежз",
         "aaabbbcccddd", "112233445566778899", "wxyz7654"],
    )  # fmt: skip
    async def test_a_walk_on_the_alphabet_or_the_keyboard_is_refused(self, password: str) -> None:
        assert await refusal(password) == "too_common"

    @pytest.mark.parametrize(
        "password",
        [
            GOOD,
            "my password is long",
            "iloveyou more than tea",
            "football, then qwertyuiop",
            "abcabcabc says the parrot",
            "correct horse correct horse",
            "tomato-tom",
            "Tr0ub4dor&3",
            "pioneered",
            "sassafras",
        ],
    )
    async def test_a_passphrase_may_contain_what_alone_is_refused(self, password: str) -> None:
        assert await refusal(password) is None

    @pytest.mark.parametrize("length", [10, 12, 20, 64])
    async def test_what_a_password_manager_makes_is_accepted(self, length: int) -> None:
        dice = random.Random(4)
        made = ["".join(dice.choices(string.printable[:94], k=length)) for _ in range(2_000)]

        assert [password for password in made if await refusal(password)] == []

    def test_the_list_is_read_once_and_not_before_it_is_needed(self) -> None:
        program = """if True:
            import asyncio, sys
            opened = []
            def watch(event, arguments):
                if event == "open" and str(arguments[0]).endswith("common_passwords.txt"):
                    opened.append(arguments[0])
            sys.addaudithook(watch)
            from jwt_auth_kit.passwords.policy import PasswordPolicy
            policy = PasswordPolicy()
            print(len(opened))
            for _ in range(3):
                asyncio.run(policy.check("correct horse battery"))
            print(len(opened))
        """

        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        assert done.stdout.split() == ["0", "1"]


class TestPersonal:
    @pytest.mark.parametrize(
        "password",
        [
            "ada.lovelace+news@analytical.example",
            "Ada.Lovelace+News@Analytical.Example!",
            "AdaLovelace1815!",
            "ada lovelace",
            "10-Ada_12 Love(lace)",
            "adalovelacenews",
            "CountessAdaKing",
            "countess ada king 1852",
            "Lovelace1815",
            "Analytical!1",
            "countess#1",
        ],
    )
    async def test_a_name_with_digits_is_no_password(self, password: str) -> None:
        assert await refusal(password, None, *ADA) == "personal"
        assert await refusal(password) is None

    @pytest.mark.parametrize(
        "password",
        [
            "ada ada 1815 1852 ada",
            "Ada12345!9",
            "king7130954!",
            "lovelace lovelace engine",
            "the countess of lovelace",
            "adalovelacf1815",
            "ecalevol ada 1815",
        ],
    )
    async def test_a_passphrase_may_contain_a_name(self, password: str) -> None:
        people = ("ada.lovelace@example.com", "Ada K.")

        assert await refusal(password, None, *people) is None

    @pytest.mark.parametrize(
        ("known", "password"),
        [
            ("13800138000@mail.example", "13800138000"),
            ("13800138000@mail.example", "+138 0013 8000 !!"),
            ("x7301948265", "x7301948265#1"),
            ("Łukasz Żółć", "łukaszŻÓŁĆ9!"),
            ("Maria Straße", "MARIASTRASSE1"),
            (unicodedata.normalize("NFD", "Zoë Ångström"), "zoëångström77"),
            ("愛田智美@mail.example", "愛田智美!1999"),
        ],
    )
    async def test_names_of_every_kind_are_known(self, known: str, password: str) -> None:
        assert await refusal(password, None, known) == "personal"
        assert await refusal(password) is None

    @pytest.mark.parametrize(
        ("known", "password"),
        [
            ("13800138000", "13800138042 1"),
            ("13800138000", "13800138000 tea"),
            ("x7301948265", "x7301948256#"),
            ("ada", "ada18150101"),
            ("......", "9!#4$(7)2%"),
            ("a.b!", "a9204-7719b"),
            ("", "41927-70324"),
            ("@", "41927-70324"),
        ],
    )
    async def test_short_and_other_words_do_not_count(self, known: str, password: str) -> None:
        assert await refusal(password, None, known) is None

    async def test_words_of_the_application_are_refused_the_same_way(self) -> None:
        policy = PasswordPolicy(forbidden_words=["acme", "Anvil Works", "ibm"])

        assert await refusal("Acme2024!", policy) == "personal"
        assert await refusal("anvilworks#1", policy) == "personal"
        assert await refusal("acme sells anvils", policy) is None
        assert await refusal("ibm-70324-x", policy) is None

    def test_one_word_without_a_list_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="list of words"):
            PasswordPolicy(forbidden_words="acme")


class TestBreached:
    async def test_the_hook_decides_with_what_would_be_hashed(self) -> None:
        asked: list[str] = []

        async def is_breached(password: str) -> bool:
            asked.append(password)
            return password == "Éclair À la Carte "

        policy = PasswordPolicy(is_breached=is_breached)

        assert await refusal(decomposed("Éclair À la Carte "), policy) == "breached"
        assert await refusal(decomposed("Éclair À la Carte"), policy) is None
        assert asked == ["Éclair À la Carte ", "Éclair À la Carte"]

    @pytest.mark.parametrize("password", ["short", "password", "k" * 3_000, "Ada.Lovelace 1"])
    async def test_the_hook_is_not_asked_about_what_is_refused_anyway(self, password: str) -> None:
        asked: list[str] = []

        async def is_breached(password: str) -> bool:
            asked.append(password)
            return True

        assert await refusal(password, PasswordPolicy(is_breached=is_breached), *ADA)
        assert asked == []

    async def test_what_the_hook_raises_reaches_the_caller(self) -> None:
        async def is_breached(password: str) -> bool:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            await PasswordPolicy(is_breached=is_breached).check(GOOD)


class TestRefusal:
    @pytest.mark.parametrize(
        ("password", "reason", "sentence"),
        [
            ("hunter2", "too_short", "has 8 to 128 characters"),
            ("hunter2!" * 17, "too_long", "has 8 to 128 characters"),
            ("Hunter2" * 18, "too_common", "too easy to guess"),
            ("Lovelace1815", "personal", "more than a name"),
            (GOOD, "breached", "stolen passwords"),
        ],
    )
    async def test_it_says_why_and_never_what(
        self, password: str, reason: str, sentence: str
    ) -> None:
        async def is_breached(password: str) -> bool:
            return True

        with pytest.raises(WeakPassword, match=sentence) as caught:
            await PasswordPolicy(is_breached=is_breached).check(password, personal=ADA)

        assert caught.value.reason == reason
        assert isinstance(caught.value, ValueError)
        assert password[:8].lower() not in f"{caught.value} {caught.value!r}".lower()


# No method: the plugin of anyio 4.11 and 4.12 cannot call one that hypothesis repeats.
@given(password=st.text(st.characters(), max_size=200), known=st.text(st.characters()))
async def test_no_text_breaks_the_policy(password: str, known: str) -> None:
    policy = PasswordPolicy(forbidden_words=[known[::-1]])

    assert await refusal(password, policy, known) in {None, *get_args(WeakReason)}


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)
