"""Who is asking, and what can tell: AuthKit, or a TokenVerifier where tokens are only verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from .events import AuditTrail
from .settings import AuthSettings

NO_SCOPES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """Who is asking, as the access token says."""

    id: str
    role: str = "user"
    email: str | None = None
    display_name: str | None = None
    session_id: str | None = None
    auth_time: datetime | None = None
    """When the user last proved to be one; refreshing does not move it."""
    scopes: frozenset[str] = NO_SCOPES
    claims: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """Payload of the access token: ``Claims``, or what another issuer puts there."""
    key_id: str | None = field(default=None, repr=False, compare=False)
    """Which key the access token was signed with."""
    key_thumbprint: str | None = field(default=None, repr=False, compare=False)
    """The same, whatever other key may have this id one day."""

    def seconds_left(self, now: datetime) -> int:
        """Return how long the access token still lives; 0 where there is none."""
        if self.claims is None:
            return 0
        return max(0, int(self.claims["exp"] - now.timestamp()))


class Authenticator(Protocol):
    """What ``install`` takes: it tells from an access token who is asking."""

    @property
    def settings(self) -> AuthSettings:
        """Lives and names."""
        ...

    @property
    def audit(self) -> AuditTrail:
        """Where refusals are noted."""
        ...

    def now(self) -> datetime:
        """Return the moment."""
        ...

    async def authenticate(self, access_token: str) -> CurrentUser:
        """Verify an access token.

        Raises:
            InvalidToken: it is not good.
        """
        ...

    async def authenticate_now(self, user: CurrentUser) -> CurrentUser:
        """Ask the stores about a user who was authenticated.

        Raises:
            InvalidToken: the session or the account is over.
            ConfigurationError: there are no stores here.
        """
        ...

    async def recheck(self, user: CurrentUser) -> None:
        """Check again that the token of *user* is good, on a connection that stays open.

        Raises:
            InvalidToken: it is not.
        """
        ...
