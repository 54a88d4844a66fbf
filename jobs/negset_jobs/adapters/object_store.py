"""An object store as a file system of fsspec, by obstore.

obstore's own face of fsspec keeps whole files in memory, ignores the mode of a write, and lists
folder by folder. What negset uses of it is completed here. Nothing is cached: a listing, a size and
an existence are asked for each time. jobs/README.md says why obstore, and how it is guarded.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from fsspec.spec import AbstractBufferedFile

from negset_api.errors import InvalidInput
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Reach
from negset_jobs.adapters.object_store_client import acting, connected
from negset_jobs.adapters.object_store_create import Creating
from negset_jobs.adapters.object_store_errors import (
    Answered,
    CannotUse,
    is_empty_range,
)
from negset_jobs.adapters.store_options import StoreOptions, checked

READ_BLOCK: Final = 8 << 20
"""The bytes that one request of a stream asks for."""

_BUCKET: Final = re.compile(r"[\w.$-]+", re.ASCII)
_PART: Final = 8 << 20
_PARTS_AT_ONCE: Final = 4


class ObjectStore(Creating):
    """The object stores of one cloud. The first part of a path is the bucket."""

    store: type[Any]
    """obstore's class."""

    def __init__(self, *, asynchronous: bool = False, loop: Any = None, **options: Any) -> None:
        self._given = checked(self.protocol[0], self.connection(options))
        self._clients: dict[tuple[str, Reach, bool], Any] = {}
        super().__init__(self.protocol[0], asynchronous=asynchronous, loop=loop)
        self._construct_store = self._client  # obstore's own caches one client for all reaches

    def connection(self, options: dict[str, Any]) -> StoreOptions:
        """Return how to connect with these options of fsspec. Raises `InvalidInput`."""
        raise NotImplementedError

    def located(self, bucket: str) -> dict[str, str]:  # noqa: ARG002 - S3's buckets have regions
        """Return the settings that depend on the bucket."""
        return {}

    def _split_path(self, path: str) -> tuple[str, str]:
        """Return the bucket and the key. Raises `InvalidInput`."""
        bucket, _, key = path.partition("/")
        if _BUCKET.fullmatch(bucket) is None:
            raise InvalidInput(
                f"{self.protocol}: expected a bucket of ASCII letters, digits, '.', '_', '-' and '$', got {bucket[:60]!r}; "
                "an access point has an alias, which can be used in place of its ARN"
            )
        return bucket, key

    def split_at_empty_part(self, bucket: str, key: str) -> tuple[str, str]:
        """Return where obstore finds a key with empty parts. Raises `CannotUse` if it cannot."""
        raise CannotUse(f"the key {bucket}/{key[:60]} has an empty part between its slashes, which only keys of S3 can have")

    async def list_with_empty_parts(self, bucket: str, prefix: str, *, delimiter: str = "") -> dict[str, list[Any]]:
        """Return what is below a prefix where keys have empty parts. Raises `CannotUse`."""
        what = "folders" if delimiter else "keys"
        raise CannotUse(f"{what} below {bucket}/{prefix[:60]} have an empty part between their slashes, which only keys of S3 can have")

    # --- Connections ------------------------------------------------------------------------------

    def _client(self, bucket: str, *, retried: bool = True) -> Any:
        """Return obstore's store of a bucket, limited to the reach of this context."""
        key = (bucket, address_guard.reach_here(), retried)
        if key not in self._clients:
            given = msgspec.structs.replace(self._given, config={**self.located(bucket.partition("/")[0]), **self._given.config})
            self._clients[key] = connected(self.store, *key, given=given)
        return self._clients[key]

    def _found_at(self, path: str) -> tuple[Any, str]:
        """Return obstore's store for reading an object, and the key in it."""
        bucket, key = self._split_path(path)
        if _has_empty_part(key):
            bucket, key = self.split_at_empty_part(bucket, key)
        return self._client(bucket), key

    async def _list(self, bucket: str, key: str, *, delimiter: str = "") -> dict[str, list[Any]]:
        """Return the objects below a folder, and its folders if a delimiter is given."""
        try:
            if not _has_empty_part(f"{key}/x" if key else ""):
                client = self._client(bucket)
                if delimiter:
                    return cast(dict[str, list[Any]], await client.list_with_delimiter_async(key or None))
                return {"objects": list(await client.list(key or None, chunk_size=1000).collect_async()), "common_prefixes": []}
        except Exception as error:
            if type(error).__name__ != "InvalidPathError":
                raise
        return await self.list_with_empty_parts(bucket, f"{key}/" if key else "", delimiter=delimiter)

    # --- fsspec's interface -----------------------------------------------------------------------

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        if self._split_path(path)[1]:
            with acting(), contextlib.suppress(FileNotFoundError):
                client, key = self._found_at(path)
                found = await client.head_async(key)
                return {"name": path, "size": found["size"], "type": "file", "last_modified": found["last_modified"]}
        await self._ls(path, detail=False)
        return {"name": path, "size": 0, "type": "directory"}

    async def _exists(self, path: str, **_: Any) -> bool:
        try:
            with acting():
                client, key = self._found_at(path)
                await client.head_async(key)
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> datetime:
        """Return when an object was written."""
        found = self.info(path)
        if "last_modified" not in found:
            raise FileNotFoundError(path)
        return cast(datetime, found["last_modified"])

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        bucket, key = self._split_path(path)
        with acting():
            found = await self._list(bucket, key, delimiter="/")
        entries = _files(bucket, found["objects"], key)
        entries += [{"name": f"{bucket}/{folder}", "size": 0, "type": "directory"} for folder in found["common_prefixes"]]
        if not entries:
            raise FileNotFoundError(path)
        return entries if detail else sorted(entry["name"] for entry in entries)

    async def _find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any) -> Any:
        if maxdepth is None and not withdirs:
            bucket, key = self._split_path(path)
            with acting():
                found = await self._list(bucket, key)
            entries = _files(bucket, found["objects"], key)
        else:
            entries = [entry async for entry in self._below(path, maxdepth) if withdirs or entry["type"] == "file"]
        named = {entry["name"]: entry for entry in entries}
        return named if detail else sorted(named)

    async def _below(self, path: str, levels: int | None) -> AsyncIterator[dict[str, Any]]:
        """Yield what is in a folder and in the folders below it. fsspec's walk hides errors."""
        if levels == 0:
            return
        with contextlib.suppress(FileNotFoundError):
            for entry in await self._ls(path):
                yield entry
                if entry["type"] == "directory":
                    async for below in self._below(entry["name"], None if levels is None else levels - 1):
                        yield below

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        try:
            with acting():
                client, key = self._found_at(path)
                if start is None and end is None:
                    return cast(bytes, (await (await client.get_async(key)).bytes_async()).to_bytes())
                if end is None:
                    answer = await client.get_async(key, options={"range": {"offset": start}})
                    return cast(bytes, (await answer.bytes_async()).to_bytes())
                if end <= (start or 0):
                    return b""
                return cast(bytes, (await client.get_range_async(key, start=start or 0, end=end)).to_bytes())
        except OSError as error:
            if is_empty_range(error):
                return b""
            raise

    async def _get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        with acting():
            client, key = self._found_at(rpath)
            answer = await client.get_async(key)
            with open(lpath, "wb") as file:  # noqa: ASYNC230 - no other task runs in this loop
                async for block in answer.stream(min_chunk_size=READ_BLOCK // 4):
                    file.write(block)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        if mode == "create":
            await self._create(path, value)
            return
        bucket, key = self._split_path(path)
        with acting():
            await self._client(bucket).put_async(key, value, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE)

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> None:  # noqa: ARG002
        bucket, key = self._split_path(rpath)
        with acting():
            await self._client(bucket).put_async(key, pathlib.Path(lpath), chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE)

    async def _cp_file(self, path1: str, path2: str, **options: Any) -> None:
        with acting():
            await super()._cp_file(path1, path2, **options)

    async def _rm_file(self, path: str, **_: Any) -> None:
        bucket, key = self._split_path(path)
        with acting():
            await self._client(bucket).delete_async(key)

    async def _rm(self, path: str | list[str], recursive: bool = False, batch_size: int | None = None, **options: Any) -> None:
        """Remove objects. Of a list, a missing one is no error."""
        if recursive or isinstance(path, str):
            await super()._rm(path, recursive=recursive, batch_size=batch_size, **options)
            return
        bucket = self._split_path(path[0])[0]
        try:
            with acting():
                await self._client(bucket).delete_async([self._split_path(each)[1] for each in path])
        except (FileNotFoundError, Answered):
            # Google and Azure name the first object that is missing. Some stores of S3's kind
            # cannot remove several at once.
            for each in path:
                with contextlib.suppress(FileNotFoundError):
                    await self._rm_file(each)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return _File(self, path, mode, block_size=READ_BLOCK) if mode == "rb" else super()._open(path, mode, **options)


class _File(AbstractBufferedFile):  # type: ignore[misc]
    """An object as a stream, in blocks."""

    def __init__(self, fs: ObjectStore, path: str, mode: str, **options: Any) -> None:
        super().__init__(fs, path, mode, **options)
        if self.details["type"] == "directory":
            raise FileNotFoundError(path)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return cast(bytes, self.fs.cat_file(self.path, start=start, end=end))


def _has_empty_part(key: str) -> bool:
    return "//" in f"/{key}"


def _files(bucket: str, objects: list[Any], folder: str) -> list[dict[str, Any]]:
    """Return the entries of objects. An object that stands for a folder is none.

    obstore takes the slash from the end of its key, so that it has the key of a folder of others.
    """
    folders = {folder} | {os.path.dirname(found["path"]) for found in objects}
    return [
        {"name": f"{bucket}/{found['path']}", "size": found["size"], "type": "file", "last_modified": found["last_modified"]}
        for found in objects
        if found["size"] or found["path"] not in folders
    ]
