"""Download the images of a shard concurrently, inside one event loop, and write them in plan order.

Memory is bounded by the images in the window, not by the shard.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from negset_api.values import ImageResult, Outcome, PlannedImage
from negset_jobs.adapters.worker import Report
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.hosts import Hosts
from negset_jobs.download.plan_order import PlanOrder, Record
from negset_jobs.download.record import CachedRecord, Recording, copied, downloaded, image_input_digest
from negset_jobs.download.schedule import Schedule

WINDOW: Final = 2
"""Images in memory per connection: one in download, and one that waits for a slower image.

Images are written in plan order. Without the second, one slow image would stall every connection.
"""

_LONGEST_PARK_SECONDS: Final = 1.0


class Filling:
    """The images of one shard, on their way into its file.

    `cached_records` are copied instead of downloaded, by position in the shard. `results` has what
    `run` has finished, also by position.
    """

    def __init__(
        self,
        images: Sequence[PlannedImage],
        cached_records: Mapping[int, CachedRecord],
        recording: Recording,
        hosts: Hosts,
        order: PlanOrder,
    ) -> None:
        self._images, self._cached, self._recording = images, dict(cached_records), recording
        self._download = recording.download
        self._hosts, self._order = hosts, order
        self._parked: list[asyncio.Future[None]] = []
        self.results: dict[int, ImageResult] = {}

    async def run(self, indexes: Iterable[int], fetcher: Fetcher, report: Report) -> None:
        """Finish these images. Each ends in one outcome; errors of the output are raised."""
        urls = [(index, "" if index in self._cached else self._images[index].url) for index in indexes]
        schedule = Schedule(urls, self._download, self._hosts, random.random)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._download.connections, len(urls))):
                    group.create_task(self._connection(schedule, fetcher, report))
        # The task group wraps errors in a group of its own. The first of them is raised.
        except* Exception as errors:  # noqa: BLE001
            raise errors.exceptions[0] from None

    async def _connection(self, schedule: Schedule, fetcher: Fetcher, report: Report) -> None:
        """Finish one image after the other, until none waits."""
        clock = asyncio.get_running_loop().time
        while schedule.waits:
            now, room = clock(), self._room(schedule)
            index = schedule.take(now) if room else None
            if index is None:
                if hopeless := schedule.hopeless(now):
                    for lost, failure in hopeless:
                        self._finish(lost, self._failed(lost, failure), report)
                    self._wake(schedule)
                else:
                    await self._park(schedule.wake_at() if room else math.inf)
                continue
            self._wake(schedule)
            record = await self._attempt(schedule, index, fetcher, clock)
            if record is not None:
                self._finish(index, record, report)
            # What follows an image that waits for its host would fill the memory.
            if self._order.in_memory and self._order.next_index not in schedule.running:
                self._order.spill()
            self._wake(schedule)

    async def _attempt(self, schedule: Schedule, index: int, fetcher: Fetcher, clock: Callable[[], float]) -> Record | None:
        """Return the image's record; None if it must wait and be requested again."""
        if (cached := self._cached.pop(index, None)) is not None:
            record = await copied(cached)
            if record is None:
                schedule.move(index, self._images[index].url, clock())
            else:
                schedule.answered(index, clock())
            return record
        try:
            record = await downloaded(self._images[index], self._recording, fetcher)
        except Failed as failure:
            return self._failed(index, failure) if schedule.failed(index, failure, clock()) else None
        schedule.answered(index, clock())
        return record

    def _failed(self, index: int, failure: Failed) -> Record:
        image = self._images[index]
        input_digest = image_input_digest(image, self._download, self._recording.label_ids)
        return Record(b"", ImageResult(image_id=image.image_id, outcome=failure.outcome, input_digest=input_digest, detail=failure.detail))

    def _finish(self, index: int, record: Record, report: Report) -> None:
        self.results[index] = record.result
        self._order.add(index, record)
        report(1, int(record.result.outcome is not Outcome.STORED))

    async def _park(self, until: float) -> None:
        """Wait until an image may be requested."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        self._parked.append(woken)
        timer = loop.call_at(min(until, loop.time() + _LONGEST_PARK_SECONDS), _set, woken)
        try:
            await woken
        finally:
            timer.cancel()
            if woken in self._parked:
                self._parked.remove(woken)

    def _wake(self, schedule: Schedule) -> None:
        """Let a parked connection look again, which wakes the next; at the end, all."""
        number = int(self._room(schedule) > 0) if schedule.waits else len(self._parked)
        for woken in self._parked[:number]:
            self._parked.remove(woken)
            _set(woken)

    def _room(self, schedule: Schedule) -> int:
        """Return how many more images may be in memory."""
        return WINDOW * self._download.connections - self._order.in_memory - len(schedule.running)


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
