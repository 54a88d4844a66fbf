"""Atomic files on a local file system: a reader sees the complete file or none."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import posixpath
import secrets
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

PARTIAL: Final = ".part"
"""The suffix of files that are still being written."""

_LOCK: Final = f".run{PARTIAL}"
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


@contextlib.contextmanager
def alone(folder: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep other processes on this machine, which call this too, out of a folder for the block.

    Call `waiting` if another one is in it, and wait until it ends. The kernel releases the lock of
    a process that was killed. Folders that stay empty are removed again.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = f"{folder}/{_LOCK}"
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, _missing(folder))
        # A folder that cannot be written is the first write's to tell. Some file systems have no
        # locks.
        with contextlib.suppress(OSError):
            stream = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stream is None:
                waiting()
            while stream is None:
                stream = _locked(path, fcntl.LOCK_EX)
            stack.enter_context(stream)
            stack.callback(_remove, path)
        yield


def _locked(path: str, operation: int) -> BinaryIO | None:
    """Return the locked file. None if another process holds it, or has removed it meanwhile."""
    import fcntl

    folder = posixpath.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
        stream = open(path, "wb")  # noqa: SIM115 - the caller closes it
    except (FileNotFoundError, FileExistsError):
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise
        return None  # the process before has removed the folder at that moment
    try:
        fcntl.flock(stream, operation)
        if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):
            return stream
    except (BlockingIOError, FileNotFoundError):
        pass
    stream.close()
    return None


def _missing(folder: str) -> list[str]:
    """Return the folder and those above it that do not exist, the deepest first."""
    missing = []
    while folder and not os.path.exists(folder):
        missing.append(folder)
        folder = posixpath.dirname(folder)
    return missing


def _remove_empty(folders: list[str]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            os.rmdir(folder)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.remove(path)


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
