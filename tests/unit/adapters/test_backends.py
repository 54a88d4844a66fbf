import fsspec
import pytest

from negset_jobs.adapters.backends import file_system_key, named, opened
from negset_jobs.adapters.urls import parse


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("s3://a/1", "s3://b/2", True),
        ("/data/1", "/other/2", True),
        ("http://a/1", "http://b/2", True),
        ("webhdfs://a/1", "webhdfs://a/2", True),
        ("webhdfs://a/1", "webhdfs://b/1", False),
        ("webhdfs://me@a/1", "webhdfs://you@a/1", False),
        ("zip://1::s3://a/x.zip", "zip://2::s3://a/x.zip", True),
        ("zip://1::s3://a/x.zip", "zip://1::s3://a/y.zip", False),
        ("simplecache::s3://a/1", "simplecache::s3://b/2", True),
        ("simplecache::s3://a/1", "s3://a/1", False),
        ("s3://a/1", "memory://a/1", False),
    ],
)
def test_one_file_system_serves_urls_that_differ_in_the_path_alone(first, second, same):
    assert (file_system_key(parse(first)) == file_system_key(parse(second))) is same


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("s3://b/*.x", "b/1.x", "s3://b/1.x"),
        ("abfs://c@account.dfs/a/*", "c/a/1", "abfs://c@account.dfs/a/1"),
        ("webhdfs://me@h:1/a/*", "/a/1", "webhdfs://me@h:1/a/1"),
        ("https://h/a/*", "https://h/a/1", "https://h/a/1"),
        ("zip://a/*::https://h/x.zip", "a/1", "zip://a/1::https://h/x.zip"),
        ("file:///a/*", "/a/1", "file:///a/1"),
        ("a/*", "/here/a/1", "/here/a/1"),
    ],
)
def test_what_a_file_system_finds_has_a_url_in_the_same_place(url, path, expected):
    assert str(named(parse(url), path)) == expected


def test_fsspec_is_never_handed_a_text_to_split(tmp_path, monkeypatch):
    import zipfile

    def refuse(*_, **__):
        raise AssertionError("fsspec splits a text")

    for name in ("_un_chain", "url_to_fs", "open_files"):
        monkeypatch.setattr(fsspec.core, name, refuse)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m", b"1")
    for url in (f"zip://m::{tmp_path}/a.zip", f"zip://m::simplecache::{tmp_path}/a.zip", f"simplecache::zip://m::file://{tmp_path}/a.zip"):
        fs, path = opened(parse(url))
        with fs.open(path, "rb") as stream:
            assert stream.read() == b"1"
