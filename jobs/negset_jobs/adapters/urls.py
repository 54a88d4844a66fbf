"""Parse a URL once: plain paths, URLs, and chains (`zip://member::s3://bucket/archive.zip`).

A chain is split at each `::` that ends a link which may stand before another. Any other `::` is a
part of a name, unless a URL follows it: then the text is refused. All code uses the parsed value.
Back ends are opened from it, not from the text. See jobs/README.md.
"""

from __future__ import annotations

import functools
import ipaddress
import posixpath
import re
from typing import Final

import msgspec

from negset_api import names

WEB_SCHEMES: Final = frozenset({"http", "https"})
STORE_SCHEMES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "hdfs", "webhdfs", "sftp", "memory"})
READ_SCHEMES: Final = WEB_SCHEMES | {"sftp"}
"""Schemes that are no output: a server cannot be written to, or shows a file before it is whole."""
ARCHIVE_SCHEMES: Final = frozenset({"zip", "tar"})
CACHE_SCHEMES: Final = frozenset({"simplecache", "filecache", "blockcache"})
TARGET_SCHEMES: Final = names.LOCAL_SCHEMES | WEB_SCHEMES | STORE_SCHEMES
KNOWN_SCHEMES: Final = TARGET_SCHEMES | ARCHIVE_SCHEMES | CACHE_SCHEMES

OUTSIDE: Final = "outside"
"""The scheme of an image's name that leads out of its folder. Such a URL is never opened."""

_SEPARATOR: Final = "::"
_MOST_LINKS: Final = 4
_WITHOUT_AUTHORITY: Final = frozenset({"hdfs", "memory"})  # hdfs:///path is the default name node's
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*")
# Control characters, line separators and lone surrogates: file names do not need them.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# http:/x, http:x, https//x, https;//x
_SLIP: Final = re.compile(rf"({'|'.join(WEB_SCHEMES | STORE_SCHEMES)})(?:[:;]|//)", re.IGNORECASE)
_AFTER_AUTHORITY: Final = re.compile(r"[/?#]")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]@:/?#\\%<>\"^`{|}]+)(?::(\d{1,5}))?")
_HIGHEST_PORT: Final = 0xFFFF
_LONGEST_SHOWN: Final = 300
_CREDENTIALS: Final = re.compile(r"(?:(?<=http://)|(?<=https://))[^/?#]*@|(?<=://)[^?#]*:[^?#]*@", re.IGNORECASE)
_QUERY: Final = re.compile(r"\?[^?]*=.*?(?=::|$)", re.DOTALL)  # a "?" without "=" is a wildcard


class InvalidUrl(ValueError):
    """The text is not a URL that negset can open. The message says why, without quoting it."""


class UnknownScheme(InvalidUrl):
    """A URL of a scheme that negset does not know, or does not allow in that place."""

    def __init__(self, scheme: str) -> None:
        super().__init__("unknown URL scheme")
        self.scheme = scheme


class Link(msgspec.Struct, frozen=True, gc=False):
    """One link of a chain.

    `scheme` is in lower case, and empty for a plain path. `path` is the text after `://`, or the
    plain path. It is empty for a cache.
    """

    scheme: str
    path: str

    def __str__(self) -> str:
        if self.scheme in CACHE_SCHEMES:
            return self.scheme
        return f"{self.scheme}://{self.path}" if self.scheme else self.path


class Url(msgspec.Struct, frozen=True):
    """A URL as a chain of links.

    The last link is opened, by its path or over a network. The links before it are archives with a
    member, or caches.
    """

    links: tuple[Link, ...]

    def __str__(self) -> str:
        return _SEPARATOR.join(map(str, self.links))

    @property
    def target(self) -> Link:
        """The link that is opened."""
        return self.links[-1]

    @property
    def leaf(self) -> Link:
        """The link that names the file: an archive's member, else the target."""
        return self.links[self._leaf]

    @property
    def name(self) -> str:
        """The last part of the file's path."""
        return posixpath.basename(self.leaf.path)

    @property
    def is_local(self) -> bool:
        """True for a file on this machine, or a member of one."""
        return self.target.scheme in names.LOCAL_SCHEMES

    @property
    def is_web(self) -> bool:
        """True if it is opened over http or https."""
        return self.target.scheme in WEB_SCHEMES

    def with_path(self, path: str) -> Url:
        """Return the URL of another file in the same place. Raises `InvalidUrl`."""
        at = self._leaf
        changed = Link(self.links[at].scheme, path)
        url = Url((*self.links[:at], changed, *self.links[at + 1 :]))
        if parse(str(url)) != url:
            raise InvalidUrl("expected a path that can be part of a URL")
        return url

    @property
    def _leaf(self) -> int:
        return next(index for index, link in enumerate(self.links) if link.scheme not in CACHE_SCHEMES)


