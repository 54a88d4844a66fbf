"""Other spellings of an image's name, for a name that no file has as it is written. Pure.

Exporters write names percent-encoded, macOS writes accents as letters of their own (NFD), forms
leave spaces around a name, and Windows and macOS take photo.JPG for photo.jpg. A server takes each
of them for another name.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote

from negset_jobs.adapters.urls import InvalidUrl, Url

_PATH_CHARACTERS = "/!$&'()*+,;=:@~"


def other_spellings(url: Url) -> tuple[Url, ...]:
    """Return the URLs under which the same image may be, the likeliest first.

    A web address of plain ASCII letters with an ending in small letters has none, so that an image
    that is gone is requested once. One with a query has none either: a signature would not fit.
    """
    path = url.leaf.path
    if not url.is_web:
        return tuple(_others(url, path, _forms(path, str.swapcase)))
    authority, slash, name = path.partition("/")
    if "?" in name or "#" in name:
        return ()
    written = quote(unquote(name), safe=_PATH_CHARACTERS)
    return tuple(
        _others(
            url,
            f"{authority}{slash}{written}",
            (f"{authority}{slash}{quote(form, safe=_PATH_CHARACTERS)}" for form in _forms(unquote(name), str.lower)),
        )
    )


def _forms(path: str, endings: Callable[[str], str]) -> Iterator[str]:
    """Yield the spellings of a path, and those of its last part: the folder may be right."""
    folder, slash, name = path.rpartition("/")
    for text in (path, unquote(path), f"{folder}{slash}{unquote(name)}", path.strip(), path.replace("\\", "/")):
        yield text
        for form in ("NFC", "NFD"):
            yield unicodedata.normalize(form, text)
            within, mark, last = text.rpartition("/")
            yield f"{within}{mark}{unicodedata.normalize(form, last)}"
    stem, ending = posixpath.splitext(path)
    yield stem + endings(ending)


def _others(url: Url, written: str, paths: Iterator[str]) -> Iterator[Url]:
    seen = {written}
    for path in paths:
        if path not in seen and ".." not in path.split("/"):
            seen.add(path)
            try:
                yield url.with_path(path)
            except InvalidUrl:
                continue
