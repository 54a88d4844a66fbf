"""The forward proxy that a person or an administrator names, and which hosts bypass it. Pure.

A laptop uses the variables that other programs use, too: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`
and `NO_PROXY`, in either case; lower case is stronger. On a cluster, the operator names the proxy
on the command line. The variables of a pod may be a tenant's, so they do not count there.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from negset_api.errors import InvalidInput
from negset_jobs.adapters import addresses

_PORTS: Final = {"http": 80, "https": 443}
_LOCAL_HOST: Final = ".localhost"
_PRIVATE_NAMES: Final = (_LOCAL_HOST, ".local", ".internal", ".home.arpa")
"""RFC 6761, RFC 6762, ICANN's resolution 2024.07.29.06 and RFC 8375."""


class Server(msgspec.Struct, frozen=True):
    """A proxy: where it listens, and the value of its Proxy-Authorization header, or nothing."""

    host: str
    port: int
    tls: bool = False
    authorization: str = ""


class Upstream(msgspec.Struct, frozen=True):
    """The proxies by scheme of the URLs, and the hosts that are reached without them.

    `bypass` has names (a host and everything below it), addresses, CIDRs, each with an optional
    port, or `*`.
    """

    http: Server | None = None
    https: Server | None = None
    bypass: tuple[str, ...] = ()

    def server(self, scheme: str, host: str, port: int) -> Server | None:
        """Return the proxy for a connection, or None if it is direct.

        This machine and its link (a cloud's metadata service) are never asked for by a proxy.
        """
        chosen = self.https if scheme == "https" else self.http
        if chosen is None or _is_near(host) or any(_matches(entry, host.lower().rstrip("."), port) for entry in self.bypass):
            return None
        return chosen


def from_environment(environment: Mapping[str, str]) -> Upstream | None:
    """Return what the variables name; None if they name no proxy. Raises `InvalidInput`."""
    named: dict[str, str] = {}
    for name, value in sorted(environment.items(), key=lambda item: item[0].islower()):  # lower case last
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            named[name.lower()] = value.strip()
    servers = {}
    for scheme in ("http", "https"):
        name = f"{scheme}_proxy" if named.get(f"{scheme}_proxy") else "all_proxy"
        servers[scheme] = parse_server(named.get(name, ""), name.upper())
    if not any(servers.values()):
        return None
    return Upstream(servers["http"], servers["https"], parse_bypass(named.get("no_proxy", "")))


def parse_server(url: str, where: str) -> Server | None:
    """Return the proxy of a URL such as http://proxy.example:3128; None if there is none.

    Raises `InvalidInput`, naming `where`. A URL without a scheme is http, as curl reads it.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), 0
    if parts.scheme not in _PORTS or not parts.hostname:
        raise InvalidInput(f"{where}: expected a proxy such as http://proxy.example:3128 (http or https, not SOCKS)")
    return Server(parts.hostname, port, parts.scheme == "https", _authorization(parts))


def parse_bypass(text: str) -> tuple[str, ...]:
    """Return the entries of `NO_PROXY`: separated by commas or spaces."""
    return tuple(text.replace(",", " ").lower().split())


def is_private_name(host: str) -> bool:
    """Return True for a name that no public server has: of one part, or in a private zone."""
    name = host.lower().rstrip(".")
    return "." not in name or name.endswith(_PRIVATE_NAMES)


def _authorization(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    user, password = unquote(parts.username), unquote(parts.password or "")
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def _is_near(host: str) -> bool:
    address = addresses.parse(host)
    return (address is not None and (address.is_loopback or address.is_link_local)) or f".{host.lower()}".endswith(_LOCAL_HOST)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return True if an entry of `NO_PROXY` covers a host."""
    name, separator, given = entry.rpartition(":")
    if separator and given.isdigit() and (":" not in name or name.endswith("]")):
        if int(given) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    address = addresses.parse(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return entry == "*"
    entry = entry.removeprefix("*").removeprefix(".")
    return not entry or host == entry or host.endswith(f".{entry}")
