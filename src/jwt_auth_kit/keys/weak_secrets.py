"""Tells a secret that somebody could guess: published, a phrase, a sequence or repeated."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

MIN_DISTINCT_BYTES = 8
MIN_LENGTH = 16
"""What is shorter, once it is decoded again, proves nothing."""
MIN_PIECES = MAX_SEPARATORS = 3

_PUBLISHED = frozenset(
    {
        "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",  # FastAPI
        "2598f7d6adc142d88161630f3db12ab2bd3403521c281811e5e1ce60d4ac5d76",  # Flask, SECRET_KEY
        "efa6f5d24ecc2fb531e1347ced231ff09842723c12d58e5c8a6dc7b05f767b3b",  # jose for JavaScript
        "2b1fa627178e3424e20ffd0e18b7440c322ad538d3c96aef1e3f60d99951c23c",  # Spring Security
        "ef1ca7491dee871be5f0e33a6d3f3e631bc8a69136fa49fddf3f3ca5bf3bd714",  # Hasura
        "e6de60a34d7bab734ef2098689d66b23c39c3176f412341922aac884eba25118",  # the same again
        "46fed1daaba94dee9934acbff517c676372f89e7501d7065130dc381b5b7ba0a",  # BezKoder, on Spring
    }
)
"""SHA-256 of secrets that stand in tutorials and examples, as they are spelt there."""

# Four letters or more, unless a shorter word is common in such phrases: random text holds short
# words by chance.
_WORDS = """
    access account admin algorithm alpha america andnot apache apikey apple application april
    auth authentication authorization azure backend banana baseball batman battery beta bezkoder
    bits boot bytes cats change changeme changethis char character characters christmas client
    cloud code company computer config cookie correct dance data database default demo dev develop
    development django docker dogs dont dragon dummy encode encryption enough env example fake
    fallback fastapi flask football forget generate generated hard hash hello here hidden hmac
    horse hunter insecure internal java jwt key keyboard least length letmein long longer love
    magic make master minimum mine mongo monkey must mysql nest never node nothing number only open
    pass password phrase placeholder please prod production project public python qwerty
    random react really refresh replace root safe salt sample sauce secret secure security server
    service session should sign signature signing silver simple some something spring staging staple
    start string strong summer sunshine super system temp test testing that this token
    tutorial unsafe user used using value very welcome winter with word world your
"""
_WORD = re.compile("|".join(sorted(_WORDS.split(), key=len, reverse=True)))
_LEET = str.maketrans("013457$@!", "oleastsai")

_PIECE = re.compile(r"([^\W\d_]?[^\W\dA-Z_]+|[A-Z]+)\d{0,4}|\d{1,4}")
_SEPARATOR = re.compile(r"[\W_]+")
_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz")
_COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol")
_NEIGHBOURS = frozenset(
    pair
    for line in (*_ROWS, *_COLUMNS)
    for way in (line, line[::-1])
    for pair in map("".join, pairwise(way))
)


def find_weakness(secret: bytes) -> str | None:
    """Say why *secret* can be guessed, None where nothing speaks against it.

    Secrets that were made at random pass, however they are spelt; tests/test_weak_secrets.py
    tries every usual kind.
    """
    for layer in _layers(secret):
        if _is_published(layer):
            return "stands in a tutorial"
        if len(set(layer)) < MIN_DISTINCT_BYTES or _is_repeated(layer):
            return "repeats a few bytes"
        if _is_sequence(layer):
            return "is a sequence"
        if (text := _as_text(layer)) and (weakness := _weakness_of_text(text)):
            return weakness
    return None


def _layers(secret: bytes) -> Iterator[bytes]:
    """Give *secret*, how base64 spells it, and what it spells itself.

    Somebody may have typed a phrase where base64 was asked for, or have encoded one twice.
    """
    yield secret
    yield base64.b64encode(secret).rstrip(b"=")
    for _ in range(2):
        decoded = _decoded(secret)
        if decoded is None:
            return
        secret = decoded
        yield secret


def _decoded(layer: bytes) -> bytes | None:
    text = layer.strip().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        if re.fullmatch(rb"([0-9a-f]{2})+|([0-9A-F]{2})+", text):
            decoded = binascii.unhexlify(text)
        else:
            decoded = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
    return decoded if len(decoded) >= MIN_LENGTH else None


def _is_published(layer: bytes) -> bool:
    spellings = (layer, layer.hex().encode(), layer.lower(), base64.b64encode(layer).rstrip(b"="))
    return any(hashlib.sha256(each).hexdigest() in _PUBLISHED for each in spellings)


def _is_repeated(layer: bytes) -> bool:
    """Tell whether a block fills it, the last one perhaps in part."""
    return any(layer[period:] == layer[:-period] for period in range(1, len(layer) // 2 + 1))


def _is_sequence(layer: bytes) -> bool:
    """Tell whether most bytes follow from the two before them, up, down or in steps."""
    steps = [(after - before) % 256 for before, after in pairwise(layer)]
    same = sum(step == following for step, following in pairwise(steps))
    return 2 * same >= len(layer) - 2


def _as_text(layer: bytes) -> str | None:
    try:
        text = layer.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None
    return text if all(sign.isprintable() or sign.isspace() for sign in text) else None


def _weakness_of_text(text: str) -> str | None:
    if not any(sign.isalpha() for sign in text):
        return "holds numbers only"
    if _is_walk(text.lower()):
        return "follows the keyboard or the alphabet"
    if _is_phrase(text) or _has_words(text):
        return "is made of words"
    return None


def _is_walk(text: str) -> bool:
    steps = sum("".join(pair) in _NEIGHBOURS or pair[0] == pair[1] for pair in pairwise(text))
    return 3 * steps >= 2 * len(text)


def _is_phrase(text: str) -> bool:
    """Tell whether there are words and short numbers between separators, in any language."""
    separators = {sign for sign in text if _SEPARATOR.fullmatch(sign)}
    if len(separators) > MAX_SEPARATORS and text.count(" ") < MIN_PIECES:
        return False  # passwords from an alphabet with many signs, as Django makes them
    pieces: Sequence[str] = [piece for piece in _SEPARATOR.split(text) if piece]
    is_made_of_them = len(pieces) >= MIN_PIECES and all(map(_PIECE.fullmatch, pieces))
    return is_made_of_them and sum(map(len, pieces)) >= 2 * len(pieces)


def _has_words(text: str) -> bool:
    """Tell whether words that such phrases are made of cover half of the text."""
    covered = max(
        sum(len(word) for word in _WORD.findall(spelling))
        for spelling in (text.lower(), text.lower().translate(_LEET))
    )
    return 2 * covered >= len(text)
