"""One parser: it splits as fsspec does, but for names that have two colons."""

import contextlib
import re

import pytest
from fsspec.core import split_protocol
from fsspec.registry import available_protocols
from hypothesis import example, given
from hypothesis import strategies as st

from negset_jobs.adapters.urls import CACHE_SCHEMES, InvalidUrl, Link, UnknownScheme, Url, parse, scheme_of, shown


def fsspec_sees(text: str) -> list[tuple[str, str]]:
    """Return schemes and texts of the links as `fsspec.core._un_chain` does, without back ends."""
    if "::" not in text:
        return [(split_protocol(text)[0] or "file", text)]
    bits = []
    for part in text.split("::"):
        if part in available_protocols() or not ("://" in part or re.match(".*[^a-z]+.*", part)):
            bits.append(f"{part}://")
        else:
            bits.append(part)
    return [(split_protocol(bit)[0] or "file", bit) for bit in bits]


ACCEPTED = {
    "a plain path": "/data/a.json",
    "a relative path": "a.json",
    "a word": "annotations",
    "a path with one colon": "a:b.json",
    "a path with spaces, brackets and letters of any alphabet": "/data/a [v1]/ü 日本.json",
    "a Windows path, which is a file's name here": "C:\\x.json",
    "a file's URL": "file:///a.json",
    "a local URL": "local:///a.json",
    "an object": "s3://bucket/key",
    "an object whose name has odd characters": "s3://bucket/a b/ü#1%?x=[1].jpg",
    "an object whose name has an at and a colon": "s3://bucket/a@b:c.jpg",
    "a bucket": "gs://bucket",
    "an Azure container with its account": "abfs://container@account.dfs.core.windows.net/a",
    "an HDFS path of the default name node": "hdfs:///a",
    "a user of sftp": "sftp://me@host:22/a",
    "a web page": "https://example.org/a?x=1#y",
    "a port": "http://example.org:8080/",
    "a host alone": "http://example.org",
    "a query directly behind the host": "http://example.org?x=1",
    "an address": "http://192.0.2.1/a",
    "an IPv6 address without two colons": "http://[2001:db8:0:0:0:0:0:1]:80/a",
    "an international name": "http://bücher.example/a",
    "an at in a path": "http://example.org/a@b",
    "a bracket in a query": "http://example.org/x?]",
    "two slashes in a path": "http://example.org//a//b",
    "a URL in a query": "http://example.org/?u=http://x/",
    "a member of an archive": "zip://a/b.json::https://example.org/x.zip",
    "the root of an archive": "zip://::s3://b/x.zip",
    "a member of a tar archive on this machine": "tar://a::/data/x.tar",
    "an archive in an archive": "zip://a::tar://b.zip::s3://b/x.tar",
    "a cached object": "simplecache::s3://b/k",
    "a key with two colons": "s3://b/img/cam1::001.jpg",
    "a web page with two colons": "https://example.org/a::b.jpg",
    "a path with two colons": "/data/cam1::001.jpg",
    "a member with two colons": "zip://cam1::001.jpg::s3://b/x.zip",
    "a member with two colons of an archive on this machine": "zip://cam1::001.jpg::x.zip",
    "an IPv6 address with two colons": "http://[::1]:80/a",
    "a member of a cached archive": "zip://a::filecache::https://example.org/x.zip",
    "a relative archive": "zip://a::./archive",
}

