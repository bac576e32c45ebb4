"""The audit trail: one frozen record for everything that happens to a login."""

import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from .trusted_values import TrustedValue

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

EventName = Literal[
    "registered",
    "registration_throttled",
    "logged_in",
    "login_failed",
    "login_throttled",
    "token_refreshed",
    "refresh_reused",
    "refresh_failed",
    "session_adopted",
    "address_changed",
    "logged_out",
    "sessions_ended",
    "password_changed",
    "password_reset",
    "password_rehashed",
    "password_locked",
    "password_unlocked",
    "role_changed",
    "user_disabled",
    "user_enabled",
    "access_denied",
    "token_rejected",
]

FAILURES: frozenset[EventName] = frozenset(
    {
        "registration_throttled",
        "login_failed",
        "login_throttled",
        "refresh_failed",
        "refresh_reused",
        "access_denied",
        "token_rejected",
    }
)
WARNINGS: frozenset[EventName] = FAILURES | {
    "session_adopted",
    "address_changed",
    "password_locked",
}


@dataclass(frozen=True, slots=True)
class Client(TrustedValue):
    """Where a request came from."""

    ip: str | None = None
    user_agent: str | None = None


UNKNOWN_CLIENT = Client()

ClientSource = Client | Callable[[], Client]
"""A client, or a function that tells it, for callers who rarely need to know."""


@dataclass(frozen=True, slots=True)
class AuthEvent(TrustedValue):
    """Something that happened. No field ever holds a token, a password or a hash."""

    name: EventName
    at: datetime
    user_id: str | None = None
    session_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    reason: str | None = None
    actor: str | None = None
    """Who did it, where that was somebody else than the user: the id of an administrator."""
    count: int | None = None
    """How many sessions ended or tokens were refused, in an event that tells of several."""
    previous_ip: str | None = None
    """The address known until now, where another one is what the event is about."""

    @property
    def outcome(self) -> Literal["success", "failure"]:
        """Whether it was done or refused."""
        return "failure" if self.name in FAILURES else "success"

    def as_json(self) -> str:
        """Return the event as one line; JSON escapes keep CR and LF from forging another."""
        fields = {
            "event": self.name,
            "outcome": self.outcome,
            "at": self.at.isoformat(timespec="milliseconds"),
            "user_id": self.user_id,
            "session_id": self.session_id,
            "ip": self.ip,
            "user_agent": self.user_agent,
            "reason": self.reason,
            "actor": self.actor,
            "count": self.count,
            "previous_ip": self.previous_ip,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None})


EventHook = Callable[[AuthEvent], Awaitable[None] | None]
"""A function, plain or async, that is called with each event."""


def log_event(event: AuthEvent) -> None:
    """Write *event* to the logger ``jwt_auth_kit`` as one line of JSON (the default hook)."""
    level = logging.WARNING if event.name in WARNINGS else logging.INFO
    if logger.isEnabledFor(level):
        logger.log(level, "%s", event.as_json())


class AuditTrail:
    """Makes events and hands them to a hook."""

    def __init__(self, hook: EventHook, clock: Callable[[], datetime]) -> None:
        self._hook = hook
        self._clock = clock

    async def record(
        self,
        name: EventName,
        user_id: str | None,
        *,
        session_id: str | None = None,
        client: Client = UNKNOWN_CLIENT,
        reason: str | None = None,
        actor: str | None = None,
        count: int | None = None,
        previous_ip: str | None = None,
    ) -> None:
        """Call the hook; what it raises is logged and never reaches the user who signs in."""
        event = AuthEvent(
            name=name,
            at=self._clock(),
            user_id=user_id,
            session_id=session_id,
            ip=client.ip,
            user_agent=client.user_agent,
            reason=reason,
            actor=actor,
            count=count,
            previous_ip=previous_ip,
        )
        try:
            result = self._hook(event)
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("The event hook failed on %s", name)
