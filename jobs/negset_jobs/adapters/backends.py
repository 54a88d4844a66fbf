"""Open fsspec's file systems from parsed URLs.

fsspec gets the links of a chain one by one, so that it never splits a URL itself.
"""

from __future__ import annotations

import os
import posixpath
from typing import Any, Final

import fsspec

from negset_api.errors import CannotRunHere
from negset_api.spec import StoreAccess
from negset_jobs.adapters import address_guard, archives, urls
from negset_jobs.adapters.clouds import CLOUDS
from negset_jobs.adapters.store_rules import options_of, rule_for
from negset_jobs.adapters.urls import Link, Url
from negset_jobs.adapters.web import WebFiles

for _scheme, _class in {**CLOUDS, **archives.ARCHIVES, **dict.fromkeys(urls.WEB_SCHEMES, WebFiles)}.items():
    fsspec.register_implementation(_scheme, _class, clobber=True)

_BY_HOST: Final = frozenset({"hdfs", "webhdfs", "sftp"})
# Packages on PyPI without which fsspec's back end of a scheme cannot be imported. The other schemes
# have an extra of fsspec.
_PACKAGES: Final = {"webhdfs": "requests", "oss": "ossfs"}


def opened(url: Url, *, read_ahead: int = 0, **options: Any) -> tuple[Any, str]:
    """Return the file system of a URL and the file's path in it.

    `read_ahead` is that of `archives.opened`. `options` are passed to the file system of the
    target.
    """
    if url.is_web:
        # Each URL has its own client, so that cookies of one server are not sent to another.
        options.setdefault("skip_instance_cache", True)
    fs = file_system_class(url.target)(**{**_taken(url.target), **_ruled(url.target), **options})
    path = path_of(fs, url.target)
    for link in reversed(url.links[:-1]):
        outer = file_system_class(link)
        if link.scheme in urls.CACHE_SCHEMES:
            # Not cached: the instance would keep the file system of its options alive.
            fs = outer(fs=fs, skip_instance_cache=True)
        else:
            fs = archives.opened(outer, fs, path, web=link is url.links[-2] and url.is_web, read_ahead=read_ahead)
            path = path_of(fs, link)
    return fs, path


def path_of(fs: Any, link: Link) -> str:
    """Return the path of a link's file in its file system."""
    # fsspec has no public function for this if the file system is known.
    path = str(fs._strip_protocol(str(link)))  # noqa: SLF001
    return archives.plain(path) if link.scheme in urls.ARCHIVE_SCHEMES else path


def file_system_class(link: Link) -> Any:
    """Return the class for a link. Raises `CannotRunHere` if its back end is not installed."""
    try:
        return fsspec.get_filesystem_class(link.scheme or "file")
    except ImportError as error:
        package = _PACKAGES.get(link.scheme, f"fsspec[{link.scheme}]")
        raise CannotRunHere(
            f"URLs of the scheme {link.scheme!r} need {package}, which is not installed: pip install '{package}'"
        ) from error


def file_system_key(url: Url) -> tuple[str, ...]:
    """Return a key of the file system of a URL: everything but the file's path.

    It includes the options that the file system takes from the file's link (a host, an account).
    """
    rule = _rule(url.target)
    ruled = (rule.prefix,) if rule else ()
    return (*(link.scheme if link is url.leaf else str(link) for link in url.links), *ruled, repr(sorted(_taken(url.leaf).items())))


def store_name(url: Url) -> str:
    """Return the URL of the bucket, container or host of a URL."""
    return f"{url.target.scheme}://{url.target.path.partition('/')[0]}"


def named(url: Url, path: str) -> Url:
    """Return the URL of the file with the path `path` in the file system of `url`.

    Raises `urls.InvalidUrl` if the path cannot be part of a URL.
    """
    authority, _, _ = url.leaf.path.partition("/")
    if url.leaf.scheme in urls.WEB_SCHEMES:
        path = path.partition("://")[2]  # the whole URL
    elif url.leaf.scheme in _BY_HOST:
        path = authority + path  # these file systems omit the host
    elif url.leaf.scheme in urls.STORE_SCHEMES and "@" in authority:
        # These file systems omit Azure's account.
        path = posixpath.join(authority, path.partition("/")[2])
    return url.with_path(path)


def _rule(link: Link) -> StoreAccess | None:
    """Return the manifest's rule for a store."""
    access = address_guard.access_of_process()
    return rule_for(access.store_rules, str(link)) if access and link.scheme in CLOUDS else None


def _ruled(link: Link) -> dict[str, Any]:
    rule = _rule(link)
    return options_of(rule, os.environ) if rule else {}


def _taken(link: Link) -> dict[str, Any]:
    """Return the options that a file system takes from a URL, such as its host."""
    # fsspec.url_to_fs does the same.
    options: dict[str, Any] = file_system_class(link)._get_kwargs_from_urls(str(link))  # noqa: SLF001
    return options
