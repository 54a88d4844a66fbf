"""A forward proxy on the loopback, for clients whose sockets Python does not see.

obstore connects in Rust, below the address guard. It gets this proxy instead of a direct way, so
that each connection is a Python socket again: the proxy resolves the name, and the guard checks the
address that is connected. Redirects and requests for credentials take the same way. If another
proxy is named (`upstream`), this one asks it to connect, and refuses the private addresses that it
can see. See jobs/README.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import socket
import threading
from base64 import b64encode
from collections.abc import Coroutine
from typing import Final
from urllib.parse import urlsplit

from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Reach
from negset_jobs.adapters.address_guard import BlockedAddress
from negset_jobs.adapters.upstream import Server, is_private_name

UNREACHABLE: Final = 599
"""The proxy's own status if it cannot connect. Clients retry it, and servers do not use it."""

REFUSED: Final = 496
"""The proxy's own status for an address that the guard refuses. Clients do not retry it."""

_BLOCK: Final = 1 << 18
_CONNECT_SECONDS: Final = 10
_TUNNEL_SECONDS: Final = 30
"""How long another proxy may take to connect."""
_RESOLVE_SECONDS: Final = 2
_DEFAULT_PORT: Final = 80
_SUCCESS: Final = 2  # the first digit of a status

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """A running proxy. Its connections are limited to one reach.

    `connections` counts those to servers. `refusals` counts the addresses that the guard refused,
    and `refused` is the last one.
    """

    def __init__(self, reach: Reach) -> None:
        self.connections = 0
        self.refusals = 0
        self.refused = ""
        self._reach = reach
        self._unresolved: set[str] = set()
        self._secret = secrets.token_urlsafe(24)
        self._authorization = b"Basic " + b64encode(f"negset:{self._secret}".encode())
        # Opened here, so that the caller sees it if the process cannot open more files.
        listening, loop = socket.create_server(("127.0.0.1", 0)), asyncio.new_event_loop()
        self._port = listening.getsockname()[1]
        serving = self._run(listening)
        threading.Thread(target=lambda: loop.run_until_complete(serving), name="guard-proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """The URL for the client, with the password of this proxy."""
        return f"http://negset:{self._secret}@127.0.0.1:{self._port}"

    async def _run(self, listening: socket.socket) -> None:
        async with await asyncio.start_server(self._serve, sock=listening, limit=_BLOCK) as server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, asyncio.CancelledError):
            await self._relay(reader, writer)
        writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the client, which leads to one server."""
        head = await _Head.read(reader)
        if head.value(b"proxy-authorization") != self._authorization:
            await _respond(reader, writer, head, 407)
            return
        try:
            upstream = await self._connected(head)
        except _Declined as declined:
            await _respond(reader, writer, head, declined.status)
            return
        except OSError as error:
            await self._refuse(reader, writer, head, error)
            return
        self.connections += 1
        try:
            if head.method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await _both(_copy(reader, upstream[1]), _copy(upstream[0], writer))
            else:
                await _both(_requests(head, reader, upstream[1], self._server(head)), _copy(upstream[0], writer))
        finally:
            upstream[1].close()

    def _server(self, head: _Head) -> Server | None:
        """Return the other proxy that a request goes through."""
        scheme = "https" if head.method == b"CONNECT" else "http"
        return self._reach.upstream.server(scheme, *head.server) if self._reach.upstream else None

    async def _connected(self, head: _Head) -> _Streams:
        """Return the streams to the server. Raises `BlockedAddress`, and `_Declined`."""
        server = self._server(head)
        if server is None:
            with address_guard.reaching(self._reach):
                return await _opened(*head.server)
        await self._check_name(head.server[0])
        with address_guard.exempt():
            streams = await _opened(server.host, server.port, tls=server.tls)
        if head.method == b"CONNECT":
            try:
                await _tunnel(streams, head, server)
            except BaseException:
                streams[1].close()
                raise
        return streams

    async def _check_name(self, host: str) -> None:
        """Raise `BlockedAddress` for a server that the reach does not permit, if that can be seen.

        The other proxy resolves the name, and may find an address that this machine does not.
        """
        if host in self._unresolved:
            return
        try:
            found = await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo(host, None), _RESOLVE_SECONDS)
        except (OSError, UnicodeError):
            if is_private_name(host):
                raise BlockedAddress(host, self._reach.option) from None
            self._unresolved.add(host)
            return
        for *_, address in found:
            if not self._reach.permits(str(address[0])):
                raise BlockedAddress(str(address[0]), self._reach.option)

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: _Head, error: OSError) -> None:
        address = address_guard.blocked_address(error)
        if address is None:
            await _respond(reader, writer, head, UNREACHABLE)
            return
        self.refused = address
        self.refusals += 1
        await _respond(reader, writer, head, REFUSED)


