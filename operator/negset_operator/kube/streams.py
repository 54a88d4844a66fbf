"""Lists and watches over aiohttp: thousands of them in one event loop.

The address and the credentials come from `kube.client`. `kubernetes.aio` would read its own, and
needs more CPU (operator/README.md).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from asyncio import sslproto
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, Self, TypeVar

import aiohttp
import msgspec

from negset_api import decoding
from negset_operator.kube.client import ERRORS_FROM, JSON, READ_SECONDS, Client, Kind, Unreachable, refusal

T = TypeVar("T")

_CONNECT_SECONDS: Final = 10.0
"""Timeout of a connection and its TLS handshake."""
_METADATA_ONLY: Final = "application/json;as={kind};g=meta.k8s.io;v=v1"
_BATCH: Final = 200
"""Objects of a list that are decoded before other coroutines run: that takes a few milliseconds."""
_TLS_BUFFER: Final = 4096
"""asyncio's default is a buffer of 256 KiB for each connection: 768 MB for 3,000 watches."""


class Lines(Protocol):
    """An open watch."""

    async def read(self) -> list[bytes]:
        """Return the next lines, at least one; none at the end. Raise `Unreachable`."""

    def close(self) -> None: ...


class Api(Protocol):
    """The requests of a reflector. Both methods raise `ApiError` and `Unreachable`."""

    async def list_page(
        self, kind: Kind, namespace: str, as_type: type[T], *, query: Mapping[str, str], metadata_only: bool
    ) -> tuple[list[T], str, str]:
        """Return a page: items, the list's resource version, and the next page's token or ""."""

    async def watch(self, kind: Kind, namespace: str, *, query: Mapping[str, str], metadata_only: bool, silence: float) -> Lines:
        """Open a watch. Its lines raise `Unreachable` after `silence` seconds without data."""


class Streams:
    """Lists and watches of one API server, for the coroutines of one event loop."""

    def __init__(self, client: Client, session: aiohttp.ClientSession) -> None:
        self._client, self._session = client, session
        self._tls = _Certificates(client.configuration)
        self._options = _route(client.configuration)

    @classmethod
    @asynccontextmanager
    async def connected(cls, client: Client) -> AsyncIterator[Self]:
        """Return streams while the context lasts.

        This sets asyncio's TLS buffer for the whole process: nothing else in it uses asyncio.
        """
        sslproto.SSLProtocol.max_size = _TLS_BUFFER
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield cls(client, session)

    async def list_page(
        self, kind: Kind, namespace: str, as_type: type[T], *, query: Mapping[str, str], metadata_only: bool = False
    ) -> tuple[list[T], str, str]:
        accept = _METADATA_ONLY.format(kind="PartialObjectMetadataList") if metadata_only else JSON
        response = await self._get(kind.path(namespace), list(query.items()), accept, READ_SECONDS)
        page = decoding.from_json(await _body(response), _Page)
        decoder = decoding.decoder(as_type)
        items: list[T] = []
        for item in page.items or ():
            items.append(decoder.decode(item))
            if len(items) % _BATCH == 0:
                await asyncio.sleep(0)
        return items, page.metadata.resource_version, page.metadata.continue_

    async def watch(self, kind: Kind, namespace: str, *, query: Mapping[str, str], metadata_only: bool = False, silence: float) -> Lines:
        accept = _METADATA_ONLY.format(kind="PartialObjectMetadata") if metadata_only else JSON
        return _Lines(await self._get(kind.path(namespace), [*query.items(), ("watch", "true")], accept, silence))

    async def _get(self, path: str, query: list[tuple[str, str]], accept: str, read_seconds: float) -> aiohttp.ClientResponse:
        # A credential plugin of the kubeconfig may run here and block the loop, about once an hour.
        url, headers = self._client.prepared("GET", path, query, accept=accept)
        # Compressing a list costs the API server more than sending it uncompressed.
        headers["Accept-Encoding"] = "identity"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=read_seconds)
        code = "none"
        try:
            response = await self._session.get(
                url, headers=headers, timeout=timeout, ssl=self._tls.context(), allow_redirects=False, **self._options
            )
            code = str(response.status)
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise Unreachable(f"GET {path}: {_message(error)}") from error
        finally:
            self._client.count("GET", code)
        if response.status >= ERRORS_FROM:
            raise refusal(response.status, response.headers, await _body(response))
        return response


class _PageMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _PageMeta
    items: list[msgspec.Raw] | None = None
    """None is an empty list: of metadata, it is sent as null."""


class _Lines:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._pending = b""

    async def read(self) -> list[bytes]:
        try:
            while chunk := await self._response.content.readany():
                *lines, self._pending = (self._pending + chunk).split(b"\n")
                if whole := [line for line in lines if line]:
                    return whole
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"watch: {_message(error)}") from error
        return []

    def close(self) -> None:
        self._response.close()


class _Certificates:
    """The TLS context. It is created again if one of its files has changed: certificates rotate."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._made_of: tuple[Any, ...] = ()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context. Raise `Unreachable` if the files cannot be read now."""
        use = self._configuration
        try:
            files = tuple((path, os.stat(path).st_mtime_ns) for path in (use.ssl_ca_cert, use.cert_file, use.key_file) if path)
            if self._context is None or files != self._made_of:
                self._context, self._made_of = _context(use), files
        except OSError as error:  # ssl.SSLError is one
            raise Unreachable(f"failed to read certificates: {error}") from error
        return self._context


def _context(use: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=use.ssl_ca_cert, cadata=use.ca_cert_data)
    if use.cert_file:
        context.load_cert_chain(use.cert_file, use.key_file)
    if not use.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _route(use: Any) -> dict[str, Any]:
    """Return the options for the proxy and the server name, if they are configured."""
    from kubernetes.client.rest import should_bypass_proxies

    options: dict[str, Any] = {"server_hostname": use.tls_server_name} if use.tls_server_name else {}
    if use.proxy and not should_bypass_proxies(use.host, use.no_proxy or ""):
        options |= {"proxy": use.proxy, "proxy_headers": use.proxy_headers}
    return options


async def _body(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"GET {response.url.path}: {_message(error)}") from error


def _message(error: BaseException) -> str:
    """Return the operating system's message of an error.

    aiohttp's own message has the address of a Python object. A timeout has no message, so its name
    is returned.
    """
    cause = error.__cause__ if isinstance(error, aiohttp.ClientConnectorError) else None
    return str(cause or error) or type(error).__name__
