"""Tokens: made and verified by JWTManager, or only verified by TokenVerifier."""

from .manager import Claims, JWTManager, TokenPair
from .verifier import TokenFormat, TokenVerifier

__all__ = ["Claims", "JWTManager", "TokenFormat", "TokenPair", "TokenVerifier"]
