"""Servers that count connections, and rules, for tests of the address guard."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import socket
from collections.abc import Iterator
from typing import Any

from tests.local.serving import answering

from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.adapters.access import Access
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher

SECRET = b'{"token": "hunter2"}'


SCHEMES = ("s3", "http", "https", "webhdfs")


STRICT = Access(local_files=False, schemes=SCHEMES)


STORES = Access(local_files=False, schemes=SCHEMES, store_networks=("127.0.0.0/8", "::1/128"))


WEB = Access(local_files=False, schemes=SCHEMES, allowed_networks=("127.0.0.0/8", "::1/128"))


class Counting:
    """A web server that counts connections and requests.

    It responds to everything with a secret, or redirects to `location`.
    """

    def __init__(self, host: str = "127.0.0.1", location: str = "") -> None:
        self.connections = 0
        self.requests: list[str] = []
        outer = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def get_request(self) -> Any:
                outer.connections += 1
                return super().get_request()

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                outer.requests.append(self.path)
                partial = "Range" in self.headers
                self.send_response(307 if location else 206 if partial else 200)
                if location:
                    self.send_header("Location", location)
                if partial:
                    self.send_header("Content-Range", f"bytes 0-{len(SECRET) - 1}/{len(SECRET)}")
                self.send_header("Last-Modified", "Thu, 26 Nov 2026 10:00:00 GMT")  # clients of object stores expect it
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", str(len(SECRET)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(SECRET)

            def log_message(self, *_: object) -> None: ...

        for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Counting]:
        with answering(self._server):
            yield self


def get(url: str, access: Access, **download: Any) -> Outcome:
    """The outcome of one image."""

    async def fetch() -> Outcome:
        async with Fetcher(Download(attempts=1, timeout_seconds=20, **download), access) as fetcher:
            try:
                await fetcher.image(url)
            except Failed as failed:
                return failed.outcome
            return Outcome.STORED

    return asyncio.run(fetch())
