"""Every error the library raises, each with the status and the code a client sees.

ConfigurationError            the application is set up wrong; never sent to a client
AuthError                     an HTTPException, so it needs no handler
├── Unauthorized        401
│   ├── NotAuthenticated      no credentials were sent
│   ├── InvalidCredentials    wrong e-mail or password, or the account is disabled
│   ├── RecentLoginRequired   signed in, but too long ago for this route
│   └── InvalidToken          malformed, forged, for another audience ...
│       ├── ExpiredToken
│       ├── WrongTokenType    a refresh token where an access token belongs, or the reverse
│       ├── RevokedToken      an access token whose session ended or whose user changed
│       ├── SessionExpired    a refresh token after the session's end
│       ├── SessionRevoked    a refresh token after logout, disable or password change
│       └── RefreshReused     a spent refresh token came back: the session is over
├── Forbidden           403
│   ├── InsufficientRole
│   ├── InsufficientScope
│   ├── NotOwner
│   └── CrossSiteRequest      another web site made the browser send it
├── SessionNotFound     404
├── UserNotFound        404   also a LookupError
├── EmailTaken          409
├── BodyTooLarge        413
├── NotJSON             415
├── InvalidEmail        422   also a ValueError
├── WeakPassword        422   in passwords.policy; also a ValueError
├── TooManyAttempts     429   too many passwords were tried, or too many signed up
└── ServiceUnavailable  503
    ├── StoreUnavailable      the database did not answer
    ├── KeysUnavailable       the issuer's keys could not be read
    └── Busy                  too many passwords are being checked at once
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from fastapi import HTTPException
from pydantic import BaseModel

ErrorCode = Literal[
    "body_too_large",
    "busy",
    "cross_site_request",
    "email_taken",
    "forbidden",
    "insufficient_role",
    "insufficient_scope",
    "invalid_credentials",
    "invalid_email",
    "invalid_token",
    "keys_unavailable",
    "not_authenticated",
    "not_json",
    "not_owner",
    "recent_login_required",
    "refresh_reused",
    "service_unavailable",
    "session_expired",
    "session_not_found",
    "session_revoked",
    "store_unavailable",
    "token_expired",
    "token_revoked",
    "too_many_attempts",
    "unauthorized",
    "user_not_found",
    "weak_password",
    "wrong_token_type",
]


CHALLENGE = 'Bearer realm="api"'
"""RFC 6750 section 3: the scheme is followed by at least one parameter."""


class ConfigurationError(Exception):
    """The application is set up wrong; the message holds the cure."""


class AuthError(HTTPException):
    """Base of every error that reaches a client: ``{"detail": {"code", "message"}}``."""

    status: ClassVar[int]
    code: ClassVar[str]
    message: ClassVar[str]

    def __init__(self, message: str | None = None) -> None:
        self._sentence = message or self.message
        super().__init__(
            self.status,
            detail={"code": self.code, "message": self._sentence},
            headers=self.response_headers(),
        )

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        """Headers that go with the answer."""
        return {}

    def __str__(self) -> str:
        return self._sentence

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _challenge(error: str, description: str, *, scope: str | None = None) -> dict[str, str]:
    challenge = f'{CHALLENGE}, error="{error}", error_description="{description}"'
    if scope is not None:
        challenge += f', scope="{scope}"'
    return {"WWW-Authenticate": challenge}


class Unauthorized(AuthError):
    """401: who is asking is not known."""

    status = 401
    code = "unauthorized"
    message = "Authentication failed"

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        # RFC 6750 section 3.1: no error attribute where no token was presented.
        return {"WWW-Authenticate": CHALLENGE}


class NotAuthenticated(Unauthorized):
    """No credentials were sent."""

    code = "not_authenticated"
    message = "Not authenticated"


class InvalidCredentials(Unauthorized):
    """Unknown e-mail, wrong password or disabled account: one answer for all three."""

    code = "invalid_credentials"
    message = "Incorrect e-mail or password"


class RecentLoginRequired(Unauthorized):
    """The route asks for a login that is younger than the session's (RFC 9470 section 3)."""

    code = "recent_login_required"
    message = "Sign in again to do this"

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        return _challenge("insufficient_user_authentication", cls.message)


class InvalidToken(Unauthorized):
    """The token cannot be trusted (RFC 6750 section 3.1).

    Args:
        reason: what is wrong with it, for the audit trail; no client is told.
    """

    code = "invalid_token"
    message = "The token is invalid"

    def __init__(self, reason: str = "malformed") -> None:
        super().__init__()
        self.reason = reason

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        return _challenge("invalid_token", cls.message)


class ExpiredToken(InvalidToken):
    """The token was good and its time is over."""

    code = "token_expired"
    message = "The token has expired"


class WrongTokenType(InvalidToken):
    """A genuine token of another kind (RFC 8725 section 3.11)."""

    code = "wrong_token_type"

    def __init__(self, reason: str = "wrong_type") -> None:
        super().__init__(reason)

    message = "This kind of token is not accepted here"


