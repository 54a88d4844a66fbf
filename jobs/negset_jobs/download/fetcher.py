"""Request one image once, and check it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
from collections.abc import Callable
from typing import Final, Self, TypeVar

from negset_api.errors import CannotRunHere, InvalidInput
from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.adapters import address_guard, transient
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.input_files import InputFiles
from negset_jobs.adapters.object_store_errors import CannotUse
from negset_jobs.adapters.quoting import of_backend
from negset_jobs.adapters.urls import Url, shown
from negset_jobs.download.failure import Failed, blocked
from negset_jobs.download.http import WebImages
from negset_jobs.download.spellings import other_spellings
from negset_jobs.download.verify import EncodedImage, inspect, needs_work, stored_form

_MEGA = 1_000_000
# S3 forbids what is missing, if the caller may not list the bucket.
_MAY_BE_MISSING: Final = (Outcome.NOT_FOUND, Outcome.FORBIDDEN)

T = TypeVar("T")


class Fetcher:
    """Download and check images inside one event loop; an asynchronous context manager."""

    def __init__(self, download: Download, access: Access) -> None:
        self._download = download
        self._access = access
        self._web = WebImages(download, access)
        self._files = InputFiles(access)
        self._max_bytes = download.max_image_mebibytes << 20
        # One image is decoded at a time, in a thread: this bounds memory, and the event loop keeps
        # serving its connections.
        self._decoder = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="decode")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._decoder.shutdown(cancel_futures=True)
        await self._web.__aexit__()
        await self._files.close()

    async def image(self, url: str) -> EncodedImage:
        """Request the image once, and return it ready to be stored. Raises `Failed`."""
        try:
            source = self._access.check_url(url, "url")
        except InvalidInput as error:
            raise Failed(Outcome.BLOCKED_ADDRESS, str(error)) from error
        return await self._checked(await self._get(source))

    async def in_decoder(self, function: Callable[..., T], *arguments: object) -> T:
        """Return `function(*arguments)`, run in the thread that decodes one image at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._decoder, function, *arguments)

    async def _get(self, url: Url) -> bytes:
        """Return the file's bytes. A name that no file has is tried in other spellings."""
        try:
            return await self._get_as_written(url)
        except Failed as failure:
            if failure.outcome not in _MAY_BE_MISSING:
                raise
            for spelling in other_spellings(url):
                try:
                    return await self._get_as_written(spelling)
                except Failed as other:
                    if other.retryable:
                        raise
            raise

    async def _get_as_written(self, url: Url) -> bytes:
        if url.is_web and len(url.links) == 1:
            return await self._web.get(str(url))
        return await self._file(url)

    async def _file(self, url: Url) -> bytes:
        try:
            data = await self._files.read(url, self._max_bytes, self._download.timeout_seconds)
        except Exception as error:  # every back end has its own kinds of errors
            raise _as_failed(error, url) from error
        if len(data) > self._max_bytes:
            raise Failed(Outcome.TOO_LARGE, f"expected at most {self._max_bytes} bytes, got more")
        return data

    async def _checked(self, data: bytes) -> EncodedImage:
        image = inspect(data, self._download.max_image_megapixels * _MEGA)
        if not needs_work(image, self._download.verify):
            return image
        return await self.in_decoder(stored_form, image, self._download.verify)


def _as_failed(error: Exception, url: Url) -> Failed:
    """Return the failure of an image for an error of a back end."""
    if (address := address_guard.blocked_address(error)) is not None:
        return blocked(address)
    outcome = next(outcome for kinds, outcome in _OUTCOMES if isinstance(error, kinds))
    if isinstance(error, OSError) and error.errno in _NO_SUCH_FILE:
        outcome = Outcome.NOT_FOUND
    match outcome:
        case Outcome.NOT_FOUND:
            return Failed(outcome, f"{shown(url)} does not exist")
        case Outcome.TIMEOUT:
            return Failed(outcome, "no complete response before the timeout")
    # Other errors of a back end may be of one file, such as a damaged archive.
    detail = str(error) if isinstance(error, (InvalidInput, CannotRunHere)) else of_backend(error)
    return Failed(outcome, detail, outage=transient.passes(error))


# What no file can be called: too long a name, links in a circle, a file in place of a folder.
_NO_SUCH_FILE: Final = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR})
_OUTCOMES: Final = (  # the first that fits
    ((FileNotFoundError, IsADirectoryError), Outcome.NOT_FOUND),
    ((PermissionError,), Outcome.FORBIDDEN),
    ((TimeoutError,), Outcome.TIMEOUT),
    ((InvalidInput, CannotRunHere, CannotUse, ImportError, ValueError, AttributeError, LookupError, TypeError), Outcome.CLIENT_ERROR),
    ((Exception,), Outcome.SERVER_ERROR),
)
