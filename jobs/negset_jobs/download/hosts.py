"""What a worker knows about the hosts that it downloads from. Pure: times are arguments.

A host is away if several of its images failed in a row and none was answered. Then one image at a
time is requested as a probe, with growing pauses, until the host answers. What is known about a
host is kept for the worker's next shard, so that a host that stays away costs its time once.
"""

from __future__ import annotations

import math
from typing import Final

from negset_api import names
from negset_jobs.download.failure import Failed
from negset_jobs.download.retry_pause import probe_seconds

AWAY_AFTER: Final = 5
"""Images of a host that fail in a row before it is away.

With 20 % random failures, that happens once in 3,000 images, and then costs a short pause.
"""
UNPROVEN: Final = 8
"""Connections to a host that has not answered yet. Each answer allows one more.

A host that never answers so keeps most connections free for the others.
"""
UNKNOWN_SECONDS: Final = 30.0
"""How long a host that has never answered is waited for, at most: it may not exist any more."""

_FORGOTTEN_SECONDS: Final = 60.0
"""Failures that are further apart are not of one outage. Pauses between probes are shorter."""
_MOST_HOSTS: Final = 4096


class Host:
    """The state of one host."""

    def __init__(self) -> None:
        self.answered_at = -math.inf
        self._was_well_at = -math.inf
        self.last_failure: Failed | None = None
        self.waited_in_vain = False
        self._failing: set[str] = set()
        self._failing_since = math.inf
        self._failed_at = -math.inf
        self._probes = 0
        self._paused_at = -math.inf
        self._probe_at = -math.inf
        self._requested_until = -math.inf
        self._share: float = UNPROVEN
        self._limited = False

    @property
    def away(self) -> bool:
        return len(self._failing) >= AWAY_AFTER

    @property
    def known(self) -> bool:
        """True if the host has ever answered."""
        return self.answered_at > -math.inf

    @property
    def not_before(self) -> float:
        """The time of the next request, at the earliest."""
        return max(self._probe_at, self._requested_until)

    def is_well_since(self, failed_at: float) -> bool:
        """Return True if a failure at that time was no outage, as far as can be known.

        When an outage begins, requests that began before are still answered. They prove nothing.
        """
        return self.waited_in_vain or self._was_well_at >= failed_at

    def limit(self, most: int) -> int:
        """Return how many requests may run at the same time."""
        return 1 if self.away else min(most, int(self._share))

    def silent_seconds(self, now: float) -> float:
        """Return for how long the host has only failed; 0 if it has not failed since an answer."""
        return max(0.0, now - self._failing_since)

    def given_up(self, patience: float) -> bool:
        """Return True if a request has failed after so many seconds without an answer."""
        return self.away and self._failed_at - self._failing_since > patience

    def patience(self, max_outage: float) -> float:
        """Return how many seconds without an answer are waited for."""
        return max_outage if self.known else min(max_outage, UNKNOWN_SECONDS)

    def answered(self, now: float, begun: float) -> None:
        """Take note of the answer to a request that began at `begun`.

        It ends an outage, but not a pause that the host asked for.
        """
        if self.away:
            self._share = UNPROVEN
        elif self._limited:
            self._share += 1 / self._share
        else:
            self._share += 1
        self.answered_at = now
        self._was_well_at = max(self._was_well_at, begun)
        self._forget()

    def clear(self) -> None:
        """Take note that not the host was away, but that only its failing images were left."""
        self.waited_in_vain = True
        self._share = UNPROVEN
        self._forget()

    def _forget(self) -> None:
        self._failing_since, self._probe_at, self._probes = math.inf, -math.inf, 0
        if self._failing:
            self._failing.clear()

    def failed(self, url: str, failure: Failed, begun: float, now: float, jitter: float) -> None:
        """Take note of a failure that may be the host's. The request began at `begun`."""
        was_away = self.away
        if begun - self._failed_at > _FORGOTTEN_SECONDS and not was_away:
            self._failing_since = math.inf
            self._failing.clear()
        self._failing_since = min(self._failing_since, now)
        self._failed_at, self.last_failure = now, failure
        if not was_away:
            self._failing.add(url)
        # Requests that ran at the same time fail together. They count as one probe.
        if not self.away or begun < self._paused_at:
            return
        self._probes += 1
        self._paused_at, self._probe_at = now, now + probe_seconds(self._probes, jitter)

    def slow_down(self, seconds: float, begun: float, now: float) -> None:
        """Pause and use fewer connections: the host asked for it."""
        self._requested_until = max(self._requested_until, now + seconds)
        if begun >= self._paused_at:
            self._paused_at, self._limited, self._share = now, True, max(1.0, self._share / 2)


class Hosts:
    """The hosts of one worker. It forgets those that were used least recently."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}

    def of(self, name: str) -> Host:
        host = self._hosts.pop(name, None) or Host()
        self._hosts[name] = host
        if len(self._hosts) > _MOST_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        return host


OF_WORKER: Final = Hosts()
"""The hosts of this process. A worker makes its shards one after the other."""


def host_of(url: str) -> str:
    """Return the host of a URL, or the bucket of a store's; empty for a local file.

    It groups URLs, and never decides what may be reached: any text has a result.
    """
    target = url.rsplit("::", 1)[-1]
    if "]" in target and "[" not in target:  # the "::" is that of an IPv6 address
        target = url
    scheme, separator, rest = target.partition("://")
    scheme = scheme.lower()
    if not separator or scheme in names.LOCAL_SCHEMES:
        return ""
    authority = _before(rest, "/", "?", "#").rpartition("@")[2].lower()
    return authority if scheme in ("http", "https") else f"{scheme}://{authority}"


def _before(text: str, *ends: str) -> str:
    for end in ends:
        text = text.partition(end)[0]
    return text
