"""One notion of a network for everything that counts by network."""

import pytest

from jwt_auth_kit.networks import get_network


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_belongs_to_one_network_however_it_is_written(ip: str, network: str) -> None:
    assert get_network(ip) == network


def test_a_shorter_prefix_makes_a_wider_network() -> None:
    assert get_network("2001:db8:1:2::1", 48) == "2001:db8:1::/48"
    assert get_network("192.0.2.1", 48) == "192.0.2.1"


@pytest.mark.parametrize("ip", [None, "", "testclient", "192.0.2.300", "192.0.2.1:80"])
def test_what_is_not_an_address_belongs_to_no_network(ip: str | None) -> None:
    assert get_network(ip) is None
