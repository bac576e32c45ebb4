"""Which passwords people may choose: one policy for registering, changing and resetting."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import AuthError, ConfigurationError
from ..trusted_values import TrustedValue
from .common_passwords import LEAST_CHARACTERS, disguises, is_guessable, skeleton
from .hashers import normalize_password

WeakReason = Literal["too_short", "too_long", "too_common", "personal", "breached"]

ALWAYS_ACCEPTED = 64  # characters; ASVS 6.2.9
ADVICE = "Use three or four words that do not belong together, or let a password manager make one"
LEAST_WORD = 4  # letters and digits; shorter words are in too many good passwords


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
        if is_guessable(folded):
            raise WeakPassword(
                "too_common",
                "this password is too easy to guess: it is a common one, a date or a pattern, "
                f"maybe with digits and marks added. {ADVICE}",
            )
        shapes = frozenset(disguises(folded))
        known = _words(*personal, *self.forbidden_words)
        if any(_is_made_of(folded, word) or _is_disguised(shapes, word) for word in known):
            raise WeakPassword(
                "personal",
                "a password must be more than a name, an email address or a word of this "
                f"application with digits and marks added. {ADVICE}",
            )
        if self.is_breached is not None and await self.is_breached(text):
            raise WeakPassword(
                "breached",
                f"this password was found in a list of stolen passwords. {ADVICE}",
            )

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


def _is_disguised(shapes: Collection[str], word: str) -> bool:
    """Tell whether a password with these *shapes* is *word* written with look-alikes."""
    core = _letters_and_digits(word)
    return len(_letters(core)) >= LEAST_WORD and skeleton(core) in shapes


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _letters_and_digits(text: str) -> str:
    return "".join(filter(str.isalnum, text))
