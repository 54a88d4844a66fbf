"""Clients of web servers: they send a URL as it is written, by the way that the reach names."""

from __future__ import annotations

import contextlib
import re
import urllib.request
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import yarl
from fsspec.implementations.http import HTTPFileSystem

from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Reach
from negset_jobs.adapters.address_guard import BlockedAddress
from negset_jobs.adapters.guard_proxy import REFUSED, UNREACHABLE, Proxy, proxy_for
from negset_jobs.adapters.object_store_errors import Unanswered

_BY_GUARD: Final = Reach(networks=("127.0.0.1/32",))
"""The guard's own proxy. It checks where the connections lead that go through it."""

# RFC 3986's characters. The others cannot stand in a request's first line.
_SENDABLE: Final = "%/?#[]@:!$&'()*+,;=~"
_UNSENDABLE: Final = re.compile(r"[^!-~]")
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PARTS: Final = re.compile(r"(https?://)([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)


def exact(url: str) -> yarl.URL:
    """Return a URL that is sent byte for byte, so that signatures keep their meaning.

    Only what cannot be sent is percent-encoded: spaces, letters outside ASCII, and a percent sign
    that starts no code. Raises ValueError.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise ValueError("expected an http(s) URL")
    scheme, host, rest = parts.groups()
    if not host.isascii():
        host = yarl.URL(f"http://{host}").authority.encode("idna").decode()
    return yarl.URL(f"{scheme}{host}{quote(_LONE_PERCENT.sub('%25', rest), safe=_SENDABLE)}", encoded=True)


def session(reach: Reach, *, limit: int = 100, limit_per_host: int = 0, **options: Any) -> aiohttp.ClientSession:
    """Return a client whose connections are limited to `reach`, also those behind a proxy.

    Redirects are followed to the URL that the server gave, byte for byte as in `exact`.
    """
    connections = {"limit": limit, "limit_per_host": limit_per_host, "ttl_dns_cache": 300}
    options |= {"requote_redirect_url": False, "request_class": _Request}
    if reach.upstream is None:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(**connections), **options)  # type: ignore[arg-type]
    way = _Way(reach)
    return aiohttp.ClientSession(connector=_ByGuard(way, **connections), proxy=way.proxy.url, raise_for_status=way.check, **options)


class _Request(aiohttp.ClientRequest):
    """A request whose URL, which a redirect may have named, can be sent."""

    def __init__(self, method: str, url: yarl.URL, **options: Any) -> None:
        super().__init__(method, exact(str(url)) if _UNSENDABLE.search(str(url)) else url, **options)


@contextlib.contextmanager
def opener() -> Iterator[urllib.request.OpenerDirector]:
    """Yield urllib's client, which connects by the way of this context's reach."""
    reach = address_guard.reach_here()
    if reach.upstream is None:
        yield urllib.request.build_opener()
        return
    proxy = proxy_for(reach).url
    with address_guard.reaching(_BY_GUARD):
        yield urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))


class WebFiles(HTTPFileSystem):  # type: ignore[misc]
    """Files on web servers, as a file system of fsspec."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "get_client": _client})

    def encode_url(self, url: str) -> yarl.URL:
        """Return the URL that is sent."""
        return exact(url)


async def _client(**options: Any) -> aiohttp.ClientSession:
    return session(address_guard.reach_here(), **options)


class _Way:
    """The way through the guard's proxy, and what its responses mean."""

    def __init__(self, reach: Reach) -> None:
        self.proxy: Proxy = proxy_for(reach)
        self._option = reach.option

    async def check(self, response: aiohttp.ClientResponse) -> None:
        """Raise what the proxy says instead of the server."""
        self.raise_for(response.status)

    def raise_for(self, status: int) -> None:
        if status == REFUSED:
            raise BlockedAddress(self.proxy.refused, self._option)
        if status == UNREACHABLE:
            raise Unanswered("neither the server nor the proxy can be reached")


class _ByGuard(aiohttp.TCPConnector):
    """Connects to the guard's proxy only."""

    def __init__(self, way: _Way, **options: Any) -> None:
        super().__init__(**options)
        self._way = way

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        try:
            with address_guard.reaching(_BY_GUARD):
                return await super().connect(*arguments, **options)
        except aiohttp.ClientHttpProxyError as error:
            self._way.raise_for(error.status)
            raise Unanswered(f"the proxy refuses to connect with HTTP {error.status}") from error
