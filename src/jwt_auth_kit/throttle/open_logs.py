"""From the URL of a storage to the logs it holds."""

from importlib import import_module

from limits.errors import ConfigurationError as LimitsError

from ..errors import ConfigurationError
from .limits import AttemptLogs
from .memory import MemoryLogs
from .redis import REDIS_URLS, RedisLogs


def open_logs(storage: str) -> AttemptLogs:
    """Return the logs that *storage* names.

    Raises:
        ConfigurationError: there is no such storage, or its client is missing.
    """
    url = storage.removeprefix("async+")
    scheme, separator, _ = url.partition("://")
    if scheme == "memory" and separator:
        return MemoryLogs()
    if scheme not in REDIS_URLS:
        schemes = ", ".join(f"{name}://" for name in REDIS_URLS)
        raise ConfigurationError(f"The throttle counts in memory://, {schemes} and nowhere else.")
    try:
        redis = import_module("redis")
    except ImportError:
        raise ConfigurationError(
            f'{scheme}:// needs redis: pip install "jwt-auth-kit[redis]"'
        ) from None
    try:
        return RedisLogs(redis, scheme, url)
    except (LimitsError, ValueError):  # their messages hold the URL, so perhaps a password
        raise ConfigurationError(
            f"The {scheme}:// URL of the throttle is not complete; it looks like "
            f"{REDIS_URLS[scheme]}"
        ) from None
