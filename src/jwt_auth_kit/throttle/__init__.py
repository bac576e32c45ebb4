"""Limits on guesses and sign-ups, counted in this process or in Redis."""

from .login import LoginThrottle

__all__ = ["LoginThrottle"]
