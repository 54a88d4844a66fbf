"""Translate the errors of back ends to `negset_api.errors`, with the location in the message.

Every back end raises its own kinds of errors (obstore, aiohttp, paramiko, OSError). Only the
errors of the store or the input itself are translated. An error of the caller inside `with
store.reading(...)` or `with open_input(...)` is raised unchanged.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, cast

from negset_api import extras
from negset_api.errors import CannotRunHere, InputUnavailable, InvalidInput, Unavailable, WorkFailed
from negset_jobs.adapters import address_guard, transient
from negset_jobs.adapters.access import Access, Reach
from negset_jobs.adapters.object_store_errors import is_missing_bucket
from negset_jobs.adapters.quoting import of_backend
from negset_jobs.adapters.urls import Url, shown
from negset_jobs.adapters.wildcards import has_wildcard

READ_AHEAD: Final = 1 << 20


class MissingInput(InvalidInput):
    """An input does not exist. An input that exists but cannot be read is `InvalidInput`."""


class MissingObject(WorkFailed):
    """There is no object under that key or URL."""


class Translated(io.RawIOBase):
    """A stream that translates its own errors only, and not those of its reader."""

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


def buffered(raw: io.RawIOBase) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(raw, READ_AHEAD))


@contextlib.contextmanager
def translate_errors(location: str, verb: str, reach: Reach) -> Iterator[None]:
    try:
        with address_guard.reaching(reach):
            yield
    except (WorkFailed, InvalidInput, CannotRunHere, FileExistsError):
        raise
    except ImportError as error:
        raise CannotRunHere(f"cannot {verb} {location}: {_missing(error)}") from error
    except FileNotFoundError as error:
        what = "its bucket" if is_missing_bucket(error) else "it"
        raise MissingObject(f"cannot {verb} {location}: {what} does not exist") from error
    except Exception as error:
        if (address := address_guard.blocked_address(error)) is not None:
            raise InvalidInput(f"cannot {verb} {location}: {_blocked(address, reach)}") from error
        if transient.is_refusal(error):
            raise InvalidInput(
                f"cannot {verb} {location}: {of_backend(error)}; check the credentials (on a cluster those in spec.output.secretName) and their permissions"
            ) from error
        kind = Unavailable if transient.passes(error) else WorkFailed
        raise kind(f"cannot {verb} {location}: {of_backend(error)}") from error


@contextlib.contextmanager
def translate_input_errors(url: Url, field: str, access: Access) -> Iterator[None]:
    reach = access.reach(url)
    try:
        with address_guard.reaching(reach):
            yield
    except (InvalidInput, WorkFailed, CannotRunHere):
        raise
    except ImportError as error:
        raise CannotRunHere(f"{field}: cannot read {shown(url)}: {_missing(error)}") from error
    except Exception as error:
        address = address_guard.blocked_address(error)
        reason = _reason(error)
        if address is None and reason is None:
            hint = "; it takes one file and no wildcards" if has_wildcard(url) else ""
            raise MissingInput(f"{field}: expected a readable file, {shown(url)} does not exist{hint}") from error
        kind = InputUnavailable if address is None and transient.passes(error) else InvalidInput
        raise kind(f"{field}: cannot read {shown(url)}: {reason if address is None else _blocked(address, reach)}") from error


def _blocked(address: str, reach: Reach) -> str:
    return (
        f"{address} is not allowed: the address is private, loopback, link-local or otherwise not public; "
        f"the user of a laptop, or the administrator of a cluster, can allow its network with {reach.option}"
    )


def _missing(error: ImportError) -> str:
    """Return which package a back end lacks. fsspec's own errors have no module, but a text."""
    return of_backend(error) if error.name is None else extras.advice(error.name)


def _reason(error: Exception) -> str | None:
    """Return why an input cannot be read; None if it does not exist."""
    if isinstance(error, IsADirectoryError):
        return "it is a folder; give the file in it"
    return _hidden_reason(error) if isinstance(error, FileNotFoundError) else of_backend(error)


def _hidden_reason(error: FileNotFoundError) -> str | None:
    """Return the real reason of a `FileNotFoundError` of fsspec, or None if the file is missing.

    fsspec also raises it if a web server cannot be reached or responds with an error.
    """
    cause = error.__cause__
    if cause is None or not type(cause).__module__.startswith("aiohttp"):
        return None
    return None if getattr(cause, "status", None) in (404, 410) else of_backend(cause)
