"""A real web server on the loopback for images and for every kind of bad response."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from PIL import Image

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def jpeg(seed: int = 0, *, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    """A JPEG whose content depends on the seed, so that no two are the same file."""
    return encoded(drawn_image(seed, size=size, mode=mode), "JPEG", quality=90, **options)


def drawn_image(seed: int = 0, *, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (ramp, ramp.rotate(seed * 7 % 360), Image.new("L", size, seed * 11 % 256))).convert(mode)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


class ImageServer:
    """A server with handlers by path.

    `requests` counts the requests by path. `headers` has the headers of the last request.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.requests: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.url = ""
        self.most_at_once = self._at_once = 0

    def serve(self, path: str, body: bytes, **options: object) -> str:
        """Serve a body and return its URL."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, **options)

        return self.answer(path, answer)

    def answer(self, path: str, handler: Handler) -> str:
        self.handlers[path] = handler
        return f"{self.url}{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        self.headers = dict(request.headers)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            handler = self.handlers.get(request.path)
            return web.Response(status=404) if handler is None else await handler(request)
        finally:
            self._at_once -= 1


@contextlib.contextmanager
def image_server(port: int = 0) -> Iterator[ImageServer]:
    """Run a server on 127.0.0.1, in its own thread. By default, its port is a free one."""
    server = ImageServer()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
