"""Passwords: their hashes, made off the event loop, and which ones people may choose."""

from .hashers import Argon2Hasher, HashReader, PasswordHasher
from .old_hashes import PasslibHasher
from .policy import PasswordPolicy, WeakPassword

__all__ = [
    "Argon2Hasher",
    "HashReader",
    "PasslibHasher",
    "PasswordHasher",
    "PasswordPolicy",
    "WeakPassword",
]
