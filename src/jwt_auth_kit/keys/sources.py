"""Where the keys of a ring are kept: a JWK Set in a variable or a file, or a directory."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigurationError
from ..settings import AuthSettings
from .key import AlgorithmName, Key
from .ring import ALWAYS, KeyRing, KeySource, RingKey
from .secret_files import check_directory, is_readable_by_others, read_secret_file, warn_of_readers

MOMENTS = ("published_at", "activate_at", "retired_at", "revoked_at")
"""Members of a stored JWK beside those of RFC 7517, which allows others (section 4)."""

FIRST_KEY = "first.json"
MAX_FILES = 1000

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def open_ring(settings: AuthSettings, *, must_sign: bool = True) -> KeyRing:
    """Make the ring that *settings* name: a secret, a JWK Set, a file or a directory.

    Args:
        settings: which keys to use.
        must_sign: False for a service that only verifies.

    Raises:
        ConfigurationError: they name none or several, or what they name cannot be used.
    """
    named = named_keys(settings)
    if len(named) > 1:
        names = " and ".join(f"JWT_{name.upper()}" for name in named)
        raise ConfigurationError(f"{names} are set, but only one of them can be the keys.")
    if settings.jwks_url is not None:
        raise ConfigurationError(
            "JWT_JWKS_URL names the keys of another service, which can only verify: use "
            "install(app, TokenVerifier()), or unset it."
        )
    source = _named_source(settings)
    if source is not None:
        return KeyRing.from_source(source, must_sign=must_sign)
    secret = settings.secret_key
    return KeyRing.from_secret(None if secret is None else secret.get_secret_value())


def named_keys(settings: AuthSettings) -> list[str]:
    """Return which of the settings that name keys are set; more than one cannot be used."""
    names = ("secret_key", "keys", "keys_file", "keys_dir", "jwks_url")
    return [name for name in names if getattr(settings, name) is not None]


def _named_source(settings: AuthSettings) -> KeySource | None:
    if settings.keys is not None:
        return KeySet(settings.keys.get_secret_value())
    if settings.keys_file is not None:
        return KeyFile(settings.keys_file)
    return None if settings.keys_dir is None else KeyDirectory(settings.keys_dir)


class _ReaderWatch:
    """Warns once of each file whose private key others can read."""

    def __init__(self) -> None:
        self._told: set[Path] = set()

    def look(self, file: Path, mode: int, items: Sequence[RingKey]) -> None:
        """Look at a file that was read; mounted secrets may have to be readable, so it is used."""
        is_private = any(item.key.can_sign for item in items)
        if is_private and is_readable_by_others(mode) and file not in self._told:
            self._told.add(file)
            warn_of_readers(file)


class KeySet:
    """A JWK Set (RFC 7517 section 5) that does not change: the text of a variable.

    The first private key signs, unless ``activate_at`` says otherwise; the others verify.

    Args:
        text: JSON, ``{"keys": [...]}``.

    Raises:
        ConfigurationError: it is none, or a key of it is of no use.
    """

    def __init__(self, text: str) -> None:
        self._keys = _read_set(text, "The JWK Set (JWT_KEYS)")

    def stamp(self) -> object:
        """See KeySource.stamp."""
        return None

    def load(self) -> Sequence[RingKey]:
        """See KeySource.load."""
        return self._keys


class KeyFile:
    """A JWK Set in a file, which is read again when it changes.

    Args:
        path: where it is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._watch = _ReaderWatch()

    def stamp(self) -> object:
        """See KeySource.stamp."""
        return _stamp(self._path)

    def load(self) -> Sequence[RingKey]:
        """See KeySource.load."""
        text, mode = read_secret_file(self._path)
        items = _read_set(text, str(self._path))
        self._watch.look(self._path, mode, items)
        return items


