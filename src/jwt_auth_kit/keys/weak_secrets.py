"""Tells a secret that somebody could guess: published, a phrase, a sequence or repeated."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from operator import eq

MIN_DISTINCT_BYTES = 8
MIN_LENGTH = 16
"""What is shorter, once it is decoded again, proves nothing."""
MAX_BLOCKS = 1024  # bytes in which repeated ones are looked for
MIN_PIECES = MAX_SEPARATORS = 3
LISTED_DIGITS = 16  # of a SHA-256, which no random secret shares
LONGEST_EQUAL_WORD = 5  # letters; words of a phrase that are longer are not all of one length

_PUBLISHED = frozenset(
    {
        "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",  # FastAPI
        "2598f7d6adc142d88161630f3db12ab2bd3403521c281811e5e1ce60d4ac5d76",  # Flask, SECRET_KEY
        "efa6f5d24ecc2fb531e1347ced231ff09842723c12d58e5c8a6dc7b05f767b3b",  # jose for JavaScript
        "2b1fa627178e3424e20ffd0e18b7440c322ad538d3c96aef1e3f60d99951c23c",  # Spring Security
        "ef1ca7491dee871be5f0e33a6d3f3e631bc8a69136fa49fddf3f3ca5bf3bd714",  # Hasura
        "e6de60a34d7bab734ef2098689d66b23c39c3176f412341922aac884eba25118",  # the same again
        "46fed1daaba94dee9934acbff517c676372f89e7501d7065130dc381b5b7ba0a",  # BezKoder, on Spring
        "b86d3132f2145d5e51c520bea11885e39aaed8b27b7694905d7e5fbaf38ba7f9",  # RFC 7515
        "914484be338ff08066dab6ba358c09795b5e97131ecc45312959af14b81cac03",  # RFC 7520
        "5df73e1aa59d8f332c2f5fd6ea1c37d0f2266b623ea3c4efe6cb3d577fd6a5e1",  # Spring Security again
        "3a2b6523efef4c89f5bb73fde544c280b75e644facabb744a64191857df8b934",  # ASP.NET
        "0a156191bab76918c077502ba55581a677ebadcdb2b9dabca7e7b9fbd4d8427e",  # ASP.NET again
        "f0e5408dfe18455f732ef7a5a19a25fd39a13abf041b3e9f35497e81c43ac43c",  # ASP.NET again
    }
)
"""SHA-256 of secrets that stand in tutorials, standards and examples, as they are spelt there."""

# Four letters or more, unless a shorter word is common in such phrases: random text holds short
# words by chance.
_WORDS = """
    access account admin algorithm alpha america andnot apache apikey apple application april auth
    authentication authorization azure backend banana baseball batman battery begin beta bezkoder
    bits boot brown bytes cafebabe cats change changeme changethis char character characters
    christmas client cloud code company computer config cookie correct dance data database deadbeef
    default demo dev develop development django docker dogs dolor dont dragon dummy encode
    encryption enough env example fake fallback fastapi flask football forget generate generated
    hard hash hello here hidden hmac horse hunter insecure internal ipsum java jumps jwt key
    keyboard lazy least length letmein localhost login long longer lorem love magic make master mine
    minimum mongo monkey must mysql nest never node nothing number only open pass password phrase
    placeholder please private prod production project public python quick qwerty random react
    really refresh replace root safe salt sample sauce secret secure security server service session
    should sign signature signing silver simple some something spring staging staple start string
    strong summer sunshine super system temp test testing that this token tutorial unsafe used user
    using value very welcome winter with word world your
