"""Serve a folder over HTTP on the loopback address, like the host of a dataset."""

from __future__ import annotations

import contextlib
import functools
import http.server
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
# The images' URLs are part of the dataset. With the same port each time, a second demo continues
# where the first one stopped.
USUAL_PORT: Final = 18951
USUAL_URL: Final = f"http://{HOST}:{USUAL_PORT}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    # Headers and body are two writes. With Nagle's algorithm, the second waits 40 ms on Linux for
    # the acknowledgement of the first.
    disable_nagle_algorithm = True

    # The parameter's name is the base class'.
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug("%s %s", self.address_string(), format % args)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # every worker opens its connections at once


@contextlib.contextmanager
def serve(folder: str, *, port: int = 0) -> Iterator[str]:
    """Yield the base URL, without a slash at the end, of a server that runs until the block ends.

    If `port` is taken, a free one is used.
    """
    handler = functools.partial(_Handler, directory=folder)
    try:
        server = _Server((HOST, port), handler)
    except OSError:
        log.debug("port %d is taken, using a free one", port)
        server = _Server((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="demo-server", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
