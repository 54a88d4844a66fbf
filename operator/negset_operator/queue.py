"""A work queue: every key at most once in it and in one hand at a time, later additions, and a growing pause for a key that keeps failing."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 120.0


class WorkQueue(Generic[K]):
    """As client-go's: a key that is added while it is being worked on is worked on again afterwards. `clock` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._count = 0
        self._failures: dict[K, int] = {}
        self._closed = False

    def add(self, key: K) -> None:
        with self._changed:
            self._add(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Adds the key later. Of several such times for one key the earliest counts."""
        with self._changed:
            due = self._clock() + seconds
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                self._count += 1
                heapq.heappush(self._later, (due, self._count, key))
                self._changed.notify()

    def get(self) -> K | None:
        """Waits for a key and takes it; `done` must follow. None when the queue is closed."""
        with self._changed:
            while not self._closed:
                pause = self._move_due()
                if self._ready:
                    key = self._ready.popleft()
                    self._waiting.discard(key)
                    self._working.add(key)
                    return key
                self._changed.wait(pause)
            return None

    def done(self, key: K) -> None:
        with self._changed:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._add(key)

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """Adds the key again after a pause that doubles each time, and returns the pause in seconds."""
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = max(min(FIRST_PAUSE * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE), at_least)
        self.add_after(key, pause)
        return pause

    def forget(self, key: K) -> None:
        """The key went well: its next failure starts from the shortest pause again."""
        with self._changed:
            self._failures.pop(key, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """How many keys wait to be worked on now."""
        with self._changed:
            return len(self._ready)

    def _add(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._changed.notify()

    def _move_due(self) -> float | None:
        """Moves what is due into the queue. Returns the seconds until the next is."""
        while self._later:
            due, _, key = self._later[0]
            if due > self._clock():
                return due - self._clock()
            heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key)
        return None
