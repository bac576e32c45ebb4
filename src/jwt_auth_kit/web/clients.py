"""Tells where a request came from, past the proxies that are trusted."""

import logging
from collections.abc import Sequence
from functools import cache

from starlette.requests import HTTPConnection

from ..events import Client
from ..networks import IPAddress, parse_address
from ..settings import Network
from .peers import get_peer

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

MAX_USER_AGENT_LENGTH = 256

MAX_IP_LENGTH = 45


def read_client(connection: HTTPConnection, trusted_proxies: Sequence[Network] = ()) -> Client:
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
    hops = [
        hop.strip()
        for header in connection.headers.getlist("x-forwarded-for")
        for hop in header.split(",")
    ]
    if not hops:
        return None if connection.client is None else _name(connection.client.host)
    # What the header says decides nothing here: a client could write its own address into it
    # and pass for a request whose peer the server has replaced.
    peer = get_peer(connection)
    if peer is None:  # a unix socket with a proxy at its other end, or a server that hides it
        is_trusted = bool(trusted_proxies)
    else:
        is_trusted = _is_within(_parse(peer), trusted_proxies)
    if not is_trusted:
        _warn_of_forwarded_addresses()
        return None if peer is None else _name(peer)
    return _last_untrusted([*hops, *([peer] if peer else [])], trusted_proxies)


def _name(host: str) -> str | None:
    """Return an address in its usual spelling; a name, as test clients have, as it is."""
    address = _parse(host)
    return (host if address is None else str(address))[:MAX_IP_LENGTH] or None


def _last_untrusted(hops: Sequence[str], trusted_proxies: Sequence[Network]) -> str | None:
    nearest = None
    for hop in reversed(hops):
        address = _parse(hop)
        if address is None:
            return nearest  # nothing to the left of rubbish can be believed
        nearest = str(address)
        if not _is_within(address, trusted_proxies):
            break
    return nearest


def _is_within(address: IPAddress | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def _parse(hop: str) -> IPAddress | None:
    """Read an address; some proxies add a port to it."""
    bare = hop.rpartition(":")[0] if hop.count(":") == 1 or "]:" in hop else hop
    return parse_address(bare.strip("[]"))


@cache
def _warn_of_forwarded_addresses() -> None:
    # The address of the peer is left out: a stranger could have himself named as the proxy.
    logger.warning(
        "X-Forwarded-For was ignored, because JWT_TRUSTED_PROXIES does not name the peer that "
        "sent it. If your application is behind a proxy, set JWT_TRUSTED_PROXIES to the proxy's "
        "address. All clients behind it share one limit until then."
    )
