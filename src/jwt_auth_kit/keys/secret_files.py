"""Reads files that hold secrets, and looks at who else could read or change them."""

import logging
import os
import stat
from pathlib import Path

from ..errors import ConfigurationError

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

MAX_BYTES = 1_000_000


def read_secret_file(file: Path) -> tuple[str, int]:
    """Return the text of *file* and its mode.

    Raises:
        ConfigurationError: it is no regular file of text, is too large, or others can change it.
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
    return text, mode


def check_directory(directory: Path) -> None:
    """Require that nobody else can put a key into *directory*.

    Raises:
        ConfigurationError: every user of the machine can.
    """
    try:
        mode = directory.stat().st_mode
    except OSError:
        return  # whoever reads it says what is wrong
    _refuse_writers(directory, mode)


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


def _refuse_writers(path: Path, mode: int) -> None:
    # Whoever can put a key there can sign tokens as anybody. Mounted secrets of containers have
    # such modes too, on a file system that is read-only.
    if os.name != "posix" or not mode & stat.S_IWOTH or _is_read_only(path):
        return
    raise ConfigurationError(
        f"Every user of this machine can write to {path}, and so plant a key that signs tokens. "
        f"Run: chmod go-w {path}"
    )


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
