"""The proxy of a laptop or of an administrator, and what the guard refuses behind it."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

import pytest
from tests.forward_proxy import forward_proxy
from tests.image_server import image_server, jpeg

from negset_api.errors import InvalidInput
from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.adapters import address_guard, clouds
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.guard_proxy import proxy_for
from negset_jobs.adapters.inputs import read_input
from negset_jobs.adapters.upstream import Server, Upstream, from_environment, is_private_name, parse_server
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher

P, Q = Server("p", 3128), Server("q", 80)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, None, id="no variable names no proxy"),
        pytest.param({"NO_PROXY": "*"}, None, id="hosts without a proxy name none"),
        pytest.param({"HTTP_PROXY": ""}, None, id="an empty variable names none"),
        pytest.param({"HTTP_PROXY": "http://p:3128"}, Upstream(P, None), id="a proxy for http alone"),
        pytest.param({"https_proxy": "http://p:3128"}, Upstream(None, P), id="lower case"),
        pytest.param({"HTTPS_PROXY": "http://p:3128", "https_proxy": "http://q"}, Upstream(None, Q), id="lower case is stronger"),
        pytest.param({"ALL_PROXY": "p:3128"}, Upstream(P, P), id="one for all, without a scheme"),
        pytest.param({"ALL_PROXY": "http://q", "HTTP_PROXY": "http://p:3128"}, Upstream(P, Q), id="the scheme's own is stronger"),
        pytest.param({"ALL_PROXY": "socks5://s", "HTTP_PROXY": "http://q", "HTTPS_PROXY": "http://q"}, Upstream(Q, Q), id="SOCKS that is not used"),
        pytest.param({"HTTP_PROXY": "http://p:3128", "no_proxy": "A.test, .b.test 10.0.0.0/8"}, Upstream(P, None, ("a.test", ".b.test", "10.0.0.0/8")), id="hosts without it"),
    ],
)  # fmt: skip
def test_the_variables_of_a_laptop(variables, expected):
    assert from_environment(variables) == expected


def test_a_password_is_sent_decoded():
    assert parse_server("https://me:a%40b@p:8443", "X") == Server("p", 8443, tls=True, authorization="Basic bWU6YUBi")


@pytest.mark.parametrize("url", ["socks5://p:1", "http://", "http://p:x", "ftp://p", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_text(url):
    with pytest.raises(InvalidInput, match=r"^HTTPS_PROXY: expected a proxy such as http://proxy.example:3128"):
        parse_server(url, "HTTPS_PROXY")


def test_the_variable_that_names_an_unusable_proxy_is_named():
    with pytest.raises(InvalidInput, match=r"^ALL_PROXY: "):
        from_environment({"ALL_PROXY": "socks5://p:1"})


@pytest.mark.parametrize(
    ("bypass", "host", "direct"),
    [
        ("a.test", "a.test", True),
        ("a.test", "x.a.test", True),
        (".a.test", "x.a.test", True),
        ("*.a.test", "x.a.test", True),
        ("a.test", "xa.test", False),
        ("A.Test.", "a.test", False),
        ("*", "a.test", True),
        ("*", "192.0.2.1", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("a.test:8080", "a.test", True),
        ("a.test:80", "a.test", False),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("", "localhost", True),
        ("", "127.0.0.1", True),
        ("", "169.254.169.254", True),
        ("", "10.0.0.1", False),
        ("", "a.test", False),
    ],
)
def test_which_hosts_are_reached_without_it(bypass, host, direct):
    way = from_environment({"HTTP_PROXY": "http://p:3128", "NO_PROXY": bypass})
    assert way is not None
    assert (way.server("http", host, 8080) is None) == direct


def test_names_that_no_public_server_has():
    names = ("intranet", "printer.local", "metadata.google.internal", "a.home.arpa", "example.org", "a.b.test")
    assert [is_private_name(name) for name in names] == [True, True, True, True, False, False]


@pytest.fixture
def server():
    with image_server() as running:
        running.serve("/a.jpg", jpeg(1))
        running.serve("/a.json", b"[1]")
        yield running


def through(proxy, *bypass, **rules) -> Access:
    way = parse_server(proxy.url, "proxy")
    return Access(upstream=Upstream(way, way, bypass), local_files=False, **rules)


def fetched(url: str, access: Access) -> Outcome:
    async def fetch():
        async with Fetcher(Download(attempts=1), access) as fetcher:
            try:
                await fetcher.image(url)
            except Failed as failure:
                return failure.outcome
            return Outcome.STORED

    return asyncio.run(fetch())


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def test_images_and_annotations_come_through_the_proxy(server):
    with forward_proxy(port_of(server.url)) as proxy:
        assert fetched("http://pictures.invalid/a.jpg?x=%2B", through(proxy)) is Outcome.STORED
        assert read_input("http://pictures.invalid/a.json", through(proxy), "spec.x") == b"[1]"
        assert fetched("http://pictures.invalid/none.jpg", through(proxy)) is Outcome.NOT_FOUND
    assert proxy.seen[0] == "GET http://pictures.invalid/a.jpg?x=%2B"
    assert len(proxy.seen) >= 3


def test_the_proxy_gets_its_own_password(server):
    with forward_proxy(port_of(server.url)) as proxy:
        url = proxy.url.replace("//", "//me:secret@")
        way = parse_server(url, "proxy")
        assert fetched("http://pictures.invalid/a.jpg", Access(upstream=Upstream(way, way))) is Outcome.STORED
    assert proxy.authorizations == ["Basic bWU6c2VjcmV0"]


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/a.jpg", "http://0x0a.1/a.jpg", "https://10.0.0.1/a.jpg", "http://169.254.169.254/a.jpg", "http://127.0.0.1:1/a.jpg",
     "http://[::1]/a.jpg", "http://intranet/a.jpg", "https://printer.local/a.jpg", "http://metadata.google.internal/a.jpg"],
)  # fmt: skip
def test_private_servers_are_refused_behind_the_proxy(url, server):
    with forward_proxy(port_of(server.url)) as proxy:
        assert fetched(url, through(proxy)) is Outcome.BLOCKED_ADDRESS
        with pytest.raises(InvalidInput, match="is not allowed: the address is private"):
            read_input(url, through(proxy), "spec.x")
    assert proxy.seen == []


def test_the_proxy_is_the_only_private_address_that_is_reached(server):
    with forward_proxy(port_of(server.url)) as proxy:
        assert fetched(f"{proxy.url}/a.jpg", through(proxy)) is Outcome.BLOCKED_ADDRESS
        assert fetched(f"{server.url}/a.jpg", through(proxy)) is Outcome.BLOCKED_ADDRESS
        assert fetched(f"{server.url}/a.jpg", through(proxy, allowed_networks=("127.0.0.1/32",))) is Outcome.STORED
    assert proxy.seen == []
    assert server.requests["/a.jpg"] == 1


def test_a_redirect_goes_through_the_proxy_too(server):
    from aiohttp import web

    async def away(_):
        return web.Response(status=302, headers={"Location": "http://10.0.0.1/a.jpg"})

    server.answer("/away.jpg", away)
    with forward_proxy(port_of(server.url)) as proxy:
        assert fetched("http://pictures.invalid/away.jpg", through(proxy)) is Outcome.BLOCKED_ADDRESS
    assert proxy.seen == ["GET http://pictures.invalid/away.jpg"]


def test_a_tunnel_leads_through_both_proxies(server):
    with forward_proxy(port_of(server.url)) as proxy:
        guard = urlsplit(proxy_for(through(proxy).stores).url)
        connection = http.client.HTTPConnection(guard.hostname, guard.port, timeout=10)
        from base64 import b64encode

        password = b64encode(f"{guard.username}:{guard.password}".encode()).decode()
        connection.set_tunnel("bucket.invalid", 443, {"Proxy-Authorization": f"Basic {password}"})
        connection.request("GET", "/a.json")
        assert connection.getresponse().read() == b"[1]"
        connection.close()
    assert proxy.seen == ["CONNECT bucket.invalid:443"]


@pytest.mark.parametrize(
    ("url", "outcome"), [("https://pictures.invalid/a.jpg", Outcome.UNREACHABLE), ("http://pictures.invalid/a.jpg", Outcome.FORBIDDEN)]
)
def test_a_proxy_that_refuses_is_the_outcome(url, outcome):
    with forward_proxy(0, status=407) as proxy:
        assert fetched(url, through(proxy)) is outcome


def test_the_region_of_a_bucket_is_asked_for_through_the_proxy(server):
    with forward_proxy(port_of(server.url)) as proxy, address_guard.reaching(through(proxy).stores):
        assert clouds._region_of("bucket") == "us-east-1", "what the server says is no TLS"
    assert proxy.seen == ["CONNECT s3.amazonaws.com:443"]


def test_a_proxy_that_is_down_is_unreachable():
    with forward_proxy(0) as proxy:
        access = through(proxy)
    for url in ("http://pictures.invalid/a.jpg", "https://pictures.invalid/a.jpg"):
        assert fetched(url, access) is Outcome.UNREACHABLE
