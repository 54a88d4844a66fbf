"""A work queue.

Each key is in it at most once, and at one worker at a time. There are two priorities. Keys can be
added later. A key that keeps failing waits for a growing pause.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 120.0
LOW_PRIORITY_SHARE: Final = 8
"""While keys of both priorities wait, one key in this many has a low priority.

So many changes cannot delay keys of low priority without end.
"""


class WorkQueue(Generic[K]):
    """A queue with the rules of client-go's.

    A key that is added while a worker has it is processed again afterwards. `clock` is in seconds
    and monotonic. At most `low_priority_at_once` keys of low priority are at workers at the same
    time. So a worker is free for the next key of normal priority.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, low_priority_at_once: int = 1) -> None:
        self._clock, self._low_priority_at_once = clock, low_priority_at_once
        self._changed = threading.Condition()
        self._ready: dict[K, None] = {}  # as ordered sets
        self._low_priority: dict[K, None] = {}
        self._taken = 0
        self._working: dict[K, bool] = {}  # True for a key that was taken with low priority
        self._again: dict[K, bool] = {}
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._count = 0
        self._failures: dict[K, int] = {}
        self._closed = False

    def add(self, key: K, *, low_priority: bool = False) -> None:
        """Add a key.

        Keys of normal priority go before those of low priority, except for one in
        `LOW_PRIORITY_SHARE`.
        """
        with self._changed:
            self._add(key, low_priority=low_priority)

    def add_after(self, key: K, seconds: float) -> None:
        """Add the key after a pause. Of several pauses for one key, the earliest end counts."""
        with self._changed:
            due = self._clock() + seconds
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                self._count += 1
                heapq.heappush(self._later, (due, self._count, key))
                self._changed.notify()

    def get(self) -> K | None:
        """Wait for a key and take it; `done` must follow. Return None if the queue is closed."""
        with self._changed:
            while not self._closed:
                pause = self._move_due()
                if self._ready or self._low_priority_may_go:
                    return self._take()
                self._changed.wait(pause)
            return None

    def done(self, key: K) -> None:
        with self._changed:
            if self._working.pop(key):
                self._changed.notify()
            if key in self._again:
                self._add(key, low_priority=self._again.pop(key))

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """Add the key again after a pause that doubles each time. Return the pause in seconds."""
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = max(min(FIRST_PAUSE * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE), at_least)
        self.add_after(key, pause)
        return pause

    def forget(self, key: K) -> None:
        """Reset the pause of a key that succeeded."""
        with self._changed:
            self._failures.pop(key, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def normal_priority(self) -> int:
        """How many keys of normal priority wait."""
        with self._changed:
            return len(self._ready)

    def __len__(self) -> int:
        """How many keys wait for a worker now."""
        with self._changed:
            return len(self._ready) + len(self._low_priority)

    def _add(self, key: K, *, low_priority: bool = False) -> None:
        if key in self._working:
            self._again[key] = low_priority and self._again.get(key, True)
        elif key not in self._ready:
            if low_priority:
                self._low_priority[key] = None
            else:
                self._low_priority.pop(key, None)
                self._ready[key] = None
            self._changed.notify()

    @property
    def _low_priority_may_go(self) -> bool:
        return bool(self._low_priority) and sum(self._working.values()) < self._low_priority_at_once

    def _take(self) -> K:
        self._taken += 1
        low_priority = self._low_priority_may_go and (not self._ready or self._taken % LOW_PRIORITY_SHARE == 0)
        line = self._low_priority if low_priority else self._ready
        key = next(iter(line))
        del line[key]
        self._working[key] = low_priority
        return key

    def _move_due(self) -> float | None:
        """Move the keys that are due into the queue. Return the seconds until the next is due."""
        while self._later:
            due, _, key = self._later[0]
            if due > self._clock():
                return due - self._clock()
            heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key)
        return None
