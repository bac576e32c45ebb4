"""Reads IP addresses and tells their networks, by which limits and queues count."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

IPV6_PREFIX = 64
"""Bits of an IPv6 address that name a network: providers give a customer 64 or fewer."""

IPV6_WIDE_PREFIX = 48
"""Bits that name a wide network: customers who are given 48 bits have 65,536 networks."""

IPAddress = IPv4Address | IPv6Address


def parse_address(text: str | None) -> IPAddress | None:
    """Read an address without its zone; None where *text* is not one.

    A server that listens for both kinds sees IPv4 peers as IPv6 addresses (``::ffff:192.0.2.1``).
    """
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def get_network(ip: str | None, ipv6_prefix: int = IPV6_PREFIX) -> str | None:
    """Return the network of *ip*; None where *ip* is not an address.

    An IPv4 address is a network of its own, also where it is written as an IPv6 address.
    """
    address = parse_address(ip)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address.packed, ipv6_prefix), strict=False))
    return None if address is None else str(address)
