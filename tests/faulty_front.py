"""A server before a server of S3, which spoils some of its responses."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit


class Request(Protocol):
    """What a fault decides by."""

    command: str
    path: str
    headers: Any


Fault = Callable[[Request], str]
"""What happens to a request: "" is nothing, "lost" does it and never responds, "closed" does not
even do it, and a status is the response, with a code after a space ("503 SlowDown")."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    inner: str
    fault: Fault
    seen: list[str]

    def log_message(self, *_: object) -> None: ...

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = type(self).fault(self)
        self.seen.append(f"{self.command} {self.path} {fault}".strip())
        if fault == "closed":
            self.close_connection = True
        elif fault and fault != "lost":
            status, _, code = fault.partition(" ")
            self._respond(int(status), f"<Error><Code>{code}</Code></Error>".encode(), {})
        else:
            connection = http.client.HTTPConnection(urlsplit(self.inner).netloc, timeout=60)
            # The host is signed, so it stays the front's.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if fault == "lost":
                self.close_connection = True
                return
            self._respond(answer.status, data, dict(answer.getheaders()))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the standard library's names

    def _respond(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        kept = {name: value for name, value in headers.items() if name.lower() not in ("transfer-encoding", "connection", "date", "server")}
        if self.command != "HEAD":
            kept = {name: value for name, value in kept.items() if name.lower() != "content-length"} | {"Content-Length": str(len(data))}
        for name, value in kept.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextlib.contextmanager
def faulty_front(inner: str, fault: Fault) -> Iterator[tuple[str, list[str]]]:
    """Serve before the server at `inner`. Yield the URL, and the requests with their faults."""
    seen: list[str] = []
    handler = type("Handler", (_Handler,), {"inner": inner, "fault": staticmethod(fault), "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
