"""Keeps a cache equal to what the API server has: list, then watch, for ever.

The client's own `SharedInformer` (kubernetes 37) is not used, for what its source says and a trial
showed: it takes `dict.items`, the method, for the items of a custom resource's list; with plain
dicts its watch never learns the resource version and replays everything at each reconnect; after an
answer such as 403, or a refused connection, it tries again at once and without end; its watch has
no read timeout, so a connection that died silently is waited on for ever; it asks for no bookmarks,
so that quiet kinds expire; it keeps whole objects; and it takes a thread for each kind in each
namespace.
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
"""The server ends a watch after this time; with bookmarks a new one costs nothing."""
SILENCE_SECONDS: Final = 100.0
"""Bookmarks come about once a minute
(https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks); a stream silent for
longer is dead.
"""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 15.0
LONGEST_RETRY_AFTER: Final = 120.0
"""What is honoured of a server's Retry-After, in seconds."""
HEALTHY_SECONDS: Final = 5.0
"""A watch that was open for so long was worth opening, even if nothing happened in it."""

TRIES_IN_TURN: Final = 3
"""Attempts before others have their turn: the server may be away for this one only."""


class Source(msgspec.Struct, frozen=True):
    """What to keep: a kind, in a namespace ("" means all of them), with these labels, as this type."""

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
    """Fills `cache` from `source`, and tells `changed` the group of every object that changed.

    `run` is a coroutine. The rest may be read from any thread.
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
        """Why the kind cannot be listed or watched now; empty while it can."""
        self.restarts = 0
        """How often listing or watching has failed."""

    @property
    def stale_seconds(self) -> float:
        """For how long no watch has been open: what is known may be that old."""
        return 0.0 if self._open else self._clock() - self._current_at

    @property
    def kind(self) -> Kind:
        return self._source.kind

    async def run(self, api: Api, turns: asyncio.Semaphore) -> None:
        """Lists and watches until it is cancelled.

        A list, and the opening of a watch, wait for their turn.
        """
        while True:
            self._healthy = False
            try:
                if not self._version:
                    self._version = await self._in_turn(turns, lambda: self._list(api))
                await self._follow(await self._in_turn(turns, lambda: self._watch(api)))
                self._pause = FIRST_PAUSE
            except (ApiError, Unreachable, msgspec.MsgspecError) as error:
                # Only a watch that was worth opening ends the growing of the pause: that a list was
                # answered says nothing about the next one.
                if self._healthy:
                    self._pause = FIRST_PAUSE
                await self._wait(error)

    async def _in_turn(self, turns: asyncio.Semaphore, ask: Callable[[], Coroutine[Any, Any, A]]) -> A:
        """What the API server answers.

        Keeps its turn while it waits for a server that is away, since the others would ask in vain
        as well.
        """
        async with turns:
            for _ in range(TRIES_IN_TURN - 1):
                try:
                    return await ask()
                except Unreachable as error:
                    await self._wait(error)
            return await ask()

    async def _wait(self, error: Exception) -> None:
        """Notes a failure and waits before the next try, twice as long as before."""
        self._note(error)
        asked = min(getattr(error, "seconds", 0.0), LONGEST_RETRY_AFTER)
        await asyncio.sleep(max(asked, self._pause * random.uniform(0.5, 1)))  # noqa: S311 - jitter
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _note(self, error: Exception) -> None:
        """Says what is wrong, and whether everything must be listed again: only where the server
        calls the version too old, or where what it sent was not understood. Throttling, and rights
        that were taken away, make nothing wrong of what is known.
        """
        gone = isinstance(error, ApiError) and error.status == GONE
        if gone or isinstance(error, msgspec.MsgspecError):
            self._version, self._consistent = "", gone
        self.restarts += 1
        said, self.problem = self.problem, _describe(self._source.kind, error)
        # Once, and not at each attempt: hundreds of namespaces fail together.
        log.log(logging.DEBUG if said == self.problem else logging.WARNING, "%s", self.problem)

    async def _list(self, api: Api) -> str:
        """Takes everything into the cache and returns the version to watch from.

        The API server's own cache answers, as it does client-go's reflectors: it costs etcd
        nothing, and what the answer may lack the watch brings. After "too old" the store itself is
        asked, in pages, since that cache may be the one that is behind.
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
            raise Unreachable("a list came without its version, so not from the API server")
        changed, gone = self._cache.replace(items, int(version), source.namespace)
        self._consistent = False
        self.synced = True
        for item in (*changed, *gone):
            self._changed(self._cache.group_of(item))
        return version

    async def _watch(self, api: Api) -> Lines:
        """Opens a watch of the changes after the known version."""
        source = self._source
        query = {
            "resourceVersion": self._version,
            "labelSelector": source.selector,
            "allowWatchBookmarks": "true",
            # So that they do not all end at once.
            "timeoutSeconds": str(random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS)),  # noqa: S311
        }
        return await api.watch(source.kind, source.namespace, query=query, metadata_only=source.metadata_only, silence=SILENCE_SECONDS)

    async def _follow(self, lines: Lines) -> None:
        """Takes what comes into the cache until the server ends the stream."""
        opened, self.problem = self._clock(), ""
        self._open = True
        try:
            while came := await lines.read():
                for line in came:
                    self._version = self._handle(decoding.from_json(line, _Event)) or self._version
                    self._healthy = True
        finally:
            self._healthy |= self._clock() - opened > HEALTHY_SECONDS
            self._current_at = self._clock()
            self._open = False
            lines.close()
        if not self._healthy:
            raise Unreachable("the watch ended as soon as it was open")

    def _handle(self, event: _Event) -> str:
        """Takes one event into the cache. Returns its resource version."""
        if event.type == "ERROR":
            failure = decoding.from_json(event.object, _Failure)
            raise ApiError(failure.code, failure.reason, failure.message)
        if event.type == "BOOKMARK":
            return decoding.from_json(event.object, _Bookmark).metadata.resource_version
        item = self._decoder.decode(event.object)
        if event.type == "DELETED":
            self._cache.remove(item)
            self._changed(self._cache.group_of(item))
        elif self._cache.put(item):  # the echo of our own write is no news
            self._changed(self._cache.group_of(item))
        return str(item.metadata.resource_version)


def _describe(kind: Kind, error: Exception) -> str:
    if isinstance(error, ApiError) and error.status == GONE:
        return f"The watch of {kind.plural} has expired; listing them again."
    if isinstance(error, ApiError) and error.status == FORBIDDEN:
        return f"The operator may not watch {kind.plural}: {error.message}"
    return f"Cannot watch {kind.plural}: {error}"
