"""Keys that sign and verify tokens, the ring they form, and where they are kept."""

from .key import Key
from .ring import KeyRing, KeySource, RingKey
from .sources import KeyDirectory, KeyFile, KeySet

__all__ = ["Key", "KeyDirectory", "KeyFile", "KeyRing", "KeySet", "KeySource", "RingKey"]
