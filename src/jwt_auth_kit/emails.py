"""E-mail addresses: one spelling for each account."""

import unicodedata
from collections.abc import Callable

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

MAX_EMAIL_LENGTH = 320
DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
"""What domains in other scripts are typed with (RFC 3490 section 3.1)."""
MAX_ROUNDS = 5  # two are enough for every letter of Unicode with every mark
NOBODY = "0"
"""Looked up in the place of an unknown account, so that it costs the same."""


def normalize_email(email: str) -> str:
    """Return *email* as accounts are looked up by it: lower case, the domain in Unicode.

    Addresses that no new account could have, such as ``admin@localhost``, are kept: a host's
    old table may hold them.
    """
    email = email.strip()
    try:
        return check_email(email)
    except ValueError:
        text = _settled(email, lambda text: unicodedata.normalize("NFC", text.lower()))
    return text if text.isprintable() and len(text) <= MAX_EMAIL_LENGTH else NOBODY


def check_email(email: str) -> str:
    """Return *email* normalised for a new account; what it returns is its own spelling.

    Spaces around it are stripped.

    Raises:
        ValueError: it is not an e-mail address; the message says why and does not repeat it.
    """
    email = email.strip()
    try:
        return _settled(email, _normalized)
    except EmailNotValidError:
        raise ValueError(f"Not a valid e-mail address{_explain(email)}") from None


def _explain(email: str) -> str:
    """Tell what is wrong with a domain that works in a network of one's own."""
    name, _, domain = email.translate(DOTS).lower().rpartition("@")
    if not name or not domain or domain.startswith("["):
        return ""
    if "." not in domain:
        return ": the part after the @ has no dot"
    if domain.rpartition(".")[2] in SPECIAL_USE_DOMAIN_NAMES:
        return ": the part after the @ is reserved; use example.com in tests"
    return ""


def _normalized(email: str) -> str:
    return validate_email(email, check_deliverability=False).normalized.lower()


def _settled(email: str, spell: Callable[[str], str]) -> str:
    # Small letters may compose with a mark where capitals do not (J with a caron), and the
    # composed letter is another text. Without a fixed spelling one address had two accounts.
    for _ in range(MAX_ROUNDS):
        spelling = spell(email)
        if spelling == email or spelling.isascii():
            return spelling
        email = spelling
    return email
