"""A work queue: every key at most once in it and in one hand at a time, two priorities, later
additions, and a growing pause for a key that keeps failing.
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
PATIENT_SHARE: Final = 8
"""One key in so many is a low_priority one while both sorts wait, so that no flood of news holds up
the low_priority for ever.
"""


class WorkQueue(Generic[K]):
    """As client-go's: a key that is added while it is being worked on is worked on again
    afterwards. `clock` is in seconds and never goes back.

    At most `patient_at_once` low_priority keys are in workers at the same time, so that a hand is
    free for the next urgent one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, patient_at_once: int = 1) -> None:
        self._clock, self._patient_at_once = clock, patient_at_once
        self._changed = threading.Condition()
        self._ready: dict[K, None] = {}  # as ordered sets
        self._patient: dict[K, None] = {}
        self._taken = 0
        self._working: dict[K, bool] = {}  # and whether it was taken as a low_priority one
        self._again: dict[K, bool] = {}
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._count = 0
        self._failures: dict[K, int] = {}
        self._closed = False

    def add(self, key: K, *, low_priority: bool = False) -> None:
        """A low_priority key lets every other go first that waits or comes meanwhile, but for one
        turn in `PATIENT_SHARE`.
        """
        with self._changed:
            self._add(key, low_priority=low_priority)

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
                if self._ready or self._patient_may_go:
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
        """Adds the key again after a pause that doubles each time, and returns the pause in
        seconds.
        """
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

    @property
    def urgent(self) -> int:
        """How many keys wait that are not low_priority."""
        with self._changed:
            return len(self._ready)

    def __len__(self) -> int:
        """How many keys wait to be worked on now."""
        with self._changed:
            return len(self._ready) + len(self._patient)

    def _add(self, key: K, *, low_priority: bool = False) -> None:
        if key in self._working:
            self._again[key] = low_priority and self._again.get(key, True)
        elif key not in self._ready:
            if low_priority:
                self._patient[key] = None
            else:
                self._patient.pop(key, None)
                self._ready[key] = None
            self._changed.notify()

    @property
    def _patient_may_go(self) -> bool:
        return bool(self._patient) and sum(self._working.values()) < self._patient_at_once

    def _take(self) -> K:
        self._taken += 1
        low_priority = self._patient_may_go and (not self._ready or self._taken % PATIENT_SHARE == 0)
        line = self._patient if low_priority else self._ready
        key = next(iter(line))
        del line[key]
        self._working[key] = low_priority
        return key

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
