"""Bad responses of a web server, with the outcome and the number of requests of each."""

from __future__ import annotations

import asyncio
import gzip
import hashlib

from aiohttp import web
from tests.image_server import drawn_image, encoded, jpeg

from negset_api.values import Outcome

ATTEMPTS = 3


def status(code: int, reason: str | None = None, **headers: str):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, reason=reason, headers=headers)

    return answer


def then_good(*first):
    """Give the first responses in turn, then an image."""
    waiting = list(first)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await waiting.pop(0)(request) if waiting else web.Response(body=jpeg(1))

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    request.transport.abort()
    return web.Response()


async def reset_in_the_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100000"})
    await response.prepare(request)
    await response.write(jpeg(2)[:500])
    request.transport.abort()
    return response


async def shorter_than_its_length(request: web.Request) -> web.StreamResponse:
    body = jpeg(3)
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    response.force_close()
    await response.prepare(request)
    await response.write(body[:-50])
    request.transport.close()
    return response


async def chunks_that_stop(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(jpeg(4)[:400])
    request.transport.close()
    return response


async def never_ends(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for byte in jpeg(5)[:100]:
        await response.write(bytes((byte,)))
        await asyncio.sleep(0.5)
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while not request.transport.is_closing():
        await response.write(b"\xff" * 65536)
    return response


def redirect(target: str):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    return answer


def body(data: bytes, **headers: str):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=data, headers=headers)

    return answer


def gzipped_bomb() -> bytes:
    return gzip.compress(b"\xff\xd8\xff" + bytes(8 << 20))


HTML = b"<!DOCTYPE html><title>Not found</title>"


# The response of the server, the outcome of the image, and the number of requests.
FAULTS = {
    "a missing image is not retried": (status(404), Outcome.NOT_FOUND, 1),
    "an image that is gone for good": (status(410), Outcome.NOT_FOUND, 1),
    "a forbidden image": (status(403), Outcome.FORBIDDEN, 1),
    "an image behind a login": (status(401), Outcome.FORBIDDEN, 1),
    "a request the server does not like": (status(400), Outcome.CLIENT_ERROR, 1),
    "a server that asks for patience for ever": (status(429), Outcome.RATE_LIMITED, ATTEMPTS),
    "a server that asks for more patience than there is": (status(429, **{"Retry-After": "3600"}), Outcome.RATE_LIMITED, 1),
    "S3's way to ask for patience": (status(503, "Slow Down"), Outcome.RATE_LIMITED, ATTEMPTS),
    "a server that is down": (status(503), Outcome.SERVER_ERROR, ATTEMPTS),
    "a server that fails": (status(500), Outcome.SERVER_ERROR, ATTEMPTS),
    "a server that recovers": (then_good(status(503), status(502)), Outcome.STORED, 3),
    "a retry after the time that the server named": (then_good(status(429, **{"Retry-After": "1"})), Outcome.STORED, 2),
    "a pause until a year that no date can have": (
        then_good(status(429, **{"Retry-After": "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"})),
        Outcome.STORED,
        2,
    ),
    # aiohttp itself repeats a request once on a connection that broke before the response.
    "a connection that is reset before the answer": (reset, Outcome.UNREACHABLE, 2 * ATTEMPTS),
    "a connection that is reset within the body": (reset_in_the_body, Outcome.TRUNCATED, ATTEMPTS),
    "a body shorter than its Content-Length": (shorter_than_its_length, Outcome.TRUNCATED, ATTEMPTS),
    "a chunked body that stops": (chunks_that_stop, Outcome.TRUNCATED, ATTEMPTS),
    "a file that lacks its end": (body(jpeg(6)[:-60]), Outcome.TRUNCATED, ATTEMPTS),
    "a page of HTML with status 200": (body(HTML), Outcome.NOT_AN_IMAGE, 1),
    "no bytes with status 200": (body(b""), Outcome.NOT_AN_IMAGE, 1),
    "random bytes": (body(hashlib.sha256(b"x").digest() * 50), Outcome.NOT_AN_IMAGE, 1),
    "an image that says it is too large": (body(bytes(2 << 20)), Outcome.TOO_LARGE, 1),
    "a body without end": (endless, Outcome.TOO_LARGE, 1),
    "a compressed bomb": (body(gzipped_bomb(), **{"Content-Encoding": "gzip"}), Outcome.TOO_LARGE, 1),
    "more pixels than allowed": (body(jpeg(7, size=(1200, 1000))), Outcome.TOO_LARGE, 1),
    "a redirect to another loopback address": (redirect("http://127.0.0.2:9/x.jpg"), Outcome.BLOCKED_ADDRESS, 1),
    "a redirect to the metadata service": (redirect("http://169.254.169.254/latest/meta-data/"), Outcome.BLOCKED_ADDRESS, 1),
    "a redirect to a name of a blocked address": (redirect("http://0x7f.2/x.jpg"), Outcome.BLOCKED_ADDRESS, 1),
    "a redirect to a file": (redirect("file:///etc/passwd"), Outcome.BLOCKED_ADDRESS, 1),
    "a robot that is sent away": (body(jpeg(8), **{"X-Robots-Tag": "noai, noimageai"}), Outcome.OPTED_OUT, 1),
    "another robot that is sent away": (body(jpeg(9), **{"X-Robots-Tag": "otherbot: noai"}), Outcome.STORED, 1),
    "an image in CMYK": (body(jpeg(10, mode="CMYK")), Outcome.STORED, 1),
    "an image in WebP": (body(encoded(drawn_image(11), "WEBP")), Outcome.STORED, 1),
    "a grey PNG": (body(encoded(drawn_image(12, mode="L"), "PNG")), Outcome.STORED, 1),
    "an image served compressed although nobody asked": (body(gzip.compress(jpeg(13)), **{"Content-Encoding": "gzip"}), Outcome.STORED, 1),
}
