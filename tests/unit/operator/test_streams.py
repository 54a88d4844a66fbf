"""Lists and watches over HTTP, with a server that answers and one that breaks."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import certifi
import msgspec
import pytest
from kubernetes import client as official
from kubernetes.config import ConfigException

from negset_operator.kube import streams
from negset_operator.kube.client import POD, ApiError, Client, Unreachable
from negset_operator.kube.objects import ObjectMeta, Pod
from negset_operator.kube.streams import Streams

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

OPEN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(body: bytes, status: str = "200 OK", header: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{header}\r\n".encode() + body


def page(count: int) -> bytes:
    items = [Pod(metadata=ObjectMeta(name=f"p{n}", namespace="n", resource_version="7")) for n in range(count)]
    return msgspec.json.encode({"metadata": {"resourceVersion": "7"}, "items": items})


class Server:
    """Answers each request with the next of `answers`; the last repeats. `None` is silence."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer or b"")
                await writer.drain()
                if answer and not answer.endswith(b"}"):  # not a whole body: the server breaks here
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def talk(self, use: Callable[[Streams, Client], Awaitable[Any]], **configuration: Any) -> Any:
        """Return the result of `use` with streams that are connected to this server."""

        async def conversation() -> Any:
            listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            port = listening.sockets[0].getsockname()[1]
            options = {key: value.format(port=port) if isinstance(value, str) else value for key, value in configuration.items()}
            client = Client(official.ApiClient(official.Configuration(**{"host": f"http://127.0.0.1:{port}", **options})))
            async with listening, Streams.connected(client) as connected:
                return await use(connected, client)

        return asyncio.run(conversation())


async def listed(connected: Streams, _: Any = None) -> Any:
    return await connected.list_page(POD, "n", Pod, query={"labelSelector": "a,b=c"})


async def watched(connected: Streams, _: Any = None) -> list[bytes]:
    lines = await connected.watch(POD, "n", query={"resourceVersion": "7"}, silence=0.2)
    came: list[bytes] = []
    try:
        while more := await lines.read():
            came += more
    finally:
        lines.close()
    return came


def test_a_list_and_the_watch_after_it_share_a_connection_and_are_counted():
    server = Server(whole(page(2)), OPEN + chunk(b'{"a":1}\n') + b"0\r\n\r\n")

    async def both(connected: Streams, client: Client) -> Any:
        items, version, token = await listed(connected)
        return [item.metadata.name for item in items], version, token, await watched(connected), dict(client.requests)

    assert server.talk(both) == (["p0", "p1"], "7", "", [b'{"a":1}'], {("GET", "200"): 2})
    assert server.connections == 1
    assert parse_qs(urlsplit(server.asked[0].split()[1]).query) == {"labelSelector": ["a,b=c"]}
    assert "GET /api/v1/namespaces/n/pods?resourceVersion=7&watch=true" in server.asked[1]


def test_an_event_that_comes_in_pieces_is_one_line():
    server = Server(OPEN + chunk(b'{"a"') + chunk(b':1}\n{"b":2}\n{"c"') + chunk(b":3}\n") + b"0\r\n\r\n")
    assert server.talk(watched) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OPEN + chunk(b'{"a":1}\n') + b"9\r\n{", id="broken in an event"),
        pytest.param(OPEN + b"9\r\n{}", id="silent in an event"),
        pytest.param(None, id="silent before the answer"),
        pytest.param(b"nonsense\r\n\r\n", id="not HTTP"),
    ],
)
def test_a_watch_that_breaks_or_is_silent_for_too_long_is_unreachable(answer):
    with pytest.raises(Unreachable, match=r"."):
        Server(answer).talk(watched)


def test_a_server_that_refuses_connections_is_unreachable_and_counted_without_a_code():
    async def use(connected: Streams, client: Client) -> Any:
        with pytest.raises(Unreachable, match=r"GET /api/v1/namespaces/n/pods: \[Errno 111\] Connect call failed"):
            await listed(connected)
        return dict(client.requests)

    assert Server(whole(b"{}")).talk(use, host="http://127.0.0.1:1") == {("GET", "none"): 1}


def test_a_refusal_carries_its_reason_and_how_long_to_wait():
    body = b'{"kind":"Status","reason":"TooManyRequests","message":"slow down"}'
    with pytest.raises(ApiError) as caught:
        Server(whole(body, "429 Too Many Requests", "Retry-After: 7\r\n")).talk(watched)
    assert (caught.value.status, caught.value.reason, str(caught.value), caught.value.seconds) == (429, "TooManyRequests", "slow down", 7)


def test_a_redirect_is_not_followed():
    with pytest.raises(ApiError) as caught:
        Server(whole(b"{}", "302 Found", "Location: http://127.0.0.1:1/\r\n")).talk(listed)
    assert caught.value.status == 302


def test_a_token_that_rotates_is_sent_as_it_is_now_and_one_that_cannot_be_read_is_waited_for():
    server = Server(whole(page(0)))

    async def use(connected: Streams, client: Client) -> None:
        tokens = iter(["bearer two"])

        def refresh(configuration: Any) -> None:
            try:
                configuration.api_key["BearerToken"] = next(tokens)
            except StopIteration:
                raise ConfigException("Token file exists but empty.") from None

        client.configuration.api_key["BearerToken"] = "bearer one"
        await listed(connected)
        client.configuration.refresh_api_key_hook = refresh
        await listed(connected)
        with pytest.raises(Unreachable, match="failed to read the token: Token file exists but empty"):
            await listed(connected)

    server.talk(use)
    assert ["authorization: bearer one" in server.asked[0], "authorization: bearer two" in server.asked[1]] == [True, True]


def test_a_proxy_is_asked_unless_the_server_is_one_that_bypasses_it():
    through = Server(whole(page(1)))
    through.talk(listed, host="http://api.test", proxy="http://127.0.0.1:{port}")
    assert through.asked[0].startswith("GET http://api.test/api/v1/namespaces/n/pods?")
    past = Server(whole(page(1)))
    past.talk(listed, proxy="http://127.0.0.1:1", no_proxy="127.0.0.1")
    assert past.asked[0].startswith("GET /api/v1/namespaces/n/pods?")


def test_certificates_are_read_again_when_their_files_change_and_not_before(tmp_path):
    file = str(tmp_path / "ca.crt")
    shutil.copy(certifi.where(), file)
    certificates = streams._Certificates(official.Configuration(ssl_ca_cert=file))
    first = certificates.context()
    assert certificates.context() is first
    os.utime(file, (1, 1))
    second = certificates.context()
    assert second is not first
    assert certificates.context() is second
    os.remove(file)
    with pytest.raises(Unreachable, match="failed to read certificates"):
        certificates.context()


def test_other_coroutines_run_while_a_large_list_is_decoded(monkeypatch):
    async def at_once(_: Any) -> bytes:
        return page(20_000)

    async def use(connected: Streams, _: Client) -> tuple[int, int]:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(other())
        items, _, _ = await listed(connected)
        counting.cancel()
        return len(items), turns

    monkeypatch.setattr(streams, "_body", at_once)
    count, turns = Server(whole(b"{}")).talk(use)
    assert count == 20_000
    assert turns > 100  # without: as many as it takes to ask
