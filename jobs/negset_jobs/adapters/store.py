"""Object storage and input files, behind one small port. The only module that imports fsspec.

`Store` is one folder: keys are relative, values are whole objects, and an object is there completely or not at all. Inputs (annotations, pipeline configs,
positives) are opened by URL; `InputFiles` reads many small ones at the same time.

Every backend raises its own kinds of errors (botocore, google-auth, aiohttp, OSError). What the store itself does is translated into `negset_api.errors`, with the
place in the message; what a caller does inside `with store.reading(...)` or `with open_input(...)` is the caller's, and passes unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import glob
import gzip
import io
import logging
import os
import posixpath
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Final, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from negset_api.errors import InputUnavailable, InvalidInput, Unavailable, WorkFailed
from negset_jobs.adapters import backends, guard, urls, weather
from negset_jobs.adapters.access import Access, Reach
from negset_jobs.adapters.quoting import of_backend
from negset_jobs.adapters.urls import Url, shown

log = logging.getLogger(__name__)

_READ_AHEAD: Final = 1 << 20
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class MissingInput(InvalidInput):
    """An input that is not there, which is not the same as one that cannot be read."""


class MissingObject(WorkFailed):
    """There is no object under that key or URL."""


class Store:
    """One folder of an object store or file system. Cheap to make; make it where it is used, also in another process."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._folder = _folder(self.url)
        with self._acting("use"):
            self._fs, self._root = backends.opened(self._folder)
        self._local = isinstance(self._fs, LocalFileSystem)

    def location(self, key: str) -> str:
        """The URL, or on a laptop the absolute path, of the object under `key`."""
        return f"{self._root}/{key}" if self._local else f"{self.url}/{key}"

    @property
    def local_root(self) -> str | None:
        """The folder's path where it lies on this machine's file system; None elsewhere."""
        return self._root if self._local else None

    def exists(self, key: str) -> bool:
        with self._acting("look up", key):
            return bool(self._fs.exists(self._path(key)))

    def modified(self, key: str) -> datetime:
        """When the object was written, by the store's clock. Raises `MissingObject`, and `WorkFailed` where the store does not tell."""
        with self._acting("look up", key):
            self._fs.invalidate_cache()
            return cast(datetime, self._fs.modified(self._path(key)))

    def read(self, key: str) -> bytes:
        """The whole object. Raises `MissingObject`."""
        with self._acting("read", key):
            return cast(bytes, self._fs.cat_file(self._path(key)))

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises `MissingObject`."""
        with self._acting("read", key):
            return cast(bytes, self._fs.cat_file(self._path(key), start=offset, end=offset + length))

    @contextlib.contextmanager
    def reading(self, key: str) -> Iterator[BinaryIO]:
        """The object as a stream, read ahead in large blocks. Raises `MissingObject`."""
        translated = functools.partial(self._acting, "read", key)
        with translated():
            stream = self._fs.open(self._path(key), "rb")
        with stream:
            yield _buffered(_Translated(stream, translated))

    def write(self, key: str, data: bytes) -> None:
        """Writes or replaces the whole object; a reader sees the old one or the new one."""
        with self._acting("write", key):
            if self._local:
                with self._complete_file(key) as path, open(path, "wb") as stream:
                    stream.write(data)
            else:
                self._fs.pipe_file(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Writes the object if there is none, and says whether it did: of several writers exactly one gets True."""
        path = self._path(key)
        with self._acting("create", key):
            if self._local:
                return self._link(path, data)
            try:
                with self._fs.open(path, "xb") as stream:
                    stream.write(data)
            except FileExistsError:
                return False
            except OSError:
                # Of two writers at the same moment S3 may tell the loser "409 Conflict" instead of "412 Precondition Failed".
                if self._fs.exists(path):
                    return False
                raise
            except (NotImplementedError, ValueError):
                log.warning(
                    "%s cannot create an object exclusively; two attempts of one shard at the same time could both commit",
                    self._fs.protocol,
                )
                if self._fs.exists(path):
                    return False
                self._fs.pipe_file(path, data)
            return True

    def put(self, source: str, key: str) -> None:
        """Uploads a local file."""
        with self._acting("write", key):
            if self._local:
                with self._complete_file(key) as path:
                    LocalFileSystem().cp_file(source, path)
            else:
                self._fs.put_file(source, self._path(key))

    @contextlib.contextmanager
    def spool(self, folder: str) -> Iterator[str]:
        """A local path to write a file to whose key is not known yet; `adopt` turns it into an object. In a local store it lies in `folder`, so that adopting is a rename."""
        directory = f"{self._root}/{folder}" if self._local else tempfile.gettempdir()
        with self._acting("write", folder):
            os.makedirs(directory, exist_ok=True)
        path = f"{directory}/.{secrets.token_hex(8)}.part"
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def adopt(self, spooled: str, key: str) -> None:
        """Turns a spooled file into the object under `key`."""
        with self._acting("write", key):
            if self._local:
                os.makedirs(posixpath.dirname(self._path(key)), exist_ok=True)
                os.replace(spooled, self._path(key))
            else:
                self._fs.put_file(spooled, self._path(key))

    def get(self, key: str, target: str) -> None:
        """Downloads an object to a local file. Raises `MissingObject`."""
        with self._acting("read", key):
            self._fs.get_file(self._path(key), target)

    def sweep(self, folder: str) -> None:
        """Removes what killed processes left of files they were writing to `folder`. Only when nobody writes there any more."""
        if self._local:
            with self._acting("clean up", folder):
                for path in glob.glob(f"{glob.escape(self._path(folder))}/.*.part"):
                    os.remove(path)

    def copy(self, source: Store, key: str, source_key: str | None = None) -> None:
        """Copies an object of another folder of the same store, on the store's side where it can; `source_key` is its key there, where it is another."""
        origin = source._path(source_key or key)
        with self._acting("copy", key):
            if self._local:
                with self._complete_file(key) as path:
                    self._fs.cp_file(origin, path)
            else:
                self._fs.copy(origin, self._path(key))

    def remove(self, keys: Sequence[str]) -> None:
        """Removes objects; one that is gone already is fine."""
        for key in keys:
            with self._acting("remove", key), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(key))

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of every object below the folder `prefix`, sorted."""
        with self._acting("list", prefix):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(prefix) if prefix else self._root)
            except FileNotFoundError:
                return []
        # An S3 store may list a folder itself, which is no object of ours: with a slash at its end or, if it is empty and was asked for, without.
        start, folder = len(self._root) + 1, f"{self._path(prefix) if prefix else self._root}/"
        return sorted(path[start:] for path in found if path.startswith(folder) and not path.endswith((".part", "/")))

    def folders(self) -> list[str]:
        """The names of the folders directly below, sorted."""
        with self._acting("list"):
            self._fs.invalidate_cache()
            try:
                entries = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return sorted(posixpath.basename(entry["name"].rstrip("/")) for entry in entries if entry["type"] == "directory")

    def child(self, path: str) -> Store:
        """The folder `path` below this one."""
        return Store(f"{self.url}/{path}")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.url,)

    def _acting(self, verb: str, key: str = "") -> contextlib.AbstractContextManager[None]:
        """Connections and errors of this store, while it does something with an object."""
        # What the process reaches is asked for now: a store that came from another process may be older than its rule.
        return _clear_errors(self.location(key) if key else self.url, verb, guard.reach_of(self._folder))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextlib.contextmanager
    def _complete_file(self, key: str) -> Iterator[str]:
        """A temporary path beside the target that becomes the target when the block ends well."""
        path = self._path(key)
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        temporary = f"{posixpath.dirname(path)}/.{secrets.token_hex(8)}.part"
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)

    def _link(self, path: str, data: bytes) -> bool:
        """Exclusive creation of a whole local file. Opening with "x" would leave an empty file, taken for a marker, where the process dies before it writes."""
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        temporary = f"{posixpath.dirname(path)}/.{secrets.token_hex(8)}.part"
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
            try:
                os.link(temporary, path)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # A file system without links (FAT, some network mounts): exclusive, though a reader may see the file while it is written.
                with open(path, "xb") as stream:
                    stream.write(data)
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
        return True


@contextlib.contextmanager
def open_input(url: str | Url, access: Access, field: str) -> Iterator[BinaryIO]:
    """An input as a stream of its (decompressed) bytes. Raises `InvalidInput`, naming `field`, where it is missing, unreadable or not allowed, also while it is read.

    `.gz` is decompressed by its first bytes, not by its name.
    """
    source = access.check_url(url, field)
    translated = functools.partial(_clear_input_errors, source, field, access)
    with contextlib.ExitStack() as stack:
        with translated():
            fs, path = backends.opened(source)
            stream: Any = stack.enter_context(fs.open(path, "rb"))
            if stream.seekable():
                start = stream.read(2)
                stream.seek(0)
            else:
                stream = io.BufferedReader(stream, _READ_AHEAD)
                start = stream.peek(2)[:2]
            if start == b"\x1f\x8b":
                stream = stack.enter_context(gzip.open(stream, "rb"))
        yield _buffered(_Translated(stream, translated))


def read_input(url: str | Url, access: Access, field: str) -> bytes:
    """The whole input. Errors as in `open_input`."""
    with open_input(url, access, field) as stream:
        return stream.read()


def expand(url: str, access: Access, field: str) -> list[str]:
    """The URLs that match a URL with a glob, sorted; the URL itself where it has none. Raises `InvalidInput` where nothing matches."""
    source = access.check_url(url, field)
    if not any(character in source.leaf.path for character in "*?["):
        return [url]
    with _clear_input_errors(source, field, access):
        fs, path = backends.opened(source)
        matches = sorted(map(str, fs.glob(path)))
    if not matches:
        raise InvalidInput(f"{field}: expected files matching {shown(source)}, found none")
    try:
        return [str(backends.named(source, match)) for match in matches]
    except urls.InvalidUrl as error:
        raise InvalidInput(f"{field}: {shown(source)} matches a file whose name cannot stand in a URL; rename it") from error


def list_input(url: str | Url, access: Access, field: str) -> list[str]:
    """The names of what lies in the folder `url`, sorted. Raises `MissingInput` where nothing is there, and `InvalidInput` where it cannot be read."""
    source = access.check_url(url, field)
    with _clear_input_errors(source, field, access):
        fs, path = backends.opened(source)
        return sorted(posixpath.basename(str(entry).rstrip("/")) for entry in fs.ls(path, detail=False))


def _folder(url: str) -> Url:
    """The URL of an output. Raises `InvalidInput`."""
    try:
        folder = urls.parse(url)
    except urls.InvalidUrl as error:
        raise InvalidInput(f"cannot use the URL {shown(url)}: {error}") from error
    if len(folder.links) > 1:
        raise InvalidInput(f"cannot use {shown(url)}: expected the URL of a folder, without '::'")
    return folder


class InputFiles:
    """Reads many small files by URL from inside one event loop.

    File systems with an asynchronous implementation (S3, Google Cloud Storage, Azure) are used in this very loop; the others, local files among them, in threads.
    """

    def __init__(self, access: Access, connections: int) -> None:
        self._access = access
        self._connections = connections
        self._opened: dict[tuple[str, ...], Any] = {}
        self._opening = asyncio.Lock()
        self._sessions: list[Any] = []

    async def read(self, url: Url, limit: int) -> bytes:
        """The file's bytes; of a file larger than `limit` the first `limit` + 1. Raises what the backend raises (`FileNotFoundError`, `PermissionError`, `OSError`, ...)."""
        with guard.reaching(self._access.reach(url)):
            return await self._read(url, limit)

    async def _read(self, url: Url, limit: int) -> bytes:
        fs = await self._file_system(url)
        path = backends.path_of(fs, url.leaf)
        if not getattr(fs, "asynchronous", False):
            return await asyncio.to_thread(_read_start, fs, path, limit)
        try:
            # The names with an underscore are fsspec's public asynchronous interface.
            return cast(bytes, await fs._cat_file(path, start=0, end=limit + 1))  # noqa: SLF001
        except OSError as error:
            # There is no range of bytes in a file without bytes: S3 answers 416, which is not a fault of the file's owner.
            if "range" in str(error).lower() and (await fs._info(path))["size"] == 0:  # noqa: SLF001
                return b""
            raise

    async def close(self) -> None:
        """Closes the connections."""
        for session in self._sessions:
            await session.close()

    async def _file_system(self, url: Url) -> Any:
        """One file system for all URLs that differ only in the path of the file."""
        key = backends.place(url)
        async with self._opening:
            if key not in self._opened:
                self._opened[key] = await self._open(url)
        return self._opened[key]

    async def _open(self, url: Url) -> Any:
        scheme = url.target.scheme
        if len(url.links) > 1 or not backends.file_system_class(url.target).async_impl:
            return (await asyncio.to_thread(backends.opened, url))[0]
        options: dict[str, Any] = {}
        if scheme in ("s3", "s3a"):
            # botocore's own default is 10 connections.
            configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
            options["config_kwargs"] = {"max_pool_connections": self._connections, **configured}
        fs, _ = backends.opened(url, asynchronous=True, loop=asyncio.get_running_loop(), skip_instance_cache=True, **options)
        if hasattr(fs, "set_session"):
            self._sessions.append(await fs.set_session())
        return fs


