"""What a job may reach. The manifest comes from a tenant; this comes from whoever runs the job: the person at the laptop or the operator's administrator."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput

WEB_SCHEMES: Final = frozenset({"http", "https"})
STORE_SCHEMES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "hdfs", "webhdfs", "sftp", "memory"})
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
_CHAIN: Final = re.compile(r"::(?![^\[\]]*\])")
_ARCHIVE_SCHEMES: Final = frozenset({"zip", "tar", "simplecache", "filecache", "blockcache"})


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """`allowed_networks` are CIDRs that may be reached although they are not public; `local_files` is True on a laptop only."""

    allowed_networks: tuple[str, ...] = ()
    local_files: bool = True

    def permits(self, address: str) -> bool:
        """Whether a connection to this IP address may be opened: public unicast addresses, and the allowed networks.

        IPv4 addresses embedded in IPv6 ones (mapped, compatible, 6to4, NAT64) are judged as what they lead to.
        """
        ip = ipaddress.ip_address(address.partition("%")[0])
        leads_to = _embedded(ip) or ip
        if any(ip in network or leads_to in network for network in map(ipaddress.ip_network, self.allowed_networks)):
            return True
        return leads_to.is_global and not leads_to.is_multicast

    def check_url(self, url: str, field: str) -> None:
        """Raises `InvalidInput`, naming `field`, where the URL's scheme is unknown or is not allowed here. Looks at every link of a chained URL."""
        for part in links(url):
            scheme = scheme_of(part)
            if scheme in names.LOCAL_SCHEMES and not self.local_files and part not in _ARCHIVE_SCHEMES:
                raise InvalidInput(
                    f"{field}: expected an http(s) or object storage URL, got the local path {url!r}; local paths work on a laptop only"
                )
            if scheme not in names.LOCAL_SCHEMES | WEB_SCHEMES | STORE_SCHEMES | _ARCHIVE_SCHEMES:
                known = ", ".join(sorted((names.LOCAL_SCHEMES | WEB_SCHEMES | STORE_SCHEMES | _ARCHIVE_SCHEMES) - {""}))
                raise InvalidInput(f"{field}: unknown URL scheme {scheme!r} in {url!r}; known are {known}")


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case; empty for a plain path."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme) else ""


def links(url: str) -> list[str]:
    """The links of a chained URL (`zip://member::s3://bucket/archive.zip`), first to last; the two colons of an IPv6 address do not chain."""
    return _CHAIN.split(url)


def parse_networks(texts: tuple[str, ...], option: str) -> tuple[str, ...]:
    """The CIDRs, normalised. Raises `InvalidInput`, naming `option`."""
    try:
        return tuple(str(ipaddress.ip_network(text, strict=False)) for text in texts)
    except ValueError as error:
        raise InvalidInput(f"{option}: expected a network such as 10.0.0.0/8 or 127.0.0.1/32: {error}") from error


_LOW_32_BITS: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "::/96")))  # NAT64 (RFC 6052), IPv4-compatible (RFC 4291)


def _embedded(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if any(ip in network for network in _LOW_32_BITS):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
