"""Input files on web servers, of which many know no Range requests or are wrong about lengths.

fsspec reads a file over http in ranges of 5 MiB, by the length that a HEAD request gave. Python's
own http.server ignores ranges, so that a larger file cannot be read at all. Here a file is read in
one response, from front to back.
"""

from __future__ import annotations

import io
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final, cast

from fsspec.asyn import sync

from negset_jobs.adapters import transient
from negset_jobs.adapters.quoting import of_backend
from negset_jobs.adapters.urls import shown

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_TIMEOUTS: Final = {"sock_connect": 30.0, "sock_read": 60.0}
"""Seconds. There is no limit for the whole file: aiohttp's own would be 5 minutes."""

_PAUSES: Final = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each attempt to continue a response that broke off. Any byte starts them anew."""

_STARTING_PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt to start, after an answer such as 503 or a lost connection.

A server that cannot be reached at all is not waited for: its name may be wrong.
"""

_RANGE: Final = re.compile(r"bytes (\d+)-")
_PARTIAL: Final = 206


class WebStream(io.RawIOBase):
    """One file of a web server, forward only.

    A server in trouble is asked again for some seconds. A response that breaks off is continued
    where the server gave the file a version, and can send the rest of that version. Raises the
    errors of aiohttp, and `FileNotFoundError`.
    """

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._path = path
        self._position = 0
        self._ended = False
        self._response = self._start()
        headers = self._response.headers
        etag = headers.get("ETag", "")
        # A weak tag does not promise the same bytes (RFC 9110, section 13.1.5).
        self._version = (etag if etag.startswith('"') else "") or headers.get("Last-Modified", "")
        self._as_stored = headers.get("Content-Encoding", "identity") == "identity"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        pauses = iter(_PAUSES)
        while not self._ended:
            try:
                data: bytes = sync(self._fs.loop, self._response.content.read, len(buffer))
            except Exception as error:
                if not transient.passes(error) or not self._continued(pauses):
                    raise
            else:
                # Readers ask again at the end, of which aiohttp warns.
                self._ended = not data and len(buffer) > 0
                self._position += len(data)
                buffer[: len(data)] = data
                return len(data)
        return 0

    def close(self) -> None:
        if not self.closed:
            self._fs.loop.call_soon_threadsafe(self._response.close)
        super().close()

    def _start(self) -> aiohttp.ClientResponse:
        for pause in _STARTING_PAUSES:
            try:
                return self._request({})
            except Exception as error:
                if not transient.is_of_reached_server(error):
                    raise
                log.warning("%s: %s; asking again in %d s", shown(self._path), of_backend(error), pause)
            time.sleep(pause)
        return self._request({})

    def _continued(self, pauses: Any) -> bool:
        """Request the rest. Return False if there is no way to get it."""
        if not (self._version and self._as_stored):
            return False
        for pause in pauses:
            time.sleep(pause)
            try:
                response = self._request({"Range": f"bytes={self._position}-", "If-Range": self._version})
            except Exception as error:
                if not transient.passes(error):
                    raise
                continue
            start = _RANGE.match(response.headers.get("Content-Range", ""))
            if response.status == _PARTIAL and start and int(start[1]) == self._position:
                self._response = response
                return True
            self._fs.loop.call_soon_threadsafe(response.close)
            return False
        return False

    def _request(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Return a response whose body is not read yet."""
        import aiohttp  # a tenth of a second, which local files need not wait

        async def get() -> aiohttp.ClientResponse:
            session = await self._fs.set_session()
            # The user's options for http, of fsspec's configuration, come first. Compressed on the
            # way, the file could not be continued.
            options = {"timeout": aiohttp.ClientTimeout(total=None, **_TIMEOUTS), **self._fs.kwargs}
            options["headers"] = {"Accept-Encoding": "identity", **options.get("headers", {}), **headers}
            response: aiohttp.ClientResponse = await session.get(self._fs.encode_url(self._path), **options)
            self._fs._raise_not_found_for_status(response, self._path)  # noqa: SLF001 - as fsspec's own files do
            return response

        return cast("aiohttp.ClientResponse", sync(self._fs.loop, get))
