"""The guard against requests that another web site makes a browser send."""

from collections.abc import Collection

from starlette.requests import HTTPConnection

from ..errors import ConfigurationError, CrossSiteRequest, NotJSON

JSON = "application/json"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ORIGIN_NEEDED = (
    "Requests with cookies need an Origin header. Clients that are not browsers send tokens in "
    "the Authorization header instead"
)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
HTTP_SCHEMES = {"ws": "http", "wss": "https"}


def check_origin(
    connection: HTTPConnection, *, has_cookies: bool, trusted_origins: Collection[str] = ()
) -> None:
    """Let a request pass that a page of our own origin, or of a trusted one, made.

    Args:
        connection: the request; a link or an image that changes nothing (GET) passes, a script of
            another origin and a WebSocket do not.
        has_cookies: whether it carries cookies of ours.
        trusted_origins: other origins whose pages may act for the user.

    Raises:
        CrossSiteRequest: a page of another origin made it, or it carries cookies and nothing
            tells which page made it.
    """
    # Browsers attach cookies to whatever any page sends, so a form on a strange site could act
    # for the user, or sign her in to the attacker's account. These headers are the browser's
    # own; a page can neither set nor drop them (OWASP CSRF cheat sheet, "Fetch Metadata").
    origin, site = _header(connection, "origin"), _header(connection, "sec-fetch-site")
    # Only a script of another origin names it to read something. CORS could let it have the
    # answer, whichever middleware or proxy is too generous.
    if origin is None and connection.scope.get("method") in SAFE_METHODS:
        return
    if origin is not None and origin in trusted_origins:
        return
    if site is not None:
        is_own = site in {"same-origin", "none"}
    elif origin is not None:
        is_own = origin == own_origin(connection)  # never true for "null"
    elif has_cookies:  # no browser, it seems, but we do not take its word
        raise CrossSiteRequest(ORIGIN_NEEDED)
    else:
        is_own = True
    if not is_own:
        raise CrossSiteRequest


def check_form_origin(
    connection: HTTPConnection, *, has_cookies: bool, trusted_origins: Collection[str] = ()
) -> None:
    """Let a form pass that no page of another site has posted.

    It sets no cookie and its answer cannot be read there, but each one counts as a guess: a page
    could use up the visitor's own.

    Args:
        connection: the request.
        has_cookies: whether the application serves browsers by cookies; if not, pages of other
            origins may be clients like any other.
        trusted_origins: other origins whose pages may sign users in.

    Raises:
        CrossSiteRequest: it was posted by a page of another origin.
    """
    if has_cookies:
        check_origin(connection, has_cookies=False, trusted_origins=trusted_origins)
    elif _header(connection, "sec-fetch-mode") not in {None, "cors", "same-origin"}:
        check_origin(connection, has_cookies=False)


def check_body_type(connection: HTTPConnection, accepted: Collection[str] = (JSON,)) -> None:
    """Let a request pass that has no body, or one of an *accepted* media type.

    Forms can send three media types to any site without asking (no CORS preflight); JSON is
    none of them.

    Raises:
        NotJSON: the body is of another type, or of none.
    """
    if connection.scope.get("method") in SAFE_METHODS:
        return
    content_type = connection.headers.get("content-type")
    if content_type is None:
        if _has_body(connection):
            raise NotJSON
        return
    media_type = content_type.partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.endswith("+json")
    if media_type not in accepted and not (is_json and JSON in accepted):
        raise NotJSON


def own_origin(connection: HTTPConnection) -> str:
    """Return the origin of the request's own URL as browsers write it (RFC 6454 section 6)."""
    scheme = connection.url.scheme
    scheme = HTTP_SCHEMES.get(scheme, scheme)
    host = connection.headers.get("host", "").lower()
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS.get(scheme, ''))}"


def check_trusted_origins(origins: Collection[str]) -> frozenset[str]:
    """Return *origins* as a set.

    Raises:
        ConfigurationError: one is not written as browsers write it.
    """
    if isinstance(origins, str):
        raise ConfigurationError(f"trusted_origins is a list: [{origins!r}].")
    for origin in origins:
        scheme, separator, host = origin.partition("://")
        is_plain = separator and host and not set(host) & set("/*?#@ ") and origin.islower()
        if scheme not in DEFAULT_PORTS or not is_plain or host.endswith(DEFAULT_PORTS[scheme]):
            raise ConfigurationError(
                f"{origin!r} is no origin; write it as a browser does: https://app.example.com, "
                "without a path, a slash at the end, a wildcard or the default port."
            )
    return frozenset(origins)


def _header(connection: HTTPConnection, name: str) -> str | None:
    """Return a header; one that is there twice becomes a value that matches nothing."""
    values = connection.headers.getlist(name)
    return ", ".join(values) if values else None


def _has_body(connection: HTTPConnection) -> bool:
    headers = connection.headers
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
