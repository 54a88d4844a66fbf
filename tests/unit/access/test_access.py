import pytest

from negset_api.errors import InvalidInput
from negset_jobs.access import Access, links, parse_networks, scheme_of


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_may_be_reached(address):
    assert Access().permits(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1",
    ],
)  # fmt: skip
def test_all_others_may_not(address):
    assert not Access().permits(address)


def test_the_administrator_can_allow_a_network_and_nothing_beside_it():
    access = Access(allowed_networks=("10.0.0.0/8", "::1/128"))
    assert access.permits("10.255.0.1")
    assert access.permits("::1")
    assert access.permits("::ffff:10.0.0.1")
    assert not access.permits("192.168.0.1")
    assert not access.permits("::2")


@pytest.mark.parametrize(
    "url",
    ["/data/a.json", "a.json", "file:///a.json", "zip://a.json::/data/a.zip", "zip://a::file:///x.zip", "local://a", "FILE:///a"],
)
def test_local_paths_are_for_a_laptop(url):
    Access().check_url(url, "spec.x")
    with pytest.raises(InvalidInput, match=r"spec\.x: expected an http\(s\) or object storage URL, got the local path"):
        Access(local_files=False).check_url(url, "spec.x")


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/k",
        "https://example.org/a?x=1",
        "http://[2001:db8::1]:80/a",
        "zip://a/b.json::https://example.org/x.zip",
        "zip://a::s3://b/x.zip",
    ],
)
def test_remote_urls_are_for_a_cluster_too(url):
    Access(local_files=False).check_url(url, "spec.x")


@pytest.mark.parametrize("url", ["ftp://h/x", "gopher://h", "python://x", "zip://a::ssh://h/x"])
def test_unknown_schemes_are_named(url):
    with pytest.raises(InvalidInput, match=r"spec\.x: unknown URL scheme '\w+' in"):
        Access().check_url(url, "spec.x")


def test_the_colons_of_an_ipv6_address_do_not_chain():
    assert links("http://[::1]:80/a") == ["http://[::1]:80/a"]
    assert links("zip://a::http://[fe80::1]/b.zip") == ["zip://a", "http://[fe80::1]/b.zip"]


@pytest.mark.parametrize(("url", "scheme"), [("S3://b", "s3"), ("a/b", ""), ("C:\\x", ""), ("a b://c", ""), ("http://[", "http")])
def test_schemes(url, scheme):
    assert scheme_of(url) == scheme


def test_networks_are_parsed_and_normalised():
    assert parse_networks(("10.1.2.3/8", "::1"), "--allow-address") == ("10.0.0.0/8", "::1/128")
    with pytest.raises(InvalidInput, match="--allow-address: expected a network such as"):
        parse_networks(("10.0.0.0/33",), "--allow-address")
