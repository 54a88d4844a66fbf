"""Which image is requested next, and when a failed one is given up, without a clock or a server."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Final

import pytest

from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.download.failure import Failed
from negset_jobs.download.hosts import AWAY_AFTER, UNKNOWN_SECONDS, Host, Hosts, host_of
from negset_jobs.download.retry_pause import LONGEST_PROBE_SECONDS, probe_seconds
from negset_jobs.download.schedule import FEW_SECONDS, PROBES_IN_LONG_PAUSE, Schedule
from negset_jobs.download.turns import HostQueue

REQUEST_SECONDS: Final = 0.1
DOWNLOAD: Final = Download(attempts=3, timeout_seconds=10, connections=16, connections_per_host=16, max_outage_seconds=100)

Server = Callable[[str, float], Failed | None]
"""Returns how a request to the URL ends at that time: with a failure, or with the image."""


class Run:
    """One shard against a server, on a clock that is moved by hand."""

    def __init__(self, urls: Iterable[str], server: Server, *, download: Download = DOWNLOAD, hosts: Hosts | None = None) -> None:
        self.urls, self.server, self.download = list(urls), server, download
        self.hosts = hosts or Hosts()
        self.requests: list[tuple[float, str]] = []
        self.ended: dict[str, Outcome] = {}
        self.most_at_once = 0

    def go(self, now: float = 0.0) -> float:
        """Run the shard. Return when it ends."""
        schedule = Schedule(enumerate(self.urls), self.download, self.hosts, lambda: 0.5)
        ending: list[tuple[float, int]] = []
        while schedule.waits or ending:
            while len(ending) < self.download.connections and (index := schedule.take(now)) is not None:
                self.requests.append((now, self.urls[index]))
                heapq.heappush(ending, (now + REQUEST_SECONDS, index))
                self.most_at_once = max(self.most_at_once, len(ending))
            for index, failure in schedule.hopeless(now):
                self.ended[self.urls[index]] = failure.outcome
            following = min(ending[0][0] if ending else math.inf, max(schedule.wake_at(), now + 0.001))
            if following is math.inf:
                break
            now = following
            while ending and ending[0][0] <= now:
                self._end(schedule, heapq.heappop(ending)[1], now)
        assert len(self.ended) == len(self.urls), "every image ends once"
        return now

    def _end(self, schedule: Schedule, index: int, now: float) -> None:
        url = self.urls[index]
        failure = self.server(url, now)
        if failure is None:
            schedule.answered(index, now)
            self.ended[url] = Outcome.STORED
        elif schedule.failed(index, failure, now):
            self.ended[url] = failure.outcome

    def requested(self, host: str = "") -> list[float]:
        return [at for at, url in self.requests if host in url]


def away(begin: float, end: float, outcome: Outcome = Outcome.UNREACHABLE, host: str = "//a/") -> Server:
    return lambda url, now: Failed(outcome, "away") if host in url and begin <= now < end else None


def images(host: str, count: int) -> list[str]:
    return [f"http://{host}/{index}.jpg" for index in range(count)]


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.RATE_LIMITED])
@pytest.mark.parametrize("begin", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("count", [1, 3, 128])
def test_an_outage_of_ten_seconds_loses_nothing(outcome, begin, count):
    """At the start of a shard, in it, and with its last images; of one image and of many."""
    run = Run(images("a", count), away(begin, begin + 10, outcome))
    run.go()
    assert set(run.ended.values()) == {Outcome.STORED}


def test_a_host_that_is_away_is_probed_by_one_image_at_a_time_with_growing_pauses():
    run = Run(images("a", 128), away(0.25, 60))
    run.go()
    assert set(run.ended.values()) == {Outcome.STORED}
    probes = [at for at in run.requested() if 1 < at < 60]
    pauses = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert pauses == sorted(pauses)
    assert len(probes) < 15
    assert len({url for at, url in run.requests if 1 < at < 60}) == len(probes), "each probe is another image"


def test_a_host_that_stays_away_ends_in_failures_after_the_longest_outage():
    run = Run(images("a", 128), away(0.25, math.inf))
    ended = run.go()
    assert 100 < ended < 100 + LONGEST_PROBE_SECONDS + 1
    outcomes = list(run.ended.values())
    assert outcomes.count(Outcome.STORED) + outcomes.count(Outcome.UNREACHABLE) == 128
    assert outcomes.count(Outcome.UNREACHABLE) > 100


def test_a_host_that_never_answered_is_waited_for_less_long():
    run = Run(images("a", 128), away(0, math.inf))
    assert UNKNOWN_SECONDS < run.go() < UNKNOWN_SECONDS + LONGEST_PROBE_SECONDS + 1


def test_a_host_that_stays_away_costs_the_next_shard_of_the_worker_no_time():
    hosts = Hosts()
    first = Run(images("a", 128), away(0, math.inf), hosts=hosts)
    ended = first.go()
    second = Run(images("a", 128), away(0, math.inf), hosts=hosts)
    assert second.go(ended + 0.1) < ended + 1
    assert len(second.requests) <= 1
    assert set(second.ended.values()) == {Outcome.UNREACHABLE}


def test_a_host_that_is_back_serves_the_next_shard():
    hosts = Hosts()
    ended = Run(images("a", 128), away(0, math.inf), hosts=hosts).go()
    second = Run(images("a", 128), away(0, 1), hosts=hosts)
    second.go(ended + LONGEST_PROBE_SECONDS)
    assert set(second.ended.values()) == {Outcome.STORED}


def test_a_host_that_is_away_costs_the_others_nothing():
    down, up = images("a", 64), images("b", 64)
    urls = [url for pair in zip(down, up, strict=True) for url in pair]
    run = Run(urls, away(0, 50))
    run.go()
    assert set(run.ended.values()) == {Outcome.UNREACHABLE, Outcome.STORED}
    alone = Run(up, away(0, 0))
    alone.go()
    assert max(run.requested("//b/")) < max(alone.requested()) + 1


PERMANENT: dict[str, tuple[Failed, int]] = {
    "an error of one image uses up its attempts": (Failed(Outcome.SERVER_ERROR, ""), 3),
    "so does a body that ends early": (Failed(Outcome.TRUNCATED, ""), 3),
    "a missing image is requested once": (Failed(Outcome.NOT_FOUND, ""), 1),
    "a name that does not exist is no outage": (Failed(Outcome.UNREACHABLE, "", outage=False), 3),
    "a pause beyond all patience is not waited for": (Failed(Outcome.RATE_LIMITED, "", wait_seconds=3600), 1),
}


@pytest.mark.parametrize(("failure", "requests"), PERMANENT.values(), ids=PERMANENT)
@pytest.mark.parametrize("position", [0, 30])
def test_one_image_that_never_succeeds(failure, requests, position):
    urls = images("a", 64)
    bad = urls[position]
    run = Run(urls, lambda url, _: failure if url == bad else None)
    assert run.go() < 10
    assert run.ended[bad] is failure.outcome
    assert sum(url == bad for _, url in run.requests) == requests
    assert len(run.requests) == 63 + requests


@pytest.mark.parametrize("number", [6, 12, 25])
def test_images_that_always_fail_do_not_make_each_shard_wait_for_their_host(number):
    """They are the last of a shard that are left, and then nobody hears of the host."""
    hosts, now, taken = Hosts(), 0.0, []
    for shard in range(4):
        urls = images(f"h/{shard}", 125)
        bad = set(urls[1 :: 125 // number][:number])
        run = Run(urls, lambda url, _, bad=bad: Failed(Outcome.SERVER_ERROR, "") if url in bad else None, download=Download(), hosts=hosts)
        ended = run.go(now)
        assert {url for url, outcome in run.ended.items() if outcome is not Outcome.STORED} == bad
        taken.append(ended - now)
        now = ended
    assert taken[0] < 3 * FEW_SECONDS
    assert max(taken[1:]) < FEW_SECONDS


def test_an_image_alone_may_wait_for_its_host_but_only_once_in_vain():
    """Nobody can tell an outage that begins with the last image from an error of that image."""
    hosts, urls = Hosts(), images("a", 128)
    ended = Run(urls[1:], away(0, 0), hosts=hosts).go()
    alone = [Run(urls[:1], away(0, math.inf, Outcome.SERVER_ERROR), hosts=hosts) for _ in range(2)]
    begun, ended = ended, alone[0].go(ended)
    assert FEW_SECONDS < ended - begun < 3 * FEW_SECONDS
    assert alone[1].go(ended) - ended < FEW_SECONDS
    assert [run.ended for run in alone] == [{urls[0]: Outcome.SERVER_ERROR}] * 2


def test_without_a_longest_outage_every_attempt_counts():
    run = Run(images("a", 128), away(0, math.inf), download=Download(attempts=3, max_outage_seconds=0))
    run.go()
    assert len(run.requests) == 3 * 128


def test_a_pause_that_a_host_asks_for_holds_for_all_its_images():
    asked_until = 21.0

    def server(url: str, now: float) -> Failed | None:
        return Failed(Outcome.RATE_LIMITED, "", wait_seconds=asked_until - now) if url.endswith("/3.jpg") and now < asked_until else None

    run = Run(images("a", 128), server)
    run.go()
    assert set(run.ended.values()) == {Outcome.STORED}
    assert not [at for at in run.requested() if 1 < at < asked_until]


@pytest.mark.parametrize(("seconds", "kept"), [(5, 5), (99, 99), (3600, 100 / PROBES_IN_LONG_PAUSE)])
def test_a_host_that_asks_for_a_pause_while_it_is_away_loses_no_image(seconds, kept):
    """A pause that is longer than the longest outage is not kept whole."""

    def server(_: str, now: float) -> Failed | None:
        return Failed(Outcome.SERVER_ERROR, "", wait_seconds=seconds) if 0.25 <= now < 10 else None

    run = Run(images("a", 512), server, download=Download(connections=64, connections_per_host=64, max_outage_seconds=100))
    run.go()
    assert set(run.ended.values()) == {Outcome.STORED}
    assert not [at for at in run.requested() if 4 < at < kept]


def test_a_single_failure_after_a_long_pause_does_not_cost_the_images_of_a_host():
    """A server is away for 10 s, asks for an hour, and then spoils every second answer."""
    answers = itertools.count()

    def server(_: str, now: float) -> Failed | None:
        if 0.25 <= now < 10:
            return Failed(Outcome.SERVER_ERROR, "", wait_seconds=3600)
        return Failed(Outcome.SERVER_ERROR, "") if now >= 10 and next(answers) % 2 == 0 else None

    run = Run(images("a", 256), server, download=Download(attempts=20, max_outage_seconds=100))
    run.go()
    assert set(run.ended.values()) == {Outcome.STORED}


def test_a_host_that_limits_the_rate_gets_fewer_connections_and_every_image():
    """It serves at most 4 requests at once, and refuses the others."""
    at_once: list[float] = []

    def server(_: str, now: float) -> Failed | None:
        at_once[:] = [at for at in at_once if at > now - REQUEST_SECONDS / 2]
        at_once.append(now)
        return Failed(Outcome.RATE_LIMITED, "") if len(at_once) > 4 else None

    run = Run(images("a", 512), server, download=Download(connections=64, connections_per_host=64))
    run.go()
    assert list(run.ended.values()).count(Outcome.STORED) == 512


def test_a_host_without_an_answer_leaves_connections_for_the_others():
    run = Run([*images("a", 64), *images("b", 64)], away(0, math.inf))
    schedule = Schedule(enumerate(run.urls), DOWNLOAD, Hosts(), lambda: 0.5)
    taken = [schedule.take(0.0) for _ in range(DOWNLOAD.connections)]
    assert taken == [*range(8), *range(64, 72)]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.org/a.jpg", "example.org"),
        ("https://me:secret@example.org:8443/a@b.jpg", "example.org:8443"),
        ("https://example.org?a=http://other/", "example.org"),
        ("HTTP://[::1]:80/a.jpg", "[::1]:80"),
        ("s3://bucket/a/b.jpg", "s3://bucket"),
        ("zip://a.jpg::https://example.org/a.zip", "example.org"),
        ("/folder/a.jpg", ""),
        ("file:///folder/a.jpg", ""),
        ("zip://a.jpg::/folder/a.zip", ""),
        ("no url at all", ""),
        ("http://", ""),
    ],
)
def test_the_host_of_a_url(url, host):
    assert host_of(url) == host


def test_failures_that_lie_far_apart_are_no_outage():
    host = Host()
    for number in range(2 * AWAY_AFTER):
        host.failed(f"{number}", Failed(Outcome.TIMEOUT, ""), number * 100.0, number * 100.0 + 1, 0.5)
    assert not host.away


def test_only_the_hosts_used_last_are_remembered():
    hosts = Hosts()
    first = hosts.of("first")
    second = hosts.of("second")
    for number in range(4095):
        hosts.of(f"{number}")
        assert hosts.of("first") is first
    assert hosts.of("second") is not second


def test_pauses_between_probes_grow_and_are_bounded():
    pauses = [probe_seconds(number, 1.0) for number in range(1, 100)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, LONGEST_PROBE_SECONDS)
    assert probe_seconds(1, 0.0) == 0.25


@pytest.mark.parametrize("hosts", [1, 100, 4000])
def test_each_image_costs_the_same_however_many_hosts_the_shard_has(hosts, monkeypatch):
    looked_at = []
    next_index = HostQueue.next_index
    monkeypatch.setattr(HostQueue, "next_index", lambda queue, now: looked_at.append(1) or next_index(queue, now))
    run = Run([f"http://{index % hosts}/{index}.jpg" for index in range(4000)], lambda _url, _now: None)
    run.go()
    assert set(run.ended.values()) == {Outcome.STORED}
    assert len(looked_at) < 6 * len(run.urls)


def test_answers_to_requests_that_began_before_an_outage_do_not_prove_that_the_host_is_well():
    """The last attempt comes after an outage of ten seconds; and soon, if others are answered."""
    for well, last in ((False, 13), (True, 2)):
        schedule, broken = Schedule(enumerate(images("a", 5)), Download(attempts=3), Hosts(), lambda: 0.1), Failed(Outcome.SERVER_ERROR, "")
        assert [schedule.take(0) for _ in range(4)] == [0, 1, 2, 3]
        assert not schedule.failed(0, broken, 0.1)
        assert schedule.take(0.1) == 4
        for index in (1, 2, 3):
            schedule.answered(index, 0.1 + index / 100)
        if well:
            schedule.answered(4, 0.2)
        requests = [(now, schedule.failed(0, broken, now)) for now in range(1, 20) if schedule.take(now) == 0]
        assert requests == [(1, False), (last, True)]
