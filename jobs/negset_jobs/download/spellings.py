"""Other spellings of an image's name, for a name that no file has as it is written. Pure.

Exporters write names percent-encoded, macOS writes accents as letters of their own (NFD), and forms
leave spaces around a name. A server takes each of them for another name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, unquote

from negset_jobs.adapters.urls import InvalidUrl, Url

_PATH_CHARACTERS = "/!$&'()*+,;=:@~"


def other_spellings(url: Url) -> tuple[Url, ...]:
    """Return the URLs under which the same image may be, the likeliest first.

    There are none for a name of plain ASCII letters. A web address with a query has none either: a
    signature would not fit.
    """
    path = url.leaf.path
    if path.isascii() and "%" not in path and path == path.strip():
        return ()
    if not url.is_web:
        return tuple(_others(url, path, _forms(path)))
    authority, slash, name = path.partition("/")
    if "?" in name or "#" in name:
        return ()
    written = quote(unquote(name), safe=_PATH_CHARACTERS)
    return tuple(
        _others(
            url,
            f"{authority}{slash}{written}",
            (f"{authority}{slash}{quote(form, safe=_PATH_CHARACTERS)}" for form in _forms(unquote(name))),
        )
    )


def _forms(name: str) -> Iterator[str]:
    for text in (name, unquote(name), name.strip()):
        yield text
        for form in ("NFC", "NFD"):
            yield unicodedata.normalize(form, text)


def _others(url: Url, written: str, paths: Iterator[str]) -> Iterator[Url]:
    seen = {written}
    for path in paths:
        if path not in seen and ".." not in path.split("/"):
            seen.add(path)
            try:
                yield url.with_path(path)
            except InvalidUrl:
                continue