REFUSED = {
    "nothing": "",
    "a scheme with one slash": "http:/example.org/a",
    "a scheme with one slash, in a chain": "zip://a::s3:/b/x.zip",
    "a scheme without slashes": "s3:bucket/key",
    "a scheme without a colon": "https//example.org/a",
    "a scheme with a semicolon": "HTTPS;//example.org/a",
    "a scheme with backslashes": "http:\\\\example.org\\a",
    "a name that leads out of its folder": "outside://../a.jpg",
    "a space": " ",
    "a space in front": " http://example.org/",
    "a line break behind": "http://example.org/\n",
    "a no-break space behind": "http://example.org/\u00a0",
    "a line break within": "http://example.org/\r\nHost: x",
    "a NUL": "/data/a\0.json",
    "an escape": "s3://b/\x1b[2J",
    "a C1 control character": "s3://b/\x9b",
    "a line separator": "s3://b/a\u2028b",
    "a lone surrogate": "s3://b/\ud800",
    "two colons alone": "::",
    "an empty first link": "::s3://b/k",
    "an empty last link": "zip://a::",
    "an empty link between": "zip://a::::s3://b/k",
    "three colons": "zip://a:::s3://b/k",
    "a cache with an empty path": "simplecache://::http://10.0.0.1/x?]",
    "a cache with a path": "simplecache:///proc/self/environ::file://x::http://b]",
    "a cache with a URL for a path": "simplecache://http://10.0.0.1/x::s3://b/k",
    "a cache's URL alone": "simplecache://a",
    "an archive alone": "zip://a",
    "an archive without a member's place": "zip::s3://b/x.zip",
    "an archive last": "simplecache::zip://a",
    "a store before another": "s3://b/k::http://10.0.0.1/",
    "a web page before another": "http://example.org/::http://10.0.0.1/",
    "a file before another": "file:///etc/passwd::s3://b/k",
    "a path before another": "/etc/passwd::s3://b/k",
    "a word before another": "reference::s3://b/k",
    "a file system that wraps": "dir::file:///etc",
    "a reference file system": "reference://::http://example.org/r.json",
    "a bracket that hides a chain": "http://example.org/x::http://10.0.0.1/]",
    "a bracket that hides a chain, in front": "zip://[a::http://10.0.0.1/x.zip::b]",
    "an IPv6 address with two colons in another URL's name": "http://h/a::http://[::1]/",
    "an IPv6 address with two colons in an archive's URL": "zip://a::http://[fe80::1]/b.zip",
    "an IPv6 zone": "http://[fe80:0:0:0:0:0:0:1%25eth0]/a",
    "half an IPv6 address": "http://[2001:db8/a",
    "brackets around a name": "http://[example.org]/a",
    "brackets around an IPv4 address": "http://[10.0.0.1]/",
    "a word that is a scheme, last in a chain": "zip://a::memory",
    "a word in a chain": "zip://a::archive",
    "a known scheme without its slashes, last in a chain": "zip://a::s3",
    "a data URL": "data:text/plain;base64,eA==",
    "a data URL in a chain": "zip://a::data:application/zip;base64,eA==",
    "a data URL with slashes": "data://x",
    "an unknown scheme": "ftp://h/x",
    "an unknown scheme in a chain": "zip://a::ssh://h/x",
    "a scheme that runs code": "python://x",
    "a scheme of Jupyter's": "jupyter://h:1/x",
    "a scheme with a space": "a b://c",
    "a scheme of one letter": "c://x",
    "no scheme before the slashes": "://h/x",
    "a scheme with a host in front": "h@s3://b/k",
    "a web page without a host": "http:///a",
    "a scheme alone": "https://",
    "a query for a host": "http://?x",
    "a user's name": "http://me@example.org/",
    "a user's name and password": "https://me:secret@example.org/",
    "a host that looks like a user's name": "http://example.org@10.0.0.1/",
    "a backslash before the host": "http://example.org\\@10.0.0.1/",
    "a backslash in the host": "http://10.0.0.1\\example.org/",
    "a space in the host": "http://exam ple.org/",
    "a percent in the host": "http://exam%70le.org/",
    "a port that is none": "http://example.org:http/",
    "a port that is too high": "http://example.org:65536/",
    "a port without a number": "http://example.org:/",
    "two ports": "http://example.org:80:81/",
    "an object without a bucket": "s3://",
    "an object whose bucket is empty": "s3:///key",
    "a password of a store": "sftp://me:secret@host/a",
    "a chain that is too long": "zip://a::zip://b::zip://c::zip://d::s3://b/k",
}  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_is(text):
    url = parse(text)
    assert str(url) == text
    assert parse(str(url)) == url
    assert agrees_with_fsspec(url)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_refused_is(text):
    with pytest.raises(InvalidUrl) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert "10.0.0.1" not in str(caught.value), "the reason quotes nothing"


