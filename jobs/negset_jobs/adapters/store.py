"""The store: one folder of an object store or file system, behind a small port.

Keys are relative, values are whole objects, and an object is visible completely or not at all.
Errors of the back ends are translated (`store_errors`). Input files are not objects of a store:
`inputs` opens them by URL, and `input_files` reads many small ones concurrently.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from negset_api.errors import InvalidInput
from negset_jobs.adapters import address_guard, backends, local_files, urls
from negset_jobs.adapters.object_store import ObjectStore
from negset_jobs.adapters.store_errors import Translated, buffered, translate_errors
from negset_jobs.adapters.urls import Url, shown

log = logging.getLogger(__name__)


class Store:
    """One folder of an object store or file system.

    Creating one is cheap, and it can be pickled for another process.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._folder = _folder(self.url)
        with self._acting("use"):
            self._fs, self._root = backends.opened(self._folder)
        self._local = isinstance(self._fs, LocalFileSystem)

    def location(self, key: str) -> str:
        """Return the URL of the object under `key`, or its absolute path if the store is local."""
        return f"{self._root}/{key}" if self._local else f"{self.url}/{key}"

    @property
    def local_root(self) -> str | None:
        """The folder's path if it is on this machine's file system, else None."""
        return self._root if self._local else None

    def alone(self, waiting: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Keep other processes on this machine out of a local folder (`local_files.alone`).

        Other stores know no locks: there the first marker counts.
        """
        return local_files.alone(self._root, waiting) if self._local else contextlib.nullcontext()

    def exists(self, key: str) -> bool:
        with self._acting("look up", key):
            return bool(self._fs.exists(self._path(key)))

    def modified(self, key: str) -> datetime:
        """Return when the object was written, by the store's clock.

        Raises `MissingObject`, and `WorkFailed` if the store does not know the time.
        """
        with self._acting("look up", key):
            self._fs.invalidate_cache()
            return cast(datetime, self._fs.modified(self._path(key)))

    def read(self, key: str) -> bytes:
        """Return the whole object. Raises `MissingObject`."""
        with self._acting("read", key):
            return cast(bytes, self._fs.cat_file(self._path(key)))

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`. Raises `MissingObject`."""
        with self._acting("read", key):
            return cast(bytes, self._fs.cat_file(self._path(key), start=offset, end=offset + length))

    @contextlib.contextmanager
    def reading(self, key: str) -> Iterator[BinaryIO]:
        """Open the object as a stream, read ahead in large blocks. Raises `MissingObject`."""
        translated = functools.partial(self._acting, "read", key)
        with translated():
            stream = self._fs.open(self._path(key), "rb")
        with stream:
            yield buffered(Translated(stream, translated))

    def write(self, key: str, data: bytes) -> None:
        """Write or replace the whole object. A reader sees the old one or the new one."""
        with self._acting("write", key):
            if self._local:
                with local_files.replaced(self._path(key)) as path, open(path, "wb") as stream:
                    stream.write(data)
            else:
                self._fs.pipe_file(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if there is none. Return True if it did.

        Of several writers, exactly one gets True.
        """
        path = self._path(key)
        with self._acting("create", key):
            if self._local:
                return local_files.create(path, data)
            try:
                self._create_exclusively(path, data)
            except FileExistsError:
                return False
            except (NotImplementedError, ValueError):
                return self._create_unguarded(path, data)
            return True

    def _create_exclusively(self, path: str, data: bytes) -> None:
        """Write an object. Raises `FileExistsError` if there is one."""
        if isinstance(self._fs, ObjectStore):
            self._fs.pipe_file(path, data, mode="create")
        else:
            # Some file systems ignore the mode of `pipe_file`, and refuse one of `open`.
            with self._fs.open(path, "xb") as stream:
                stream.write(data)

    def _create_unguarded(self, path: str, data: bytes) -> bool:
        """Write an object if there is none yet, in a store that cannot do both at once."""
        if self._fs.exists(path):
            return False
        self._fs.pipe_file(path, data)
        _name_unguarded(backends.store_name(self._folder))
        return True

    def put(self, source: str, key: str) -> None:
        """Upload a local file."""
        with self._acting("write", key):
            if self._local:
                with local_files.replaced(self._path(key)) as path:
                    LocalFileSystem().cp_file(source, path)
            else:
                self._fs.put_file(source, self._path(key))

    @contextlib.contextmanager
    def spool(self, folder: str) -> Iterator[str]:
        """Yield a local path for a file whose key is not known yet. `adopt` makes it an object.

        In a local store, the path is in `folder`, so that `adopt` is a rename.
        """
        directory = f"{self._root}/{folder}" if self._local else tempfile.gettempdir()
        with self._acting("write", folder):
            os.makedirs(directory, exist_ok=True)
        with local_files.partial(directory) as path:
            yield path

    def adopt(self, spooled: str, key: str) -> None:
        """Make a spooled file the object under `key`."""
        with self._acting("write", key):
            if self._local:
                os.makedirs(posixpath.dirname(self._path(key)), exist_ok=True)
                os.replace(spooled, self._path(key))
            else:
                self._fs.put_file(spooled, self._path(key))

    def get(self, key: str, target: str) -> None:
        """Download an object to a local file. Raises `MissingObject`."""
        with self._acting("read", key):
            self._fs.get_file(self._path(key), target)

    def sweep(self, folder: str) -> None:
        """Remove the incomplete files that killed processes left in `folder`.

        Call it only when no process writes there.
        """
        if self._local:
            with self._acting("clean up", folder):
                local_files.sweep(self._path(folder))

    def copy(self, source: Store, key: str, source_key: str | None = None) -> None:
        """Copy an object from another folder of the same store, on the store's side if possible.

        `source_key` is its key there, if it differs.
        """
        origin = source._path(source_key or key)
        with self._acting("copy", key):
            if self._local:
                with local_files.replaced(self._path(key)) as path:
                    self._fs.cp_file(origin, path)
            else:
                self._fs.cp_file(origin, self._path(key))  # `copy` would expand wildcards

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects. A missing object is no error."""
        if isinstance(self._fs, ObjectStore) and keys:
            with self._acting("remove", keys[0]):
                self._fs.rm([self._path(key) for key in keys])
            return
        for key in keys:
            with self._acting("remove", key), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(key))

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects below the folder `prefix`, sorted."""
        with self._acting("list", prefix):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(prefix) if prefix else self._root)
            except FileNotFoundError:
                return []
        # An S3 store may list a folder itself, which is not an object. Its key ends with a slash,
        # except if the empty folder is `prefix`.
        start, folder = len(self._root) + 1, f"{self._path(prefix) if prefix else self._root}/"
        return sorted(path[start:] for path in found if path.startswith(folder) and not path.endswith((local_files.PARTIAL, "/")))

    def folders(self) -> list[str]:
        """Return the names of the folders directly below, sorted."""
        with self._acting("list"):
            self._fs.invalidate_cache()
            try:
                entries = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return sorted(posixpath.basename(entry["name"].rstrip("/")) for entry in entries if entry["type"] == "directory")

    def child(self, path: str) -> Store:
        """Return the folder `path` below this one."""
        return Store(f"{self.url}/{path}")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.url,)

    def _acting(self, verb: str, key: str = "") -> contextlib.AbstractContextManager[None]:
        """Limit connections and translate errors while this store acts on an object."""
        # The reach is looked up now: a store may be unpickled before the access is enforced.
        return translate_errors(self.location(key) if key else self.url, verb, address_guard.reach_of(self._folder))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"


@functools.cache
def _name_unguarded(store: str) -> None:
    """Name a store in the log once."""
    log.warning("%s cannot create objects exclusively; two concurrent attempts of one shard may both commit", store)


def _folder(url: str) -> Url:
    """Parse the URL of an output. Raises `InvalidInput`."""
    try:
        folder = urls.parse(url)
    except urls.InvalidUrl as error:
        raise InvalidInput(f"cannot use the URL {shown(url)}: {error}") from error
    if len(folder.links) > 1:
        raise InvalidInput(f"cannot use {shown(url)}: expected the URL of a folder, without '::'")
    return folder
