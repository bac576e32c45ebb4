"""What an answer gets on its way out where cookies came in: headers for caches, more cookies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from .transports import Transport

_KEY = "jwt_auth_kit.cookie"


@dataclass(slots=True)
class _CookieUse:
    """What became of the cookies of a request; one object, because routing may copy the scope."""

    is_seen: bool = False
    """Whether a token was looked for in them, and one was there."""
    more: dict[bytes, None] = field(default_factory=dict)
    """Cookies to send that the route itself cannot, because its answer is an error."""


def keep_private(scope: Scope, send: Send, transports: Sequence[Transport]) -> Send:
    """Return what sends the answer to a request; it adds headers if a cookie signed it in.

    Requests without a cookie, and applications without cookies, go on as they are.
    """
    if scope["type"] != "http" or all(each.cookie_name is None for each in transports):
        return send
    if all(name != b"cookie" for name, _ in scope["headers"]):
        return send
    use = scope[_KEY] = _CookieUse()

    async def send_private(message: Message) -> None:
        if use.is_seen and message["type"] == "http.response.start":
            more = [(b"set-cookie", cookie) for cookie in use.more]
            message = {**message, "headers": [*more, *_private(message.get("headers", ()))]}
        await send(message)

    return send_private


def note_cookie(scope: Scope) -> None:
    """Note that the token of this request came in a cookie."""
    use: _CookieUse | None = scope.get(_KEY)
    if use is not None:
        use.is_seen = True


def send_cookies(scope: Scope, response: Response) -> None:
    """Send the cookies of *response* with whatever answers this request, an error for example."""
    use: _CookieUse | None = scope.get(_KEY)
    cookies = [value for name, value in response.raw_headers if name == b"set-cookie"]
    if use is not None and cookies:
        use.is_seen = True
        use.more.update(dict.fromkeys(cookies))


def _private(raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # RFC 9111 section 3.5 keeps answers to requests with Authorization out of shared caches.
    # Nothing does that for cookies: a proxy could give the page of one user to the next.
    headers = MutableHeaders(raw=list(raw))
    headers.setdefault("cache-control", "private")
    varies = [value.strip() for line in headers.getlist("vary") for value in line.split(",")]
    if {"*", "cookie"}.isdisjoint(value.lower() for value in varies):
        headers["vary"] = ", ".join([*filter(None, varies), "Cookie"])
    return headers.raw
