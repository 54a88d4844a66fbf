"""The addresses, schemes and files that a job may reach.

The manifest comes from a tenant. These rules come from the user of the laptop, or from the
operator's administrator.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import StoreAccess
from negset_jobs.adapters import addresses, urls
from negset_jobs.adapters.upstream import Upstream
from negset_jobs.adapters.urls import InvalidUrl, UnknownScheme, Url, shown

DEFAULT_SCHEMES: Final = ("s3", "gs", "abfs", "http", "https")
"""The schemes that jobs on a cluster may use if the administrator names none.

The container images have back ends for these.
"""
_ALIASES: Final = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}


class Reach(msgspec.Struct, frozen=True):
    """The addresses that a connection may reach: public ones and `networks`, or `everywhere`.

    `option` is the command line option that adds networks. `upstream` is the proxy that connections
    go through, if there is one.
    """

    networks: tuple[str, ...] = ()
    option: str = "--allow-address"
    everywhere: bool = False
    upstream: Upstream | None = None

    def permits(self, address: str) -> bool:
        """Return True if a connection to this IP address is allowed."""
        return self.everywhere or addresses.permitted(address, self.networks)


EVERYWHERE: Final = Reach(everywhere=True)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a process: what it may reach besides public addresses.

    `allowed_networks` are CIDRs for http(s) URLs, `store_networks` are CIDRs for object stores.
    `schemes` are the allowed schemes; if empty, all known ones. `local_files` is True on a laptop
    only. There, stores at any address are allowed. `upstream` is the proxy of the laptop's user or
    of the administrator. On a laptop, stores find it in the variables themselves. `store_rules` are
    the manifest's own (`spec.stores`), and allow nothing more.
    """

    allowed_networks: tuple[str, ...] = ()
    store_networks: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    local_files: bool = True
    upstream: Upstream | None = None
    store_rules: tuple[StoreAccess, ...] = ()

    @property
    def web(self) -> Reach:
        """The reach of http(s) URLs, and of everything that has no rule of its own."""
        return Reach(self.allowed_networks, upstream=self.upstream)

    @property
    def stores(self) -> Reach:
        """The reach of object stores."""
        return EVERYWHERE if self.local_files else Reach(self.store_networks, "--allow-store", upstream=self.upstream)

    def reach(self, url: Url) -> Reach:
        """Return the reach of the connections for a URL."""
        return self.stores if url.target.scheme in urls.STORE_SCHEMES else self.web

    def permits(self, address: str) -> bool:
        """Return True if an http(s) URL may lead to this IP address."""
        return self.web.permits(address)

    def check_url(self, url: str | Url, field: str) -> Url:
        """Return the parsed URL. Raises `InvalidInput`, naming `field`, if it cannot be used."""
        try:
            parsed = urls.parse(str(url))
        except UnknownScheme as error:
            raise InvalidInput(
                f"{field}: expected a URL with a known scheme ({', '.join(self._usable())}), got {error.scheme[:20]!r} in {shown(url)}"
            ) from error
        except InvalidUrl as error:
            raise InvalidInput(f"{field}: cannot use the URL {shown(url)}: {error}") from error
        if parsed.is_local and not self.local_files:
            raise InvalidInput(
                f"{field}: expected an http(s) or object storage URL, got the local path {shown(url)}; local paths work on a laptop only"
            )
        scheme = parsed.target.scheme
        if not parsed.is_local and self.schemes and _ALIASES.get(scheme, scheme) not in self.schemes:
            raise InvalidInput(
                f"{field}: expected a URL of a scheme that the administrator allows ({', '.join(self.schemes)}), got {scheme!r} in {shown(url)}"
            )
        return parsed

    def check_images(self, found: Iterable[str], field: str) -> None:
        """Raise `InvalidInput`, naming `field`, if none of the images' URLs is allowed.

        If only some are not allowed, these images fail with an outcome of their own.
        """
        first: InvalidInput | None = None
        for url in found:
            try:
                self.check_url(url, field)
            except InvalidInput as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first

    def _usable(self) -> list[str]:
        known = urls.KNOWN_SCHEMES if self.local_files else urls.KNOWN_SCHEMES - names.LOCAL_SCHEMES
        return sorted(
            scheme
            for scheme in known
            if scheme and (not self.schemes or scheme not in urls.STORE_SCHEMES | urls.WEB_SCHEMES or scheme in self.schemes)
        )


def parse_networks(texts: Iterable[str], option: str) -> tuple[str, ...]:
    """Return the CIDRs, normalised. Raises `InvalidInput`, naming `option`."""
    try:
        return tuple(str(ipaddress.ip_network(text, strict=False)) for text in texts)
    except ValueError as error:
        raise InvalidInput(f"{option}: expected a network such as 10.0.0.0/8 or 127.0.0.1/32: {error}") from error


def parse_schemes(texts: Iterable[str], option: str) -> tuple[str, ...]:
    """Return the schemes that an administrator allows.

    Raises `InvalidInput`, naming `option`, for a scheme that negset does not know.
    """
    schemes = tuple(dict.fromkeys(_ALIASES.get(text.lower(), text.lower()) for text in texts))
    known = urls.WEB_SCHEMES | urls.STORE_SCHEMES
    for scheme in schemes:
        if scheme not in known:
            raise InvalidInput(f"{option}: expected one of {', '.join(sorted(known))}, got {scheme!r}")
    return schemes
