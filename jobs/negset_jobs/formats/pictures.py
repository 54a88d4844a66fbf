"""Decides from names and URLs which entries of annotations are one picture. Pure.

Nothing is read. `copies` compares the bytes and the pixels of stored images.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

# Roboflow names each copy of IMG_1.jpg, augmented or not, like IMG_1_jpg.rf.<hash>.jpg.
_ROBOFLOW: Final = re.compile(r"\.rf\.[0-9A-Za-z]{6,}(?=\.[^./]+$|$)")
_OLD_ENDING: Final = re.compile(r"[_-](jpe?g|png|bmp|gif|webp|tiff?|heic|avif)$", re.IGNORECASE)
# What scripts append to the name of an image that they changed, with a number or without.
_CHANGED: Final = re.compile(
    r"([ _.-]+\(?(aug(mented|mentation)?|copy|crop(ped)?|[hv]?flip(ped)?|mirror(ed)?|rot(ated?|ation)?|blur(red)?|noisy?|noise"
    r"|bright(er|ness)?|dark(er)?|contrast|gr[ae]y(scale)?|resized?|scaled?|jpe?g|q)[ _-]*\d*\)?| \(\d+\)|_\d+x\d+)+$",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r" \(\d+\)$")
_MOST_CHANGED: Final = 64
"""The most changed copies of one image. Exporters make at most 50."""

# What every name with one of these has in it, to be searched for in many names at once.
_MARK: Final = re.compile(
    r"\.rf\.|[ _.()-](aug|copy|crop|[hv]?flip|mirror|rot|blur|nois|bright|dark|contrast|gr[ae]y|resize|scale|\d+[)x]|jpe?g\d|q\d)|\\",
    re.IGNORECASE,
)
# Parameters of a signed URL: they change from one listing to the next.
_SIGNATURE: Final = re.compile(
    r"^(x-(amz|goog|oss|cos)-.*|awsaccesskeyid|googleaccessid|expires|signature|key-pair-id|policy|sig|se|st|sp|sv|sr|skoid|sktid|ske|sks|skt|skv|spr)$"
)
# What can be written in two ways. Nearly all names and URLs have none of it, and need no parser.
_ODD: Final = re.compile(r"[^!-~]|[%?#\\@]|//|(^|/)\.|^/|:\d")
_PORTS: Final = {"http": 80, "https": 443}
_LOCAL: Final = ("file", "local")


def name_key(file_name: str) -> str:
    r"""Return a file name as one of its equal spellings: `img\1.jpg` and `./img/1.jpg` are one."""
    if not _ODD.search(file_name):
        return file_name
    plain = unicodedata.normalize("NFC", file_name.strip()).replace("\\", "/")
    return posixpath.normpath(plain).lstrip("/") if plain else ""


def url_key(url: str) -> str:
    """Return a URL as one of its equal spellings, without a signature; a path as `name_key`."""
    if "://" not in url:
        return name_key(url)
    scheme, _, rest = url.partition("://")
    scheme = "https" if scheme.lower() in _PORTS else scheme.lower()
    if scheme in _LOCAL:
        return name_key(rest)
    if not _ODD.search(rest):
        host, _, path = rest.partition("/")
        return f"{scheme}://{host.lower()}/{path}"
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    for known in _PORTS.values():
        host = host.removesuffix(f":{known}")
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _SIGNATURE.match(name.lower())]
    path = posixpath.normpath(unicodedata.normalize("NFC", unquote(parts.path)).lstrip("/"))
    return f"{scheme}://{host}/{path}" + (f"?{urlencode(query)}" if query else "")


def is_signed(url: str) -> bool:
    """Return True if a URL has a signature, which is valid for some time."""
    return any(_SIGNATURE.match(part.partition("=")[0].lower()) for part in url.partition("?")[2].split("&"))


def original(file_name: str) -> str:
    """Return the key of the image that a file of an export was made from.

    It is the file's own key if the name does not say that it was made from another.
    """
    name = name_key(file_name)
    if ".rf." not in name:
        return name
    stem, found = _ROBOFLOW.subn("", posixpath.splitext(name)[0] if _ROBOFLOW.search(name) else name)
    return _OLD_ENDING.sub(r".\1", stem) if found else name


def family(file_name: str) -> str:
    """Return what the names of all copies of one image have in common, changed ones included.

    It may join images that are none: it only decides what lies on one side of a split.
    """
    stem = _stem(file_name)
    return _CHANGED.sub("", stem) or stem


def _stem(file_name: str) -> str:
    return posixpath.splitext(original(file_name))[0]


def families(names: Sequence[str]) -> Sequence[str]:
    """Return the family of each name, or the names themselves if each is a family of its own.

    Nearly always they are, and that is seen in a few milliseconds for 100,000 names. A family that
    is too large is none: `street_crop_1.jpg` to `street_crop_900.jpg` are images of a dataset. So
    are `street (1).jpg` and `street (2).jpg` without a `street.jpg`: Windows numbers files like
    this if they are renamed together.
    """
    marked = _MARK.search("\n".join(names)) or len({name.rpartition(".")[0] or name for name in names}) < len(names)
    if not marked:
        return names
    stems = list(map(_stem, names))
    found = list(map(family, names))
    members, originals = Counter(found), set(stems)
    return [
        stem if members[each] > _MOST_CHANGED or (each not in originals and each == _NUMBER.sub("", stem)) else each
        for each, stem in zip(found, stems, strict=True)
    ]


def tails(name: str) -> Iterator[str]:
    """Yield a key and what remains of it without its first folders, the longest first."""
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name


def agree(name: str, other: str) -> bool:
    """Return True if two keys may name one image: at most the folder or the ending is missing.

    A file may be in another format, and its name in other case.
    """
    first, second = (posixpath.splitext(each.casefold())[0].split("/")[::-1] for each in (name, other))
    return all(one == two for one, two in zip(first, second, strict=False))


class Groups:
    """Joins members that have anything in common."""

    def __init__(self, count: int) -> None:
        self._first = list(range(count))

    def of(self, member: int) -> int:
        """Return the first member of the group."""
        while self._first[member] != member:
            self._first[member] = self._first[self._first[member]]
            member = self._first[member]
        return member

    def join(self, member: int, other: int) -> None:
        first, second = sorted((self.of(member), self.of(other)))
        self._first[second] = first

    def join_equal(self, keys: Iterable[object]) -> None:
        """Join members with equal keys. Members whose key is empty have nothing in common."""
        seen: dict[object, int] = {}
        for member, each in enumerate(keys):
            if each:
                self.join(member, seen.setdefault(each, member))
