"""Create an object exclusively, in stores that can do that."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from obstore.fsspec import FsspecStore

from negset_jobs.adapters import transient
from negset_jobs.adapters.object_store_client import acting
from negset_jobs.adapters.object_store_errors import Answered, Refused, may_refuse_condition

_CREATE_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, *[1.5] * 11, 0.0)  # seconds; 0 is the last attempt
_CONFLICT: Final = 409
_DAMAGED: Final = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest"})
"""S3's codes, of status 400, for a request that did not arrive whole."""


class Creating(FsspecStore):  # type: ignore[misc]
    """The part of a file system that creates objects."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._unconditional: set[str] = set()
        """Buckets whose store refuses to create exclusively."""
        super().__init__(*arguments, **options)

    def _client(self, bucket: str, *, retried: bool = True) -> Any:
        """Return obstore's store of a bucket."""
        raise NotImplementedError

    async def _create(self, path: str, value: bytes) -> None:
        """Write an object if there is none. Raises `FileExistsError`.

        Raises `NotImplementedError` if the store cannot create exclusively. The retries are here,
        not in obstore: after a response was lost, the object that exists may be this one.
        """
        bucket, key = self._split_path(path)
        if bucket in self._unconditional:
            raise NotImplementedError
        lost = False
        for pause in _CREATE_PAUSES:
            try:
                with acting():
                    await self._client(bucket, retried=False).put_async(key, value, mode="create")
            except FileExistsError as error:
                if await self._is_anothers(path, value, lost=lost):
                    raise
                if await self._exists(path):
                    return
                if error.args != (_CONFLICT,):  # S3 responds so while another writer is creating it
                    raise self._without_condition(bucket) from error
            except OSError as error:
                self._check_refusal(bucket, error, last=not pause)
                lost = True
            else:
                return
            await asyncio.sleep(pause)
        raise Answered(_CONFLICT, "")

    async def _is_anothers(self, path: str, value: bytes, *, lost: bool) -> bool:
        """Return True if there is an object that this process has not written."""
        return await self._exists(path) and not (lost and await self._cat_file(path) == value)

    def _check_refusal(self, bucket: str, error: OSError, *, last: bool) -> None:
        """Raise the error, or `NotImplementedError`, if another attempt cannot help."""
        damaged = getattr(error, "code", "") in _DAMAGED
        if not damaged and may_refuse_condition(error):
            raise self._without_condition(bucket, surely=not isinstance(error, Refused)) from error
        if last or not (damaged or transient.passes(error)):
            raise error

    def _without_condition(self, bucket: str, *, surely: bool = True) -> NotImplementedError:
        """Return the error for a store that does not create exclusively, and remember it."""
        if surely:
            self._unconditional.add(bucket)
        return NotImplementedError()
