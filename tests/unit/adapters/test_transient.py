"""Transient errors are distinguished from permanent ones, by the errors of real back ends."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

from negset_api.errors import InputUnavailable, InvalidInput, Unavailable
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import read_input
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingInput, MissingObject
from negset_jobs.cli import main

LOCAL = Access(allowed_networks=("127.0.0.0/8",))


@contextmanager
def answering(status: int, code: str = "") -> Iterator[str]:
    """A server with one fixed response, which is an S3 error if there is a `code`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code and self.command != "HEAD" else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = answer  # noqa: N815 - the standard library's names

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def nobody() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def nameless() -> Iterator[str]:
    yield "http://nothing.invalid:9000"


@pytest.fixture
def through(monkeypatch):
    """A store on S3 at an endpoint."""

    def store(endpoint: str) -> Store:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        # What is transient is retried with pauses. That is off.
        monkeypatch.setitem(
            fsspec.config.conf, "s3", {"client_kwargs": {"endpoint_url": endpoint}, "config_kwargs": {"retries": {"max_attempts": 0}}}
        )
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        return Store("s3://bucket/folder")

    yield store
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(lambda: answering(503, "SlowDown"), id="it asks for a pause"),
        pytest.param(lambda: answering(503, "ServiceUnavailable"), id="it is overloaded"),
        pytest.param(lambda: answering(500, "InternalError"), id="it has a fault of its own"),
        pytest.param(nobody, id="nobody listens"),
        pytest.param(nameless, id="its name does not resolve"),
    ],
)
def test_a_store_that_is_away_is_a_transient_error(where, through):
    with where() as endpoint, pytest.raises(Unavailable):
        through(endpoint).write("key", b"data")


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_wrong_keys_are_wrong_input(code, through):
    with answering(403, code) as endpoint, pytest.raises(InvalidInput, match=r"check the credentials"):
        through(endpoint).write("key", b"data")


def test_what_is_missing_is_neither(through):
    with answering(404, "NoSuchKey") as endpoint, pytest.raises(MissingObject):
        through(endpoint).read("key")


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(lambda: answering(503), id="it is overloaded"),
        pytest.param(lambda: answering(429), id="it asks for a pause"),
        pytest.param(nobody, id="nobody listens"),
        pytest.param(nameless, id="its name does not resolve"),
    ],
)
def test_an_input_whose_server_is_away_is_a_transient_error(where):
    with where() as url, pytest.raises(InputUnavailable, match=r"spec.x: cannot read 'http"):
        read_input(f"{url}/a.json", LOCAL, "spec.x")


@pytest.mark.parametrize(("status", "kind"), [(404, MissingInput), (403, InvalidInput), (401, InvalidInput), (400, InvalidInput)])
def test_an_input_that_its_server_refuses_is_wrong(status, kind):
    with answering(status) as url, pytest.raises(kind) as raised:
        read_input(f"{url}/a.json", LOCAL, "spec.x")
    assert not isinstance(raised.value, Unavailable)


def test_on_a_cluster_the_exit_code_says_so_and_by_hand_it_is_as_ever(monkeypatch):
    def fail(_: object) -> int:
        raise InputUnavailable("spec.x: cannot read it")

    monkeypatch.setattr("negset_jobs.commands.job.job", fail)
    assert main(["job", "data", "--file", "x", "--cluster"]) == 69
    assert main(["job", "data", "--file", "x"]) == 2
