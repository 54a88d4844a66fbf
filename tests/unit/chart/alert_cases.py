"""Series on which an alert must fire, and similar series on which it must not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.unit.chart.series import STALE, Samples, buckets, flat, gap, part, rising, series, steps

RELEASE = {"namespace": "negset-system", "job": "negset-metrics"}


@dataclasses.dataclass(frozen=True)
class Ill:
    """Series on which `alert` fires.

    It does not fire at minute `not_yet`. It fires at minute `at`, once for each of `fires`: labels,
    and the value as in the annotation. `name` is a sentence.
    """

    alert: str
    name: str
    series: Sequence[tuple[str, str]]
    at: int
    not_yet: int
    fires: Sequence[tuple[dict[str, str], str]] = ((RELEASE, ""),)


@dataclasses.dataclass(frozen=True)
class Healthy:
    """Series on which `alert` never fires."""

    alert: str
    name: str
    series: Sequence[tuple[str, str]]
    minutes: int = 60


NOT_SCRAPED = "NegsetOperatorNotScraped"
WITHOUT_LEADER = "NegsetOperatorWithoutLeader"
TWO_LEADERS = "NegsetOperatorWithTwoLeaders"
STALLED = "NegsetDatasetStalled"
KEEP_FAILING = "NegsetStepsKeepFailing"
FAIL = "NegsetReconcilesFail"
SLOW = "NegsetReconcilesSlow"
QUEUE = "NegsetQueueDoesNotDrain"
API = "NegsetApiServerErrors"
WATCHES = "NegsetWatchesFail"

_LEADER, _STALLED, _DEPTH = "negset_leader", "negset_datasets", "negset_queue_depth"
_FAILURES, _DONE = "negset_step_failures_total", "negset_step_duration_seconds_count"
_ERRORS, _RECONCILES = "negset_reconcile_errors_total", "negset_reconcile_duration_seconds_count"
_REQUESTS, _STALE = "negset_api_requests_total", "negset_watch_stale_seconds"


def _stalled(samples: Samples, pod: str = "negset-a", namespace: str = "team-a") -> tuple[str, str]:
    return series(_STALLED, samples, pod=pod, dataset_namespace=namespace, state="stalled")


ILL = (
    Ill(
        NOT_SCRAPED,
        "every target is gone, and another release's is not",
        [
            series(_LEADER, part(flat(1, 10), [STALE])),
            series(_LEADER, part(flat(0, 10), [STALE]), pod="negset-b"),
            series(_LEADER, flat(1, 30), job="other-negset-metrics"),
        ],
        at=16,
        not_yet=14,
    ),
    Ill(NOT_SCRAPED, "it never was scraped", [], at=6, not_yet=4),
    Ill(
        WITHOUT_LEADER,
        "the leader is gone and the other replica does not take over",
        [series(_LEADER, part(flat(1, 10), [STALE])), series(_LEADER, flat(0, 30), pod="negset-b")],
        at=16,
        not_yet=14,
    ),
    Ill(
        TWO_LEADERS,
        "a replica goes on leading after another took over",
        [series(_LEADER, flat(1, 30)), series(_LEADER, part(flat(0, 10), flat(1, 20)), pod="negset-b")],
        at=16,
        not_yet=14,
        fires=[(RELEASE, "2")],
    ),
    Ill(
        STALLED,
        "two datasets of one team and one of another stall, which both replicas see",
        [
            _stalled(flat(2, 30)),
            _stalled(flat(2, 30), "negset-b"),
            _stalled(flat(1, 30), namespace="team-b"),
            _stalled(flat(0, 30), namespace="team-c"),
        ],
        at=11,
        not_yet=9,
        fires=[({**RELEASE, "dataset_namespace": "team-a"}, "2"), ({**RELEASE, "dataset_namespace": "team-b"}, "1")],
    ),
    Ill(
        STALLED,
        "a rolling update of the operator does not start the time anew",
        [
            _stalled(part(flat(1, 6), [STALE])),
            _stalled(part(flat(1, 8), [STALE]), "negset-b"),
            _stalled(part(gap(5), flat(1, 25)), "negset-c"),
        ],
        at=11,
        not_yet=9,
        fires=[({**RELEASE, "dataset_namespace": "team-a"}, "1")],
    ),
    Ill(
        KEEP_FAILING,
        "a store is away and is asked every ten minutes, also by the operator that took over",
        [
            series(_FAILURES, part(steps(60, range(5, 60, 10)), [STALE]), kind="data", fault="unavailable"),
            series(_DONE, part(flat(40, 60), [STALE]), kind="data"),
            series(_FAILURES, part(flat(0, 61), steps(119, range(5, 119, 10))), pod="negset-b", kind="data", fault="unavailable"),
            series(_DONE, flat(0, 180), pod="negset-b", kind="data"),
            series(_FAILURES, flat(0, 180), pod="negset-b", kind="train", fault="unavailable"),
            series(_DONE, flat(0, 180), pod="negset-b", kind="train"),
        ],
        at=100,
        not_yet=90,
        fires=[({**RELEASE, "kind": "data"}, "100%")],
    ),
    Ill(
        KEEP_FAILING,
        "nine trainings of ten end by their own fault or are stopped for want of progress",
        [
            series(_FAILURES, part(steps(120, range(2, 120, 3)), steps(60, range(2, 60, 3))), kind="train", fault="work"),
            series(_FAILURES, steps(180, range(2, 180, 6)), kind="train", fault="interruption"),
            series(_DONE, steps(180, range(2, 180, 20)), kind="train"),
        ],
        at=150,
        not_yet=80,
        fires=[({**RELEASE, "kind": "train"}, "90.91%")],
    ),
    Ill(
        FAIL,
        "half of the reconciles fail at the replica that leads, and its container starts again every four minutes",
        [
            series(_RECONCILES, part(*[rising(20, 4)] * 15)),
            series(_ERRORS, part(flat(0, 12), *[rising(10, 4)] * 12)),
            series(_RECONCILES, flat(0, 60), pod="negset-b"),
            series(_ERRORS, flat(0, 60), pod="negset-b"),
        ],
        at=40,
        not_yet=20,
        fires=[(RELEASE, "50%")],
    ),
    Ill(SLOW, "one in ten takes almost ten seconds", buckets(18, 2, 60), at=20, not_yet=14, fires=[(RELEASE, "9.5s")]),
    Ill(
        QUEUE,
        "seven datasets wait at the replica that leads, sometimes more",
        [series(_DEPTH, part(flat(0, 5), *[part(flat(9, 1), flat(7, 1))] * 30)), series(_DEPTH, flat(0, 65), pod="negset-b")],
        at=40,
        not_yet=25,
        fires=[(RELEASE, "7")],
    ),
    Ill(
        API,
        "a tenth of the requests is throttled, errs or is not answered, and the container starts again every four minutes",
        [
            series(_REQUESTS, part(*[rising(90, 4)] * 15), method="GET", code="200"),
            series(_REQUESTS, part(*[rising(4, 4)] * 15), method="GET", code="429"),
            series(_REQUESTS, part(*[rising(4, 4)] * 15), method="PATCH", code="503"),
            series(_REQUESTS, part(*[rising(2, 4)] * 15), method="PUT", code="none"),
        ],
        at=20,
        not_yet=14,
        fires=[(RELEASE, "10%")],
    ),
    Ill(
        WATCHES,
        "one kind cannot be watched by one replica, whose container starts again every three minutes",
        [
            series(_STALE, part(*[rising(60, 3)] * 20), kind="rayjobs"),
            series(_STALE, flat(0, 60), kind="jobs"),
            series(_STALE, flat(0, 60), pod="negset-b", kind="rayjobs"),
        ],
        at=20,
        not_yet=14,
        fires=[({**RELEASE, "pod": "negset-a", "kind": "rayjobs"}, "")],
    ),
    Ill(
        WATCHES,
        "rights were taken away in one namespace of many",
        [series(_STALE, rising(60, 60), kind="pods")],
        at=25,
        not_yet=14,
        fires=[({**RELEASE, "pod": "negset-a", "kind": "pods"}, "")],
    ),
)

HEALTHY = (
    Healthy(
        NOT_SCRAPED,
        "one of two replicas is gone",
        [series(_LEADER, flat(1, 60)), series(_LEADER, part(flat(0, 9), [STALE]), pod="negset-b")],
    ),
    Healthy(NOT_SCRAPED, "Prometheus misses four minutes", [series(_LEADER, part(flat(1, 20), [STALE], gap(3.5), flat(1, 36)))]),
    Healthy(
        WITHOUT_LEADER,
        "nobody leads for four minutes while the Lease runs out",
        [series(_LEADER, part(flat(1, 20), [STALE])), series(_LEADER, part(flat(0, 24), flat(1, 36)), pod="negset-b")],
    ),
    Healthy(
        TWO_LEADERS,
        "the last sample of a leader whose target vanished without a word is still looked at",
        [series(_LEADER, flat(1, 20)), series(_LEADER, part(flat(0, 20), flat(1, 40)), pod="negset-b")],
    ),
    Healthy(
        STALLED,
        "a dataset stalls for five minutes and goes on, again and again",
        [_stalled(part(*[part(flat(1, 5), flat(0, 5))] * 6)), _stalled(part(*[part(flat(1, 5), flat(0, 5))] * 6), "negset-b")],
    ),
    Healthy(
        STALLED,
        "many datasets are ready, work, wait in a queue or are new",
        [series(_STALLED, flat(40, 60), dataset_namespace="team-a", state=state) for state in ("ready", "reconciling", "suspended", "new")],
    ),
    Healthy(
        KEEP_FAILING,
        "a drained node interrupts five steps in an hour in which nothing else ends",
        [series(_FAILURES, steps(240, [30], each=5), kind="data", fault="interruption"), series(_DONE, flat(0, 240), kind="data")],
        minutes=240,
    ),
    Healthy(
        KEEP_FAILING,
        "one step in three fails once and succeeds the next time",
        [
            series(_FAILURES, steps(240, range(3, 240, 30)), kind="data", fault="work"),
            series(_DONE, steps(240, range(3, 240, 10)), kind="data"),
        ],
        minutes=240,
    ),
    Healthy(
        KEEP_FAILING,
        "users' own mistakes, which their conditions tell them",
        [
            series(_FAILURES, steps(240, range(3, 240, 5)), kind="check", fault="input"),
            series(_FAILURES, steps(240, range(3, 240, 5)), kind="check", fault="refused"),
            series(_DONE, flat(0, 240), kind="check"),
        ],
        minutes=240,
    ),
    Healthy(
        FAIL,
        "one reconcile in ten fails, and the operator starts again",
        [
            series(_RECONCILES, part(rising(20, 30, start=4000), rising(20, 30))),
            series(_ERRORS, part(rising(2, 30, start=400), rising(2, 30))),
        ],
    ),
    Healthy(FAIL, "nothing happens at all", [series(_RECONCILES, flat(0, 60)), series(_ERRORS, flat(0, 60))]),
    Healthy(SLOW, "all are quick", buckets(20, 0, 60)),
    Healthy(SLOW, "one in two hundred is slow", buckets(19.9, 0.1, 60)),
    Healthy(SLOW, "one in ten takes almost five seconds", buckets(18, 2, 60, slow=5)),
    Healthy(SLOW, "nothing happens at all", buckets(0, 0, 60)),
    Healthy(
        QUEUE,
        "a burst every ten minutes drains in five",
        [series(_DEPTH, part(*[part(flat(50, 5), flat(0, 5))] * 6)), series(_DEPTH, flat(0, 60), pod="negset-b")],
    ),
    Healthy(
        API,
        "conflicts, missing objects and refused pods are answers, not errors",
        [series(_REQUESTS, rising(10, 60), method="POST", code=code) for code in ("201", "403", "404", "409", "410", "422")],
    ),
    Healthy(
        API,
        "three requests in a hundred are throttled all the time",
        [
            series(_REQUESTS, rising(97, 60), method="GET", code="200"),
            series(_REQUESTS, rising(3, 60), method="GET", code="429"),
        ],
    ),
    Healthy(
        API,
        "the API server restarts and does not answer for two minutes",
        [
            series(_REQUESTS, part(rising(100, 20), flat(1950, 2), rising(100, 38, start=2000)), method="GET", code="200"),
            series(_REQUESTS, part(flat(0, 20), rising(50, 2), flat(100, 38)), method="GET", code="none"),
        ],
    ),
    Healthy(
        WATCHES,
        "the API server is away for five minutes, and every watch of every namespace fails",
        [series(_STALE, part(flat(0, 20), rising(60, 5), flat(0, 35)), pod=pod, kind="pods") for pod in ("negset-a", "negset-b")],
    ),
    Healthy(
        WATCHES,
        "a server asks for pauses of a minute now and then",
        [series(_STALE, part(*[part(rising(60, 1), flat(0, 9))] * 6), kind="pods")],
    ),
)
