"""Atomic files on a local file system: a reader sees the complete file or none."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import posixpath
import secrets
from collections.abc import Iterator
from typing import Final

PARTIAL: Final = ".part"
"""The suffix of files that are still being written."""

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextlib.contextmanager
def partial(folder: str) -> Iterator[str]:
    """Yield the path of a new file in `folder`, which is removed at the end if it still exists."""
    path = f"{folder}/.{secrets.token_hex(8)}{PARTIAL}"
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


@contextlib.contextmanager
def replaced(path: str) -> Iterator[str]:
    """Yield a temporary path, which replaces `path` if the block succeeds."""
    folder = posixpath.dirname(path)
    os.makedirs(folder, exist_ok=True)
    with partial(folder) as temporary:
        yield temporary
        os.replace(temporary, path)


def create(path: str, data: bytes) -> bool:
    """Create a file if there is none. Return True if it did: of several writers, exactly one does.

    It links a complete temporary file to `path`. If the file were opened with "x" and the process
    died before writing, an empty file would remain, which looks like a marker.
    """
    folder = posixpath.dirname(path)
    os.makedirs(folder, exist_ok=True)
    with partial(folder) as temporary:
        with open(temporary, "wb") as stream:
            stream.write(data)
        try:
            _link(temporary, path, data)
        except FileExistsError:
            return False
    return True


def _link(temporary: str, path: str, data: bytes) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # The file system has no links (FAT, some network mounts). The creation is still exclusive,
        # but a reader may see an incomplete file.
        with open(path, "xb") as stream:
            stream.write(data)


def sweep(folder: str) -> None:
    """Remove the incomplete files that killed processes left in `folder`."""
    for path in glob.glob(f"{glob.escape(folder)}/.*{PARTIAL}"):
        os.remove(path)
