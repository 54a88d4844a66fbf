"""Every socket is guarded, whichever library opens it.

Real servers on the loopback count the connections.
"""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from typing import Any

import pytest
import requests
from tests.local.guard.guarding import STRICT, Counting

from negset_jobs.adapters import address_guard


def raw(port: int) -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", port))


def raw_without_error(port: int) -> None:
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) == 0


def by_name(port: int) -> None:
    with socket.socket() as client:
        client.connect(("localhost", port))


def by_number(port: int) -> None:
    with socket.socket() as client:
        client.connect(("127.1", port))


def nowhere_is_here(port: int) -> None:
    with socket.socket() as client:
        client.connect(("", port))


def c_socket(port: int) -> None:
    import _socket

    client = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        client.connect(("127.0.0.1", port))
    finally:
        client.close()


def mapped(port: int) -> None:
    with socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", port))


def standard_client(port: int) -> None:
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    try:
        connection.request("GET", "/")
    finally:
        connection.close()


def datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", port))


def thread(port: int) -> None:
    errors: list[BaseException] = []

    def connect() -> None:
        try:
            raw(port)
        except OSError as error:
            errors.append(error)

    worker = threading.Thread(target=connect)
    worker.start()
    worker.join()
    if errors:
        raise errors[0]


CLIENTS = {
    "a socket": raw,
    "connect_ex": raw_without_error,
    "a socket that is given a name": by_name,
    "a socket that is given half an address": by_number,
    "a socket that is given the empty address": nowhere_is_here,
    "a socket of the C type": c_socket,
    "an IPv4 address in IPv6's clothes": mapped,
    "http.client": standard_client,
    "urllib": lambda port: urllib.request.urlopen(f"http://localhost:{port}/", timeout=5).close(),
    "requests": lambda port: requests.get(f"http://localhost:{port}/", timeout=5).close(),
    "a datagram": datagram,
    "a thread that knows of nothing": thread,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_a_private_address_is_not_reached_by(client: Any, private: Counting) -> None:
    with address_guard.enforced(STRICT), pytest.raises((OSError, requests.RequestException)) as caught:
        client(private.port)
    assert address_guard.blocked_address(caught.value) is not None
    assert private.connections == 0
    with address_guard.enforced(STRICT), address_guard.exempt():
        if client is not thread:  # it does not inherit the context
            client(private.port)


def test_without_a_rule_nothing_is_guarded(private: Counting) -> None:
    raw(private.port)
    with address_guard.enforced(STRICT):
        pass
    raw(private.port)


def test_sockets_that_do_not_leave_the_machine_work(tmp_path: Any) -> None:
    with address_guard.enforced(STRICT), socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(f"{tmp_path}/s")
        server.listen()
        client.connect(f"{tmp_path}/s")
        first, second = socket.socketpair()
        first.close()
        second.close()
