"""Which passwords people may choose: one policy for registering, changing and resetting."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Literal

from .errors import AuthError, ConfigurationError
from .passwords import normalize_password
from .trusted_values import TrustedValue

WeakReason = Literal["too_short", "too_long", "too_common", "personal", "breached"]

LEAST_CHARACTERS = 8  # ASVS 6.2.1, NIST SP 800-63B section 3.1.1.2
ALWAYS_ACCEPTED = 64  # characters; ASVS 6.2.9
LEAST_WORD = 4  # letters and digits; shorter words are in too many good passwords
LONGEST_UNIT = 32  # characters; what is repeated is looked for no further
RUN_LENGTH = 4  # characters; with 3, pioneered and Stuttgart would be runs
KEYBOARDS = """
    1234567890 !@#$%^&*()
    qwertyuiop asdfghjkl zxcvbnm
    qwertzuiop yxcvbnm
    azertyuiop qsdfghjklm wxcvbn
    1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik
    1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6u7i8o9p0
"""
"""Ways that fingers walk: rows of three layouts, columns, and zigzags with the digits."""

KEY_STEPS = frozenset(
    step for row in KEYBOARDS.split() for a, b in pairwise(row) for step in (a + b, b + a)
)


class WeakPassword(AuthError, ValueError):
    """422: a password that must not be chosen; as text it is one sentence for people.

    Neither the text nor *reason* holds the password.
    """

    status = 422
    code = "weak_password"
    message = "This password is not accepted"

    def __init__(self, reason: WeakReason = "too_common", sentence: str | None = None) -> None:
        super().__init__(sentence)
        self.reason: WeakReason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy(TrustedValue):
    """What a new password must be; any characters will do, and none must be there.

    It looks at a password and changes nothing in it. Lengths are code points after NFC.

    Args:
        min_length: 15 is better where the password is the only factor (NIST SP 800-63B).
        max_length: longer ones are refused, never truncated.
        forbidden_words: words of the application, such as its name.
        is_breached: asks a list of stolen passwords; what it raises reaches the caller.

    Raises:
        ConfigurationError: a length is impossible; the message holds the cure.
    """

    min_length: int = LEAST_CHARACTERS
    max_length: int = 128
    forbidden_words: Collection[str] = ()
    is_breached: Callable[[str], Awaitable[bool]] | None = None

    def __post_init__(self) -> None:
        if self.min_length < LEAST_CHARACTERS:
            raise ConfigurationError(
                f"PasswordPolicy(min_length={self.min_length}) lets passwords be guessed: "
                f"use {LEAST_CHARACTERS} or more, best 15."
            )
        if self.max_length < ALWAYS_ACCEPTED:
            raise ConfigurationError(
                f"PasswordPolicy(max_length={self.max_length}) keeps good passphrases out: "
                f"use {ALWAYS_ACCEPTED} or more."
            )
        if self.min_length > self.max_length:
            raise ConfigurationError(
                f"PasswordPolicy(min_length={self.min_length}, max_length={self.max_length}) "
                "accepts nothing: use a min_length below max_length."
            )
        if isinstance(self.forbidden_words, str):
            raise ConfigurationError(
                "PasswordPolicy(forbidden_words=...) is a list of words: put the word in [...]."
            )

    async def check(self, password: str, *, personal: Collection[str | None] = ()) -> None:
        """Return if *password* may be chosen by somebody about whom *personal* is known.

        Args:
            personal: e-mail address, display name ...; None is skipped.

        Raises:
            WeakPassword: it may not.
        """
        text = self._require_length(password)
        folded = _fold(text)
        if _is_common(folded):
            raise WeakPassword(
                "too_common", "this password is too easy to guess: it is common or only a pattern"
            )
        if any(_is_made_of(folded, word) for word in _words(*personal, *self.forbidden_words)):
            raise WeakPassword(
                "personal",
                "a password is more than a name, an e-mail address or a word of this application",
            )
        if self.is_breached is not None and await self.is_breached(text):
            raise WeakPassword("breached", "this password was found in a list of stolen passwords")

    def _require_length(self, password: str) -> str:
        sentence = f"a password has {self.min_length} to {self.max_length} characters"
        # NFC puts a row of combining marks in order in quadratic time, so megabytes of them would
        # hold up the event loop. It joins at most four code points into one: more than this many
        # are too many for certain.
        if len(password) > 4 * self.max_length:
            raise WeakPassword("too_long", sentence)
        text = normalize_password(password)
        if len(text) > self.max_length:
            raise WeakPassword("too_long", sentence)
        if len(text) < self.min_length:
            raise WeakPassword("too_short", sentence)
        return text


def _fold(text: str) -> str:
    return normalize_password(text.casefold())


def _is_common(password: str) -> bool:
    """Tell whether *password* is listed or a pattern; digits around a listed one add nothing."""
    unit = _repeated_unit(password)
    return (
        len(unit) < LEAST_CHARACTERS
        or _is_run(password)
        or not _common_passwords().isdisjoint((password, unit, _letters(unit)))
    )


def _repeated_unit(text: str) -> str:
    """Return the shortest text that gives *text* when it is repeated: abc for abcabcab."""
    for length in range(1, min(len(text) // 2, LONGEST_UNIT) + 1):
        if text.startswith(text[length:]):
            return text[:length]
    return text


def _is_run(text: str) -> bool:
    """Tell whether *text* walks along an alphabet or a keyboard, with few leaps."""
    leaps = sum(abs(ord(a) - ord(b)) > 1 and a + b not in KEY_STEPS for a, b in pairwise(text))
    return len(text) >= RUN_LENGTH * (leaps + 1)


@cache
def _common_passwords() -> frozenset[str]:
    """Return the list, which common_passwords.LICENSE.txt describes."""
    path = files("jwt_auth_kit") / "common_passwords.txt"
    return frozenset(path.read_text(encoding="utf-8").splitlines())


def _words(*texts: str | None) -> Iterator[str]:
    """Take *texts* apart: ada.king+news@example.com has ada.king and king in it, too."""
    for text in filter(None, texts):
        folded = _fold(text)
        name, _, _ = folded.partition("@")
        untagged, _, _ = name.partition("+")
        yield from (folded, name, untagged, *re.split(r"[\W_]+", folded))


def _is_made_of(password: str, word: str) -> bool:
    """Tell whether *password* is *word* with only digits, punctuation and spaces added or lost.

    A word with few letters, such as a telephone number, must be there in one piece.
    """
    core, letters = _letters_and_digits(word), _letters(word)
    if len(core) < LEAST_WORD or letters != _letters(password):
        return False
    return len(letters) >= LEAST_WORD or core in _letters_and_digits(password)


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _letters_and_digits(text: str) -> str:
    return "".join(filter(str.isalnum, text))