def agrees_with_fsspec(url: Url) -> bool:
    seen = fsspec_sees(str(url))
    if any("::" in link.path for link in url.links):
        # A name of ours, of which fsspec would make links. It never gets the text.
        return all("://" not in part and part.lower() not in CACHE_SCHEMES for link in url.links for part in link.path.split("::")[1:])
    ours = [(link.scheme or "file", f"{link}://" if link.scheme in CACHE_SCHEMES else str(link)) for link in url.links]
    return seen == ours


PIECES = st.sampled_from(
    [
        "::", ":", "/", "//", "://", "]", "[", "@", "?", "#", "%", "\\", " ", "\n", ".", "..", "*", "a", "x", "A", "é", "1", "80",
        "http", "HTTPS", "s3", "S3", "file", "local", "zip", "tar", "simplecache", "filecache", "blockcache", "memory", "data", "reference", "dir",
        "http://", "s3://b/", "file://", "zip://a", "tar://", "simplecache::", "simplecache://", "10.0.0.1", "[::1]", "h", "/etc/passwd",
    ]
)  # fmt: skip


@given(st.lists(PIECES, min_size=1, max_size=9).map("".join))
@example("simplecache://::http://10.0.0.1/x?]")
@example("ZIP://a::HTTP://h/x")
def test_whatever_is_accepted_reads_the_same_to_fsspec_and_back(text):
    try:
        url = parse(text)
    except InvalidUrl:
        return
    assert parse(str(url)) == url
    assert str(url).lower() == text.lower(), "at most the case of a scheme changes"
    assert agrees_with_fsspec(url)


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_refused(text):
    with contextlib.suppress(InvalidUrl):
        assert agrees_with_fsspec(parse(text))


def test_schemes_are_the_same_in_capitals():
    assert parse("ZIP://A::HTTPS://H/X").links == (Link("zip", "A"), Link("https", "H/X"))
    assert str(parse("S3://Bucket/Key")) == "s3://Bucket/Key"


def test_an_unknown_scheme_is_named():
    with pytest.raises(UnknownScheme) as caught:
        parse("floppy://a/b")
    assert caught.value.scheme == "floppy"


@pytest.mark.parametrize(
    ("text", "name", "local", "web"),
    [
        ("zip://a/b.json::https://h/x.zip", "b.json", False, True),
        ("simplecache::s3://b/c/k.bin", "k.bin", False, False),
        ("zip://m::simplecache::/data/x.zip", "m", True, False),
        ("/data/x", "x", True, False),
        ("FILE:///a/b", "b", True, False),
    ],
)
def test_what_a_url_reaches_and_is_called(text, name, local, web):
    url = parse(text)
    assert (url.name, url.is_local, url.is_web) == (name, local, web)


def test_another_file_in_the_same_place():
    assert str(parse("zip://a/b::https://h/x.zip").with_path("c")) == "zip://c::https://h/x.zip"
    assert str(parse("simplecache::s3://b/k").with_path("b/l")) == "simplecache::s3://b/l"
    for name in ("c::s3://d", "c\n"):
        with pytest.raises(InvalidUrl):
            parse("zip://a/b::https://h/x.zip").with_path(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/train-?.tfrecord", "'s3://b/train-?.tfrecord'"),
        ("https://me:secret@h/x", "'https://…@h/x'"),
        ("https://secret@h/x", "'https://…@h/x'"),
        ("ftp://me:sec/ret@h/x", "'ftp://…@h/x'"),
        ("abfs://container@account/x", "'abfs://container@account/x'"),
        ("https://h/x?X-Amz-Signature=secret&a=b", "'https://h/x?…'"),
        ("zip://m::https://h/x.zip?sig=secret", "'zip://m::https://h/x.zip?…'"),
        ("s3://b/\nx", "'s3://b/\\nx'"),
        ("/data/" + "a" * 500, "'/data/" + "a" * 294 + "…'"),
    ],
)
def test_a_url_in_a_message_has_no_secrets_and_one_line(text, expected):
    assert shown(text) == expected


@pytest.mark.parametrize(("url", "scheme"), [("S3://b", "s3"), ("a/b", ""), ("C:\\x", ""), ("a b://c", ""), ("http://[", "http")])
def test_schemes(url, scheme):
    assert scheme_of(url) == scheme
