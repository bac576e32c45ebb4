"""E-mail addresses: one spelling for each account."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

MAX_EMAIL_LENGTH = 320
NOBODY = "0"
"""Looked up in the place of an unknown account, so that it costs the same."""


def normalize_email(email: str) -> str:
    """Return *email* as accounts are looked up by it: lower case, the domain in Unicode.

    Addresses that no new account could have, such as ``admin@localhost``, are kept: a host's
    old table may hold them.
    """
    try:
        return check_email(email)
    except ValueError:
        text = unicodedata.normalize("NFC", email.strip()).lower()
    return text if text.isprintable() and len(text) <= MAX_EMAIL_LENGTH else NOBODY


def check_email(email: str) -> str:
    """Return *email* normalised for a new account.

    Raises:
        ValueError: it is not an e-mail address; the message does not repeat it.
    """
    try:
        return validate_email(email, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        raise ValueError("not a valid e-mail address") from None
