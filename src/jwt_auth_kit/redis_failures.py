"""What a failure of Redis means: a line for the log that says what to do about it.

Messages of Redis may quote keys and values. They are searched for what happened and never shown.
"""

from collections.abc import Mapping

WRONG_LOGIN = "Redis refuses the user name or the password of the client, or wants one."
NOT_ALLOWED = "The Redis user is not allowed to do this. Grant it the commands and the keys (ACL)."
FULL = "Redis is full. Raise its maxmemory."
REPLICA = "This Redis can only be read. Does the client lead to a replica?"
LOADING = "Redis is starting. It answers again when its data are loaded."
SILENT = "Redis is silent, or too slow. Is its server running, and can it be reached?"
AWAY = "Redis cannot be reached, or the connection was lost. Is its server running there?"
TOO_OLD = "A command is missing. Redis 7 or later is needed."

BY_CLASS: Mapping[str, str] = {
    "AuthenticationError": WRONG_LOGIN,
    "AuthenticationWrongNumberOfArgsError": WRONG_LOGIN,
    "BusyLoadingError": LOADING,
    "ClusterDownError": AWAY,
    "ConnectionError": AWAY,
    "NoPermissionError": NOT_ALLOWED,
    "OSError": AWAY,
    "OutOfMemoryError": FULL,
    "ReadOnlyError": REPLICA,
    "RedisClusterException": AWAY,
    "TimeoutError": SILENT,
}
BY_MESSAGE: Mapping[str, str] = {
    "noauth": WRONG_LOGIN,
    "unknown command": TOO_OLD,
    "unknown redis command": TOO_OLD,  # from inside a script
}


def describe(error: BaseException) -> str:
    """Return the class of *error* and, where it is known, what to do about it."""
    text = str(error).lower()
    by_message = (cure for part, cure in BY_MESSAGE.items() if part in text)
    # The nearest class first: a refused password is a ConnectionError as well.
    by_class = (
        BY_CLASS[each.__name__] for each in type(error).__mro__ if each.__name__ in BY_CLASS
    )
    cure = next(by_message, None) or next(by_class, None)
    name = type(error).__name__
    return name if cure is None else f"{name}. {cure}"
