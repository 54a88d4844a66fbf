"""A forward proxy on the loopback, which resolves every name to one server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class ForwardProxy:
    """Requests and tunnels as they came: `METHOD target`. `authorizations` has their passwords."""

    def __init__(self, port: int, status: int) -> None:
        self.seen: list[str] = []
        self.authorizations: list[str] = []
        self.url = ""
        self._port, self._status = port, status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._relay(reader, writer)
        writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        self.seen.append(f"{method} {target}")
        given = [line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("proxy-authorization:")]
        self.authorizations += given
        if self._status:
            writer.write(f"HTTP/1.1 {self._status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        inner = await asyncio.open_connection("127.0.0.1", self._port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            inner[1].write(head.replace(target, target.partition(parts.netloc)[2] or "/", 1).replace("keep-alive", "close").encode())
        await asyncio.wait(
            [asyncio.ensure_future(_copy(reader, inner[1])), asyncio.ensure_future(_copy(inner[0], writer))], return_when="FIRST_COMPLETED"
        )
        inner[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@contextlib.contextmanager
def forward_proxy(port: int, status: int = 0) -> Iterator[ForwardProxy]:
    """Run a proxy that connects to `port` for every name, or refuses with `status`."""
    proxy, loop, ready, stop = ForwardProxy(port, status), asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def run() -> None:
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
