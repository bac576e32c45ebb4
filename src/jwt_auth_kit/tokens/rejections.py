"""Tells the audit trail of forged tokens, however many of them come."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from ..errors import InvalidToken, WrongTokenType
from ..events import AuditTrail, Client, ClientSource
from ..networks import get_network

INTERVAL = timedelta(seconds=1)
MAX_KINDS = 100
"""Reasons and networks that are told apart at one time; the others share one event a reason."""

FORGED: Collection[type[InvalidToken]] = {InvalidToken, WrongTokenType}
"""Not their other kinds: what expired, was revoked or was reused is genuine."""

Kind = tuple[str, str | None]


class RejectionAlarm:
    """Makes one ``token_rejected`` a second for each reason and network.

    What came in between is counted and told with the next one, so that a flood of forged tokens
    is neither silent nor a flood of events.
    """

    def __init__(self, audit: AuditTrail, clock: Callable[[], datetime]) -> None:
        self._audit = audit
        self._now = clock
        self._told_at: dict[Kind, datetime] = {}
        self._untold: dict[Kind, int] = {}

    async def ring(self, error: InvalidToken, client: ClientSource) -> None:
        """Tell of a refused token, unless it was genuine once or there was one just now."""
        if type(error) not in FORGED:
            return
        found = client if isinstance(client, Client) else client()
        now = self._now()
        kind = self._kind(error.reason, found.ip, now)
        told_at = self._told_at.get(kind)
        count = self._untold.pop(kind, 0) + 1
        if told_at is not None and abs(now - told_at) < INTERVAL:
            self._untold[kind] = count
            return
        self._told_at[kind] = now
        await self._audit.record(
            "token_rejected",
            None,
            client=found,
            reason=error.reason,
            count=count if count > 1 else None,
        )

    def _kind(self, reason: str, ip: str | None, now: datetime) -> Kind:
        kind = reason, get_network(ip)
        if kind not in self._told_at and len(self._told_at) >= MAX_KINDS:
            self._forget(now)
            if len(self._told_at) >= MAX_KINDS:
                return reason, None
        return kind

    def _forget(self, now: datetime) -> None:
        """Forget who was told of a while ago; what was not told of theirs stays counted."""
        for kind, told_at in list(self._told_at.items()):
            if abs(now - told_at) >= INTERVAL:
                del self._told_at[kind]
                if count := self._untold.pop(kind, 0):
                    shared = kind[0], None
                    self._untold[shared] = self._untold.get(shared, 0) + count
