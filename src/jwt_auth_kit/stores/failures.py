"""What a failure of a database means: a line for the log that says what to do about it.

Messages of drivers quote statements and values, hashes included. They are searched for what
happened and never shown.
"""

import re
from collections.abc import Mapping

TABLES_MISSING = (
    "Tables are missing. Create them with create_schema(engine), or run your migrations."
)
COLUMNS_DIFFER = (
    "A table has other columns than expected. If the table users is your own, pass its mapped "
    "class: SQLAlchemyUserStore(engine, MyUser). Otherwise run your migrations."
)
WRONG_LOGIN = "The database refuses the user name or the password of the engine's URL."
NO_DATABASE = "The database that the engine's URL names does not exist. Create it."
NO_ANSWER = "Nothing answers at the address of the engine's URL. Is the server running?"
UNKNOWN_HOST = "The host name of the engine's URL cannot be resolved."
NOT_ALLOWED = "The database user is not allowed to do this. Grant it the rights on the tables."
OTHER_LOOP = (
    "The engine was first used in another event loop. Make one engine for each loop (in tests, "
    "for each TestClient), or give the engine poolclass=NullPool."
)
SILENT = (
    "The database is silent, or too slow. Is its server running, and can it be reached? If it is, "
    "do other parts of the application hold all connections of the engine's pool?"
)
CONNECTION_LOST = "The connection was lost. Did the server stop, or something between you and it?"
STARTING = "The server is starting or stopping. It answers again when that is done."
STATEMENT_TIMEOUT = "A statement took longer than the server's statement_timeout allows."
REPLICA = "The database can only be read. Does the engine's URL lead to a replica?"
TOO_LONG = "A value is too long for its column, or out of its range. Make the column larger."
CONTENDED = "Other transactions were in the way. It works when it is tried again."
UNKNOWN = "The log of the database server may say why."
POOL_EXHAUSTED = "All connections of the engine's pool are in use. Raise pool_size."
TOO_MANY_CONNECTIONS = "The database allows no more connections. Lower pool_size."
CANNOT_OPEN = "The SQLite file cannot be opened. Does its folder exist, and may it be written?"
NOT_A_DATABASE = "The file of the engine's URL is not a SQLite database."
READ_ONLY = "The SQLite file, or its folder, cannot be written."
LOCKED = "Another process kept the SQLite file locked for too long."
DISK_FULL = "The disk of the database is full."

BY_SQLSTATE: Mapping[str, str] = {
    "08000": CONNECTION_LOST,
    "08003": CONNECTION_LOST,
    "08006": CONNECTION_LOST,
    "22001": TOO_LONG,
    "22003": TOO_LONG,
    "25006": REPLICA,
    "28000": WRONG_LOGIN,
    "28P01": WRONG_LOGIN,
    "3D000": NO_DATABASE,
    "40001": CONTENDED,
    "40P01": CONTENDED,
    "42501": NOT_ALLOWED,
    "42703": COLUMNS_DIFFER,
    "42P01": TABLES_MISSING,
    "53100": DISK_FULL,
    "53300": TOO_MANY_CONNECTIONS,
    "55P03": CONTENDED,
    "57014": STATEMENT_TIMEOUT,
    "57P01": STARTING,
    "57P02": STARTING,
    "57P03": STARTING,
}
BY_SQLITE_NAME: Mapping[str, str] = {
    "SQLITE_BUSY": LOCKED,
    "SQLITE_CANTOPEN": CANNOT_OPEN,
    "SQLITE_FULL": DISK_FULL,
    "SQLITE_LOCKED": LOCKED,
    "SQLITE_NOTADB": NOT_A_DATABASE,
    "SQLITE_READONLY": READ_ONLY,
}
BY_MESSAGE: Mapping[str, str] = {
    r"no such table": TABLES_MISSING,
    r"no such column|has no column named": COLUMNS_DIFFER,
    r"attached to a different loop|another operation is in progress|Event loop is closed": (
        OTHER_LOOP
    ),
    r"QueuePool limit": POOL_EXHAUSTED,
    r"password authentication failed|role .* does not exist": WRONG_LOGIN,
    r"database .* does not exist": NO_DATABASE,
    r"resolve host|Name or service not known|getaddrinfo": UNKNOWN_HOST,
    r"Connection refused|Connect call failed": NO_ANSWER,
    r"connection timeout|Timeout|timed out": SILENT,
    r"closed the connection|connection (was|is) closed|Connection reset": CONNECTION_LOST,
}


_SQLITE_NOT_NULL = re.compile(r"NOT NULL constraint failed: (?:.*\.)?(.+)")
_SQLITE_CONSTRAINT = re.compile(r"(?:UNIQUE|CHECK) constraint failed: (.+)|(FOREIGN KEY)")


def describe(error: BaseException) -> tuple[str, str]:
    """Return the names and codes of *error*, and what to do about it ("" where unknown)."""
    cause = getattr(error, "orig", None) or error
    code = _sqlstate(cause) or getattr(cause, "sqlite_errorname", "")
    driver = type(cause.__cause__ or cause)
    names = f"{type(error).__name__} ({driver.__module__.partition('.')[0]}.{driver.__name__}"
    return f"{names}, {code})" if code else f"{names})", _cure(code, cause)


def describe_refusal(error: BaseException) -> str:
    """Return why a table refuses a row, by the names of its columns and constraints alone."""
    cause = getattr(error, "orig", None) or error
    # psycopg has the names in diag, asyncpg in its own error, SQLite in its message.
    named = getattr(cause, "diag", None) or cause.__cause__ or cause
    column = getattr(named, "column_name", None) or _find(_SQLITE_NOT_NULL, cause)
    if column:
        return (
            f"the column {column} got no value and must not be NULL. "
            "Give it a default or a server_default, or allow NULL."
        )
    constraint = getattr(named, "constraint_name", None) or _find(_SQLITE_CONSTRAINT, cause)
    if constraint:
        return f"it breaks the constraint {constraint}."
    return f"{type(cause).__name__}."


def is_of_another_loop(error: BaseException) -> bool:
    """Tell whether *error* says that a connection belongs to another event loop."""
    return isinstance(error, RuntimeError) and _cure("", error) == OTHER_LOOP


def _sqlstate(cause: BaseException) -> str:
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code if isinstance(code, str) else ""


def _cure(code: str, cause: BaseException) -> str:
    if code in BY_SQLSTATE:
        return BY_SQLSTATE[code]
    name = "_".join(code.split("_")[:2])  # SQLITE_BUSY_SNAPSHOT is SQLITE_BUSY
    if name in BY_SQLITE_NAME:
        return BY_SQLITE_NAME[name]
    if isinstance(cause, TimeoutError) or isinstance(cause.__cause__, TimeoutError):
        return SILENT
    matches = (cure for text, cure in BY_MESSAGE.items() if re.search(text, str(cause)))
    return next(matches, "")


def _find(pattern: re.Pattern[str], cause: BaseException) -> str | None:
    found = pattern.search(str(cause)) if hasattr(cause, "sqlite_errorname") else None
    return next((group for group in found.groups() if group), None) if found else None
