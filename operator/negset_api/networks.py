"""The addresses that are not public: jobs refuse them, and NetworkPolicies do not allow them.

The rows are IANA's special-purpose registries
(https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry), multicast, and addresses that clouds
use themselves. The list is here because a Python release knows the registries only as of its date.
Some rows are globally reachable according to IANA. They are listed if no file can be served from
them (relays, DNS sinks). They are also listed if they embed an IPv4 address, which would need its
own check.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

PUBLIC_V4: Final = "0.0.0.0/0"
"""All of these addresses are public, except `NOT_PUBLIC_V4`."""

PUBLIC_V6: Final = "2000::/3"
"""Global unicast, from which IANA allocates (RFC 4291): public, except `NOT_PUBLIC_V6`."""

NAT64: Final = "64:ff9b::/96"
"""Leads to the IPv4 address in the last 32 bits (RFC 6052). It is public if that address is."""

NOT_PUBLIC_V4: Final[Mapping[str, str]] = MappingProxyType(
    {
        "0.0.0.0/8": "this network (RFC 791)",
        "10.0.0.0/8": "private use (RFC 1918)",
        "100.64.0.0/10": "shared address space (RFC 6598); 100.100.100.200 is Alibaba's metadata",
        "127.0.0.0/8": "loopback (RFC 1122)",
        "168.63.129.16/32": "Azure's platform address (not in IANA's registry)",
        "169.254.0.0/16": "link local (RFC 3927); 169.254.169.254 is the clouds' metadata",
        "172.16.0.0/12": "private use (RFC 1918)",
        "192.0.0.0/24": "IETF protocol assignments (RFC 6890); 192.0.0.192 is Oracle's metadata",
        "192.0.2.0/24": "documentation (RFC 5737)",
        "192.31.196.0/24": "AS112, a DNS sink (RFC 7535)",
        "192.52.193.0/24": "multicast relays (RFC 7450)",
        "192.88.99.0/24": "6to4 relays, deprecated (RFC 7526)",
        "192.168.0.0/16": "private use (RFC 1918)",
        "192.175.48.0/24": "AS112, a DNS sink (RFC 7534)",
        "198.18.0.0/15": "benchmarks (RFC 2544)",
        "198.51.100.0/24": "documentation (RFC 5737)",
        "203.0.113.0/24": "documentation (RFC 5737)",
        "224.0.0.0/4": "multicast (RFC 5771)",
        "240.0.0.0/4": "reserved (RFC 1112), and limited broadcast (RFC 919)",
    }
)

NOT_PUBLIC_V6: Final[Mapping[str, str]] = MappingProxyType(
    {
        "::/96": "unspecified, loopback, IPv4-compatible (RFC 4291)",
        "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
        "::ffff:0:0:0/96": "IPv4-translated (RFC 2765)",
        "64:ff9b:1::/48": "IPv4 by local NAT64 (RFC 8215)",
        "100::/64": "discard only (RFC 6666)",
        "100:0:0:1::/64": "dummy prefix (RFC 9780)",
        "2001::/23": "IETF protocol assignments, with Teredo, ORCHID and AMT (RFC 2928)",
        "2001:db8::/32": "documentation (RFC 3849)",
        "2002::/16": "6to4, which embeds IPv4 (RFC 3056)",
        "2620:4f:8000::/48": "AS112, a DNS sink (RFC 7534)",
        "3ffe::/16": "6bone, returned (RFC 3701)",
        "3fff::/20": "documentation (RFC 9637)",
        "5f00::/16": "segment routing (RFC 9602)",
        "fc00::/7": "unique local (RFC 4193); fd00:ec2::254 is AWS' metadata",
        "fe80::/10": "link local (RFC 4291)",
        "fec0::/10": "site local, deprecated (RFC 3879)",
        "ff00::/8": "multicast (RFC 4291)",
    }
)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return True if the lists say that an address is public, as NetworkPolicies apply them."""
    if isinstance(address, ipaddress.IPv6Address) and address in ipaddress.IPv6Network(NAT64):
        address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    v4 = isinstance(address, ipaddress.IPv4Address)
    public, others = (PUBLIC_V4, NOT_PUBLIC_V4) if v4 else (PUBLIC_V6, NOT_PUBLIC_V6)
    return address in ipaddress.ip_network(public) and not any(address in ipaddress.ip_network(other) for other in others)
