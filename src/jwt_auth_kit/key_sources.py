"""Where the keys of a ring are kept: a JWK Set in a variable or a file, or a directory."""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from .errors import ConfigurationError
from .key_ring import ALWAYS, KeyRing, RingKey
from .keys import AlgorithmName, Key
from .settings import AuthSettings

MOMENTS = ("published_at", "activate_at", "retired_at", "revoked_at")
"""Members of a stored JWK beside those of RFC 7517, which allows others (section 4)."""

FIRST_KEY = "first.json"
MAX_BYTES = 1_000_000


def open_ring(settings: AuthSettings) -> KeyRing:
    """Make the ring that *settings* name: a secret, a JWK Set, a file or a directory.

    Raises:
        ConfigurationError: they name none or several, or what they name cannot be used.
    """
    named = [
        name
        for name in ("secret_key", "keys", "keys_file", "keys_dir")
        if getattr(settings, name) is not None
    ]
    if len(named) > 1:
        names = " and ".join(f"JWT_{name.upper()}" for name in named)
        raise ConfigurationError(f"{names} are set, but only one of them can be the keys.")
    if settings.keys is not None:
        return KeyRing.from_source(KeySet(settings.keys.get_secret_value()))
    if settings.keys_file is not None:
        return KeyRing.from_source(KeyFile(settings.keys_file))
    if settings.keys_dir is not None:
        return KeyRing.from_source(KeyDirectory(settings.keys_dir))
    secret = settings.secret_key
    return KeyRing.from_secret(None if secret is None else secret.get_secret_value())


class KeySet:
    """A JWK Set (RFC 7517 section 5) that does not change: the text of a variable.

    The first private key signs, unless ``activate_at`` says otherwise; the others verify.

    Args:
        text: JSON, ``{"keys": [...]}``.

    Raises:
        ConfigurationError: it is none, or a key of it is of no use.
    """

    def __init__(self, text: str) -> None:
        self._keys = _read_set(text)

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

    def stamp(self) -> object:
        """See KeySource.stamp."""
        return _stamp(self._path)

    def load(self) -> Sequence[RingKey]:
        """See KeySource.load."""
        return _read_set(_read(self._path))


class KeyDirectory:
    """One file a key, PEM or JWK, read again when one changes; the command line keeps it.

    A PEM has no dates: private ones sign in the order of their names, the last one now, until
    a JWK is activated; public ones verify.

    Args:
        path: where they are.
        create: make a first key of this algorithm where there is none; processes that start at
            once agree on one.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, create: AlgorithmName | None = None
    ) -> None:
        self._path = Path(path)
        self._create = create

    def stamp(self) -> object:
        """See KeySource.stamp."""
        return [(file.name, _stamp(file)) for file in self._files()]

    def load(self) -> Sequence[RingKey]:
        """See KeySource.load."""
        if self._create is not None and not self._files():
            self.add(
                RingKey(key=Key.generate(self._create), published_at=ALWAYS, activate_at=ALWAYS),
                name=FIRST_KEY,
            )
        items = [_read_key_file(file, n) for n, file in enumerate(self._files())]
        if not items:
            raise ConfigurationError(
                f"{self._path} holds no key. Make one: python -m jwt_auth_kit keys new "
                f"--activate --dir {self._path}"
            )
        return items

    def add(self, item: RingKey, *, name: str | None = None) -> bool:
        """Keep a new key; False, and nothing done, where a file of this name is there."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._path / (name or f"{item.key.id}.json")
        return self._write(item, target, os.link)

    def replace(self, item: RingKey) -> None:
        """Keep the new moments of a key that is there.

        Raises:
            ConfigurationError: it is not, or its file is a PEM, which has none.
        """
        for file in self._files():
            if file.suffix == ".json" and _read_key_file(file, 0).key.id == item.key.id:
                self._write(item, file, os.replace)
                return
        raise ConfigurationError(f"{self._path} holds no JWK {item.key.id}; a PEM has no dates.")

    def _write(self, item: RingKey, target: Path, put: Any) -> bool:
        # Whoever reads meanwhile sees the whole file or none.
        descriptor, name = tempfile.mkstemp(dir=self._path, prefix=".")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(_dump(item), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            put(name, target)
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
        return True

    def _files(self) -> list[Path]:
        try:
            files = [file for file in self._path.iterdir() if not file.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from None
        return sorted(file for file in files if file.suffix in {".json", ".jwk", ".pem"})


def _read_set(text: str) -> list[RingKey]:
    members = _parse(text, "The JWK Set")
    jwks = members.get("keys")
    if not isinstance(jwks, list) or not all(isinstance(jwk, dict) for jwk in jwks) or not jwks:
        raise ConfigurationError('A JWK Set looks like {"keys": [...]} and holds a key.')
    items = [_item(jwk) for jwk in jwks]
    if all(item.activate_at is None for item in items):
        for number, item in enumerate(items):
            if item.key.can_sign:
                items[number] = RingKey(key=item.key, published_at=ALWAYS, activate_at=ALWAYS)
                break
    return items


def _read_key_file(file: Path, number: int) -> RingKey:
    text = _read(file)
    try:
        if file.suffix != ".pem":
            return _item(_parse(text, "The file"))
        key = Key.from_pem(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    # Microseconds at the dawn of time keep the order of the names.
    begin = ALWAYS.replace(microsecond=min(number, 999_999)) if key.can_sign else None
    return RingKey(key=key, published_at=ALWAYS, activate_at=begin)


def _item(jwk: Mapping[str, Any]) -> RingKey:
    moments = {name: _moment(name, jwk.get(name)) for name in MOMENTS}
    if not set(MOMENTS) & jwk.keys():
        moments["published_at"] = ALWAYS
    return RingKey(key=Key.from_jwk(jwk), **moments)


def _dump(item: RingKey) -> dict[str, Any]:
    moments = {name: getattr(item, name) for name in MOMENTS}
    dates = {name: moments[name].isoformat() for name in moments if moments[name] is not None}
    return {**item.key.private_jwk(), **dates}


def _moment(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} of a key is no date: {value!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse(text: str, what: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} is no JSON object.")
    return cast("Mapping[str, Any]", value)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES)
        return content.decode()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is no text.") from None


def _stamp(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
