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
    """A server in a thread of its own, while the context lasts.

    `ready` returns the reasons why the replica is not ready; none if it is. `alive` returns the
    reasons why it must be restarted.
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

            # The parameter has the name that http.server gives it.
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
        """The port that it listens on, also if port 0 was given."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
