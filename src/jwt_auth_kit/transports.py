"""How tokens travel between a client and the application."""

from collections.abc import Mapping
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.responses import Response

from .errors import InvalidToken
from .session_manager import SignedIn


class Transport(Protocol):
    """Takes tokens out of requests and puts them into answers."""

    def read_access_token(self, connection: HTTPConnection) -> str | None:
        """Return the access token; None if the client sent none this way.

        Raises:
            InvalidToken: what it sent cannot be one.
        """
        ...

    def read_refresh_token(self, connection: HTTPConnection, sent: str | None) -> str | None:
        """Return the refresh token; *sent* is the one in the JSON body."""
        ...

    def write(self, response: Response, signed_in: SignedIn) -> None:
        """Add to *response* what the body does not hold."""
        ...

    def clear(self, response: Response) -> None:
        """Take back what ``write`` left with the client."""
        ...


class BearerTransport:
    """``Authorization: Bearer`` requests (RFC 6750 section 2.1), tokens in JSON answers.

    A token in the query string or in a form is never read: both end up in logs.
    """

    def read_access_token(self, connection: HTTPConnection) -> str | None:
        """See Transport.read_access_token."""
        values = connection.headers.getlist("authorization")
        if not values:
            return None
        if len(values) > 1:
            raise InvalidToken
        scheme, _, token = values[0].strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        return token.strip()

    def read_refresh_token(
        self,
        connection: HTTPConnection,  # noqa: ARG002
        sent: str | None,
    ) -> str | None:
        """See Transport.read_refresh_token."""
        return sent

    def write(self, response: Response, signed_in: SignedIn) -> None:
        """Nothing to add: the body holds the tokens."""

    def clear(self, response: Response) -> None:
        """Nothing to take back: the client drops its tokens."""


NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 section 5.1: no cache may keep an answer that holds tokens."""
