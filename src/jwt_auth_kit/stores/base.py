"""What a store must do: the TokenStore and UserStore protocols and their records.

A store does one atomic step per call and decides nothing. When its database fails it raises
``StoreUnavailable``, and never answers as if it had found nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from inspect import Parameter, signature
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from ..errors import ConfigurationError
from ..sessions import Session, SessionChanges
from ..trusted_values import Hidden, TrustedValue

FEED_LIFE = timedelta(days=1)
"""How long stores remember a revocation for other processes; access tokens live shorter."""

FEED_OVERLAP = timedelta(seconds=60)
"""Clocks of processes differ by less, and a write is visible within it after its moment."""

FEED_PAGE = 5000
"""How many entries one call of ``TokenStore.revoked_since`` returns, about."""

TOO_MANY_SESSIONS = "too_many_sessions"
"""Why ``TokenStore.create`` ends a session."""

MAX_LISTED = 100
"""How many sessions a list holds unless more are asked for."""


class Epochs(NamedTuple):
    """Two marks on a user's timeline; both are 0 for a user nothing happened to."""

    epoch: int
    """Access tokens made below it are void."""

    sessions_from: int
    """Sessions that began below it are dead: sign-ins before this number are void."""


class StoredSession(NamedTuple):
    """A session and its user's epochs, read in one step."""

    session: Session
    epochs: Epochs


class Revocations(NamedTuple):
    """What ended since a cursor. Entries may come twice."""

    session_ids: Sequence[str]
    epochs: Sequence[tuple[str, int]]
    """User ids, each with the epoch below which access tokens are void."""

    cursor: str
    """Pass it to the next call."""

    has_more: bool = False
    """Whether there was more than one call returns; the next one should follow at once."""


class StaleLogin(Exception):
    """All sessions of the user were ended while somebody was signing in; read and try again."""