class KeyDirectory:
    """One file a key, PEM or JWK, read again when one changes; the command line keeps it.

    A JWK that ``add`` wrote has dates. Of the private keys without any, the last by name signs
    until one with dates does; the others, and public ones, verify as long as they are there.

    Args:
        path: where they are.
        create: make a first key of this algorithm where there is none at the start; processes
            that start at once agree on one.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, create: AlgorithmName | None = None
    ) -> None:
        self._path = Path(path)
        self._create = create
        self._watch = _ReaderWatch()

    def stamp(self) -> object:
        """See KeySource.stamp."""
        return [(file.name, _stamp(file)) for file in self._files()]

    def load(self) -> Sequence[RingKey]:
        """See KeySource.load."""
        algorithm, self._create = self._create, None  # a disk that goes away must not make one
        if algorithm is not None and not self._files():
            self.add_first(Key.generate(algorithm))
        if not (items := self.read()):
            raise ConfigurationError(
                f"{self._path} holds no key. Make one: python -m jwt_auth_kit keys new "
                f"--activate --dir {self._path}"
            )
        return items

    def read(self) -> Sequence[RingKey]:
        """Return the keys, in the order of their files; none where there is no directory."""
        check_directory(self._path)
        items = [_read_key_file(file, self._watch) for file in self._files()]
        return _with_signer(items, last=True)

    def add(self, item: RingKey) -> bool:
        """Keep a new key; False, and nothing done, where it is there."""
        if any(each.key.id == item.key.id for each in self.read()):
            return False
        return self._write(item, self._path / f"{_file_name(item.key.id)}.json", os.link)

    def add_first(self, key: Key) -> bool:
        """Keep the first key, which signs at once; False where another process was faster."""
        # Always, not now: the clock of another machine may be behind.
        item = RingKey(key=key, published_at=ALWAYS, activate_at=ALWAYS)
        return self._write(item, self._path / FIRST_KEY, os.link)

    def get(self, key_id: str) -> RingKey | None:
        """Return a key with the dates it is kept with; None for a PEM, and where there is none."""
        for file in self._files():
            if (
                file.suffix != ".pem"
                and (item := _read_key_file(file, self._watch).item).key.id == key_id
            ):
                return item
        return None

    def replace(self, item: RingKey) -> None:
        """Keep the new moments of a key that is there.

        Raises:
            ConfigurationError: it is not, or its file is a PEM, which has none.
        """
        for file in self._files():
            if (
                file.suffix != ".pem"
                and _read_key_file(file, self._watch).item.key.id == item.key.id
            ):
                self._write(item, file, os.replace)
                return
        raise ConfigurationError(f"{self._path} holds no JWK {item.key.id}; a PEM has no dates.")

    def _write(self, item: RingKey, target: Path, put: Callable[[str, Path], None]) -> bool:
        # Whoever reads meanwhile sees the whole file or none; only its owner can read it.
        try:
            for directory in reversed((self._path, *self._path.parents)):
                directory.mkdir(mode=0o700, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path, prefix=".")
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(_dump(item), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            put(name, target)
        except FileExistsError:
            return False
        except OSError as error:
            raise ConfigurationError(f"{target}: {error.strerror}") from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
        return True

    def _files(self) -> Sequence[Path]:
        try:
            files = [file for file in self._path.iterdir() if not file.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from None
        named = [file for file in files if file.suffix in {".json", ".jwk", ".pem"}]
        if len(named) > MAX_FILES:
            raise ConfigurationError(f"{self._path} holds more than {MAX_FILES} keys.")
        return sorted(named)


@dataclass(frozen=True, slots=True)
class _Read:
    """A key as it was read."""

    item: RingKey
    has_dates: bool
    may_sign: bool


def _read_set(text: str, where: str) -> Sequence[RingKey]:
    jwks = _parse(text, where).get("keys")
    if not isinstance(jwks, list) or not all(isinstance(jwk, dict) for jwk in jwks) or not jwks:
        raise ConfigurationError(f'{where} has to look like {{"keys": [...]}} and hold a key.')
    try:
        return _with_signer([_read_jwk(jwk) for jwk in jwks], last=False)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _read_key_file(file: Path, watch: _ReaderWatch) -> _Read:
    text, mode = read_secret_file(file)
    try:
        read = _read_pem(text) if file.suffix == ".pem" else _read_jwk(_parse(text, "The file"))
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    watch.look(file, mode, [read.item])
    return read


def _read_pem(text: str) -> _Read:
    key = Key.from_pem(text)
    return _Read(RingKey(key=key, published_at=ALWAYS), has_dates=False, may_sign=key.can_sign)


def _read_jwk(jwk: Mapping[str, Any]) -> _Read:
    moments = {name: _moment(name, jwk.get(name)) for name in MOMENTS}
    has_dates = not jwk.keys().isdisjoint(MOMENTS)
    if not has_dates:
        moments["published_at"] = ALWAYS
    key = Key.from_jwk(jwk)
    # RFC 7517 section 4.3: a private key may be there to verify only.
    may_sign = key.can_sign and "sign" in jwk.get("key_ops", ["sign"])
    return _Read(RingKey(key=key, **moments), has_dates, may_sign)


def _with_signer(keys: Sequence[_Read], *, last: bool) -> Sequence[RingKey]:
    """Let one of the keys without dates sign, until one with dates does."""
    items = [read.item for read in keys]
    numbers = [n for n, read in enumerate(keys) if read.may_sign and not read.has_dates]
    begun = any(item.activate_at is not None and item.activate_at <= ALWAYS for item in items)
    if numbers and not begun:
        chosen = numbers[-1 if last else 0]
        items[chosen] = dataclasses.replace(items[chosen], activate_at=ALWAYS)
    return items


def _file_name(key_id: str) -> str:
    # An id may be any text, "../other" too; our own ones are names already.
    if _SAFE_NAME.fullmatch(key_id):
        return key_id
    return hashlib.sha256(key_id.encode()).hexdigest()


def _dump(item: RingKey) -> dict[str, Any]:
    moments = {name: getattr(item, name) for name in MOMENTS}
    # Those that are not set are written too: a key without any dates would sign by its name.
    dates = {name: moment and moment.isoformat() for name, moment in moments.items()}
    return {**item.key.private_jwk(), **dates}


def _moment(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} is no date like 2030-01-31T12:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse(text: str, what: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} is no JSON object.")
    return cast("Mapping[str, Any]", value)


def _stamp(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
