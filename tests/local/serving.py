"""A web server for tests that records the requests."""

from __future__ import annotations

import contextlib
import functools
import http.server
import pathlib
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def answering(server: http.server.HTTPServer) -> Iterator[None]:
    """Run a server for the block, and close it."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class CountingServer:
    """Serve a folder on the loopback.

    `images` are the names of the requested .jpg files, in order. Those in `missing` respond with
    404, those in `failing` with 503. All requests wait while `answering` is cleared.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.images: list[str] = []
        self.missing: set[str] = set()
        self.failing: set[str] = set()
        self.answering = threading.Event()
        self.answering.set()
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                name = pathlib.PurePosixPath(self.path).name
                if name.endswith(".jpg"):
                    outer.images.append(name)
                    outer.answering.wait()
                if name in outer.missing:
                    self.send_error(404)
                elif name in outer.failing:
                    self.send_error(503)
                else:
                    super().do_GET()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[CountingServer]:
        with answering(self._server):
            yield self
