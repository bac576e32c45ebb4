"""What doctor says about stored password hashes: which ones nobody can check, and the cure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from fastapi import FastAPI

from ..errors import StoreUnavailable
from ..kit.auth_kit import AuthKit
from ..passwords.hashers import PasswordHasher, why_unusable
from ..passwords.old_hashes import PasslibHasher
from ..stores.base import PasswordHashSampler
from ..web.checks import Finding
from ..web.installation import ensure_installed

SAMPLE = 1_000

SCHEMES = {
    "bcrypt": r"\$2[aby]\$",
    "django_bcrypt_sha256": r"bcrypt_sha256\$",
    "django_bcrypt": r"bcrypt\$",
    "django_pbkdf2_sha256": r"pbkdf2_sha256\$",
    "django_pbkdf2_sha1": r"pbkdf2_sha1\$",
    "django_scrypt": r"scrypt\$",
    "django_salted_md5": r"md5\$",
    "django_salted_sha1": r"sha1\$",
    "werkzeug_scrypt": r"scrypt:",
    "werkzeug_pbkdf2": r"pbkdf2:",
    "argon2": r"(argon2)?\$argon2",
    "pbkdf2_sha256": r"\$pbkdf2-sha256\$",
    "pbkdf2_sha512": r"\$pbkdf2-sha512\$",
    "scrypt": r"\$scrypt\$",
    "sha512_crypt": r"\$6\$",
    "sha256_crypt": r"\$5\$",
    "md5_crypt": r"\$1\$",
    "phpass": r"\$[PH]\$",
    "ldap_salted_sha1": r"\{SSHA\}",
    "hex_md5": r"[0-9a-fA-F]{32}$",
    "hex_sha1": r"[0-9a-fA-F]{40}$",
    "hex_sha256": r"[0-9a-fA-F]{64}$",
}
"""How hashes begin, by the scheme of PasslibHasher that reads them."""

FAST_SCHEMES = frozenset(
    {
        *("hex_md4", "hex_md5", "hex_sha1", "hex_sha256", "hex_sha512", "lmhash", "nthash"),
        *("ldap_md5", "ldap_sha1", "ldap_hex_md5", "ldap_hex_sha1", "bsd_nthash", "mysql323"),
        *("mysql41", "django_salted_md5", "django_salted_sha1", "ldap_salted_md5"),
        *("ldap_salted_sha1", "mssql2000", "mssql2005", "oracle11", "des_crypt", "crypt16"),
        *("bigcrypt", "django_des_crypt", "ldap_des_crypt"),
    }
)
"""Digests without rounds, and what sees eight characters only."""


async def find_hash_problems(app: FastAPI) -> list[Finding]:
    """Return what is wrong with the stored hashes of *app*, as far as its store shows a sample."""
    kit = ensure_installed(app).authenticator
    if not isinstance(kit, AuthKit):
        return []
    hasher = kit.passwords.hasher
    return [*_about_schemes(hasher), *_about_hashes(hasher, await _sample(kit))]


async def _sample(kit: AuthKit) -> Sequence[str | None]:
    if not isinstance(kit.users, PasswordHashSampler):
        return []
    try:
        return await kit.users.sample_password_hashes(SAMPLE)
    except StoreUnavailable:  # which another check reports
        return []


def _about_schemes(hasher: PasswordHasher) -> Iterator[Finding]:
    schemes = hasher.schemes if isinstance(hasher, PasslibHasher) else ()
    if fast := [each for each in schemes if each in FAST_SCHEMES]:
        yield Finding(
            "advice",
            "passwords",
            f"Whoever steals hashes of {', '.join(fast)} finds most of the passwords in hours. "
            "A login replaces them; give accounts that nobody uses a new password with "
            "kit.set_password.",
        )


def _about_hashes(hasher: PasswordHasher, hashes: Sequence[str | None]) -> Iterator[Finding]:
    unreadable = Counter(
        _scheme(each) for each in hashes if each and why_unusable(hasher, each) == "unreadable_hash"
    )
    for scheme, count in unreadable.most_common():
        yield Finding(
            "warning",
            "passwords",
            f"{count} of {len(hashes)} password hashes in a sample {_cure(scheme, hasher)}",
        )


def _scheme(password_hash: str) -> str | None:
    return next((name for name, begin in SCHEMES.items() if re.match(begin, password_hash)), None)


def _cure(scheme: str | None, hasher: PasswordHasher) -> str:
    """Say what the hashes are, that their users cannot sign in, and what to do."""
    if scheme is None:
        return (
            "are of an unknown kind, so these users cannot sign in. Name its scheme in "
            "PasslibHasher([...]), write a PasswordHasher for it, or use kit.set_password."
        )
    named = hasher.schemes if isinstance(hasher, PasslibHasher) else ()
    if scheme == "argon2" or scheme in named:
        return (
            f"are damaged or too costly hashes of {scheme}, so these users cannot sign in. Give "
            "them a new password with kit.set_password."
        )
    return (
        f"are of the kind {scheme}, which the hasher does not read, so these users cannot sign "
        f"in. Use AuthKit(hasher=PasslibHasher({[*named, scheme]!r}))."
    )
