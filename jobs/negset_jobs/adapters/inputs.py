"""Input files (annotations, pipeline configs, positives), opened by URL."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import posixpath
from collections.abc import Iterator
from typing import Any, BinaryIO

from negset_api.errors import InvalidInput
from negset_jobs.adapters import backends, urls
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store_errors import READ_AHEAD, MissingInput, Translated, buffered, translate_input_errors
from negset_jobs.adapters.urls import Url, shown
from negset_jobs.adapters.web_stream import WebStream
from negset_jobs.adapters.wildcards import has_wildcard, matching


@contextlib.contextmanager
def open_input(url: str | Url, access: Access, field: str) -> Iterator[BinaryIO]:
    """Open an input as a stream of its (decompressed) bytes.

    gzip is recognised by its first bytes, not by the name.

    Raises `InvalidInput`, naming `field`, if it is missing, unreadable or not allowed. This may
    also happen while it is read.
    """
    source = access.check_url(url, field)
    translated = functools.partial(translate_input_errors, source, field, access)
    with contextlib.ExitStack() as stack:
        with translated():
            fs, path = backends.opened(source)
            whole = source.is_web and len(source.links) == 1
            stream: Any = stack.enter_context(WebStream(fs, path) if whole else fs.open(path, "rb"))
            if stream.seekable():
                start = stream.read(2)
                stream.seek(0)
            else:
                stream = io.BufferedReader(stream, READ_AHEAD)
                start = stream.peek(2)[:2]
            if start == b"\x1f\x8b":
                stream = stack.enter_context(gzip.open(stream, "rb"))
        yield buffered(Translated(stream, translated))


def read_input(url: str | Url, access: Access, field: str) -> bytes:
    """Return the whole input. Raises as `open_input` does."""
    with open_input(url, access, field) as stream:
        return stream.read()


def expand(url: str, access: Access, field: str) -> list[str]:
    """Return the URLs that match a glob, sorted; a URL without a glob is returned unchanged.

    A file or folder whose name has wildcards is taken as it is (`wildcards.matching`). Raises
    `InvalidInput` if nothing matches.
    """
    source = access.check_url(url, field)
    if not has_wildcard(source):
        return [url]
    with translate_input_errors(source, field, access):
        fs, path = backends.opened(source)
        matches = matching(fs, path)
    if not matches:
        raise InvalidInput(f"{field}: expected files matching {shown(source)}, found none")
    try:
        return [str(backends.named(source, match)) for match in matches]
    except urls.InvalidUrl as error:
        raise InvalidInput(f"{field}: {shown(source)} matches a file whose name cannot be part of a URL; rename the file") from error


def list_input(url: str | Url, access: Access, field: str) -> list[str]:
    """Return the names of the entries of the folder `url`, sorted.

    Raises `MissingInput` if the folder does not exist, and `InvalidInput` if it cannot be read.
    """
    source = access.check_url(url, field)
    with translate_input_errors(source, field, access):
        fs, path = backends.opened(source)
        return sorted(posixpath.basename(str(entry).rstrip("/")) for entry in fs.ls(path, detail=False))


def find_input(url: str | Url, access: Access, field: str) -> list[Url]:
    """Return the files in the folder `url` and in the folders below it, sorted; none if missing.

    A file whose name cannot be part of a URL is left out. Raises `InvalidInput` if the folder
    cannot be read.
    """
    source = access.check_url(url, field)
    try:
        with translate_input_errors(source, field, access):
            fs, path = backends.opened(source)
            paths = sorted(map(str, fs.find("" if path == "." else path)))  # archives know no "."
    except MissingInput:
        return []
    found = []
    for each in paths:
        with contextlib.suppress(urls.InvalidUrl):
            found.append(backends.named(source, each))
    return found


def is_file(url: str | Url, access: Access, field: str) -> bool:
    """Return True if there is a file. Raises `InvalidInput` if the store cannot be read."""
    source = access.check_url(url, field)
    with translate_input_errors(source, field, access):
        fs, path = backends.opened(source)
        return bool(fs.isfile(path))
