"""A web server that answers as a test says."""

from __future__ import annotations

import http.server
import threading


class Server:
    """Answers GET with `answer(handler)`, and records the Range headers."""

    def __init__(self, answer, *, head=None):
        self.ranges: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.ranges.append(self.headers.get("Range"))
                answer(self)

            def log_message(self, *_): ...

        if head is not None:
            Handler.do_HEAD = head
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/file"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(handler, data, *, status=200, length=None, **headers):
    handler.send_response(status)
    for name, value in {"Content-Length": len(data) if length is None else length, **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(data)


def send_part(handler, data):
    first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
    start, end = int(first), min(int(last) + 1, len(data))
    send(handler, data[start:end], status=206, Content_Range=f"bytes {start}-{end - 1}/{len(data)}")
