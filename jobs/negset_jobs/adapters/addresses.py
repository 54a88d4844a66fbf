"""Decide which IP addresses are public, by the lists of `negset_api.networks`. Pure.

Python's `ipaddress` has its own lists. They change with its version and lack some of these
networks.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

from negset_api import networks

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SPECIAL: Final = tuple(map(ipaddress.ip_network, (*networks.NOT_PUBLIC_V4, *networks.NOT_PUBLIC_V6)))
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network(networks.PUBLIC_V6)

# IPv6 addresses that lead to the IPv4 address in their last 32 bits, by the kernel or by a gateway.
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291, section 2.5.5.2
_NAT64: Final = ipaddress.IPv6Network(networks.NAT64)
_IPV4_BITS: Final = 0xFFFFFFFF

# ISATAP (RFC 5214): 0000:5efe or 0200:5efe and an IPv4 address behind any prefix. The mask leaves
# out the universal/local bit and the group bit of the interface identifier.
_ISATAP: Final = 0x5EFE
_ISATAP_MASK: Final = 0xFCFFFFFF


def parse(text: str) -> Address | None:
    """Return the address of a text in standard form, without its zone.

    None for a name, and for forms that only a resolver understands (`127.1`, `0x7f000001`).
    """
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Return True for a public unicast address.

    An IPv6 address that leads to an IPv4 address is treated as that IPv4 address.
    """
    address = leads_to(address)
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    return address in _GLOBAL_UNICAST and (int(address) >> 32) & _ISATAP_MASK != _ISATAP


def leads_to(address: Address) -> Address:
    """Return the IPv4 address of a mapped or NAT64 address; any other address unchanged."""
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        return ipaddress.IPv4Address(int(address) & _IPV4_BITS)
    return address


@functools.lru_cache(maxsize=4096)
def permitted(text: str, allowed: tuple[str, ...]) -> bool:
    """Return True for a public address and for one in `allowed` (CIDRs); False for a name."""
    address = parse(text)
    if address is None:
        return False
    added = [ipaddress.ip_network(network) for network in allowed]
    return is_public(address) or any(candidate in network for candidate in (address, leads_to(address)) for network in added)
