"""Who is asking, and what can tell: AuthKit, or a TokenVerifier where tokens are only verified."""

from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, fields
from datetime import datetime
from typing import Any, Protocol

from .events import UNKNOWN_CLIENT, AuditTrail, ClientSource
from .settings import AuthSettings
from .trusted_values import Hidden, TrustedValue

NO_SCOPES: frozenset[str] = frozenset()


class _WithToken:
    """What is known about the access token, beside what is shown of its user.

    These are no fields, so that ``asdict`` and FastAPI, which makes answers with it, leave them
    out: claims may hold more than a page should know.
    """

    __slots__ = ("claims", "key_id", "key_thumbprint")

    claims: Mapping[str, Any] | None
    key_id: str | None
    key_thumbprint: str | None

    def __post_init__(
        self, claims: Mapping[str, Any] | None, key_id: str | None, key_thumbprint: str | None
    ) -> None:
        object.__setattr__(self, "claims", claims)
        object.__setattr__(self, "key_id", key_id)
        object.__setattr__(self, "key_thumbprint", key_thumbprint)


@dataclass(frozen=True, slots=True)
class CurrentUser(_WithToken, TrustedValue):
    """Who is asking, as the access token says. No request can fill one; answers may hold it."""

    id: str
    role: str = "user"
    email: str | None = None
    display_name: str | None = None
    session_id: str | None = None
    auth_time: datetime | None = None
    """When the user last proved to be one; refreshing does not move it."""
    scopes: frozenset[str] = NO_SCOPES
    claims: InitVar[Hidden[Mapping[str, Any] | None]] = None
    """Payload of the access token: ``Claims``, or what another issuer puts there."""
    key_id: InitVar[Hidden[str | None]] = None
    """Which key the access token was signed with."""
    key_thumbprint: InitVar[Hidden[str | None]] = None
    """The same, whatever other key may have this id one day."""

    def seconds_left(self, now: datetime) -> int:
        """Return how long the access token still lives; 0 where there is none."""
        if self.claims is None:
            return 0
        return max(0, int(self.claims["exp"] - now.timestamp()))

    def __reduce__(self) -> tuple[Any, ...]:
        names = [*(field.name for field in fields(self)), *_WithToken.__slots__]
        return _make, (type(self), {name: getattr(self, name) for name in names})


for _name in _WithToken.__slots__:
    delattr(CurrentUser, _name)  # the default, which hides what an instance has


def _make(kind: type[CurrentUser], values: Mapping[str, Any]) -> CurrentUser:
    return kind(**values)


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

    @property
    def now(self) -> Callable[[], datetime]:
        """Tells the moment."""
        ...

    async def authenticate(
        self, access_token: str, *, client: ClientSource = UNKNOWN_CLIENT
    ) -> CurrentUser:
        """Verify an access token; *client* is for events.

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
