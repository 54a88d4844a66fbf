"""Every back end is guarded, also against redirects and endpoints from the environment."""

from __future__ import annotations

import os
import socket
from typing import Any

import fsspec
import pytest
from tests.local.guard.guarding import SCHEMES, SECRET, STORES, STRICT, WEB, Counting, get
from tests.s3_server import s3_server

from negset_api.errors import InvalidInput
from negset_api.values import Outcome
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import list_input, read_input
from negset_jobs.adapters.store import Store


def test_an_output_on_a_web_server_is_guarded(private: Counting) -> None:
    with address_guard.enforced(STRICT):
        store = Store(f"{private.url}/out")
        with pytest.raises(InvalidInput, match=r"^cannot write http://127.*: 127\.0\.0\.1 is not allowed: .*--allow-address$"):
            store.write("x", b"1")
        with pytest.raises(InvalidInput):
            store.folders()
    assert private.connections == 0


def test_an_input_on_a_web_server_is_guarded(private: Counting) -> None:
    for url in (f"{private.url}/a", f"simplecache::{private.url}/x?]", f"zip://a::{private.url}/x.zip"):
        with pytest.raises(InvalidInput, match=r"^spec\.x: .*127\.0\.0\.1 is not allowed") as caught:
            read_input(url, STRICT, "spec.x")
        assert "hunter2" not in str(caught.value)
    assert private.connections == 0


@pytest.mark.parametrize("url", ["simplecache://::{private}/x?]", "zip://[a::{private}/x.zip::b]", "http://example.org/x::{private}/]"])
def test_a_bracket_behind_two_colons_hides_nothing(url: str, private: Counting) -> None:
    url = url.format(private=private.url)
    for access in (STRICT, Access()):
        with pytest.raises(InvalidInput, match=r"^spec\.x: cannot use the URL"):
            read_input(url, access, "spec.x")
        assert get(url, access) is Outcome.BLOCKED_ADDRESS
    assert private.connections == 0


def test_webhdfs_is_guarded_and_so_are_its_redirects(private: Counting) -> None:
    with pytest.raises(InvalidInput, match=r"^spec\.x: .*127\.0\.0\.1 is not allowed: .*--allow-store$"):
        list_input(f"webhdfs://127.0.0.1:{private.port}/a", STRICT, "spec.x")
    one_host = Access(local_files=False, schemes=SCHEMES, store_networks=("127.0.0.2/32",))
    with Counting("127.0.0.2", location=f"{private.url}/secret").running() as name_node:
        url = f"webhdfs://127.0.0.2:{name_node.port}/a"
        with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed"):
            read_input(url, one_host, "spec.x")
        assert name_node.requests
        assert private.connections == 0
        assert get(url, one_host) is Outcome.BLOCKED_ADDRESS
        assert private.connections == 0


def test_a_redirect_of_an_image_is_guarded(private: Counting) -> None:
    one_host = Access(local_files=False, schemes=SCHEMES, allowed_networks=("127.0.0.2/32",))
    with Counting("127.0.0.2", location=f"{private.url}/secret").running() as first:
        assert get(f"{first.url}/x.jpg", one_host) is Outcome.BLOCKED_ADDRESS
        assert first.requests == ["/x.jpg"]
    assert private.connections == 0


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_from_the_environment_is_guarded(variable: str, private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, private.url)
    with address_guard.enforced(STRICT):
        store = Store("s3://bucket/out")
        for act in (lambda: store.write("x", b"1"), lambda: store.read("x"), store.keys, lambda: store.create("y", b"1")):
            with pytest.raises(InvalidInput, match=r"^cannot \w+ s3://bucket/out.*: 127\.0\.0\.1 is not allowed: .*--allow-store$"):
                act()
    with pytest.raises(InvalidInput, match=r"^spec\.x: cannot read 's3://bucket/k': 127\.0\.0\.1 is not allowed"):
        read_input("s3://bucket/k", STRICT, "spec.x")
    assert get("s3://bucket/k", STRICT) is Outcome.BLOCKED_ADDRESS
    with pytest.raises(InvalidInput, match="is not allowed"):
        read_input("s3://bucket/k", WEB, "spec.x")
    assert private.connections == 0, "what is open to images is not open to stores"
    assert read_input("s3://bucket/k", STORES, "spec.x") == SECRET
    assert private.connections > 0


def test_what_is_open_to_stores_is_not_open_to_web_pages(private: Counting) -> None:
    assert get(f"{private.url}/x.jpg", STORES) is Outcome.BLOCKED_ADDRESS
    with pytest.raises(InvalidInput, match="is not allowed"):
        read_input(f"{private.url}/x", STORES, "spec.x")
    assert private.connections == 0
    assert read_input(f"{private.url}/x", WEB, "spec.x") == SECRET


def test_a_real_store_works_where_it_is_allowed(private: Counting) -> None:
    with s3_server() as s3, address_guard.enforced(STORES):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        store = Store(f"s3://{s3.bucket}/{os.urandom(4).hex()}")
        store.write("a", b"1")
        assert store.create("b", b"2")
        assert (store.read("a"), store.keys()) == (b"1", ["a", "b"])
        with store.reading("a") as stream:
            assert stream.read() == b"1"
        assert get(store.location("a"), STORES) is Outcome.NOT_AN_IMAGE
        assert get(f"{s3.endpoint}/{s3.bucket}/x.jpg", STORES) is Outcome.BLOCKED_ADDRESS


def test_a_name_that_resolves_to_a_private_address_is_refused(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def lie(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host in ("rebind.example", b"rebind.example") else host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    url = f"//rebind.example:{private.port}/x"
    assert get(f"http:{url}", STRICT) is Outcome.BLOCKED_ADDRESS
    for scheme in ("http", "webhdfs"):
        with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed"):
            read_input(f"{scheme}:{url}", STRICT, "spec.x")
    assert private.connections == 0
    assert read_input(f"http:{url}", WEB, "spec.x") == SECRET


def test_the_loopback_of_ipv6_is_guarded() -> None:
    try:
        server = Counting("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server.running():
        url = f"http://[0:0:0:0:0:0:0:1]:{server.port}/x.jpg"
        assert get(url, STRICT) is Outcome.BLOCKED_ADDRESS
        assert server.connections == 0
        assert get(url, WEB) is Outcome.NOT_AN_IMAGE


def test_a_laptops_store_may_be_anywhere_and_its_images_may_not(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", private.url)
    with address_guard.enforced(Access()):
        assert read_input("s3://bucket/k", Access(), "spec.x") == SECRET
    asked = private.connections
    assert asked > 0
    assert get(f"{private.url}/x.jpg", Access()) is Outcome.BLOCKED_ADDRESS
    assert private.connections == asked
