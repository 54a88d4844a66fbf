"""Which IP addresses are public, by explicit lists. Pure.

The lists are IANA's special-purpose registries, which say what is globally reachable, and what is
special without being registered. Python's `ipaddress` has lists of its own, which change with its
version and lack some of these.
https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC_V4: Final = (
    "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself (RFC 791, RFC 1122)
    "10.0.0.0/8",  # private (RFC 1918)
    "100.64.0.0/10",  # shared by carriers (RFC 6598); 100.100.100.200 is Alibaba Cloud's metadata
    "127.0.0.0/8",  # loopback (RFC 1122)
    "168.63.129.16/32",  # Azure's host, which answers its virtual machines only
    "169.254.0.0/16",  # link-local (RFC 3927); 169.254.169.254 is most clouds' metadata
    "172.16.0.0/12",  # private (RFC 1918)
    "192.0.0.0/24",  # IETF protocols (RFC 6890); 192.0.0.192 is Oracle Cloud's metadata of old
    "192.0.2.0/24",  # documentation (RFC 5737)
    "192.88.99.0/24",  # 6to4 relays (RFC 3068), deprecated (RFC 7526)
    "192.168.0.0/16",  # private (RFC 1918)
    "198.18.0.0/15",  # benchmarks (RFC 2544)
    "198.51.100.0/24",  # documentation (RFC 5737)
    "203.0.113.0/24",  # documentation (RFC 5737)
    "224.0.0.0/4",  # multicast (RFC 5771)
    "240.0.0.0/4",  # reserved (RFC 1112), with the limited broadcast (RFC 8190)
)
_PUBLIC_V4: Final = (  # within the above
    "192.0.0.9/32",  # Port Control Protocol (RFC 7723)
    "192.0.0.10/32",  # TURN (RFC 8155)
)

# Of IPv6 only this block is handed out (RFC 4291, section 2.4). Outside of it lie loopback and
# unspecified, IPv4-compatible and -translated addresses (::/8, with SIIT's ::ffff:0:0:0/96), NAT64
# for local use (64:ff9b:1::/48, RFC 8215), discard-only (100::/64, RFC 6666), segment routing
# (5f00::/16, RFC 9602), unique local (fc00::/7, RFC 4193; fd00:ec2::254 is AWS's metadata),
# link-local (fe80::/10), site-local (fec0::/10, RFC 3879) and multicast (ff00::/8).
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = (
    "2001::/23",  # IETF protocols (RFC 2928): Teredo (2001::/32, RFC 4380), benchmarks, ORCHID, ...
    "2001:db8::/32",  # documentation (RFC 3849)
    "2002::/16",  # 6to4 (RFC 3056): the address of a relay's choice, deprecated with its relays
    "3ffe::/16",  # 6bone, given back (RFC 3701)
    "3fff::/20",  # documentation (RFC 9637)
)
_PUBLIC_V6: Final = (  # within the above
    "2001:1::1/128",  # Port Control Protocol (RFC 7723)
    "2001:1::2/128",  # TURN (RFC 8155)
    "2001:1::3/128",  # service registration (RFC 9665)
    "2001:3::/32",  # AMT (RFC 7450)
    "2001:4:112::/48",  # AS112 (RFC 7535)
    "2001:20::/28",  # ORCHIDv2 (RFC 7343)
    "2001:30::/28",  # drone remote identification (RFC 9374)
)

_SPECIAL: Final = tuple(map(ipaddress.ip_network, (*_NOT_PUBLIC_V4, *_NOT_PUBLIC_V6)))
_EXCEPTED: Final = tuple(map(ipaddress.ip_network, (*_PUBLIC_V4, *_PUBLIC_V6)))

# IPv6 addresses that lead to the IPv4 address in their last 32 bits, by the kernel or by a gateway.
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291, section 2.5.5.2
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_IPV4_BITS: Final = 0xFFFFFFFF

# ISATAP (RFC 5214): 0000:5efe or 0200:5efe and an IPv4 address behind any prefix. The mask leaves
# out the two bits that say whether an interface's identifier is universal, and a group's.
_ISATAP: Final = 0x5EFE
_ISATAP_MASK: Final = 0xFCFFFFFF


def parse(text: str) -> Address | None:
    """The address that a text spells in its usual form, without its zone.

    None for a name, and for forms that only a resolver understands (`127.1`, `0x7f000001`).
    """
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether it is a public unicast address. An IPv6 address that leads to an IPv4 address is
    judged as that.
    """
    address = leads_to(address)
    if any(address in network for network in _EXCEPTED):
        return True
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    return address in _GLOBAL_UNICAST and (int(address) >> 32) & _ISATAP_MASK != _ISATAP


def leads_to(address: Address) -> Address:
    """The IPv4 address that a mapped or NAT64 address leads to; any other address itself."""
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        return ipaddress.IPv4Address(int(address) & _IPV4_BITS)
    return address


@functools.lru_cache(maxsize=4096)
def permitted(text: str, networks: tuple[str, ...]) -> bool:
    """Whether a connection to this address may be opened: to public addresses, and to those in
    `networks` (CIDRs). Never to a name.
    """
    address = parse(text)
    if address is None:
        return False
    allowed = [ipaddress.ip_network(network) for network in networks]
    return is_public(address) or any(candidate in network for candidate in (address, leads_to(address)) for network in allowed)
