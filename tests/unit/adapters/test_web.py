"""What a web server gets: the URL as it was written."""

from __future__ import annotations

import asyncio

import pytest
from tests.image_server import image_server, jpeg

from negset_api.spec import Download
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import read_input
from negset_jobs.adapters.web import exact
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher

LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))

AS_WRITTEN = (
    "/a%2Bb.jpg?X-Amz-Credential=A%2F20261126%2Fs3&X-Amz-Signature=0a%2f&sig=a%2Bb%3D&x=a+b",
    "/a+b.jpg?se=2026-11-26T00%3A00%3A00Z&sp=r&sig=x%2By%2Fz%3D",
    "/a%20b/%c3%bc.jpg",
    "/a//b/../c.jpg?x=",
    "/a(1)'!*;,=@~[2].jpg",
)
ENCODED = (
    ("/a b/ü.jpg?q=é f", "/a%20b/%C3%BC.jpg?q=%C3%A9%20f"),
    ("/100%.jpg?x=%zz", "/100%25.jpg?x=%25zz"),
    ('/a|b{1}"<>^`\\.jpg', "/a%7Cb%7B1%7D%22%3C%3E%5E%60%5C.jpg"),
    ("/a.jpg#part", "/a.jpg"),
)


def requested(path: str, location: str = "") -> list[str]:
    """Return the targets of the requests for an image, and for an input, of this path."""
    targets: list[str] = []

    async def fetch() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            targets.append(head.split(" ")[1])
            first = location and len(targets) == 1
            body = b"" if first else jpeg(1)
            status = f"302 Found\r\nLocation: {location}" if first else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
            async with Fetcher(Download(attempts=1), LOOPBACK) as fetcher:
                await fetcher.image(url)
            if not location:
                await asyncio.to_thread(read_input, url, LOOPBACK, "field")

    asyncio.run(fetch())
    return targets


@pytest.mark.parametrize("path", AS_WRITTEN)
def test_a_url_is_sent_byte_for_byte(path):
    assert set(requested(path)) == {path}


@pytest.mark.parametrize(("path", "target"), ENCODED)
def test_what_cannot_be_sent_is_encoded(path, target):
    assert set(requested(path)) == {target}


def test_a_redirect_is_followed_byte_for_byte():
    target = "/b%2Bc.jpg?X-Amz-Credential=A%2F1&sig=%2f%2B"
    assert requested("/a.jpg", location=target) == ["/a.jpg", target]


def test_what_cannot_be_sent_of_a_redirect_is_encoded():
    assert requested("/a.jpg", location="/b c/ü.jpg?x=%2B") == ["/a.jpg", "/b%20c/%C3%BC.jpg?x=%2B"]


def test_an_international_host_is_looked_up_in_ascii():
    assert str(exact("https://bücher.example:8080/a")) == "https://xn--bcher-kva.example:8080/a"


@pytest.mark.parametrize("text", ["ftp://h/x", "/a", ""])
def test_other_texts_are_no_web_address(text):
    with pytest.raises(ValueError, match="expected an http"):
        exact(text)


def test_a_server_without_tls_is_named_as_that():
    async def fetch(url: str) -> str:
        async with Fetcher(Download(), LOOPBACK) as fetcher:
            with pytest.raises(Failed) as caught:
                await fetcher.image(url)
            return caught.value.detail

    with image_server() as server:
        assert "no TLS connection" in asyncio.run(fetch(server.url.replace("http", "https")))
