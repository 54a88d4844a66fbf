"""Object storage and input files, behind one small port. The only module that imports fsspec.

`Store` is one folder: keys are relative, values are whole objects, and an object is there completely or not at all. Inputs (annotations, pipeline configs,
positives) are opened by URL.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import os
import posixpath
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from negset_api.errors import InvalidInput, WorkFailed
from negset_jobs.access import LOCAL_SCHEMES, WEB_SCHEMES, Access, scheme_of

log = logging.getLogger(__name__)


class MissingObject(WorkFailed):
    """There is no object under that key or URL."""


class Store:
    """One folder of an object store or file system. Cheap to make; make it where it is used, also in another process."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with _clear_errors(self.url, "use"):
            self._fs, self._root = url_to_fs(self.url)
        self._local = isinstance(self._fs, LocalFileSystem)

    def location(self, key: str) -> str:
        """The URL, or on a laptop the absolute path, of the object under `key`."""
        return f"{self._root}/{key}" if self._local else f"{self.url}/{key}"

    @property
    def local_root(self) -> str | None:
        """The folder's path where it lies on this machine's file system; None elsewhere."""
        return self._root if self._local else None

    def exists(self, key: str) -> bool:
        with _clear_errors(self.location(key), "look up"):
            return bool(self._fs.exists(self._path(key)))

    def read(self, key: str) -> bytes:
        """The whole object. Raises `MissingObject`."""
        with _clear_errors(self.location(key), "read"):
            return cast(bytes, self._fs.cat_file(self._path(key)))

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises `MissingObject`."""
        with _clear_errors(self.location(key), "read"):
            return cast(bytes, self._fs.cat_file(self._path(key), start=offset, end=offset + length))

    @contextlib.contextmanager
    def reading(self, key: str) -> Iterator[BinaryIO]:
        """The object as a stream, read ahead in large blocks."""
        with _clear_errors(self.location(key), "read"), self._fs.open(self._path(key), "rb") as stream:
            yield stream

    def write(self, key: str, data: bytes) -> None:
        """Writes or replaces the whole object; a reader sees the old one or the new one."""
        with _clear_errors(self.location(key), "write"):
            if self._local:
                with self._complete_file(key) as path, open(path, "wb") as stream:
                    stream.write(data)
            else:
                self._fs.pipe_file(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Writes the object if there is none, and says whether it did: of several writers exactly one gets True."""
        path = self._path(key)
        with _clear_errors(self.location(key), "create"):
            if self._local:
                return self._link(path, data)
            try:
                with self._fs.open(path, "xb") as stream:
                    stream.write(data)
            except FileExistsError:
                return False
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
        with _clear_errors(self.location(key), "write"):
            if self._local:
                with self._complete_file(key) as path:
                    LocalFileSystem().cp_file(source, path)
            else:
                self._fs.put_file(source, self._path(key))

    @contextlib.contextmanager
    def spool(self, folder: str) -> Iterator[str]:
        """A local path to write a file to whose key is not known yet; `adopt` turns it into an object. In a local store it lies in `folder`, so that adopting is a rename."""
        directory = f"{self._root}/{folder}" if self._local else tempfile.gettempdir()
        with _clear_errors(f"{self.url}/{folder}", "write"):
            os.makedirs(directory, exist_ok=True)
        path = f"{directory}/.{secrets.token_hex(8)}.part"
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def adopt(self, spooled: str, key: str) -> None:
        """Turns a spooled file into the object under `key`."""
        with _clear_errors(self.location(key), "write"):
            if self._local:
                os.makedirs(posixpath.dirname(self._path(key)), exist_ok=True)
                os.replace(spooled, self._path(key))
            else:
                self._fs.put_file(spooled, self._path(key))

    def get(self, key: str, target: str) -> None:
        """Downloads an object to a local file. Raises `MissingObject`."""
        with _clear_errors(self.location(key), "read"):
            self._fs.get_file(self._path(key), target)

    def copy(self, source: Store, key: str) -> None:
        """Copies an object of another folder of the same store, on the store's side where it can."""
        with _clear_errors(self.location(key), "copy"):
            if self._local:
                with self._complete_file(key) as path:
                    self._fs.cp_file(source._path(key), path)
            else:
                self._fs.copy(source._path(key), self._path(key))

    def remove(self, keys: Sequence[str]) -> None:
        """Removes objects; one that is gone already is fine."""
        for key in keys:
            with _clear_errors(self.location(key), "remove"), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(key))

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of every object below the folder `prefix`, sorted."""
        with _clear_errors(self.location(prefix), "list"):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(prefix) if prefix else self._root)
            except FileNotFoundError:
                return []
        start = len(self._root) + 1
        return sorted(path[start:] for path in found if not posixpath.basename(path).endswith(".part"))

    def folders(self) -> list[str]:
        """The names of the folders directly below, sorted."""
        with _clear_errors(self.url, "list"):
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
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
        return True


@contextlib.contextmanager
def open_input(url: str, access: Access, field: str) -> Iterator[BinaryIO]:
    """An input as a stream of its (decompressed) bytes. Raises `InvalidInput`, naming `field`, where it is missing, unreadable or not allowed.

    `.gz` is decompressed by its first bytes, not by its name; chained URLs (`zip://member::https://…`) are fsspec's.
    """
    access.check_url(url, field)
    with _clear_input_errors(url, field), fsspec.open(url, "rb", **_options(url, access)) as stream:
        buffered = stream if hasattr(stream, "peek") else io.BufferedReader(stream, 1 << 20)
        if buffered.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(buffered, "rb") as decompressed:
                yield cast(BinaryIO, decompressed)
        else:
            yield cast(BinaryIO, buffered)


def read_input(url: str, access: Access, field: str) -> bytes:
    """The whole input. Errors as in `open_input`."""
    with open_input(url, access, field) as stream:
        return stream.read()


def expand(url: str, access: Access, field: str) -> list[str]:
    """The URLs that match a URL with a glob, sorted; the URL itself where it has none. Raises `InvalidInput` where nothing matches."""
    access.check_url(url, field)
    if not any(character in url for character in "*?["):
        return [url]
    with _clear_input_errors(url, field):
        fs, path = url_to_fs(url, **_options(url, access))
        matches = sorted(fs.glob(path))
    if not matches:
        raise InvalidInput(f"{field}: expected files matching {url!r}, found none")
    return [str(fs.unstrip_protocol(match)) if scheme_of(url) not in LOCAL_SCHEMES else str(match) for match in matches]


def _options(url: str, access: Access) -> dict[str, Any]:
    """The options fsspec needs for a chained URL: every http(s) link goes through the guarded client, so an annotation URL cannot reach what a picture's cannot."""
    schemes = {scheme_of(part) for part in url.split("::")}
    if not schemes & WEB_SCHEMES:
        return {}

    async def get_client(**_: Any) -> Any:
        import aiohttp

        from negset_jobs.fetching.guard import guarded_connector

        return aiohttp.ClientSession(connector=guarded_connector(access))

    guarded = {"get_client": get_client, "skip_instance_cache": True}
    if "::" in url:
        return dict.fromkeys(schemes & WEB_SCHEMES, guarded)
    return guarded


@contextlib.contextmanager
def _clear_errors(location: str, verb: str) -> Iterator[None]:
    try:
        yield
    except (WorkFailed, InvalidInput, FileExistsError):
        raise
    except FileNotFoundError as error:
        raise MissingObject(f"cannot {verb} {location}: it does not exist") from error
    except ImportError as error:
        raise InvalidInput(f"cannot {verb} {location}: {error}") from error
    except Exception as error:
        # Every backend raises its own kinds (botocore, google-auth, aiohttp, OSError); the caller needs one, with the place in it.
        raise WorkFailed(f"cannot {verb} {location}: {_one_line(error)}") from error


@contextlib.contextmanager
def _clear_input_errors(url: str, field: str) -> Iterator[None]:
    try:
        yield
    except (InvalidInput, WorkFailed):
        raise
    except FileNotFoundError as error:
        raise InvalidInput(f"{field}: expected a readable file, {url!r} does not exist") from error
    except Exception as error:
        raise InvalidInput(f"{field}: cannot read {url!r}: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
