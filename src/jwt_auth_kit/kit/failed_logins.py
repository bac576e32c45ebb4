"""The cap on wrong passwords in a row: after a hundred, new networks stay out."""

from collections.abc import Callable
from datetime import datetime

from ..emails import NOBODY
from ..events import AuditTrail, Client
from ..stores.base import FailureStore, TokenStore, User
from ..throttle.login import Attempt, LoginThrottle

MAX_FAILURES = 100
"""NIST SP 800-63B section 3.2.2 allows no more failures in a row."""

UNKNOWN_ACCOUNTS = 65_536
"""So many counts stand for all the accounts that do not exist."""


class FailedLogins:
    """Counts failures of accounts, and closes the password of one that had too many.

    A closed password opens the account only from networks where it was right before, until
    ``clear`` is called: waiting would let a stranger go on for years. Accounts that do not
    exist cost the same calls of the stores, so that time does not tell them apart.
    """

    def __init__(
        self,
        tokens: TokenStore,
        throttle: LoginThrottle,
        audit: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = tokens if isinstance(tokens, FailureStore) else None
        self._tokens = tokens
        self._throttle = throttle
        self._audit = audit
        self._now = clock

    @property
    def are_counted(self) -> bool:
        """Whether the token store can count."""
        return self._store is not None

    async def count(self, user: User | None, attempt: Attempt, client: Client) -> None:
        """Count a failure of *user*, or of an account that does not exist."""
        if self._store is None:
            return
        user_id = _slot(attempt) if user is None else str(user.id)
        failures = await self._store.count_failure(user_id)
        if failures == MAX_FAILURES and user is not None:
            await self._audit.record("password_locked", user_id, client=client)
        if failures > MAX_FAILURES:
            # What the right password costs now, lest time tell that it is another one.
            await self._store.failures(user_id)
            await self._is_usual(user_id, attempt)
        # Nobody signs in to an account that does not exist, so its count would stay past the
        # cap for good, and its extra calls would tell it from one that exists.
        if user is None and failures >= 2 * MAX_FAILURES:
            await self._store.clear_failures(user_id)

    async def admit(self, user_id: str, attempt: Attempt) -> bool:
        """Tell whether a right password may open the account; below the cap, begin again.

        Asked after the password was checked: of guesses at once, those that were wrong have
        been counted, or come after this one.
        """
        if self._store is None:
            return True
        failures = await self._store.failures(user_id)
        if failures >= MAX_FAILURES:
            return await self._admit_usual(self._store, user_id, attempt)
        if failures:
            await self._store.clear_failures(user_id, below=MAX_FAILURES)
        return True

    async def clear(self, user_id: str) -> None:
        """Let the password open the account from everywhere again."""
        if self._store is not None:
            await self._store.clear_failures(user_id)

    async def check_store(self) -> None:
        """Read once from the store."""
        if self._store is not None:
            await self._store.failures(NOBODY)

    async def _admit_usual(self, store: FailureStore, user_id: str, attempt: Attempt) -> bool:
        is_usual = await self._is_usual(user_id, attempt)
        if not is_usual:
            await store.count_failure(user_id)
        return is_usual

    async def _is_usual(self, user_id: str, attempt: Attempt) -> bool:
        """Tell whether the account signed in from this network, and not only as a process knows.

        A throttle in memory forgets at a restart, and the owner would be locked out where she
        is signed in.
        """
        is_remembered = await self._throttle.is_remembered(attempt)
        sessions = await self._tokens.list_by_user(user_id, self._now())
        return is_remembered or any(
            self._throttle.is_network_of(attempt, session.ip) for session in sessions
        )


def _slot(attempt: Attempt) -> str:
    number = int(attempt.account[:8], 16) % UNKNOWN_ACCOUNTS
    return f"unknown account {number:05}"  # with spaces, which ids do not have