def _read_start(fs: Any, path: str, limit: int) -> bytes:
    with fs.open(path, "rb") as stream:
        return cast(bytes, stream.read(limit + 1))


class _Translated(io.RawIOBase):
    """A stream whose own errors are translated, and nobody else's."""

    def __init__(self, stream: Any, translated: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._translated = translated

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._translated():
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with self._translated():
            return cast(bytes, self._stream.read())

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._translated():
            return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())


def _buffered(raw: io.RawIOBase) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(raw, _READ_AHEAD))


@contextlib.contextmanager
def _clear_errors(location: str, verb: str, reach: Reach) -> Iterator[None]:
    try:
        with guard.reaching(reach):
            yield
    except (WorkFailed, InvalidInput, FileExistsError):
        raise
    except FileNotFoundError as error:
        raise MissingObject(f"cannot {verb} {location}: it does not exist") from error
    except ImportError as error:
        raise InvalidInput(f"cannot {verb} {location}: {of_backend(error)}") from error
    except Exception as error:
        if (address := guard.blocked_address(error)) is not None:
            raise InvalidInput(f"cannot {verb} {location}: {_blocked(address, reach)}") from error
        if weather.is_refusal(error):
            raise InvalidInput(
                f"cannot {verb} {location}: {of_backend(error)}; check the credentials (on a cluster those in spec.output.secretName) and what they may do"
            ) from error
        kind = Unavailable if weather.passes(error) else WorkFailed
        raise kind(f"cannot {verb} {location}: {of_backend(error)}") from error


