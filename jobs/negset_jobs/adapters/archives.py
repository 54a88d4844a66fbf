"""Archives, opened as file systems: `zip://member::…` and `tar://member::…`.

Members are read at any position, in any order. Where the archive cannot be, because its server
sends no ranges or because the whole of it is compressed, it is copied to a temporary file first.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import Any, BinaryIO, Final, cast

from fsspec.compression import compr
from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem

from negset_jobs.adapters.object_store_errors import CannotUse
from negset_jobs.adapters.web_stream import WebStream

_LARGEST_COPY: Final = 4 << 30
_COPIED_AT_ONCE: Final = 1 << 20
_COMPRESSIONS: Final = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
"""Names of fsspec, by the first bytes of a file."""
_WINDOWS: Final = 0  # the system that made a member of a zip archive


class ZipFiles(ZipFileSystem):  # type: ignore[misc]
    """The members of a zip archive, by `plain` names with slashes."""

    def __init__(self, fo: BinaryIO, **options: Any) -> None:
        super().__init__(fo, **options)
        for info in self.zip.filelist:
            # Some programs on Windows write its separator, against the specification (4.4.17.1).
            name = info.filename.replace("\\", "/") if info.create_system == _WINDOWS else info.filename
            info.filename = plain(name) or name
        self.zip.NameToInfo = {info.filename: info for info in self.zip.filelist}

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._open(path, *arguments, **options)
        except NotImplementedError as error:
            raise CannotUse(
                "it is compressed in a way that Python cannot read, as Deflate64 is; pack the archive again, or extract it"
            ) from error
        except RuntimeError as error:
            raise CannotUse("it is encrypted; pack the archive again without a password, or extract it") from error


class TarFiles(TarFileSystem):  # type: ignore[misc]
    """The members of a tar archive, by `plain` names."""

    index: dict[str, tuple[dict[str, Any], int, str]]  # by name: the entry, where it is, the stored name

    def __init__(self, fo: BinaryIO, **options: Any) -> None:
        super().__init__(fo, **options)
        named = {plain(name): found for name, found in self.index.items() if name != "."}
        self.index = {name: (info | {"name": name}, offset, stored) for name, (info, offset, stored) in named.items()}


ARCHIVES: Final = {"zip": ZipFiles, "tar": TarFiles}


def plain(name: str) -> str:
    """Return the name of a member without the `./` that `tar c .` puts before it."""
    return name.removeprefix("./")


def opened(archive: type[ZipFiles | TarFiles], fs: Any, path: str, *, web: bool, read_ahead: int = 0) -> Any:
    """Return the file system of an archive.

    The archive is the file `path` of `fs`, which is a web server's if `web`. `read_ahead` is for
    many small members in any order: the bytes that are requested beyond those that are read. By
    default, they are those of the back end, for one large member. Raises `CannotUse` if the archive
    must be copied and is too large, and the errors of the back ends.
    """
    with contextlib.ExitStack() as unless_opened:
        file = unless_opened.enter_context(_from_web(fs, path) if web else fs.open(path, "rb"))
        if archive is TarFiles:
            file = unless_opened.enter_context(_decompressed(file))
            # fsspec guesses the compression by the name, which a signed URL, `.tgz` and a temporary
            # file do not have. This is the name that it takes.
            file.original = ""
        # Not cached: the instance would keep the open file of its options alive.
        members = archive(fo=file, skip_instance_cache=True)
        members.outer = fs  # at its end, an archive closes its files, of which this may be one
        cache = getattr(file, "cache", None)
        if read_ahead and cache is not None:
            cache.blocksize = read_ahead  # only now: a tar archive is read from end to end first
        unless_opened.pop_all()
    return members


def _from_web(fs: Any, path: str) -> BinaryIO:
    file: Any = fs.open(path, "rb")
    if _sends_ranges(file):
        return cast(BinaryIO, file)
    file.close()
    with WebStream(fs, path) as stream:
        return _copied(
            stream,
            "on a web server that does not support Range requests",
            "extract it there, or move it to a server or an object store that supports them",
        )


def _sends_ranges(file: Any) -> bool:
    """Whether the end of the file can be read alone, which is where an archive has its index."""
    if not file.size:
        return False
    try:
        file.seek(file.size - 1)
        found = len(file.read(1)) == 1
        file.seek(0)
    except ValueError:  # fsspec's, for a server that sends the whole file
        return False
    return found


def _decompressed(file: Any) -> Any:
    """Return the file, or a decompressed copy of it. Its first bytes decide.

    Without the copy, each step back in a compressed file would start again from its first byte.
    """
    start = file.read(max(map(len, _COMPRESSIONS)))
    file.seek(0)
    compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if compression is None:
        return file
    with file, compr[compression](file) as stream:
        return _copied(stream, "when it is decompressed", "extract it, or do not compress it: images are compressed already")


def _copied(stream: Any, which: str, advice: str) -> BinaryIO:
    """Return a temporary file with the rest of the stream."""
    copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - it outlives this function
    with contextlib.ExitStack() as unless_whole:
        unless_whole.enter_context(copy)
        while data := stream.read(_COPIED_AT_ONCE):
            if copy.tell() + len(data) > _LARGEST_COPY:
                raise CannotUse(f"expected an archive of at most {_LARGEST_COPY >> 30} GiB {which}; {advice}")
            copy.write(data)
        unless_whole.pop_all()
    copy.seek(0)
    return copy