"""
_WORD = re.compile("|".join(sorted(_WORDS.split(), key=len, reverse=True)))
_LEET = str.maketrans("013457$@!", "oleastsai")

_PIECE = re.compile(r"([^\W\d_]?[^\W\dA-Z_]+|[A-Z]+)\d{0,4}|\d{1,4}")
_SEPARATOR = re.compile(r"[\W_]+")
_ROWS = (
    "1234567890-=",
    "~!@#$%^&*()_+",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
)
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
            return "is published"
        if len(set(layer)) < MIN_DISTINCT_BYTES or _is_repeated(layer):
            return "repeats a few bytes"
        if _is_sequence(layer) or _is_of_a_generator(layer):
            return "is a sequence"
        if (text := _as_text(layer)) and (weakness := _weakness_of_text(text)):
            return weakness
    return None


def _layers(secret: bytes) -> Iterator[bytes]:
    """Give *secret*, how base64 spells it, and what it spells itself.

    Somebody may have typed a phrase where base64 was asked for, or have encoded one twice.
    """
    for spelling in (secret, base64.b64encode(secret).rstrip(b"=")):
        yield spelling
        layer: bytes | None = spelling
        for _ in range(2):
            layer = None if layer is None else _decoded(layer)
            if layer is not None:
                yield layer


def _decoded(layer: bytes) -> bytes | None:
    text = layer.strip().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        if not any(layer[1::2]):  # UTF-16, as PowerShell spells a text
            decoded = layer[::2]
        elif re.fullmatch(rb"([0-9a-f]{2})+|([0-9A-F]{2})+", text):
            decoded = binascii.unhexlify(text)
        else:
            decoded = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
    return decoded if len(decoded) >= MIN_LENGTH else None


def _is_published(layer: bytes) -> bool:
    as_base64 = base64.b64encode(layer).rstrip(b"=")
    spellings = (layer, layer.strip(), layer.hex().encode(), layer.strip().lower(), as_base64)
    digests = [hashlib.sha256(each).hexdigest() for each in spellings]
    return not _PUBLISHED.isdisjoint(digests) or not _listed().isdisjoint(
        digest[:LISTED_DIGITS] for digest in digests
    )


@cache
def _listed() -> frozenset[str]:
    """Read the digests of secrets on word lists, which published_secrets.LICENSE.txt describes."""
    return frozenset((files(__package__) / "published_secrets.txt").read_text("ascii").split())


def _is_repeated(layer: bytes) -> bool:
    """Tell whether a block fills most of it, which may come again in part and have an end."""
    layer = layer[:MAX_BLOCKS]  # or a huge secret would take hours
    return any(
        _is_mostly(map(eq, layer[period:], layer), len(layer) - period)
        for period in range(1, 2 * len(layer) // 3 + 1)
    )


def _is_mostly(signs: Iterable[bool], number: int) -> bool:
    return 4 * sum(signs) >= 3 * number


def _is_sequence(layer: bytes) -> bool:
    """Tell whether most bytes follow from the two before them, up, down or in steps."""
    steps = [(after - before) % 256 for before, after in pairwise(layer)]
    same = sum(step == following for step, following in pairwise(steps))
    return 2 * same >= len(layer) - 2


def _is_of_a_generator(layer: bytes) -> bool:
    """Tell whether every second sign goes on through the alphabet, in steps of about three.

    So go the keys that a web site made for many guides to Spring: @NcRfUjXn2r5u8x/A?D(G+KbPdSgV.
    """
    steps = sum(2 <= after - before <= 5 for before, after in zip(layer, layer[2:], strict=False))  # noqa: PLR2004
    return 5 * steps >= 3 * (len(layer) - 2)


def _as_text(layer: bytes) -> str | None:
    try:
        text = layer.rstrip(b"\0").decode().strip()
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
    """Tell whether most signs are beside the one before, or beside the one before that."""
    return any(
        3 * sum(map(_are_neighbours, text, text[lag:])) >= 2 * (len(text) - lag + 1)
        for lag in (1, 2)
    )


def _are_neighbours(before: str, after: str) -> bool:
    return before == after or before + after in _NEIGHBOURS


def _is_phrase(text: str) -> bool:
    """Tell whether there are words and short numbers between separators, in any language."""
    separators = {sign for sign in text if _SEPARATOR.fullmatch(sign)}
    if len(separators) > MAX_SEPARATORS and text.count(" ") < MIN_PIECES:
        return False  # passwords from an alphabet with many signs, as Django makes them
    pieces: Sequence[str] = [piece for piece in _SEPARATOR.split(text) if piece]
    lengths = {len(piece) for piece in pieces}
    if len(lengths) == 1 and (min(lengths) > LONGEST_EQUAL_WORD or any(map(str.isdigit, text))):
        return False  # random text in groups
    is_made_of_them = len(pieces) >= MIN_PIECES and all(map(_PIECE.fullmatch, pieces))
    return is_made_of_them and 2 * sum(map(len, pieces)) >= 5 * len(pieces)


def _has_words(text: str) -> bool:
    """Tell whether words cover half of the letters and digits, or all is in another alphabet."""
    signs = sum(map(str.isalnum, text))
    if 5 * sum(sign.isalpha() and not sign.isascii() for sign in text) >= 4 * len(text):
        return True  # no generator of secrets uses it
    covered = max(
        sum(len(word) for word in _WORD.findall(spelling))
        for spelling in (text.lower(), text.lower().translate(_LEET))
    )
    return 2 * covered >= signs
