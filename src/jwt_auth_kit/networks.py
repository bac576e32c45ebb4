"""Tells which network an IP address belongs to: limits and queues count by network."""

from ipaddress import IPv6Address, IPv6Network, ip_address

IPV6_PREFIX = 64
"""Bits of an IPv6 address that name a network: providers give a customer 64 or fewer."""


def get_network(ip: str | None, ipv6_prefix: int = IPV6_PREFIX) -> str | None:
    """Return the network of *ip*; None where *ip* is not an address.

    An IPv4 address is a network of its own, also where it is written as an IPv6 address.
    """
    try:
        address = ip_address(ip or "")
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address.packed, ipv6_prefix), strict=False))
