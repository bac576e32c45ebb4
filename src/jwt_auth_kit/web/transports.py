"""How tokens travel between a client and the application: in headers or in cookies."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import accumulate, islice, product
from typing import Literal, Protocol

from starlette.requests import HTTPConnection
from starlette.responses import Response

from ..errors import ConfigurationError, InvalidToken
from ..kit.session_manager import SignedIn
from ..tokens.payloads import HEADER, Carrier
from .cross_site import (
    JSON,
    check_body_type,
    check_form_origin,
    check_origin,
    check_trusted_origins,
)

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

SameSite = Literal["strict", "lax", "none"]

MAX_COOKIE_BYTES = 4096
MAX_STRAYS = 20  # with more, proxies that limit the headers of an answer would refuse it
HOST_PREFIX = "__Host-"
WEBSOCKET_PROTOCOL = "bearer"
"""Offered by browsers as ``new WebSocket(url, ["bearer", token])``; accept it by this name."""

_PATH_STEP = re.compile(r"/[\w%.~@:+!-]+", re.ASCII)
_DOMAIN = re.compile(r"[a-z0-9.-]*[a-z][a-z0-9-]*")


class Transport(Protocol):
    """Takes tokens out of requests and puts them into answers."""

    @property
    def cookie_name(self) -> str | None:
        """Name of the cookie with the access token; None where tokens travel in bodies."""
        ...

    def read_access_token(self, connection: HTTPConnection) -> str | None:
        """Return the access token; None if the client sent none this way.

        Raises:
            InvalidToken: what it sent cannot be one.
            CrossSiteRequest: another web site made the browser send it.
            NotJSON: it came with a body that a form on another web site could send.
        """
        ...

    def read_refresh_token(self, connection: HTTPConnection, sent: str | None) -> str | None:
        """Return the refresh token; *sent* is the one in the JSON body.

        Raises: as ``read_access_token``.
        """
        ...

    def guard(self, connection: HTTPConnection) -> None:
        """Let a request pass whose answer may change what the client holds.

        Raises:
            CrossSiteRequest: another web site made the browser send it.
        """
        ...

    def guard_form(self, connection: HTTPConnection) -> None:
        """Let the form of an OAuth2 client pass, which sets no cookie.

        Raises:
            CrossSiteRequest: a page of another web site posted it.
        """
        ...

    def write(self, response: Response, signed_in: SignedIn) -> None:
        """Add to *response* what the body does not hold."""
        ...

    def clear(self, response: Response) -> None:
        """Take back what ``write`` left with the client."""
        ...


class BearerTransport:
    """``Authorization: Bearer`` requests (RFC 6750 section 2.1), tokens in JSON answers.

    A WebSocket handshake may carry the token as a subprotocol too, because browsers cannot set
    its headers. A token in a query string or in a form is never read: both end up in logs.
    """

    cookie_name = None

    def read_access_token(self, connection: HTTPConnection) -> str | None:
        """See Transport.read_access_token."""
        values = connection.headers.getlist("authorization")
        if not values:
            return _offered_token(connection)
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

    def guard(self, connection: HTTPConnection) -> None:
        """Nothing to guard: a browser never adds these tokens by itself."""

    def guard_form(self, connection: HTTPConnection) -> None:
        """See Transport.guard_form."""
        check_form_origin(connection, has_cookies=False)

    def write(self, response: Response, signed_in: SignedIn) -> None:
        """Nothing to add: the body holds the tokens."""

    def clear(self, response: Response) -> None:
        """Nothing to take back: the client drops its tokens."""


class CookieTransport:
    """Cookies that scripts cannot read and other sites cannot use; no token in any body.

    Args:
        trusted_origins: origins beside the application's own whose pages may use the cookies,
            ``["https://app.example.com"]``. Needed where a proxy changes the Host.
        body_types: media types that requests with cookies may have; add
            ``multipart/form-data`` if routes of yours take uploads.
        access_cookie: name of the cookie with the access token, without the prefix.
        refresh_cookie: name of the cookie with the refresh token, without the prefix.
        access_samesite: when browsers attach it; ``lax`` lets a link from elsewhere open a page
            signed in.
        refresh_samesite: the same for the refresh token.
        secure: False gives up HTTPS, the ``__Host-`` prefix and with them much of the
            protection. Chrome and Firefox take secure cookies on http://localhost too, Safari
            does not.

    Raises:
        ConfigurationError: an option is impossible; the message says what to write.
    """

    def __init__(
        self,
        *,
        trusted_origins: Collection[str] = (),
        body_types: Collection[str] = (JSON,),
        access_cookie: str = "access_token",
        refresh_cookie: str = "refresh_token",
        access_samesite: SameSite = "lax",
        refresh_samesite: SameSite = "strict",
        secure: bool = True,
    ) -> None:
        _check_options(access_cookie, refresh_cookie, access_samesite, refresh_samesite, secure)
        self._trusted_origins = check_trusted_origins(trusted_origins)
        self._body_types = frozenset(body_types)
        # RFC 6265bis section 4.1.3.2: browsers take such a cookie only over HTTPS and from this
        # very host, so no sibling domain can plant one.
        prefix = HOST_PREFIX if secure else ""
        self.cookie_name: str = prefix + access_cookie
        self.refresh_cookie_name: str = prefix + refresh_cookie
        self._samesite = {
            self.cookie_name: access_samesite,
            self.refresh_cookie_name: refresh_samesite,
        }
        self._secure = secure
        if not secure:
            logger.warning(
                "Cookies are sent without Secure and without the __Host- prefix: whoever listens "
                "on the network has the tokens. Leave out secure=False in production."
            )

    @property
    def carrier(self) -> Carrier:
        """What to give to ``kit.login`` and its kin, in a login route of your own."""
        return Carrier(
            MAX_COOKIE_BYTES - len(self.cookie_name),
            f"browsers keep {MAX_COOKIE_BYTES} bytes of a cookie, and {len(self.cookie_name)} are "
            f"the name {self.cookie_name}",
        )

    @property
    def is_secure(self) -> bool:
        """Whether the cookies travel by HTTPS only."""
        return self._secure

    @property
    def is_cross_site(self) -> bool:
        """Whether browsers attach a cookie to requests of other sites."""
        return "none" in self._samesite.values()

    def trusts(self, origin: str) -> bool:
        """Tell whether pages of *origin* may use the cookies although it is not our own."""
        return origin in self._trusted_origins

    def read_access_token(self, connection: HTTPConnection) -> str | None:
        """See Transport.read_access_token."""
        return _only(self.read_access_tokens(connection))

    def read_refresh_token(self, connection: HTTPConnection, sent: str | None) -> str | None:
        """See Transport.read_refresh_token."""
        return None if sent is not None else _only(self.read_refresh_tokens(connection))

    def read_access_tokens(self, connection: HTTPConnection) -> Collection[str]:
        """Return what each cookie with this name holds, for a logout.

        Raises: as ``read_access_token``, but not where there are several.
        """
        # Two credentials could belong to two people; the one the client chose itself counts.
        if "authorization" in connection.headers or _offered_token(connection) is not None:
            return ()
        return self._read(connection, self.cookie_name)

    def read_refresh_tokens(self, connection: HTTPConnection) -> Collection[str]:
        """Return what each cookie with this name holds; see ``read_access_tokens``."""
        if "authorization" in connection.headers:
            return ()
        return self._read(connection, self.refresh_cookie_name)

    def guard(self, connection: HTTPConnection) -> None:
        """See Transport.guard."""
        names = (self.cookie_name, self.refresh_cookie_name)
        has_cookies = any(_cookie_values(connection, name) for name in names)
        self._check(connection, has_cookies=has_cookies)

    def guard_form(self, connection: HTTPConnection) -> None:
        """See Transport.guard_form."""
        check_form_origin(connection, has_cookies=True, trusted_origins=self._trusted_origins)

    def write(self, response: Response, signed_in: SignedIn) -> None:
        """See Transport.write.

        Raises:
            ConfigurationError: a token is too long for a cookie.
        """
        tokens = signed_in.tokens
        self._set(response, self.cookie_name, tokens.access_token, tokens.expires_in)
        # One that the client has is not sent again: the answer may be late, and would put an
        # old token over a newer one.
        if signed_in.refresh_is_new:
            life = signed_in.refresh_expires_in
            self._set(response, self.refresh_cookie_name, tokens.refresh_token, life)

    def clear(self, response: Response) -> None:
        """See Transport.clear."""
        for name, samesite in self._samesite.items():
            response.delete_cookie(name, secure=self._secure, httponly=True, samesite=samesite)

    def clear_strays(self, connection: HTTPConnection, response: Response) -> None:
        """Delete cookies that share a name with ours and were set for another path or domain.

        Ours stay: they have the path ``/`` and no domain.
        """
        if self._secure:
            return  # browsers have no other cookies with the prefix
        for name, samesite in self._samesite.items():
            if not _are_doubled(_cookie_values(connection, name)):
                continue
            _tell_of_strays(name)
            for path, domain in islice(_places(connection), MAX_STRAYS):
                response.delete_cookie(name, path, domain, httponly=True, samesite=samesite)

    def _read(self, connection: HTTPConnection, name: str) -> Collection[str]:
        values = _cookie_values(connection, name)
        if values:
            self._check(connection, has_cookies=True)
        return values

    def _check(self, connection: HTTPConnection, *, has_cookies: bool) -> None:
        check_origin(connection, has_cookies=has_cookies, trusted_origins=self._trusted_origins)
        check_body_type(connection, self._body_types)

    def _set(self, response: Response, name: str, token: str, life: int) -> None:
        if len(name) + len(token) > MAX_COOKIE_BYTES:  # browsers drop it without a word
            raise ConfigurationError(
                f"The cookie {name} would have {len(name) + len(token)} bytes, but browsers keep "
                f"{MAX_COOKIE_BYTES}. Put less into the access token: AuthKit(profile_claims=())."
            )
        response.set_cookie(
            name,
            token,
            max_age=life,
            secure=self._secure,
            httponly=True,
            samesite=self._samesite[name],
        )


def carrier_of(transport: Transport) -> Carrier:
    """Return what limits the access tokens that *transport* hands out."""
    return transport.carrier if isinstance(transport, CookieTransport) else HEADER


def _check_options(
    access_cookie: str,
    refresh_cookie: str,
    access_samesite: SameSite,
    refresh_samesite: SameSite,
    secure: bool,
) -> None:
    for name in (access_cookie, refresh_cookie):
        if not name.isascii() or not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigurationError(f"{name!r} is no cookie name; use letters, digits, - and _.")
    if access_cookie == refresh_cookie:
        raise ConfigurationError("access_cookie and refresh_cookie need two names.")
    if not secure and "none" in {access_samesite, refresh_samesite}:
        raise ConfigurationError(
            "Browsers drop SameSite=None cookies that are not Secure; leave out secure=False."
        )


def _only(values: Collection[str]) -> str | None:
    """Return the value of a cookie; one that is there twice is refused.

    Where there is no prefix, a sibling domain or a path can plant a second one, and nothing
    tells which is ours.
    """
    if _are_doubled(values):
        raise InvalidToken
    return next(iter(values), None)


def _are_doubled(values: Collection[str]) -> bool:
    return len(values) > 1


def _cookie_values(connection: HTTPConnection, name: str) -> set[str]:
    # Only these two signs are white space here (RFC 6265 section 4.2.1). With others taken off,
    # a name that begins with one would become a name with our prefix, and for a browser it has
    # none: any sibling domain could set it.
    pairs = [
        pair.strip(" \t").partition("=")
        for header in connection.headers.getlist("cookie")
        for pair in header.split(";")
    ]
    return {value for key, _, value in pairs if key.rstrip(" \t") == name}


def _places(connection: HTTPConnection) -> Iterator[tuple[str, str | None]]:
    """Return paths and domains of cookies that a browser sends to this URL, but for our own."""
    root, path = connection.scope.get("root_path", ""), connection.scope["path"]
    steps = _PATH_STEP.findall(path if path.startswith(root) else root + path)
    below = [each for path in accumulate(steps) for each in (path, f"{path}/")]
    host = connection.headers.get("host", "").partition(":")[0].lower()
    labels = host.split(".") if _DOMAIN.fullmatch(host) else []
    domains = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    yield from ((path, None) for path in below)
    yield from (("/", domain) for domain in domains)
    yield from product(below, domains)


@cache
def _tell_of_strays(name: str) -> None:
    logger.warning(
        "A browser sent two cookies with the name %s, and the one for another path or domain is "
        "deleted. If another application uses the name, choose one of your own: "
        "CookieTransport(access_cookie=..., refresh_cookie=...).",
        name,
    )


def _offered_token(connection: HTTPConnection) -> str | None:
    """Return the token a WebSocket handshake offers as a subprotocol, after the name of ours."""
    offered = list(connection.scope.get("subprotocols") or ())
    if offered[:1] != [WEBSOCKET_PROTOCOL]:
        return None
    return offered[1] if len(offered) > 1 else ""


NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 section 5.1: no cache may keep an answer that holds tokens."""
