"""Tells where a request came from, past the proxies that are trusted."""

import ipaddress
import logging
from collections.abc import Sequence
from functools import cache

from starlette.datastructures import Address
from starlette.requests import HTTPConnection

from .events import Client
from .settings import Network

logger = logging.getLogger("jwt_auth_kit")

MAX_USER_AGENT_LENGTH = 256

MAX_IP_LENGTH = 45

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


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
    peer = connection.client
    hops = [
        hop.strip()
        for header in connection.headers.getlist("x-forwarded-for")
        for hop in header.split(",")
    ]
    if not hops:
        return None if peer is None else _name(peer.host)
    if peer is not None and _is_hearsay(peer, hops):
        peer = None
    if peer is None:  # or a unix socket, with a proxy at its other end
        is_trusted = bool(trusted_proxies)
    else:
        is_trusted = _is_within(_parse(peer.host), trusted_proxies)
    if not is_trusted:
        _warn_of_forwarded_addresses()
        return None if peer is None else _name(peer.host)
    return _last_untrusted([*hops, *([peer.host] if peer else [])], trusted_proxies)


def _name(host: str) -> str | None:
    """Return an address in its usual spelling; a name, as test clients have, as it is."""
    address = _parse(host)
    return (host if address is None else str(address))[:MAX_IP_LENGTH] or None


def _is_hearsay(peer: Address, hops: Sequence[str]) -> bool:
    """Tell whether a server has put what the header says in the place of the peer.

    uvicorn does so, and by default it believes every process of its machine. Who connected is
    then not to be had.
    """
    host = _parse(peer.host)
    return peer.port == 0 or host is None or host in {_parse(hop) for hop in hops}


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
    try:
        address = ipaddress.ip_address(bare.strip("[]").partition("%")[0])
    except ValueError:
        return None
    # A server that listens on both kinds sees IPv4 peers like this.
    return getattr(address, "ipv4_mapped", None) or address


@cache
def _warn_of_forwarded_addresses() -> None:
    logger.warning(
        "X-Forwarded-For is not believed, since clients can write it: who comes by a proxy counts "
        "as one client, with one limit for all. If there is a proxy in front, name it in "
        "JWT_TRUSTED_PROXIES and start uvicorn with --no-proxy-headers."
    )
