"""Keeps a cache equal to what the API server has: list, then watch, for ever.

The client's own `SharedInformer` (kubernetes 37) is not used, for what its source says and a trial showed: it takes `dict.items`, the method, for the
items of a custom resource's list; with plain dicts its watch never learns the resource version and replays everything at each reconnect; after an answer such as
403, or a refused connection, it tries again at once and without end; its watch has no read timeout, so a connection that died silently is waited on for ever;
it asks for no bookmarks, so that quiet kinds expire; and it keeps whole objects.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from negset_api import decoding
from negset_operator.kube.cache import Cache, Key
from negset_operator.kube.client import FORBIDDEN, GONE, ApiError, Client, Kind, Unreachable

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Any)

PAGE: Final = 500
WATCH_SECONDS: Final = 300
"""The server ends a watch after this time; with bookmarks a new one costs nothing."""
SILENCE_SECONDS: Final = 100.0
"""Bookmarks come about once a minute (https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks); a stream silent for longer is dead."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0


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
    """Fills `cache` from `source` in a thread of its own, and tells `changed` the group of every object that changed."""

    def __init__(self, client: Client, source: Source, cache: Cache[T], changed: Callable[[Key], None]) -> None:
        self._client, self._source, self._cache, self._changed = client, source, cache, changed
        self._decoder = decoding.decoder(source.as_type)
        self._stopped = threading.Event()
        self._synced = threading.Event()
        self._response: Any = None
        self.problem = ""
        """Why the kind cannot be listed or watched now; empty while it can."""
        self._thread = threading.Thread(target=self._run, name=f"watch {source.kind.plural} {source.namespace}".strip(), daemon=True)

    @property
    def synced(self) -> bool:
        """Whether the cache has been complete at least once."""
        return self._synced.is_set()

    @property
    def kind(self) -> Kind:
        return self._source.kind

    @property
    def ended(self) -> bool:
        """Whether it was started and its thread is gone."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, also while it waits for news."""
        self._stopped.set()
        response = self._response
        if response is not None:
            response.shutdown()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        version, pause = "", FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                version = version or self._list()
                self.problem, pause = "", FIRST_PAUSE
                version = self._watch(version)
            except (ApiError, Unreachable, msgspec.MsgspecError) as error:
                if self._stopped.is_set():
                    return
                if not isinstance(error, Unreachable):
                    version = ""  # expired, forbidden or not understood: what is known may be wrong, so list again
                self.problem = _describe(self._source.kind, error)
                log.warning("%s", self.problem)
                self._stopped.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(pause * 2, LONGEST_PAUSE)

    def _list(self) -> str:
        items: list[T] = []
        query = {"limit": str(PAGE), "labelSelector": self._source.selector}
        while True:
            page, version, token = self._client.list_page(
                self._source.kind, self._source.namespace, self._source.as_type, query=query, metadata_only=self._source.metadata_only
            )
            items += page
            if not token:
                break
            query["continue"] = token
        changed, gone = self._cache.replace(items)
        self._synced.set()
        for item in (*changed, *gone):
            self._changed(self._cache.group_of(item))
        return version

    def _watch(self, version: str) -> str:
        """Follows the changes after `version` until the server ends the stream. Returns the version to go on from."""
        query = {
            "resourceVersion": version,
            "labelSelector": self._source.selector,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS)),  # noqa: S311 - so that they do not all end at once
        }
        lines, self._response = self._client.watch(
            self._source.kind, self._source.namespace, query=query, metadata_only=self._source.metadata_only, read_seconds=SILENCE_SECONDS
        )
        try:
            for line in lines:
                version = self._handle(decoding.from_json(line, _Event)) or version
                if self._stopped.is_set():
                    break
        finally:
            self._response.close()
            self._response = None
        return version

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
