"""The guard in aiohttp, with a resolver that returns the addresses of the test."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from tests.image_server import image_server

from negset_jobs.adapters.access import Access
from negset_jobs.adapters.address_guard import blocked_address, reaching


class Names(AbstractResolver):
    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):  # noqa: ARG002 - the interface
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
            for address in addresses
        ]

    async def close(self):
        pass


def get(url: str, access: Access, *answers: list[str], times: int = 1, **options) -> list[int | str | None]:
    """The status of each request, or the address that was refused."""

    async def one(session):
        try:
            async with session.get(url) as response:
                await response.read()
                return response.status
        except aiohttp.ClientError as error:
            return blocked_address(error) or f"{type(error).__name__}: {error}"

    async def every():
        connector = aiohttp.TCPConnector(resolver=Names(*answers), **options)
        async with aiohttp.ClientSession(connector=connector) as session:
            with reaching(access.web):
                return [await one(session) for _ in range(times)]

    return asyncio.run(every())


@pytest.fixture
def server():
    with image_server() as running:
        running.serve("/x", b"1")
        yield running


ONLY_THIS = Access(allowed_networks=("127.0.0.1/32",))


def test_a_name_of_a_blocked_address_is_refused():
    assert get("http://rebind.example:9/", Access(), ["127.0.0.1"]) == ["127.0.0.1"]
    assert get("http://rebind.example:9/", Access(), ["::1"]) == ["::1"]


def test_a_name_whose_addresses_are_all_blocked_is_refused():
    (refused,) = get("http://rebind.example:9/", Access(), ["10.0.0.1", "::1", "169.254.169.254"])
    assert refused in ("10.0.0.1", "::1", "169.254.169.254")


@pytest.mark.parametrize("addresses", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["::1", "127.0.0.1"]])
def test_of_a_name_with_blocked_and_permitted_addresses_only_the_permitted_are_reached(addresses, server):
    port = server.url.rpartition(":")[2]
    assert get(f"http://mixed.example:{port}/x", ONLY_THIS, addresses) == [200]


def test_a_blocked_address_beside_a_dead_one_is_no_way_in(server):
    port = server.url.rpartition(":")[2]
    dead_and_blocked = ["127.0.0.3", "127.0.0.1"]  # the server listens on the blocked one
    (ended,) = get(f"http://mixed.example:{port}/x", Access(allowed_networks=("127.0.0.3/32",)), dead_and_blocked)
    assert ended != 200
    assert not server.requests


def test_a_name_that_changes_its_address_is_checked_again(server):
    port = server.url.rpartition(":")[2]
    ended = get(f"http://rebind.example:{port}/x", ONLY_THIS, ["127.0.0.1"], ["127.0.0.2"], times=2, force_close=True, use_dns_cache=False)
    assert ended == [200, "127.0.0.2"]


def test_a_pooled_connection_is_to_the_address_that_was_checked(server):
    port = server.url.rpartition(":")[2]
    ended = get(f"http://rebind.example:{port}/x", ONLY_THIS, ["127.0.0.1"], ["127.0.0.2"], times=2, use_dns_cache=False)
    assert ended == [200, 200]
    assert server.requests["/x"] == 2
