"""The jobs' own guard and the NetworkPolicy of their pods agree about addresses.

The policy does not open an address that the guard refuses.
"""

from __future__ import annotations

import ipaddress

import pytest

from negset_api.networks import NAT64, NOT_PUBLIC_V4, NOT_PUBLIC_V6, is_public
from negset_jobs.adapters.access import Access
from negset_operator.manifests import network_policies

PUBLIC = (
    "1.1.1.1",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.0",
    "100.128.0.1",
    "223.255.255.254",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
)


def opened(address: str) -> bool:
    """Whether the NetworkPolicy lets a pod reach it as a public address."""
    ip = ipaddress.ip_address(address)
    return any(
        ip in ipaddress.ip_network(block["cidr"]) and not any(ip in ipaddress.ip_network(each) for each in block["except"])
        for block in (peer["ipBlock"] for peer in network_policies._PUBLIC)
    )


@pytest.mark.parametrize("cidr", [*NOT_PUBLIC_V4, *NOT_PUBLIC_V6, NAT64])
def test_at_the_edges_of_a_network_nothing_is_open_that_the_jobs_refuse(cidr):
    network = ipaddress.ip_network(cidr)
    numbers = [number + step for number in (int(network[0]), int(network[-1])) for step in (-1, 0, 1)]
    addresses = [str(type(network[0])(number)) for number in numbers if 0 <= number < 2**network.max_prefixlen]
    assert [address for address in addresses if opened(address) and not Access().permits(address)] == []
    assert [address for address in addresses if opened(address) != is_public(ipaddress.ip_address(address))] == []


@pytest.mark.parametrize("address", PUBLIC)
def test_both_let_a_public_address_through(address):
    assert opened(address)
    assert Access().permits(address)
