"""Whole files on a local file system: a reader sees the complete file or none, whenever the writer
dies.
"""

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
"""How the names of files end that are still being written."""

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextlib.contextmanager
def partial(folder: str) -> Iterator[str]:
    """The path of a new file in `folder`, removed at the end if it is still there."""
    path = f"{folder}/.{secrets.token_hex(8)}{PARTIAL}"
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


@contextlib.contextmanager
def replaced(path: str) -> Iterator[str]:
    """A temporary path beside the target that becomes the target when the block ends well."""
    folder = posixpath.dirname(path)
    os.makedirs(folder, exist_ok=True)
    with partial(folder) as temporary:
        yield temporary
        os.replace(temporary, path)


def create(path: str, data: bytes) -> bool:
    """Creates a file if there is none, and says whether it did: of several writers exactly one gets
    True.

    By a link: opening with "x" would leave an empty file, taken for a marker, where the process
    dies before it writes.
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
        # A file system without links (FAT, some network mounts): exclusive, though a reader may see
        # the file while it is written.
        with open(path, "xb") as stream:
            stream.write(data)


def sweep(folder: str) -> None:
    """Removes what killed processes left of files they were writing to `folder`."""
    for path in glob.glob(f"{glob.escape(folder)}/.*{PARTIAL}"):
        os.remove(path)