@contextlib.contextmanager
def _clear_input_errors(url: Url, field: str, access: Access) -> Iterator[None]:
    reach = access.reach(url)
    try:
        with guard.reaching(reach):
            yield
    except (InvalidInput, WorkFailed):
        raise
    except Exception as error:
        address = guard.blocked_address(error)
        reason = _hidden_reason(error) if isinstance(error, FileNotFoundError) else of_backend(error)
        if address is None and reason is None:
            raise MissingInput(f"{field}: expected a readable file, {shown(url)} does not exist") from error
        kind = InputUnavailable if address is None and weather.passes(error) else InvalidInput
        raise kind(f"{field}: cannot read {shown(url)}: {reason if address is None else _blocked(address, reach)}") from error


def _blocked(address: str, reach: Reach) -> str:
    return (
        f"{address} may not be reached: the address is private, loopback, link-local or otherwise not public; "
        f"whoever runs negset can allow its network with {reach.option}"
    )


def _hidden_reason(error: FileNotFoundError) -> str | None:
    """Why a file could not be looked for: fsspec calls a file on a web server missing, too, where the server cannot be reached or answers with an error."""
    cause = error.__cause__
    if cause is None or not type(cause).__module__.startswith("aiohttp"):
        return None
    return None if getattr(cause, "status", None) in (404, 410) else of_backend(cause)
