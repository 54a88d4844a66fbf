"""Read many small input files by URL, concurrently, inside one event loop."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import Any, cast

from negset_api.errors import InvalidInput
from negset_jobs.adapters import address_guard, backends
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.urls import Url


class InputFiles:
    """Reads many small files by URL inside one event loop.

    File systems with an asynchronous implementation (S3, Google Cloud Storage, Azure) run in this
    event loop. The others, such as local files, run in threads.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._opened: dict[tuple[str, ...], Any] = {}
        self._opening = asyncio.Lock()
        self._sessions: list[Any] = []

    async def read(self, url: Url, limit: int) -> bytes:
        """Return the file's bytes; of a file larger than `limit`, the first `limit` + 1.

        Raises the errors of the back end (`FileNotFoundError`, `PermissionError`, `OSError`, ...).
        """
        with address_guard.reaching(self._access.reach(url)):
            return await self._read(url, limit)

    async def _read(self, url: Url, limit: int) -> bytes:
        fs = await self._file_system(url)
        path = backends.path_of(fs, url.leaf)
        if not getattr(fs, "asynchronous", False):
            if url.is_local and len(url.links) == 1:
                _check_regular(path)
            return await asyncio.to_thread(_read_start, fs, path, limit)
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

    async def _file_system(self, url: Url) -> Any:
        """Return one file system for all URLs that differ only in the path of the file."""
        key = backends.file_system_key(url)
        async with self._opening:
            if key not in self._opened:
                self._opened[key] = await self._open(url)
        return self._opened[key]

    async def _open(self, url: Url) -> Any:
        if len(url.links) > 1 or not backends.file_system_class(url.target).async_impl:
            return (await asyncio.to_thread(backends.opened, url))[0]
        fs, _ = backends.opened(url, asynchronous=True, loop=asyncio.get_running_loop(), skip_instance_cache=True)
        if hasattr(fs, "set_session"):
            self._sessions.append(await fs.set_session())
        return fs


def _check_regular(path: str) -> None:
    """Raise `InvalidInput` for a pipe or a socket: opening it waits for a writer, for ever."""
    mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        raise InvalidInput("expected a file, got a pipe or a socket")


def _read_start(fs: Any, path: str, limit: int) -> bytes:
    with fs.open(path, "rb") as stream:
        return cast(bytes, stream.read(limit + 1))
