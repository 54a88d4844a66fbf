"""Inputs on web servers as the world has them: without ranges, wrong lengths, broken responses."""

from __future__ import annotations

import gzip
import hashlib
import random
import socket

import fsspec
import pytest
from tests.web_server import Server, send

from negset_api.errors import InputUnavailable, InvalidInput
from negset_jobs.adapters import web_stream
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import open_input, read_input
from negset_jobs.adapters.store_errors import MissingInput

DATA = random.Random(1).randbytes(12 << 20)  # larger than two of fsspec's blocks
ALLOWED = Access(allowed_networks=("127.0.0.1/32",))


def chunked(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(DATA), 1 << 20):
        part = DATA[start : start + (1 << 20)]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
    handler.wfile.write(b"0\r\n\r\n")


def until_closed(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(DATA)
    handler.close_connection = True


def digest(url):
    with open_input(url, ALLOWED, "spec.x") as stream:
        state = hashlib.sha256()
        while part := stream.read(100_000):
            state.update(part)
    return state.hexdigest()


ANSWERS = {
    "ignores ranges": (lambda handler: send(handler, DATA), None),
    "says that it has ranges and ignores them": (lambda handler: send(handler, DATA, Accept_Ranges="bytes"), None),
    "sends no length, in chunks": (chunked, None),
    "sends no length, until it closes": (until_closed, None),
    "says another length to HEAD": (lambda handler: send(handler, DATA), lambda handler: send(handler, b"", length=1000)),
    "refuses HEAD": (lambda handler: send(handler, DATA), lambda handler: send(handler, b"", status=403)),
    "compresses on the way": (lambda handler: send(handler, gzip.compress(DATA, 1), Content_Encoding="gzip"), None),
    "has it compressed": (lambda handler: send(handler, gzip.compress(DATA, 1)), None),
    "has it compressed, and says so": (lambda handler: send(handler, gzip.compress(DATA, 1), Content_Encoding="gzip"), None),
}


@pytest.mark.parametrize(("answer", "head"), ANSWERS.values(), ids=ANSWERS)
def test_a_large_file_is_read_whole_from_a_server_that(answer, head):
    with Server(answer, head=head) as server:
        assert digest(server.url) == hashlib.sha256(DATA).hexdigest()
        assert server.ranges == [None]


def test_reading_on_at_the_end_says_nothing(caplog):
    with Server(lambda handler: send(handler, b"x")) as server, open_input(server.url, ALLOWED, "spec.x") as stream:
        assert [stream.read(10) for _ in range(20)] == [b"x", *[b""] * 19]
    assert not caplog.messages


def test_reading_the_start_reads_no_more_than_a_part():
    sent = []

    def count(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        try:
            while sum(sent) < 1 << 30:
                handler.wfile.write(bytes(1 << 20))
                sent.append(1 << 20)
        except OSError:
            handler.close_connection = True

    with Server(count) as server, open_input(server.url, ALLOWED, "spec.x") as stream:
        assert stream.read(10) == bytes(10)
    assert sum(sent) < 64 << 20


def breaking(at, *, version='"1"', ranges=True):
    """Return an answer that breaks off after `at` bytes, each time."""

    def answer(handler):
        given = handler.headers.get("Range")
        start = int(given.removeprefix("bytes=").rstrip("-")) if given and ranges and handler.headers["If-Range"] == version else 0
        headers = {"ETag": version} | ({"Content_Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"} if start else {})
        send(handler, DATA[start : start + at], status=206 if start else 200, length=len(DATA) - start, **headers)
        handler.close_connection = True

    return answer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(web_stream, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(web_stream, "_STARTING_PAUSES", (0.0, 0.0, 0.0))


def test_a_response_that_breaks_off_is_continued_where_it_ended():
    with Server(breaking(5 << 20)) as server:
        assert digest(server.url) == hashlib.sha256(DATA).hexdigest()
        first, *more = server.ranges
        assert first is None
        assert len(more) >= 2
        assert all(more)


BROKEN = {"that has no ranges": breaking(5 << 20, ranges=False), "whose file has no version": breaking(5 << 20, version="")}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_response_that_breaks_off_may_be_complete_later_for_a_server(answer):
    with Server(answer) as server, pytest.raises(InputUnavailable, match=r"^spec\.x: cannot read "):
        digest(server.url)


def troubled(times, trouble):
    """Return an answer that is in trouble the first times."""
    left = [trouble] * times

    def answer(handler):
        if left:
            left.pop()(handler)
        else:
            send(handler, DATA)

    return answer


def hang_up(handler):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


TROUBLES = {
    "unavailable": lambda handler: send(handler, b"", status=503),
    "overloaded": lambda handler: send(handler, b"", status=429),
    "silent": hang_up,
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_server_that_is_in_trouble_for_a_moment_is_asked_again(trouble):
    with Server(troubled(3, trouble)) as server:
        assert digest(server.url) == hashlib.sha256(DATA).hexdigest()
        assert len(server.ranges) == 4
    with Server(troubled(9, trouble)) as server, pytest.raises(InputUnavailable, match=r"^spec\.x: cannot read "):
        digest(server.url)


def test_a_server_that_is_not_there_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(web_stream, "_STARTING_PAUSES", (1000.0,))
    with Server(hang_up) as server:
        url = server.url
    with pytest.raises(InputUnavailable, match="refused"):
        digest(url)


def test_a_file_that_is_not_there_is_missing_and_a_refusal_is_named():
    with Server(lambda handler: send(handler, b"", status=404)) as server, pytest.raises(MissingInput, match="does not exist"):
        digest(server.url)
    with Server(lambda handler: send(handler, b"", status=403)) as server, pytest.raises(InvalidInput, match="HTTP 403 Forbidden"):
        digest(server.url)


def test_the_headers_of_fsspecs_configuration_are_sent(monkeypatch):
    monkeypatch.setitem(fsspec.config.conf, "http", {"headers": {"Authorization": "Bearer x"}})
    with Server(lambda handler: send(handler, handler.headers["Authorization"].encode())) as server:
        assert read_input(server.url, ALLOWED, "spec.x") == b"Bearer x"
