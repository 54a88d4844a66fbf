"""The images of each host that wait to be requested, and whose turn is next. Pure.

The time of each call grows with the logarithm of the number of hosts: a list of URLs may have
another host for each image.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import math
from collections.abc import Iterator

from negset_jobs.download.hosts import Host


class HostQueue:
    """The images of one host that wait to be requested."""

    def __init__(self, host: Host, most: int, patience: float) -> None:
        self.host, self.most, self.max_outage = host, most, patience
        self.fresh: collections.deque[int] = collections.deque()
        self.again: list[tuple[float, int]] = []
        self.running = 0

    @property
    def patience(self) -> float:
        return self.host.patience(self.max_outage)

    @property
    def waits(self) -> bool:
        """True if an image waits to be requested."""
        return bool(self.fresh or self.again)

    @property
    def is_full(self) -> bool:
        """True if as many requests run as the host may have."""
        return self.running >= self.host.limit(self.most)

    def next_index(self, now: float) -> int | None:
        """Return the image to request now, without taking it."""
        if self.is_full or self.host.not_before > now:
            return None
        due = self.again[0][1] if self.again and self.again[0][0] <= now else None
        # Another image for each probe: that of the last one may fail by itself.
        if self.fresh and (due is None or self.host.away or self.fresh[0] < due):
            return self.fresh[0]
        return due

    def changes_at(self, now: float) -> float:
        """Return when `next_index` changes, if nothing is requested or finished until then."""
        if self.is_full or not self.waits:
            return math.inf
        if self.host.not_before > now:
            return self.host.not_before
        return self.again[0][0] if self.again and self.again[0][0] > now else math.inf

    def take(self, index: int) -> None:
        if self.fresh and self.fresh[0] == index:
            self.fresh.popleft()
        else:
            heapq.heappop(self.again)
        self.running += 1

    def waiting(self) -> Iterator[int]:
        """Take out all images."""
        while self.fresh:
            yield self.fresh.popleft()
        while self.again:
            yield heapq.heappop(self.again)[1]


class Turns:
    """The queues that have an image to request, the first in plan order first."""

    def __init__(self) -> None:
        # An entry is wrong once its queue changes. Then the queue has another entry.
        self._now: list[tuple[int, int, HostQueue]] = []
        self._later: list[tuple[float, int, HostQueue]] = []
        self._entries = itertools.count()

    def offer(self, queue: HostQueue, now: float) -> None:
        """Take note of a queue. Call it after each change of the queue or of its host."""
        index = queue.next_index(now)
        if index is not None:
            heapq.heappush(self._now, (index, next(self._entries), queue))
        changes_at = queue.changes_at(now)
        if changes_at < math.inf:
            heapq.heappush(self._later, (changes_at, next(self._entries), queue))

    def take(self, now: float) -> int | None:
        """Take the next image out of its queue and return it. None if all must wait."""
        while self._later and self._later[0][0] <= now:
            self.offer(heapq.heappop(self._later)[2], now)
        while self._now:
            index, _, queue = heapq.heappop(self._now)
            if queue.next_index(now) == index:
                queue.take(index)
                self.offer(queue, now)
                return index
        return None

    def wake_at(self) -> float:
        """Return when `take` may return an image after it has returned None."""
        while self._later and not self._later[0][2].waits:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else math.inf
