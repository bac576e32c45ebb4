"""Hashes that Werkzeug (Flask) and Django make with scrypt and PBKDF2, checked with hashlib."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import partial

Check = Callable[[str], bool]
"""Tells whether a password made one hash."""

MAX_ITERATIONS = 5_000_000
MAX_SCRYPT_BLOCKS = 2**23  # n * r; each takes 128 bytes, so this is 1 GiB
MAX_SCRYPT_WORK = 2**23  # n * r * p; about 4 seconds
MAX_SCRYPT_OUTPUT = 2**10  # r * p; PBKDF2 makes 128 bytes for each, even where n is small

_WERKZEUG_SCRYPT = re.compile(
    r"scrypt:(?P<n>\d{1,9}):(?P<r>\d{1,9}):(?P<p>\d{1,9})\$(?P<salt>[^$]+)\$(?P<tag>[0-9a-f]{128})",
    re.ASCII,
)
_WERKZEUG_PBKDF2 = re.compile(
    r"pbkdf2:(?P<digest>sha1|sha224|sha256|sha384|sha512):(?P<iterations>\d{1,9})"
    r"\$(?P<salt>[^$]+)\$(?P<tag>[0-9a-f]+)",
    re.ASCII,
)
_DJANGO_SCRYPT = re.compile(
    r"scrypt\$(?P<n>\d{1,9})\$(?P<salt>[^$]+)\$(?P<r>\d{1,9})\$(?P<p>\d{1,9})"
    r"\$(?P<tag>[A-Za-z0-9+/]{86}==)",
    re.ASCII,
)


def is_affordable_scrypt(n: int, r: int, p: int) -> bool:
    """Tell whether scrypt with these parameters takes at most 1 GiB and a few seconds.

    Whoever can write to the user table must not be able to exhaust the server with one row.
    """
    is_affordable = (
        n * r <= MAX_SCRYPT_BLOCKS and r * p <= MAX_SCRYPT_OUTPUT and n * r * p <= MAX_SCRYPT_WORK
    )
    # RFC 7914 section 2: a power of 2 below 2 ** (128 * r / 8)
    is_possible = n > 1 and n & (n - 1) == 0 and r > 0 and p > 0 and n.bit_length() - 1 < 16 * r
    return is_affordable and is_possible


def _read_werkzeug_scrypt(text: str) -> Check | None:
    found = _WERKZEUG_SCRYPT.fullmatch(text)
    return None if found is None else _scrypt(found, bytes.fromhex(found["tag"]))


def _read_django_scrypt(text: str) -> Check | None:
    found = _DJANGO_SCRYPT.fullmatch(text)
    return None if found is None else _scrypt(found, base64.b64decode(found["tag"]))


def _scrypt(found: re.Match[str], tag: bytes) -> Check | None:
    n, r, p = int(found["n"]), int(found["r"]), int(found["p"])
    if not is_affordable_scrypt(n, r, p):
        return None

    def derive(password: bytes) -> bytes:
        salt, memory = found["salt"].encode(), 128 * r * (n + p + 2)
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=len(tag))

    return partial(_matches, derive, tag)


def _read_werkzeug_pbkdf2(text: str) -> Check | None:
    found = _WERKZEUG_PBKDF2.fullmatch(text)
    if found is None or not 1 <= int(found["iterations"]) <= MAX_ITERATIONS:
        return None
    try:
        tag = bytes.fromhex(found["tag"])
    except ValueError:  # an odd number of digits
        return None
    if len(tag) != hashlib.new(found["digest"]).digest_size:
        return None

    def derive(password: bytes) -> bytes:
        salt, iterations = found["salt"].encode(), int(found["iterations"])
        return hashlib.pbkdf2_hmac(found["digest"], password, salt, iterations)

    return partial(_matches, derive, tag)


def _matches(derive: Callable[[bytes], bytes], tag: bytes, password: str) -> bool:
    try:
        return hmac.compare_digest(derive(password.encode()), tag)
    # Half a surrogate pair, parameters that hashlib refuses, or too little memory for them. A
    # stored hash that cannot be checked must answer as a wrong password does, not with a 500.
    except (ValueError, OverflowError, MemoryError):
        return False


FRAMEWORK_READERS: Mapping[str, Callable[[str], Check | None]] = {
    "werkzeug_scrypt": _read_werkzeug_scrypt,
    "werkzeug_pbkdf2": _read_werkzeug_pbkdf2,
    "django_scrypt": _read_django_scrypt,
}
"""Names in the manner of passlib's, each with what reads a hash: it returns the check, or None."""
