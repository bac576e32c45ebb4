"""The use cases of authentication, independent of HTTP."""

from .auth_kit import AuthKit
from .session_manager import SignedIn

__all__ = ["AuthKit", "SignedIn"]
