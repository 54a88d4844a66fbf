"""Files that match a pattern, in a file system whose real names may have wildcards, too."""

from __future__ import annotations

import re
from typing import Any, Final

from fsspec.utils import glob_translate

from negset_jobs.adapters.urls import Url

_WILDCARDS: Final = "*?["
_HIDDEN: Final = (".", "__MACOSX")


def has_wildcard(url: Url) -> bool:
    """Return True if the URL may be a pattern. In a web address, "?" starts the query."""
    if url.leaf is url.target and url.is_web:
        path, query, _ = url.leaf.path.partition("?")
        return not query and _is_wild(path)
    return _is_wild(url.leaf.path)


def is_hidden(name: str) -> bool:
    """Return True if a relative path is of a file that systems write beside those of a person.

    A Mac writes `._a.jpg` for each a.jpg on a foreign disk, and `__MACOSX/` into archives.
    """
    return any(part.startswith(_HIDDEN) and part not in {".", ".."} for part in name.split("/"))


def matching(fs: Any, path: str) -> list[str]:
    """Return the paths of the files that match, sorted.

    The folders before the first wildcard are taken as they are. So is each part with a wildcard as
    long as something has exactly that name: in `ann [v1]/*.xml` the brackets are a name's, if there
    is such a folder. If all parts exist, the path itself is returned. Wildcards match no hidden
    files, as in a shell.
    """
    root, pattern = split(fs, path)
    if not pattern:
        return [path]
    fits = re.compile(glob_translate(pattern)).match
    start = len(root) + 1 if root else 0
    depth = None if "**" in pattern else pattern.count("/") + 1
    found = fs.find(root or fs.root_marker, maxdepth=depth, withdirs=False, detail=True)
    inside = f"{root}/" if root else ""
    return sorted(
        str(name)
        for name, entry in found.items()
        if entry["type"] != "directory"
        and str(name).startswith(inside)
        and fits(str(name)[start:])
        and (is_hidden(pattern) or not is_hidden(str(name)[start:]))
    )


def split(fs: Any, path: str) -> tuple[str, str]:
    """Return the folder that a pattern starts from, and the rest; that is empty if all exists."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if _is_wild(part) and not _exists(fs, "/".join(parts[: index + 1])):
            return "/".join(parts[:index]), "/".join(parts[index:])
    return path, ""


def _is_wild(text: str) -> bool:
    return any(character in text for character in _WILDCARDS)


def _exists(fs: Any, path: str) -> bool:
    # `exists` of fsspec takes every error for a missing file, and of a store sees no folders.
    try:
        fs.info(path)
    except FileNotFoundError:
        return False
    return True