def parse(text: str) -> Url:
    """Parse a URL. Raises `InvalidUrl`. Only the case of schemes is changed."""
    if not text or text != text.strip():
        raise InvalidUrl("expected a URL without spaces around it" if text.strip() else "expected a URL, got none")
    if _FORBIDDEN.search(text):
        raise InvalidUrl("expected a URL without control characters")
    *wrappers, target = _split(text)
    if len(wrappers) >= _MOST_LINKS:
        raise InvalidUrl(f"expected at most {_MOST_LINKS} URLs joined by '::'")
    return Url((*map(_wrapper, wrappers), _target(target, chained=bool(wrappers))))


def _split(text: str) -> list[str]:
    """Split a chain. A member of an archive and a URL that stands alone keep their `::`."""
    first, *rest = text.split(_SEPARATOR)
    wraps = first.lower() in CACHE_SCHEMES or scheme_of(first) in ARCHIVE_SCHEMES
    if first and not wraps and not any(map(_starts_link, rest)):
        return [text]
    links = [first]
    for piece in rest[:-1]:
        if piece and scheme_of(links[-1]) in ARCHIVE_SCHEMES and not _starts_link(piece):
            links[-1] += _SEPARATOR + piece
        else:
            links.append(piece)
    return [*links, *rest[-1:]]


def _starts_link(piece: str) -> bool:
    return piece.lower() in CACHE_SCHEMES or "://" in piece


def scheme_of(text: str) -> str:
    """Return the scheme of a text in lower case; empty if there is none.

    The text may be a template, which is not a valid URL.
    """
    scheme, separator, _ = text.partition("://")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme) else ""


def has_slip(text: str) -> bool:
    """Return True for a path that begins like a URL: http:/x, s3:x, https//x."""
    return _SLIP.match(text) is not None


def shown(url: Url | str) -> str:
    """Return a URL for a message: quoted, on one line, without credentials and signatures."""
    text = _QUERY.sub("?…", _CREDENTIALS.sub("…@", str(url).removeprefix(f"{OUTSIDE}://")))
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


def _wrapper(text: str) -> Link:
    """Parse a link that is followed by another one."""
    if text.lower() in CACHE_SCHEMES:
        return Link(text.lower(), "")
    scheme, separator, path = text.partition("://")
    if separator and scheme.lower() in ARCHIVE_SCHEMES:
        return Link(scheme.lower(), path)
    if separator and scheme.lower() in CACHE_SCHEMES:
        raise InvalidUrl(f"expected nothing between {scheme.lower()!r} and '::'; a cache has no path")
    if "[" in text:
        raise InvalidUrl("expected an IPv6 address without '::', which joins URLs; write all of its parts, as in [2001:db8:0:0:0:0:0:1]")
    raise InvalidUrl("expected zip://MEMBER, tar://MEMBER, simplecache, filecache or blockcache before '::', which joins URLs")


def _target(text: str, *, chained: bool) -> Link:
    """Parse the last link."""
    scheme, separator, path = text.partition("://")
    if not separator:
        return _plain_path(text, chained=chained)
    scheme = scheme.lower()
    if scheme == OUTSIDE:
        raise InvalidUrl(
            "expected file names inside the folder of imageUrl, this one leads out of it; if the names are whole paths, set imageUrl to {file_name}, "
            "or in COCO to a URL with {base_name}, the last part of file_name"
        )
    if not _SCHEME.fullmatch(scheme) or scheme not in KNOWN_SCHEMES:
        raise UnknownScheme(scheme)
    if scheme in WEB_SCHEMES:
        _check_authority(_AFTER_AUTHORITY.split(path, maxsplit=1)[0])
    elif scheme in STORE_SCHEMES:
        _check_bucket(scheme, path)
    elif scheme not in TARGET_SCHEMES:
        raise InvalidUrl(f"expected {scheme}://MEMBER::URL, with the URL of the {scheme} archive")
    return Link(scheme, path)


def _plain_path(text: str, *, chained: bool) -> Link:
    # fsspec reads these as schemes: "data:" always, and a bare word in a chain.
    if text[:5].lower() == "data:":
        raise UnknownScheme("data")
    if has_slip(text):
        raise InvalidUrl("expected the scheme with one colon and two slashes, as in https:// or s3://")
    if chained and "/" not in text and "." not in text:
        raise InvalidUrl("expected a URL or a path after the last '::'")
    return Link("", text)


@functools.lru_cache(1024)  # many images are on one host
def _check_authority(authority: str) -> None:
    if "@" in authority:
        raise InvalidUrl("expected a URL without a user name or password")
    match = _HOST.fullmatch(authority)
    if match is None or int(match[2] or 0) > _HIGHEST_PORT:
        raise InvalidUrl("expected a host, or a host and a port, after '://'")
    if match[1].startswith("["):
        try:
            ipaddress.IPv6Address(match[1][1:-1])
        except ValueError as error:
            raise InvalidUrl("expected an IPv6 address between the brackets") from error


def _check_bucket(scheme: str, path: str) -> None:
    authority = path.partition("/")[0]
    if not authority and scheme not in _WITHOUT_AUTHORITY:
        raise InvalidUrl(f"expected a bucket, container or host after '{scheme}://'")
    user, separator, _ = authority.rpartition("@")
    if separator and ":" in user:
        raise InvalidUrl("expected a URL without a password")