class RevokedToken(InvalidToken):
    """An access token whose session ended, or whose user's rights changed."""

    code = "token_revoked"
    message = "The token has been revoked"


class SessionExpired(InvalidToken):
    """The session reached its idle or absolute end: sign in again."""

    code = "session_expired"
    message = "The session has expired"


class SessionRevoked(InvalidToken):
    """The session was ended on purpose: sign in again."""

    code = "session_revoked"
    message = "The session has ended"


class RefreshReused(InvalidToken):
    """A spent refresh token was presented; the session is revoked (RFC 9700 section 4.14.2)."""

    code = "refresh_reused"
    message = "The refresh token was already used, so the session has ended"


class Forbidden(AuthError):
    """403: known, but not allowed."""

    status = 403
    code = "forbidden"
    message = "Not allowed"


class InsufficientRole(Forbidden):
    """The route asks for a role the user does not have."""

    code = "insufficient_role"
    message = "Your role does not allow this"


class InsufficientScope(Forbidden):
    """The route asks for a scope the token does not carry (RFC 6750 section 3.1).

    Args:
        scopes: what the route asks for.
    """

    code = "insufficient_scope"
    message = "Your token does not allow this"
    headers: Mapping[str, str] | None

    def __init__(self, scopes: Sequence[str] = ()) -> None:
        super().__init__()
        if scopes:
            self.headers = _challenge("insufficient_scope", self.message, scope=" ".join(scopes))

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        return _challenge("insufficient_scope", cls.message)


class NotOwner(Forbidden):
    """The path names another user's things."""

    code = "not_owner"
    message = "This belongs to another user"


class CrossSiteRequest(Forbidden):
    """A browser sent cookies, or is to be given some, for a page of another origin."""

    code = "cross_site_request"
    message = "Requests from other web sites are not accepted"


class SessionNotFound(AuthError):
    """404: no live session of the caller has this id."""

    status = 404
    code = "session_not_found"
    message = "There is no such session"


class UserNotFound(AuthError, LookupError):
    """404: there is no account with this id."""

    status = 404
    code = "user_not_found"
    message = "There is no such user"


class EmailTaken(AuthError):
    """409: there is an account with this e-mail address."""

    status = 409
    code = "email_taken"
    message = "This e-mail address is already registered"


class BodyTooLarge(AuthError):
    """413: more bytes than any request of these routes needs."""

    status = 413
    code = "body_too_large"
    message = "The body is too large"


class NotJSON(AuthError):
    """415: a body of another type, which a form on any web site could send."""

    status = 415
    code = "not_json"
    message = "Send JSON, with Content-Type: application/json"


class InvalidEmail(AuthError, ValueError):
    """422: it is not an address that an account can have."""

    status = 422
    code = "invalid_email"
    message = "Not a valid e-mail address"


class TooManyAttempts(AuthError):
    """429: too many passwords were tried for this account or from this network.

    Or too many people signed up from it.

    Args:
        retry_after: seconds until the next attempt is looked at.
    """

    status = 429
    code = "too_many_attempts"
    message = "Too many attempts, try again later"
    headers: Mapping[str, str] | None

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__()
        self.retry_after = retry_after
        self.headers = {"Retry-After": str(retry_after)}

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        return {"Retry-After": "60"}


class ServiceUnavailable(AuthError):
    """503: try the same request again soon."""

    status = 503
    code = "service_unavailable"
    message = "Temporarily unavailable, try again"

    @classmethod
    def response_headers(cls) -> dict[str, str]:
        return {"Retry-After": "1"}


class StoreUnavailable(ServiceUnavailable):
    """A store did not answer; nothing is known about the token, so it is not a 401.

    Args:
        hint: what an operator can do about it; logged, and never sent to clients.
    """

    code = "store_unavailable"
    message = "The session store is unavailable, try again"

    def __init__(self, hint: str = "") -> None:
        super().__init__()
        self.hint = hint


class KeysUnavailable(ServiceUnavailable):
    """The issuer's keys could not be read; nothing is known about the token, so it is no 401."""

    code = "keys_unavailable"
    message = "The keys of the issuer are unavailable, try again"


class Busy(ServiceUnavailable):
    """More passwords wait for the hashing pool than it is allowed to queue."""

    code = "busy"
    message = "Too many sign-ins at once, try again"


class AuthErrorDetail(BaseModel):
    """What went wrong: a stable code for programs, a sentence for people."""

    code: ErrorCode
    message: str


class AuthErrorBody(BaseModel):
    """Body of every AuthError."""

    detail: AuthErrorDetail


def error_responses(*errors: type[AuthError]) -> dict[int | str, dict[str, Any]]:
    """Document *errors* on a route: the ``responses=`` argument of FastAPI."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        response = responses.setdefault(
            error.status,
            {
                "model": AuthErrorBody,
                "description": error.message,
                "content": {"application/json": {"examples": {}}},
                "headers": {
                    name: {"schema": {"type": "string"}} for name in error.response_headers()
                },
            },
        )
        response["content"]["application/json"]["examples"][error.code] = {
            "value": {"detail": {"code": error.code, "message": error.message}}
        }
    return responses
