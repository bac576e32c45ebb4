"""Reads files that hold secrets, and looks at who else could read or change them."""

import logging
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..errors import ConfigurationError

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

MAX_BYTES = 1_000_000
MAX_STEPS = 1000  # a chain of more links than the system follows has fewer


def read_secret_file(file: Path) -> tuple[str, int]:
    """Return the text of *file* and its mode.

    Raises:
        ConfigurationError: it is no regular file of text, is too large, or others can change or
            replace it.
    """
    try:
        # A FIFO would wait for a writer, and a device may never end.
        with os.fdopen(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigurationError(f"{file} is not a regular file.")
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is not text in UTF-8.") from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{file} has more than {MAX_BYTES} bytes, which no key has.")
    _refuse_writers(file, mode)
    _check_way(file)
    return text, mode


def check_directory(directory: Path) -> None:
    """Require that nobody else can put a key into *directory*, or another directory in its place.

    Raises:
        ConfigurationError: every user of the machine can.
    """
    try:
        mode = directory.stat().st_mode
    except OSError:
        return  # whoever reads it says what is wrong
    _refuse_writers(directory, mode)
    _check_way(directory)


def is_readable_by_others(mode: int) -> bool:
    """Tell whether users beside the owner can read a file of this *mode*."""
    return os.name == "posix" and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def warn_of_readers(file: Path) -> None:
    """Say that others can read the private key in *file*."""
    logger.warning(
        "%s holds a private key that other users of this machine can read. Run: chmod 600 %s",
        file,
        file,
    )


def _check_way(path: Path) -> None:
    """Require that nobody can put another file or link in the place of one on the way to *path*.

    Directories further up are told of only: volumes of containers are often open, with one user.
    """
    if os.name != "posix":
        return
    for step in _list_steps(path):
        try:
            status, above = step.lstat(), step.parent.stat()
        except OSError:
            continue  # whoever opens it says what is wrong
        is_sticky = above.st_mode & stat.S_ISVTX
        # In a directory such as /tmp everybody can add names, but replace only his own.
        if not _is_writable(step.parent, above.st_mode) or (
            is_sticky and status.st_uid in {0, os.geteuid()}
        ):
            continue
        cure = "Keep keys in a directory of your own." if is_sticky else _cure(step.parent)
        problem = f"Every user of this machine can write to {step.parent}, and so replace {step}"
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigurationError(f"{problem}, by which a key is found. {cure}")
        _warn_once(f"{problem}, under which keys are kept. {cure}")


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def _list_steps(path: Path) -> Iterator[Path]:
    """List what is looked up on the way to *path*, each name in a directory without links."""
    names = list(reversed(path.absolute().parts))
    place = Path(names.pop())
    for _ in range(MAX_STEPS):
        if not names:
            return
        name = names.pop()
        if name == "..":
            place = place.parent
            continue
        step = place / name
        yield step
        try:
            target = step.readlink()
        except OSError:
            place = step
            continue
        if target.is_absolute():
            place = Path(target.anchor)
        names.extend(reversed(target.relative_to(target.anchor).parts))


def _refuse_writers(path: Path, mode: int) -> None:
    if _is_writable(path, mode):
        raise ConfigurationError(
            f"Every user of this machine can write to {path}, and so plant a key that signs "
            f"tokens. {_cure(path)}"
        )


def _is_writable(path: Path, mode: int) -> bool:
    # Whoever can put a key there can sign tokens as anybody. Mounted secrets of containers have
    # such modes too, on a file system that is read-only.
    return os.name == "posix" and bool(mode & stat.S_IWOTH) and not _is_read_only(path)


def _cure(path: Path) -> str:
    return f"Run: chmod go-w {path}"


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
