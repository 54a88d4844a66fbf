"""Find image files below a folder, or by a glob, in any store."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_jobs.adapters import backends, urls
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store_errors import MissingInput, translate_input_errors
from negset_jobs.adapters.urls import Url, shown
from negset_jobs.adapters.wildcards import is_hidden, matching, split

IMAGE_ENDINGS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
)
"""The endings of the formats that `download.verify` takes."""

_WILDCARDS: Final = re.compile(r"[*?\[]|\{[^{}]*,[^{}]*\}")
_BRACES: Final = re.compile(r"\{([^{}]*,[^{}]*)\}")


class Found(NamedTuple):
    """A file. `name` is its path relative to the folder, or to the part of a glob before the first
    wildcard, with `/`. It stays the same if the folder moves.
    """

    name: str
    url: str


def is_image(name: str) -> bool:
    """Return True if a file's name has the ending of an image."""
    return posixpath.splitext(name)[1].lower() in IMAGE_ENDINGS


def find(url: str, access: Access, field: str) -> tuple[list[Found], int]:
    """Return the files of a folder, of a glob, or the one file, sorted by name.

    Of a folder, hidden files and files without the ending of an image are left out. The second
    value counts them. Of a glob, every file that it matches is taken unless it is hidden, and {a,b}
    in it stands for a or b. A name with wildcards that exists is no glob. Raises `InvalidInput`,
    naming `field`, if nothing is found.
    """
    source = access.check_url(url, field)
    if source.is_web and len(source.links) == 1:
        return [_on_the_web(source, field)], 0
    with translate_input_errors(source, field, access):
        fs, path = backends.opened(source)
        if fs.isfile(path):
            _check_ending(source, path, field)
            return [Found(posixpath.basename(path), str(backends.named(source, path)))], 0
        root, paths, others = path.rstrip("/"), [], 0
        if fs.isdir(path):
            files = [str(each) for each in fs.find(path)]
            paths = [each for each in files if is_image(each) and not is_hidden(each[len(root) + 1 :])]
            others = len(files) - len(paths)
        elif _WILDCARDS.search(path):
            root = _root(fs, path)
            paths = [name for glob in _alternatives(path) for name in matching(fs, glob) if glob != name or fs.isfile(name)]
        else:
            raise MissingInput(f"{field}: expected a folder, a glob or a file, {shown(source)} does not exist")
    if not paths:
        ignored = f"; {others} files are hidden or have no ending of an image" if others else ""
        raise InvalidInput(f"{field}: expected images in {shown(source)}, found none{ignored}")
    return sorted({Found(each[len(root) :].lstrip("/"), _url(source, path, each)) for each in paths}), others


def _root(fs: Any, glob: str) -> str:
    """Return the folder before the first wildcard, or before the first {a,b}."""
    brace = _BRACES.search(glob)
    return min(split(fs, glob)[0], glob[: brace.start()].rpartition("/")[0] if brace else glob, key=len)


def _alternatives(glob: str) -> list[str]:
    """Return the globs that a glob with {a,b} stands for."""
    match = _BRACES.search(glob)
    if match is None:
        return [glob]
    return [each for text in match[1].split(",") for each in _alternatives(glob[: match.start()] + text + glob[match.end() :])]


def _check_ending(source: Url, path: str, field: str) -> None:
    if posixpath.splitext(path)[1] and not is_image(path):
        raise InvalidInput(f"{field}: expected an image or a list of URLs (.txt, .csv, .parquet), got {shown(source)}")


def _on_the_web(source: Url, field: str) -> Found:
    name = posixpath.basename(re.split("[?#]", source.target.path, maxsplit=1)[0])
    if not is_image(name):
        raise InvalidInput(
            f"{field}: expected the URL of an image or of a list (.txt, .csv, .parquet), got {shown(source)}; "
            "a folder on a web server cannot be listed: list the URLs of its images in a file"
        )
    return Found(name, str(source))


def _url(source: Url, path: str, each: str) -> str:
    try:
        return str(backends.named(source, each))
    except urls.InvalidUrl:
        # The image with this name fails later, with an outcome of its own.
        return str(source).partition(path)[0] + each
