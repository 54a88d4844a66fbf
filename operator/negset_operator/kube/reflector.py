"""Keeps a cache equal to the objects at the API server: list, then watch, without end.

The official client's `SharedInformer` does not suffice: see operator/README.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import msgspec

from negset_api import decoding
from negset_operator.kube.cache import Cache, Key
from negset_operator.kube.client import FORBIDDEN, GONE, ApiError, Kind, Unreachable
from negset_operator.kube.streams import Api, Lines

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Any)
A = TypeVar("A")

PAGE: Final = 500
WATCH_SECONDS: Final = 300
"""The server ends a watch after this time, up to twice that. Bookmarks make a new one cheap."""
SILENCE_SECONDS: Final = 100.0
"""A stream that is silent for longer is broken: bookmarks come about once a minute
(https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks).
"""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 15.0
LONGEST_RETRY_AFTER: Final = 120.0
"""The longest Retry-After of a server that is respected, in seconds."""
HEALTHY_SECONDS: Final = 5.0
"""A watch that was open for this time was healthy, even without an event."""

ATTEMPTS_IN_SLOT: Final = 3
"""Attempts before the slot is free for other reflectors: only this request may fail."""


class Source(msgspec.Struct, frozen=True):
    """What to watch: a kind in a namespace ("" means all), with these labels, as this type."""

    kind: Kind
    as_type: Any
    namespace: str = ""
    selector: str = ""
    metadata_only: bool = False


class _Version(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Bookmark(msgspec.Struct):
    metadata: _Version


class _Failure(msgspec.Struct):
    code: int = 0
    reason: str = ""
    message: str = ""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class Reflector(Generic[T]):
    """Fills `cache` from `source`, and calls `changed` with the group of each changed object.

    `run` is a coroutine. The attributes may be read from any thread.
    """

    def __init__(
        self, source: Source, cache: Cache[T], changed: Callable[[Key], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._cache, self._changed, self._clock = source, cache, changed, clock
        self._decoder = decoding.decoder(source.as_type)
        self._version = ""
        self._consistent = False
        self._open = False
        self._healthy = False
        self._pause = FIRST_PAUSE
        self._current_at = clock()
        self.synced = False
        """Whether the cache has been complete at least once."""
        self.problem = ""
        """Why the kind cannot be listed or watched now; empty if it can."""
        self.restarts = 0
        """How often listing or watching has failed."""

    @property
    def stale_seconds(self) -> float:
        """How long no watch has been open. The cache may be that old."""
        return 0.0 if self._open else self._clock() - self._current_at

    @property
    def kind(self) -> Kind:
        return self._source.kind

    async def run(self, api: Api, slots: asyncio.Semaphore) -> None:
        """List and watch until cancelled.

        Lists and openings of watches wait for one of the `slots`.
        """
        while True:
            self._healthy = False
            try:
                if not self._version:
                    self._version = await self._in_slot(slots, lambda: self._list(api))
                await self._follow(await self._in_slot(slots, lambda: self._watch(api)))
                self._pause = FIRST_PAUSE
            except (ApiError, Unreachable, msgspec.MsgspecError) as error:
                # Only a healthy watch resets the pause: a list that succeeds does not mean that the
                # next one does.
                if self._healthy:
                    self._pause = FIRST_PAUSE
                await self._wait(error)

    async def _in_slot(self, slots: asyncio.Semaphore, ask: Callable[[], Coroutine[Any, Any, A]]) -> A:
        """Return the API server's answer.

        While the server cannot be reached, the slot is kept: other requests would fail as well.
        """
        async with slots:
            for _ in range(ATTEMPTS_IN_SLOT - 1):
                try:
                    return await ask()
                except Unreachable as error:
                    await self._wait(error)
            return await ask()

    async def _wait(self, error: Exception) -> None:
        """Note a failure and wait before the next attempt, twice as long each time."""
        self._note(error)
        asked = min(getattr(error, "seconds", 0.0), LONGEST_RETRY_AFTER)
        await asyncio.sleep(max(asked, self._pause * random.uniform(0.5, 1)))  # noqa: S311 - jitter
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _note(self, error: Exception) -> None:
        """Set `problem`, and decide whether everything must be listed again.

        That is so only if the server calls the version too old, or if its answer cannot be decoded.
        After throttling or missing rights, the cache is still right.
        """
        gone = isinstance(error, ApiError) and error.status == GONE
        if gone or isinstance(error, msgspec.MsgspecError):
            self._version, self._consistent = "", gone
        self.restarts += 1
        before, self.problem = self.problem, _describe(self._source.kind, error)
        # A problem is logged once, not at each attempt: hundreds of namespaces fail together.
        log.log(logging.DEBUG if before == self.problem else logging.WARNING, "%s", self.problem)

    async def _list(self, api: Api) -> str:
        """Replace the content of the cache, and return the version to watch from.

        The API server answers from its own cache, as for client-go's reflectors. That costs etcd
        nothing, and the watch delivers what the answer lacks. After "too old", the list is read
        from etcd in pages, because the API server's cache may be behind.
        """
        source = self._source
        items: list[T] = []
        first = {"limit": str(PAGE)} if self._consistent else {"resourceVersion": "0"}
        query = {"labelSelector": source.selector, **first}
        while True:
            page, version, token = await api.list_page(
                source.kind, source.namespace, source.as_type, query=query, metadata_only=source.metadata_only
            )
            items += page
            if not token:
                break
            query = {"labelSelector": source.selector, "limit": str(PAGE), "continue": token}
        if not version.isdecimal():
            raise Unreachable("the list has no resource version, so it is not from the API server")
        changed, gone = self._cache.replace(items, int(version), source.namespace)
        self._consistent = False
        self.synced = True
        for item in (*changed, *gone):
            self._changed(self._cache.group_of(item))
        return version

    async def _watch(self, api: Api) -> Lines:
        """Open a watch of the changes after the known version."""
        source = self._source
        query = {
            "resourceVersion": self._version,
            "labelSelector": source.selector,
            "allowWatchBookmarks": "true",
            # Random, so that the watches do not all end at once.
            "timeoutSeconds": str(random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS)),  # noqa: S311
        }
        return await api.watch(source.kind, source.namespace, query=query, metadata_only=source.metadata_only, silence=SILENCE_SECONDS)

    async def _follow(self, lines: Lines) -> None:
        """Put all events into the cache until the server ends the stream."""
        opened, self.problem = self._clock(), ""
        self._open = True
        try:
            while batch := await lines.read():
                for line in batch:
                    self._version = self._handle(decoding.from_json(line, _Event)) or self._version
                    self._healthy = True
        finally:
            self._healthy |= self._clock() - opened > HEALTHY_SECONDS
            self._current_at = self._clock()
            self._open = False
            lines.close()
        if not self._healthy:
            raise Unreachable("the watch ended as soon as it was opened")

    def _handle(self, event: _Event) -> str:
        """Put one event into the cache, and return its resource version."""
        if event.type == "ERROR":
            failure = decoding.from_json(event.object, _Failure)
            raise ApiError(failure.code, failure.reason, failure.message)
        if event.type == "BOOKMARK":
            return decoding.from_json(event.object, _Bookmark).metadata.resource_version
        item = self._decoder.decode(event.object)
        if event.type == "DELETED":
            self._cache.remove(item)
            self._changed(self._cache.group_of(item))
        elif self._cache.put(item):  # False for the echo of an own write
            self._changed(self._cache.group_of(item))
        return str(item.metadata.resource_version)


def _describe(kind: Kind, error: Exception) -> str:
    if isinstance(error, ApiError) and error.status == GONE:
        return f"The watch of {kind.plural} has expired; listing them again."
    if isinstance(error, ApiError) and error.status == FORBIDDEN:
        return f"The operator may not watch {kind.plural}: {error.message}"
    return f"Failed to watch {kind.plural}: {error}"
