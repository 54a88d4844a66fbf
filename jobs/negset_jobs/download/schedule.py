"""Which image of a shard is requested next, and when a failed one is given up. Pure.

Images are requested in plan order, except those that wait for their host or for a retry. Each of
these waits for no other host. Nothing waits without an end: see `Schedule.failed`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from typing import Final

from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.download.failure import Failed
from negset_jobs.download.hosts import AWAY_AFTER, Host, Hosts, host_of
from negset_jobs.download.retry_pause import wait_seconds
from negset_jobs.download.turns import HostQueue, Turns

FEW_SECONDS: Final = 15.0
"""How long a host is waited for if only images are left that may be the reason of their failures.

These are a few that fail with a response or a timeout, or many that failed while the host answered
others. It may be an outage that began with the last images of the shard. After one wait in vain,
such images end with their attempts.
"""

LAST_SECONDS: Final = 12.0
"""How long after its first failure an image is requested for the last time, if that may be an
outage: if the host has answered only requests that began before.
"""

PROBES_IN_LONG_PAUSE: Final = 4
"""How often a host that is away is asked although it wants a pause longer than it is waited for.

One request may fail by itself, and then cost all images of the host.
"""


class _Failures:
    """The failed attempts of one image."""

    __slots__ = ("begun", "counted", "first_at", "pending", "seen_at", "tries")

    def __init__(self, begun: float, now: float) -> None:
        self.begun = begun
        self.first_at = now
        self.seen_at = begun
        self.tries = self.counted = self.pending = 0


class Schedule:
    """The images of a shard that are not finished: waiting by host, or running.

    `jitter` returns a uniform draw from [0, 1).
    """

    def __init__(self, images: Iterable[tuple[int, str]], download: Download, hosts: Hosts, jitter: Callable[[], float]) -> None:
        """`images` are indexes with URLs. Without a URL, an image is on no host."""
        self._download, self._hosts, self._jitter = download, hosts, jitter
        self._urls = dict(images)
        self._queues: dict[str, HostQueue] = {}
        self._queue_of: dict[int, HostQueue] = {}
        self._away: set[HostQueue] = set()  # all that are, and some that were
        self._turns = Turns()
        self._failures: dict[int, _Failures] = {}
        self._waiting = len(self._urls)
        self.running: dict[int, float] = {}
        """The images that are requested now, and since when."""
        for index, url in self._urls.items():
            queue = self._queue_of[index] = self._queue(host_of(url))
            queue.fresh.append(index)
        for queue in self._queues.values():
            self._note(queue, -math.inf)

    @property
    def waits(self) -> bool:
        """True if an image waits to be requested."""
        return self._waiting > 0

    def take(self, now: float) -> int | None:
        """Return the next image to request, the first in plan order. None if all must wait."""
        index = self._turns.take(now)
        if index is None:
            return None
        self._waiting -= 1
        self.running[index] = now
        return index

    def wake_at(self) -> float:
        """Return when `take` may have an image although nothing finishes until then."""
        return self._turns.wake_at()

    def move(self, index: int, url: str, now: float) -> None:
        """Take note that a running image must be requested from a host instead."""
        self._note(self._stop(index), now)
        self._urls[index] = url
        queue = self._queue_of[index] = self._queue(host_of(url))
        self._wait(queue, index, -math.inf)
        self._note(queue, now)

    def answered(self, index: int, now: float) -> None:
        """Take note that a running image was downloaded."""
        begun = self.running[index]
        queue = self._stop(index)
        queue.host.answered(now, begun)
        self._note(queue, now)

    def failed(self, index: int, failure: Failed, now: float) -> bool:
        """Take note of the failure of a running image. Return True if it is given up.

        A transient failure is retried. It counts as one of `attempts` if the host answered another
        request since the previous one. Otherwise the host may be away. Then the image waits, but
        not after `maxOutageSeconds` without an answer of the host, and never later than `attempts`
        times `timeoutSeconds`, plus `maxOutageSeconds`, after its first request.
        """
        begun = self.running[index]
        queue = self._stop(index)
        given_up = self._is_given_up(queue, index, failure, begun, now)
        self._note(queue, now)
        return given_up

    def _is_given_up(self, queue: HostQueue, index: int, failure: Failed, begun: float, now: float) -> bool:
        if failure.answered:
            queue.host.answered(now, begun)
        if not failure.retryable:
            return True
        failures = self._failures.setdefault(index, _Failures(begun, now))
        failures.tries += 1
        known = failures.counted > 0 and queue.host.waited_in_vain and not queue.host.away
        outage = failure.outage and queue.max_outage > 0 and not known
        if outage:
            queue.host.failed(self._urls[index], failure, begun, now, self._jitter())
        counts = not outage or self._counts(queue.host, failures)
        if counts:
            # The first of many requests may fail before the others are answered.
            failures.counted += 1 + failures.pending
            failures.pending, failures.seen_at = 0, now
        else:
            failures.pending = int(not queue.host.away)
        asked = _asked(queue, failure) if outage else failure.wait_seconds
        requested = asked is not None or failure.outcome is Outcome.RATE_LIMITED
        pause = wait_seconds(failures.tries, self._jitter(), asked) if requested or not queue.host.away else 0.0
        again_at = now + pause
        if outage and not queue.host.away and not queue.host.is_well_since(failures.first_at):
            again_at = self._last_attempt(queue.host, failures, now, again_at)
        if self._given_up(queue, failures, failure, now if queue.host.away else again_at):
            return True
        if not counts and self._lone(queue.host, failures, failure, now):
            return True
        if requested:
            queue.host.slow_down(pause, begun, now)
        self._wait(queue, index, again_at)
        return False

    def hopeless(self, now: float) -> list[tuple[int, Failed]]:
        """Take out the images whose host has been away for too long. Return their failures."""
        found = []
        self._away = {queue for queue in self._away if queue.host.away}
        for queue in self._away:
            last = queue.host.last_failure
            suspect = self._are_suspect(queue)
            if last is not None and queue.host.given_up(_patience(queue, suspect)) and queue.host.not_before > now:
                detail = f"the host has not answered for {int(queue.host.silent_seconds(now))} s: {last.detail}"
                found += [(index, Failed(last.outcome, detail)) for index in queue.waiting()]
                if suspect:
                    queue.host.clear()
        self._waiting -= len(found)
        return found

    def _last_attempt(self, host: Host, failures: _Failures, now: float, again_at: float) -> float:
        """Return when an image is requested again whose failures may be the start of an outage.

        If its last attempt has come late and failed, the host was waited for in vain.
        """
        left, last_at = self._download.attempts - failures.counted, failures.first_at + LAST_SECONDS
        if left <= 0 and now >= last_at:
            host.waited_in_vain = True
        return max(again_at, last_at) if left == 1 else again_at

    @staticmethod
    def _counts(host: Host, failures: _Failures) -> bool:
        """Return True if a failure is probably the image's, and not its host's."""
        if host.away:
            return False
        return failures.counted > 0 or host.waited_in_vain or host.answered_at > failures.seen_at

    def _given_up(self, queue: HostQueue, failures: _Failures, failure: Failed, again_at: float) -> bool:
        download = self._download
        longest = download.attempts * download.timeout_seconds + download.max_outage_seconds
        if failures.counted >= download.attempts or again_at > failures.begun + longest:
            return True
        suspect = self._are_suspect(queue, failures)
        if not (failure.outage and queue.max_outage > 0 and queue.host.silent_seconds(again_at) > _patience(queue, suspect)):
            return False
        if suspect:
            queue.host.clear()
        return True

    def _are_suspect(self, queue: HostQueue, *others: _Failures) -> bool:
        """Return True if nearly all waiting images failed while their host answered others.

        They are probably the reason why it does not answer: no others are left to be asked for.
        """
        if queue.fresh or not queue.host.away:
            return False
        waiting = [*others, *(self._failures.get(index) for _, index in queue.again)]
        return sum(failures is None or not failures.counted for failures in waiting) < min(AWAY_AFTER, len(waiting))

    def _lone(self, host: Host, failures: _Failures, failure: Failed, now: float) -> bool:
        """Return True if one of few failing images has been waited for long enough."""
        if host.away or failure.outcome is Outcome.UNREACHABLE:
            return False
        if failures.tries < self._download.attempts or now - failures.begun <= FEW_SECONDS:
            return False
        host.waited_in_vain = True
        return True

    def _queue(self, name: str) -> HostQueue:
        if name not in self._queues:
            download = self._download
            if name:
                self._queues[name] = HostQueue(self._hosts.of(name), download.connections_per_host, download.max_outage_seconds)
            else:
                self._queues[name] = HostQueue(Host(), download.connections, 0)
        return self._queues[name]

    def _note(self, queue: HostQueue, now: float) -> None:
        """Take note that a queue or its host has changed."""
        if queue.host.away:
            self._away.add(queue)
        self._turns.offer(queue, now)

    def _wait(self, queue: HostQueue, index: int, until: float) -> None:
        heapq.heappush(queue.again, (until, index))
        self._waiting += 1

    def _stop(self, index: int) -> HostQueue:
        del self.running[index]
        queue = self._queue_of[index]
        queue.running -= 1
        return queue


def _asked(queue: HostQueue, failure: Failed) -> float | None:
    """Return the pause that a host asks for, as far as it can be kept.

    A server in maintenance may ask for an hour, and be back in seconds. While it is away, it is
    asked again a few times within the time that it is waited for. While it answers others, only its
    limit of the rate counts.
    """
    asked = failure.wait_seconds
    if asked is None or asked <= queue.patience:
        return asked
    if queue.host.away:
        return queue.patience / PROBES_IN_LONG_PAUSE
    return asked if failure.outcome is Outcome.RATE_LIMITED else None


def _patience(queue: HostQueue, suspect: bool) -> float:
    """Return how long a host is waited for. `suspect` is True if it may only be its images."""
    return min(queue.patience, FEW_SECONDS) if suspect else queue.patience
