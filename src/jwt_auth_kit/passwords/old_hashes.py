"""PasslibHasher: checks old hashes as passlib does, or the framework that made them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..errors import ConfigurationError
from .framework_hashes import FRAMEWORK_READERS, MAX_ITERATIONS, Check, is_affordable_scrypt
from .hashers import Argon2Hasher, HashReader, PasswordHasher, why_unusable

OLD_SCHEMES = (
    *("bcrypt", "pbkdf2_sha256", "sha512_crypt"),
    *("django_pbkdf2_sha256", "django_pbkdf2_sha1", "django_argon2", "django_scrypt"),
    *("django_bcrypt_sha256", "django_bcrypt", "werkzeug_scrypt", "werkzeug_pbkdf2"),
)
"""What old user tables hold most often."""

ARGON2_SCHEMES = ("argon2", "django_argon2")
BCRYPT_BYTES = 72
MAX_LOG_ROUNDS = 16  # 2**16 rounds of bcrypt take a few seconds
MAX_PHPASS_LOG_ROUNDS = 22  # rounds of MD5
MAX_ROUNDS = {
    **dict.fromkeys(("sha256_crypt", "sha512_crypt", "sha1_crypt", "scram"), 1_000_000),
    **dict.fromkeys(("bsdi_crypt", "sun_md5_crypt"), 250_000),  # written in Python
}
"""What takes a few seconds, where rounds cost more than those of PBKDF2."""

Reader = Callable[[str], Check | None]
"""Returns what checks passwords against a hash; None for one of another kind."""


class PasslibHasher:
    """Checks old hashes; new ones, and all weaker ones after the next login, are argon2id.

    The schemes ``django_argon2``, ``django_scrypt``, ``werkzeug_scrypt`` and ``werkzeug_pbkdf2``
    are built in; all others need the ``passlib`` extra (or a passlib of your own).

    Args:
        schemes: what the user table holds: built-in names, or those of passlib's handlers.
        primary: makes the new hashes.

    Raises:
        ConfigurationError: passlib is missing or does not know a scheme, or the scheme does not
            protect passwords.
    """

    def __init__(
        self,
        schemes: Sequence[str] = OLD_SCHEMES,
        *,
        primary: PasswordHasher | None = None,
    ) -> None:
        if isinstance(schemes, str):
            raise ConfigurationError(
                f"PasslibHasher takes a list of schemes: PasslibHasher([{schemes!r}])."
            )
        # As passlib spells them; it takes other spellings with a warning.
        named = (scheme.lower().replace("-", "_") for scheme in schemes)
        self.schemes: tuple[str, ...] = tuple(dict.fromkeys(named))
        self._primary = primary or Argon2Hasher()
        self._readers = list(_make_readers(self.schemes))

    def hash(self, password: str) -> str:
        """Hash *password* with the primary hasher."""
        return self._primary.hash(password)

    def can_read(self, password_hash: str) -> bool:
        """Tell whether *password_hash* is of a named scheme, or one that the primary reads."""
        is_old = self._find_check(password_hash) is not None
        return is_old or why_unusable(self._primary, password_hash) is None

    def verify(self, password: str, password_hash: str) -> bool:
        """Check *password* with whatever made *password_hash*."""
        check = self._find_check(password_hash)
        return self._primary.verify(password, password_hash) if check is None else check(password)

    def needs_rehash(self, password_hash: str) -> bool:
        """Tell whether a login should replace *password_hash*: every old one."""
        is_old = self._find_check(password_hash) is not None
        return is_old or self._primary.needs_rehash(password_hash)

    def _find_check(self, password_hash: str) -> Check | None:
        # The primary comes first: a table that names argon2 as an old scheme must not have its
        # new hashes replaced at each login.
        if isinstance(self._primary, HashReader) and self._primary.can_read(password_hash):
            return None
        checks = (read(password_hash) for read in self._readers)
        return next((check for check in checks if check is not None), None)


def _make_readers(schemes: Sequence[str]) -> list[Reader]:
    built_in = [FRAMEWORK_READERS[each] for each in schemes if each in FRAMEWORK_READERS]
    readers: list[Reader] = [*built_in]
    if not set(ARGON2_SCHEMES).isdisjoint(schemes):
        readers.append(partial(_read_argon2, Argon2Hasher()))
    known = {*ARGON2_SCHEMES, *FRAMEWORK_READERS}
    if others := [each for each in schemes if each not in known]:
        readers.append(partial(_read_with_passlib, _make_context(others)))
    return readers


def _read_argon2(hasher: Argon2Hasher, password_hash: str) -> Check | None:
    if not hasher.can_read(password_hash):
        return None
    return lambda password: hasher.verify(password, password_hash)


def _make_context(schemes: Sequence[str]) -> Any:
    try:
        from passlib.context import CryptContext  # noqa: PLC0415  an optional extra
    except ImportError:
        raise ConfigurationError(
            f"PasslibHasher needs passlib for {', '.join(schemes)}: "
            "pip install 'jwt-auth-kit[passlib]'"
        ) from None
    try:
        context = CryptContext(schemes=list(schemes))
    except KeyError as error:
        raise ConfigurationError(f"passlib does not know a scheme: {error}") from None
    for name in schemes:
        _require_protection(name, context.handler(name))
        _require_backend(name, context.handler(name))
    return context


def _require_protection(name: str, handler: Any) -> None:
    """Refuse what is no one-way hash, or cannot be checked with the password alone."""
    if handler.is_disabled:
        problem = "marks accounts without a password, which need no scheme: leave it out"
    elif "user" in handler.context_kwds:
        problem = "needs the user's name beside the password, so it cannot be checked here"
    elif hasattr(handler, "decode") or not hasattr(_unwrap(handler), "from_string"):
        # Whoever can read the table could sign in with what stands there.
        problem = (
            "keeps passwords readable. Hash them with AuthKit(...).passwords.hash() and store "
            "that instead"
        )
    else:
        return
    raise ConfigurationError(f"PasslibHasher: {name} {problem}.")


def _require_backend(name: str, handler: Any) -> None:
    try:
        has_backend = not hasattr(handler, "has_backend") or handler.has_backend()
    except ValueError:  # passlib 1.7.4 fails to try out bcrypt 5
        has_backend = False
    if not has_backend:
        raise ConfigurationError(
            f"PasslibHasher: {name} needs a package that is missing or does not fit your "
            "passlib: pip install 'jwt-auth-kit[passlib]'. If the table has no such hashes, name "
            "the schemes that it has: PasslibHasher([...])."
        )


def _read_with_passlib(context: Any, password_hash: str) -> Check | None:
    name = context.identify(password_hash)
    if name is None:
        return None
    handler = context.handler(name)
    if not _is_whole_and_affordable(handler, password_hash):
        return None
    return partial(_verify_with_passlib, handler, password_hash)


def _verify_with_passlib(handler: Any, password_hash: str, password: str) -> bool:
    try:
        # bcrypt never looked at more than 72 bytes; libpass refuses longer passwords.
        is_bcrypt = handler.truncate_size == BCRYPT_BYTES
        secret = password.encode()[:BCRYPT_BYTES] if is_bcrypt else password
        return bool(handler.verify(secret, password_hash))
    # NUL, half a surrogate pair, more than 4096 characters, or a hash that cannot be computed
    except (ValueError, TypeError, OverflowError, MemoryError):
        return False


def _is_whole_and_affordable(handler: Any, password_hash: str) -> bool:
    """Tell whether *password_hash* can be checked, and within a few seconds."""
    plain = _unwrap(handler)
    if plain is not handler:
        password_hash = handler.orig_prefix + password_hash.removeprefix(handler.prefix)
    try:
        parsed = plain.from_string(password_hash)
    except (ValueError, TypeError, OverflowError):
        return False
    if parsed.checksum is None or getattr(parsed, "ident", None) == "$2x$":  # passlib has no $2x$
        return False
    return _is_affordable(plain, parsed)


def _is_affordable(handler: Any, parsed: Any) -> bool:
    rounds = getattr(parsed, "rounds", 0)
    if handler.name == "scrypt":
        return is_affordable_scrypt(2**rounds, parsed.block_size, parsed.parallelism)
    if getattr(handler, "rounds_cost", None) == "log2":
        return bool(
            rounds <= (MAX_PHPASS_LOG_ROUNDS if handler.name == "phpass" else MAX_LOG_ROUNDS)
        )
    return bool(rounds <= MAX_ROUNDS.get(handler.name, MAX_ITERATIONS))


def _unwrap(handler: Any) -> Any:
    """Return the handler that another one only puts a prefix before."""
    return getattr(handler, "wrapped", handler)
