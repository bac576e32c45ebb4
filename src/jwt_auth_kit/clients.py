"""Tells where a request came from, past the proxies that are trusted."""

import ipaddress
import logging
from collections.abc import Sequence
from functools import cache

from starlette.requests import HTTPConnection

from .events import Client
from .settings import Network

logger = logging.getLogger("jwt_auth_kit")

MAX_USER_AGENT_LENGTH = 256

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def get_client(connection: HTTPConnection, trusted_proxies: Sequence[Network] = ()) -> Client:
    """Tell address and user agent of *connection*, for the audit trail and the throttle.

    The address is the one that connected. If that is a trusted proxy, it is the last one in
    X-Forwarded-For that is not: each proxy appends who spoke to it, and what stands further to
    the left is whatever the client likes to say.
    """
    user_agent = "".join(filter(str.isprintable, connection.headers.get("user-agent", "")))
    return Client(
        ip=_address(connection, trusted_proxies),
        user_agent=user_agent[:MAX_USER_AGENT_LENGTH] or None,
    )


def _address(connection: HTTPConnection, trusted_proxies: Sequence[Network]) -> str | None:
    peer = connection.client
    forwarded = connection.headers.getlist("x-forwarded-for")
    if forwarded and peer is not None and peer.port == 0:
        # A server such as uvicorn has put what the header says in the place of the peer, and by
        # default it believes every process of its machine. Who connected is not to be had.
        peer = None
        if not trusted_proxies:
            _warn_of_forwarded_addresses()
    if peer is None and not trusted_proxies:
        return None
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    if peer is not None:
        if _parse(peer.host) is None:
            return peer.host or None  # a name, as test clients have
        hops.append(peer.host)
    return _last_untrusted(hops, trusted_proxies)


def _last_untrusted(hops: Sequence[str], trusted_proxies: Sequence[Network]) -> str | None:
    nearest = None
    for hop in reversed(hops):
        address = _parse(hop)
        if address is None:
            return nearest  # nothing to the left of rubbish can be believed
        nearest = str(address)
        if not any(address in network for network in trusted_proxies):
            break
    return nearest


def _parse(hop: str) -> Address | None:
    """Read an address; some proxies add a port to it."""
    bare = hop.rpartition(":")[0] if hop.count(":") == 1 or "]:" in hop else hop
    try:
        return ipaddress.ip_address(bare.strip("[]"))
    except ValueError:
        return None


@cache
def _warn_of_forwarded_addresses() -> None:
    logger.warning(
        "The server takes client addresses from X-Forwarded-For, which clients can write, so "
        "they are not believed and all these clients count as one. Start uvicorn with "
        "--no-proxy-headers; behind a proxy, set JWT_TRUSTED_PROXIES to its address too."
    )
