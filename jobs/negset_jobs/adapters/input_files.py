"""Read many small input files by URL, concurrently, inside one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from typing import Any, Final, cast

from negset_api.errors import InvalidInput
from negset_jobs.adapters import address_guard, backends, transient
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.urls import Url

Lock = contextlib.AbstractContextManager[Any]

_READ_AHEAD: Final = 1 << 18
"""The bytes that are requested of an archive with a member's header: most images fit."""

_ONE_AT_A_TIME: Final = frozenset({"tar", "sftp", "filecache", "blockcache"})
"""Schemes whose back ends in fsspec serve one thread at a time.

Members of a tar archive share one position, and get each other's bytes. sftp has one connection,
and paramiko waits for ever for the response that another thread has read. The two caches keep a
table of their files, which they fail to find in it.
"""


class InputFiles:
    """Reads many small files by URL inside one event loop.

    File systems with an asynchronous implementation (S3, Google Cloud Storage, Azure) run in this
    event loop. The others, such as local files, run in threads.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._opened: dict[tuple[str, ...], asyncio.Task[tuple[Any, Lock]]] = {}
        self._sessions: list[Any] = []

    async def read(self, url: Url, limit: int, timeout_seconds: float) -> bytes:
        """Return the file's bytes; of a file larger than `limit`, the first `limit` + 1.

        An archive may have to be copied before its first member is read. That is done once, and may
        take longer than the timeout.

        Raises `TimeoutError` and the errors of the back end (`FileNotFoundError`,
        `PermissionError`, `OSError`, ...).
        """
        if len(url.links) > 1:
            await self._file_system(url)
        async with asyncio.timeout(timeout_seconds):
            with address_guard.reaching(self._access.reach(url)):
                return await self._read(url, limit)

    async def _read(self, url: Url, limit: int) -> bytes:
        fs, lock = await self._file_system(url)
        path = backends.path_of(fs, url.leaf)
        if not getattr(fs, "asynchronous", False):
            if url.is_local and len(url.links) == 1:
                _check_regular(path)
            return await asyncio.to_thread(_read_start, fs, path, limit, lock)
        try:
            # The names with an underscore are fsspec's public asynchronous interface.
            return cast(bytes, await fs._cat_file(path, start=0, end=limit + 1))  # noqa: SLF001
        except OSError as error:
            # An empty file has no range of bytes: S3 responds with 416, which is no error here.
            if "range" in str(error).lower() and (await fs._info(path))["size"] == 0:  # noqa: SLF001
                return b""
            raise

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions:
            await session.close()

    async def _file_system(self, url: Url) -> tuple[Any, Lock]:
        """Return one file system for all URLs that differ only in the path of the file.

        Whoever reads a file of it in a thread holds the lock.
        """
        key = backends.file_system_key(url)
        opening = self._opened.get(key)
        if opening is None or _may_open_now(opening):
            opening = self._opened[key] = asyncio.create_task(self._open(url))
        return await asyncio.shield(opening)

    async def _open(self, url: Url) -> tuple[Any, Lock]:
        together = _ONE_AT_A_TIME.isdisjoint(link.scheme for link in url.links)
        lock = contextlib.nullcontext() if together else threading.Lock()
        with address_guard.reaching(self._access.reach(url)):
            if len(url.links) > 1 or not backends.file_system_class(url.target).async_impl:
                return (await asyncio.to_thread(backends.opened, url, read_ahead=_READ_AHEAD))[0], lock
            fs, _ = backends.opened(url, asynchronous=True, loop=asyncio.get_running_loop(), skip_instance_cache=True)
            if hasattr(fs, "set_session"):
                self._sessions.append(await fs.set_session())
            return fs, lock


def _may_open_now(opening: asyncio.Task[Any]) -> bool:
    """Return True if opening a file system has failed, and may succeed the next time."""
    if not opening.done() or opening.cancelled():
        return opening.done()
    error = opening.exception()
    return error is not None and transient.passes(error)


def _check_regular(path: str) -> None:
    """Raise `InvalidInput` for a pipe or a socket: opening it waits for a writer, for ever."""
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        raise InvalidInput("expected a file, got a pipe or a socket")


def _read_start(fs: Any, path: str, limit: int, lock: Lock) -> bytes:
    # It is held here and not by the task, which may end at its timeout before the thread does.
    with lock, fs.open(path, "rb") as stream:
        return cast(bytes, stream.read(limit + 1))
