import pytest

from negset_api.errors import InvalidInput
from negset_jobs.adapters.access import DEFAULT_SCHEMES, Access, parse_networks, parse_schemes
from negset_jobs.adapters.urls import parse


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
        "http://[2001:db8:0:0:0:0:0:1]:80/a",
        "zip://a/b.json::https://example.org/x.zip",
        "zip://a::s3://b/x.zip",
    ],
)
def test_remote_urls_are_for_a_cluster_too(url):
    Access(local_files=False).check_url(url, "spec.x")


@pytest.mark.parametrize("url", ["ftp://h/x", "gopher://h", "python://x", "zip://a::ssh://h/x"])
def test_unknown_schemes_are_named(url):
    with pytest.raises(InvalidInput, match=r"spec\.x: expected a URL with a known scheme \(.*\), got '\w+' in"):
        Access().check_url(url, "spec.x")


@pytest.mark.parametrize(
    "url",
    [
        "simplecache://::http://10.0.0.1/x?]",
        "simplecache:///proc/self/environ::file://x::http://b]",
        "http://[::1/a",
        "https://me:hunter2@example.org/",
        "s3://b/\nhunter2@x:y@z",
    ],
)
@pytest.mark.parametrize("access", [Access(), Access(local_files=False, schemes=DEFAULT_SCHEMES)])
def test_what_cannot_be_parsed_is_refused_in_one_line(url, access):
    with pytest.raises(InvalidInput, match=r"^spec\.x: cannot use the URL '") as caught:
        access.check_url(url, "spec.x")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


CLUSTER = Access(local_files=False, schemes=DEFAULT_SCHEMES)


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/k",
        "s3a://b/k",
        "gs://b/k",
        "gcs://b/k",
        "abfss://c@a.dfs.core.windows.net/k",
        "az://c/k",
        "HTTPS://h/x",
        "zip://a::s3://b/x.zip",
        "simplecache::http://h/x",
    ],
)
def test_schemes_that_the_administrator_allows(url):
    CLUSTER.check_url(url, "spec.x")


@pytest.mark.parametrize(
    "url", ["webhdfs://h/x", "hdfs://h/x", "memory://x", "oss://b/k", "sftp://h/x", "zip://a::webhdfs://h/x", "simplecache::oss://b/k"]
)
def test_schemes_that_nobody_allowed_are_refused_with_the_list(url):
    with pytest.raises(
        InvalidInput, match=r"^spec\.x: expected a URL of a scheme that the administrator allows \(s3, gs, abfs, http, https\), got '"
    ):
        CLUSTER.check_url(url, "spec.x")
    Access(local_files=False, schemes=("webhdfs", "hdfs", "memory", "oss", "sftp")).check_url(url, "spec.x")


def test_one_image_that_may_not_be_used_is_no_reason_to_stop_and_all_are():
    CLUSTER.check_images(["/etc/passwd", "s3://b/cam1::s3://1.jpg", "s3://b/k"], "spec.x")
    CLUSTER.check_images([], "spec.x")
    with pytest.raises(InvalidInput, match="got the local path '/etc/passwd'"):
        CLUSTER.check_images(["/etc/passwd", "s3://b/cam1::s3://1.jpg"], "spec.x")


def test_stores_and_web_servers_have_networks_of_their_own():
    access = Access(local_files=False, allowed_networks=("10.1.0.0/16",), store_networks=("10.2.0.0/16",))
    for url, address in (
        ("http://h/x", "10.1.0.1"),
        ("simplecache::https://h/x", "10.1.0.1"),
        ("zip://a::s3://b/k", "10.2.0.1"),
        ("webhdfs://h/x", "10.2.0.1"),
    ):
        reach = access.reach(parse(url))
        assert [other for other in ("10.1.0.1", "10.2.0.1", "10.3.0.1") if reach.permits(other)] == [address]
    assert not access.permits("10.2.0.1")


def test_a_laptops_stores_are_the_persons_own():
    assert Access().reach(parse("s3://b/k")).permits("10.0.0.1")
    assert not Access().reach(parse("http://h/x")).permits("10.0.0.1")


def test_schemes_are_known_and_normalised():
    assert parse_schemes(["S3A", "s3", "az", "https"], "--allow-scheme") == ("s3", "abfs", "https")
    with pytest.raises(InvalidInput, match=r"^--allow-scheme: expected one of abfs, .*, got 'file'"):
        parse_schemes(["file"], "--allow-scheme")


def test_networks_are_parsed_and_normalised():
    assert parse_networks(("10.1.2.3/8", "::1"), "--allow-address") == ("10.0.0.0/8", "::1/128")
    with pytest.raises(InvalidInput, match="--allow-address: expected a network such as"):
        parse_networks(("10.0.0.0/33",), "--allow-address")
