"""fsspec's file systems, opened by parsed URLs. With `store`, the only module that imports fsspec.

fsspec is handed the links of a chain one by one, so that it never splits a text of its own accord.
"""

from __future__ import annotations

import posixpath
from typing import Any, Final

import fsspec

from negset_jobs.adapters import urls
from negset_jobs.adapters.urls import Link, Url

_BY_HOST: Final = frozenset({"hdfs", "webhdfs", "sftp"})


def opened(url: Url, **options: Any) -> tuple[Any, str]:
    """The file system of a URL and the file's path in it. `options` are for the target's."""
    if url.is_web:
        # A client of its own for each: what one server sets (cookies) is not shown to another.
        options.setdefault("skip_instance_cache", True)
    fs = file_system_class(url.target)(**{**_taken(url.target), **options})
    path = path_of(fs, url.target)
    for link in reversed(url.links[:-1]):
        # Not cached: their options hold an open file or a file system, which would live on.
        outer = file_system_class(link)
        if link.scheme in urls.CACHE_SCHEMES:
            fs = outer(fs=fs, skip_instance_cache=True)
        else:
            fs = outer(fo=fs.open(path, "rb"), skip_instance_cache=True)
            path = path_of(fs, link)
    return fs, path


def path_of(fs: Any, link: Link) -> str:
    """What a file system calls the file of a link."""
    # fsspec has no other way from a URL to a known file system's path.
    return str(fs._strip_protocol(str(link)))  # noqa: SLF001


def file_system_class(link: Link) -> Any:
    """The class for a link. Raises `ImportError` where its back end is not installed."""
    return fsspec.get_filesystem_class(link.scheme or "file")


def place(url: Url) -> tuple[str, ...]:
    """What tells one file system from another: all links but the file's path, and of its link what
    the file system takes from it (a host, an account).
    """
    return (*(link.scheme if link is url.leaf else str(link) for link in url.links), repr(sorted(_taken(url.leaf).items())))


def named(url: Url, path: str) -> Url:
    """The URL of a file that the file system of `url` calls `path`.

    Raises `urls.InvalidUrl` where the name cannot stand in a URL.
    """
    authority, _, _ = url.leaf.path.partition("/")
    if url.leaf.scheme in urls.WEB_SCHEMES:
        path = path.partition("://")[2]  # the whole URL
    elif url.leaf.scheme in _BY_HOST:
        path = authority + path  # they leave out the host
    elif url.leaf.scheme in urls.STORE_SCHEMES and "@" in authority:
        # Azure's account, which they leave out.
        path = posixpath.join(authority, path.partition("/")[2])
    return url.with_path(path)


def _taken(link: Link) -> dict[str, Any]:
    """The options that a file system takes from a URL, such as its host."""
    # As fsspec.url_to_fs does.
    options: dict[str, Any] = file_system_class(link)._get_kwargs_from_urls(str(link))  # noqa: SLF001
    return options
