"""Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

log = logging.getLogger(__name__)


class Web:
    """Serves in a thread of its own while the context lasts.

    `ready` gives the reasons why not, none where all is well; `alive` likewise.
    """

    def __init__(
        self,
        address: str,
        port: int,
        registry: CollectorRegistry,
        *,
        ready: Callable[[], tuple[str, ...]],
        alive: Callable[[], tuple[str, ...]],
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/healthz":
                        self._checked(alive())
                    case "/readyz":
                        self._checked(ready())
                    case "/metrics":
                        self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                    case _:
                        self._answer(404, "text/plain", b"not found; there are /healthz, /readyz and /metrics\n")

            # The library's own name.
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                log.debug(format, *args)

            def _checked(self, problems: tuple[str, ...]) -> None:
                self._answer(503 if problems else 200, "text/plain", "".join(f"{line}\n" for line in problems or ("ok",)).encode())

            def _answer(self, code: int, kind: str, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, also where 0 was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
