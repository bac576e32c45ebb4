"""Limits, and the logs they are counted in.

A limit keeps a log of its latest attempts. An attempt passes if each window that ends now holds
fewer than its amount, so no span of a window's length ever holds more, wherever it begins.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from limits import RateLimitItem, parse_many

from ..errors import ConfigurationError

MAX_NETWORKS = 100  # that are remembered of one account
MAX_SPAN = timedelta(days=3650)
SALT_BYTES = 32


class Window(NamedTuple):
    """So many attempts in so many seconds."""

    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Limit:
    """Windows that an attempt has to fit into, all of them."""

    name: str
    notation: str
    windows: tuple[Window, ...]

    @property
    def longest(self) -> int:
        """The seconds after which an attempt counts nowhere."""
        return max(window.seconds for window in self.windows)


def parse_limit(name: str, notation: str) -> Limit:
    """Read a limit in the notation of the library ``limits``.

    Raises:
        ConfigurationError: it is not one; the message names it as *name*.
    """
    try:
        items = parse_many(notation) if notation.strip() else []
    except ValueError:
        raise ConfigurationError(
            f"{name} is {notation!r}, which is no list of limits. "
            'Write for example "10/minute; 50/day", or "" for no limit.'
        ) from None
    return Limit(name, notation, tuple(_window(name, item) for item in items))


def _window(name: str, item: RateLimitItem) -> Window:
    seconds = item.get_expiry()
    if item.amount == 0:
        raise ConfigurationError(f'{name} would refuse every login; write "" for no limit.')
    if seconds > MAX_SPAN.total_seconds():
        raise ConfigurationError(f"{name} has a window of more than {MAX_SPAN.days} days.")
    return Window(item.amount, seconds)


class AttemptLogs(Protocol):
    """Keeps the logs; each method is one atomic step, and doing one twice changes nothing."""

    async def count(self, limit: Limit, subject: str, attempt_id: str) -> float:
        """Count the attempt and return 0, or the seconds until one fits, and count nothing."""
        ...

    async def give_back(self, limit: Limit, subject: str, attempt_id: str) -> None:
        """Take the attempt out of the log, if it is still there."""
        ...

    async def clear(self, limit: Limit, subject: str) -> None:
        """Forget all attempts."""
        ...

    async def salt(self) -> bytes:
        """Return what accounts are hashed with; all who count here get the same."""
        ...

    async def remember(
        self, account: str, network: str, span: timedelta, *, alone: bool = False
    ) -> None:
        """Let ``is_remembered`` be true for *span* from now on; *alone* forgets the others."""
        ...

    async def is_remembered(self, account: str, network: str) -> bool:
        """Tell whether the account signed in from this network before."""
        ...

    async def forget_networks(self, account: str) -> None:
        """Forget where the account signed in from."""
        ...

    async def aclose(self) -> None:
        """Close what was opened."""
        ...