class TokenStore(Protocol):
    """Keeps sessions, one row each, and two epochs a user. Every method is one atomic step."""

    async def create(self, session: Session, *, most: int | None = None) -> Sequence[str]:
        """Keep a new session; return the ids of those that were ended to make room for it.

        The user's epochs are locked while it is written, so that an end of all sessions is
        either seen here or ends this one too.

        With *most*, no more than that many of the user's sessions are live afterwards, also
        where logins run at the same time: the others end at ``session.created_at`` with the
        reason ``too_many_sessions``. The oldest go first, those of one moment in an order that
        does not change, and never the new one. A store may end them a thousand at a time: where
        a limit was lowered by more, later logins end the rest.

        Raises:
            StaleLogin: ``session.epoch`` is below the user's ``sessions_from``.
        """
        ...

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        """Return the session of this user; None where there is none, revoked ones included."""
        ...

    async def compare_and_set(
        self, user_id: str, session_id: str, version: int, changes: SessionChanges
    ) -> bool:
        """Write *changes* and ``version + 1`` if the session is still at *version*.

        False, with nothing written, where it is not, where it is revoked or gone.
        """
        ...

    async def revoke(self, user_id: str, session_id: str, reason: str, now: datetime) -> bool:
        """End a session for good, whatever its version; True if it was not ended before."""
        ...

    async def revoke_all(self, user_id: str, reason: str, now: datetime) -> int:
        """End every session of a user; return the new epoch, which is also ``sessions_from``.

        No session of an earlier epoch can be created afterwards. The epoch alone ends them, and
        is all that ``revoked_since`` tells of it. That each session says when and why it ended
        may be written afterwards, in several steps.

        A database that can lose its last writes, by failing over to a replica, must not give an
        epoch a second time: it takes the Unix time of *now*, in seconds, where that is higher.
        """
        ...

    async def revoke_others(
        self, user_id: str, keep: str | None, reason: str, now: datetime
    ) -> Sequence[str]:
        """End every session of a user but *keep*; return the ids of those that this call ended.

        A login at the same moment happens before it, and is ended, or after it, and stands.
        """
        ...

    async def void_access_tokens(self, user_id: str, now: datetime) -> int:
        """Raise the user's epoch and leave the sessions alone; return the new epoch."""
        ...

    async def epochs(self, user_id: str) -> Epochs:
        """Return the user's epochs."""
        ...

    async def list_by_user(
        self, user_id: str, now: datetime, *, limit: int = MAX_LISTED, after: str | None = None
    ) -> Sequence[Session]:
        """Return at most *limit* sessions that are live at *now*, newest first.

        Sessions that began at the same moment always come in the same order. With *after*, the
        list continues behind the session of that id, which may have ended meanwhile.

        Raises:
            LookupError: the user has no session *after*.
        """
        ...

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        """Return what was revoked after *cursor*; None begins *keep* before *now*.

        Not all at once: a call returns about ``FEED_PAGE`` entries, its cursor stands behind the
        last of them, and ``has_more`` says that the next call finds more.

        Transactions and replicas show a write later than the moment it carries, so entries may
        come twice; none may be left out.
        """
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete at most *limit* sessions that ended before *before*; return how many."""
        ...


_ADDED: dict[str, Collection[str]] = {
    "create": ("most",),
    "revoke_others": (),
    "list_by_user": ("limit", "after"),
}


def refuse_outdated(store: TokenStore) -> None:
    """Refuse a store that was written for an earlier ``TokenStore``.

    Raises:
        ConfigurationError: a method or an argument is missing.
    """
    for name, arguments in _ADDED.items():
        if lacking := _lacking(getattr(store, name, None), arguments):
            raise ConfigurationError(
                f"{type(store).__name__}.{name}() {lacking}. The protocol TokenStore asks for it "
                "now; docs/guides/own-store.md shows how, and TokenStoreContract tests it."
            )


def _lacking(method: Any, arguments: Collection[str]) -> str | None:
    if method is None:
        return "is missing"
    try:
        parameters = signature(method).parameters
    except (ValueError, TypeError):  # nothing is known about it
        return None
    if any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values()):
        return None
    missing = [name for name in arguments if name not in parameters]
    return f"takes no {' and no '.join(missing)}" if missing else None


@runtime_checkable
class FailureStore(Protocol):
    """Counts wrong passwords in a row, where the sessions are kept.

    Optional methods of a TokenStore: without them no account is closed to guesses. Every method
    is one atomic step, shared by all processes, and a restart loses nothing. There may be counts
    of a thousand ids that no user has, which stand for accounts that do not exist.
    """

    async def count_failure(self, user_id: str) -> int:
        """Count one failure more; return how many there are now."""
        ...

    async def failures(self, user_id: str) -> int:
        """Return how many failures there are; 0 for a user nothing was counted of."""
        ...

    async def clear_failures(self, user_id: str, *, below: int | None = None) -> None:
        """Forget the failures; with *below*, only if they are fewer than that."""
        ...


class User(Protocol):
    """An account. Any class with these attributes fits: a mapped one, a dataclass ..."""

    @property
    def id(self) -> object:
        """Unique and never given again; tokens carry ``str(id)``."""
        ...

    @property
    def email(self) -> str:
        """The address the user signs in with."""
        ...

    @property
    def display_name(self) -> str | None:
        """What other people see."""
        ...

    @property
    def role(self) -> str:
        """``user``, ``admin`` or a role of the application.

        A member of an ``Enum`` is read by its value, or by its name where the value is not a
        string; None is ``user``.
        """
        ...

    @property
    def is_active(self) -> bool:
        """A disabled user signs in nowhere."""
        ...

    @property
    def password_hash(self) -> str | None:
        """None for a user without a password."""
        ...


T_co = TypeVar("T_co", covariant=True)


class Attribute(Protocol[T_co]):
    """A descriptor, which a mapped class declares in place of a value: ``Mapped[str]``."""

    def __get__(self, instance: object, owner: Any, /) -> T_co:
        """Return the value that an instance has."""
        ...


class AnyUser(Protocol):
    """A ``User`` as its class declares it, so that a store may return a mapped class.

    Pyright compares what a class declares, and ``Mapped[str]`` is not a ``str``; mypy and ty look
    at what an instance has.
    """

    @property
    def id(self) -> object:
        """See User.id."""
        ...

    @property
    def email(self) -> str | Attribute[str]:
        """See User.email."""
        ...

    @property
    def display_name(self) -> str | Attribute[str | None] | None:
        """See User.display_name."""
        ...

    @property
    def role(self) -> str | Enum | Attribute[str | Enum | None] | None:
        """See User.role."""
        ...

    @property
    def is_active(self) -> bool | Attribute[bool]:
        """See User.is_active."""
        ...

    @property
    def password_hash(self) -> str | Attribute[str | None] | None:
        """See User.password_hash."""
        ...


def read_role(user: User) -> str:
    """Return the role of *user* as tokens carry it."""
    role: object = user.role
    return "user" if role is None else name_role(role)


def name_role(role: object) -> str:
    """Return what tokens carry for *role*: of an ``Enum``, the value if that is a string."""
    if isinstance(role, Enum):
        return role.value if isinstance(role.value, str) else role.name
    return str(role)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser(TrustedValue):
    """An account to be made; the e-mail address is normalised, the password hashed."""

    email: str
    display_name: str
    password_hash: Hidden[str] = field(repr=False)
    role: str = "user"


UserT_co = TypeVar("UserT_co", bound=AnyUser, covariant=True)


class UserStoreOf(Protocol[UserT_co]):
    """Finds and changes accounts. Ids are strings here; a store turns them into its own type."""

    async def get_by_id(self, user_id: str) -> UserT_co | None:
        """Return the account as it is now; None also for an id that cannot exist."""
        ...

    async def get_by_email(self, email: str) -> UserT_co | None:
        """Return the account of a normalised (lower-case) address."""
        ...

    async def create(self, user: NewUser) -> UserT_co:
        """Make an account.

        Raises:
            EmailTaken: there is one with this address, also when two are made at once.
        """
        ...

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        """Replace the hash if it is still *expected*; False, with nothing written, if not."""
        ...

    async def set_role(self, user_id: str, role: str) -> bool:
        """Change the role; False if there is no such user."""
        ...

    async def set_active(self, user_id: str, *, active: bool) -> bool:
        """Enable or disable the account; False if there is no such user."""
        ...


class UserStore(UserStoreOf[User], Protocol):
    """Finds and changes accounts. A store of your own class is a ``UserStoreOf[Person]``."""


@runtime_checkable
class ClaimNamer(Protocol):
    """What a UserStore has besides if it can tell which values its accounts have.

    Where it cannot, the class that ``get_by_id`` is annotated with tells, if it is a dataclass, a
    pydantic model or a mapped class.
    """

    def claim_names(self) -> Collection[str]:
        """Return the attributes of an account that access tokens may carry."""
        ...


@runtime_checkable
class TwinCounter(Protocol):
    """What a UserStore has besides if ``doctor`` shall tell of addresses that differ in case."""

    async def count_twins(self) -> int:
        """Return how many addresses several accounts have, each in another spelling."""
        ...


@runtime_checkable
class PasswordHashSampler(Protocol):
    """What a UserStore has besides if it can show ``doctor`` which kinds of hashes it holds."""

    async def sample_password_hashes(self, limit: int) -> Sequence[str | None]:
        """Return the hashes of at most *limit* accounts, the oldest and the newest if possible."""
        ...