class _Declined(Exception):
    """Another proxy does not connect. `status` is its response."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _Head:
    """The start of a request: its first line and its headers."""

    def __init__(self, data: bytes) -> None:
        line, *self._headers = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self.method, self._target, self._version = line.split(b" ", 2)

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> _Head:
        return cls(await reader.readuntil(b"\r\n\r\n"))

    @property
    def server(self) -> tuple[str, int]:
        """The host and port that the client wants to reach."""
        target = self._target.decode()
        parts = urlsplit(f"//{target}" if self.method == b"CONNECT" else target)
        return parts.hostname or "", parts.port or _DEFAULT_PORT

    @property
    def body_bytes(self) -> int:
        """The length of the body. Raises `ValueError` if it is not given."""
        if self.value(b"transfer-encoding"):
            raise ValueError("a body without a length")
        return int(self.value(b"content-length") or 0)

    def value(self, name: bytes) -> bytes:
        """Return the value of a header; empty if there is none."""
        for header in self._headers:
            key, _, value = header.partition(b":")
            if key.lower() == name:
                return value.strip()
        return b""

    @property
    def status(self) -> int:
        """The status, if this is the start of a response."""
        return int(self._target)

    def forwarded(self, server: Server | None = None) -> bytes:
        """Return what the server gets: no server in the first line, and no header for the proxy.

        Another proxy gets the whole URL, and its own header.
        """
        path = self._target if server else b"/" + self._target.partition(b"://")[2].partition(b"/")[2]
        kept = [header for header in self._headers if not header.lower().startswith(b"proxy-")]
        if server and server.authorization:
            kept.append(f"Proxy-Authorization: {server.authorization}".encode())
        return b"\r\n".join([b" ".join([self.method, path, self._version]), *kept, b"", b""])


async def _opened(host: str, port: int, *, tls: bool = False) -> _Streams:
    return await asyncio.wait_for(asyncio.open_connection(host, port, limit=_BLOCK, ssl=tls or None), _CONNECT_SECONDS)


async def _tunnel(streams: _Streams, head: _Head, server: Server) -> None:
    """Ask another proxy to connect. Raises `_Declined`."""
    streams[1].write(head.forwarded(server))
    answer = await asyncio.wait_for(_Head.read(streams[0]), _TUNNEL_SECONDS)
    if answer.status // 100 != _SUCCESS:
        raise _Declined(answer.status)


async def _requests(head: _Head, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, proxy: Server | None) -> None:
    """Forward the requests of one connection, one after the other."""
    server = head.server
    while head.server == server:  # else the connection ends, and the client opens another one
        upstream.write(head.forwarded(proxy))
        left = head.body_bytes
        while left:
            data = await reader.read(min(left, _BLOCK))
            if not data:
                return
            left -= len(data)
            upstream.write(data)
            await upstream.drain()
        head = await _Head.read(reader)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_BLOCK):
        writer.write(data)
        await writer.drain()


async def _both(*directions: Coroutine[None, None, None]) -> None:
    """Copy in both directions until one of them ends."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: _Head, status: int) -> None:
    """Respond after the body was read: a client that still sends would not see the response."""
    left = head.body_bytes
    while left and (data := await reader.read(min(left, _BLOCK))):
        left -= len(data)
    writer.write(f"HTTP/1.1 {status} Proxy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()


def proxy_for(reach: Reach) -> Proxy:
    """Return the proxy of this process for a reach. It is started once."""
    return _proxy(reach, os.getpid())


@functools.lru_cache(maxsize=16)
def _proxy(reach: Reach, _: int) -> Proxy:
    return Proxy(reach)
