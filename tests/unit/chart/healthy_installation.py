"""Eight hours of a healthy installation, as Prometheus sees them.

There are two replicas, an update of the operator, and the usual transient errors of a cluster.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

from tests.unit.chart.series import NOTHING, PER_MINUTE, STALE, Samples, series

MINUTES = 480

API_SERVER_AWAY = (120, 122)
DRAINED = 200
ONE_STALLS, ANOTHER_STALLS = (240, 245), (300, 304)
NOT_SCRAPED = (330, 333)

KINDS = ("check", "data", "train", "mine")
WATCHED = ("negativedatasets", "rayjobs", "jobs", "pods", "configmaps", "roles")
BUCKETS = (0.001, 0.01, 0.1, 1.0, 5.0, 10.0, 30.0, math.inf)

# The minutes at which a step completed or an attempt failed, by kind.
DONE = {"check": range(4, MINUTES, 10), "data": range(9, MINUTES, 10), "train": range(40, MINUTES, 45), "mine": range(44, MINUTES, 45)}
FAILED = {
    ("data", "unavailable"): (60, 62, 66),
    ("data", "work"): (100, 390),
    ("data", "interruption"): (DRAINED,) * 5,
    ("train", "interruption"): (DRAINED,) * 4,
    ("check", "input"): (ONE_STALLS[0], ANOTHER_STALLS[0]),
}


@dataclasses.dataclass(frozen=True)
class Replica:
    """A pod that is scraped from minute `born` to minute `gone`, and leads during `leads`."""

    pod: str
    born: float
    gone: float
    leads: tuple[float, float] = (math.inf, math.inf)

    def leading(self, minute: float) -> bool:
        return self.leads[0] <= minute < self.leads[1]


# `helm upgrade` at minute 180 replaces one pod after the other. For two minutes nobody leads.
REPLICAS = (
    Replica("negset-1-a", 0, 181, leads=(0, 181)),
    Replica("negset-1-b", 0, 180),
    Replica("negset-2-c", 178.5, MINUTES, leads=(183, MINUTES)),
    Replica("negset-2-d", 180, MINUTES),
)


def within(minute: float, span: tuple[float, float]) -> bool:
    return span[0] <= minute < span[1]


def everything() -> dict[str, str]:
    return dict(found for replica in REPLICAS for found in _of(replica))


def _of(replica: Replica) -> Iterator[tuple[str, str]]:
    def gauge(name: str, value: Callable[[float], float], **labels: str) -> tuple[str, str]:
        return series(name, _scraped(replica, value), pod=replica.pod, **labels)

    def counter(name: str, per_minute: Callable[[float], float], **labels: str) -> tuple[str, str]:
        return series(name, _scraped(replica, _sum_since(replica.born, per_minute)), pod=replica.pod, **labels)

    def led(per_minute: Callable[[float], float]) -> Callable[[float], float]:
        """Return `per_minute` while this replica leads, otherwise 0."""
        return lambda minute: per_minute(minute) if replica.leading(minute) else 0

    yield gauge("negset_leader", replica.leading)
    yield gauge("negset_queue_depth", led(lambda minute: 30 if minute % 20 < 8 else 0))
    yield gauge("negset_datasets", lambda minute: within(minute, ONE_STALLS), dataset_namespace="team-a", state="stalled")
    yield gauge("negset_datasets", lambda minute: 2 * within(minute, ANOTHER_STALLS), dataset_namespace="team-b", state="stalled")
    yield gauge("negset_datasets", lambda _: 12, dataset_namespace="team-a", state="ready")
    yield counter("negset_reconcile_errors_total", led(_reconciles_that_fail))
    yield counter("negset_reconcile_duration_seconds_count", led(_reconciles))
    for limit in BUCKETS:
        le = "+Inf" if math.isinf(limit) else str(limit)
        yield counter("negset_reconcile_duration_seconds_bucket", led(lambda minute, limit=limit: _within(limit, minute)), le=le)
    away = API_SERVER_AWAY
    yield counter("negset_api_requests_total", lambda minute: 0 if within(minute, away) else 60, method="GET", code="200")
    yield counter("negset_api_requests_total", led(lambda _: 3), method="PATCH", code="409")
    yield counter("negset_api_requests_total", lambda minute: 40 if within(minute, away) else 0.1, method="GET", code="none")
    yield counter("negset_api_requests_total", lambda minute: 20 if within(minute, (122, 124)) else 0, method="GET", code="429")
    for kind in WATCHED:
        yield gauge("negset_watch_stale_seconds", lambda minute: 60 * (minute - away[0]) if within(minute, away) else 0, kind=kind)
    for kind in KINDS:
        yield counter("negset_step_duration_seconds_count", led(_events(DONE[kind])), kind=kind)
        for fault in ("input", "work", "unavailable", "interruption", "refused"):
            yield counter("negset_step_failures_total", led(_events(FAILED.get((kind, fault), ()))), kind=kind, fault=fault)


def _reconciles(minute: float) -> float:
    return 200 if minute % 60 < 3 else 12


def _reconciles_that_fail(minute: float) -> float:
    return 10 if within(minute, API_SERVER_AWAY) else 0.2


def _within(limit: float, minute: float) -> float:
    """Return the reconciles of a minute that took at most `limit` seconds.

    Most take less than 0.1 s. While the API server is away, and for three minutes after, half take
    10 to 30 s.
    """
    slow = 0.5 if within(minute, (API_SERVER_AWAY[0], API_SERVER_AWAY[1] + 3)) else 0.002
    share = 0 if limit < 0.1 else 1 - slow if limit < 30 else 1
    return share * _reconciles(minute)


def _events(moments: tuple[int, ...] | range) -> Callable[[float], float]:
    """Return a rate per minute that adds one event at each of these minutes."""
    return lambda minute: sum(moment == minute for moment in moments) * PER_MINUTE


def _sum_since(born: float, per_minute: Callable[[float], float]) -> Callable[[float], float]:
    total = 0.0

    def value(minute: float) -> float:
        nonlocal total
        if minute > born:
            total += per_minute(minute) / PER_MINUTE
        return round(total, 4)

    return value


def _scraped(replica: Replica, value: Callable[[float], float]) -> Samples:
    """Return the samples of a series. Its value also changes between scrapes that fail."""
    samples: Samples = []
    for number in range(MINUTES * PER_MINUTE):
        minute = number / PER_MINUTE
        if minute < replica.born or minute > replica.gone:
            samples.append(NOTHING)
            continue
        now = float(value(minute))
        samples.append(STALE if minute == replica.gone else NOTHING if within(minute, NOT_SCRAPED) else now)
    return samples
