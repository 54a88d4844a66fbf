"""The operator's metrics for Prometheus.

The names are part of the interface: the chart's dashboard and alerts use them.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Histogram, Info
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from negset_api import stages
from negset_api.version import version
from negset_operator import reasons
from negset_operator.facts import Fault
from negset_operator.kube.objects import Dataset

_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG: Final = (10, 30, *(60 * minutes for minutes in (1, 5, 10, 30)), *(3600 * hours for hours in (1, 2, 4, 8, 24, 48, 96, 192)))
"""Seconds of a step: from a check of seconds to a training of days."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """How often watching a kind has failed, and for how long it is not watched.

    The latter is the longest time among its namespaces.
    """

    restarts: int = 0
    stale_seconds: float = 0


class Metrics:
    """The operator's metrics, in a registry of their own.

    The arguments return values that are read at each scrape. `requests` are counts of requests to
    the API server by method and status code. `watches` are by the plural of their kind.
    """

    def __init__(
        self,
        *,
        datasets: Callable[[], Iterable[Dataset]],
        depth: Callable[[], int],
        leading: Callable[[], bool],
        requests: Mapping[tuple[str, str], int],
        watches: Callable[[], Mapping[str, Watched]],
    ) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Histogram(
            "negset_reconcile_duration_seconds", "Duration of one reconcile.", buckets=_SECONDS, registry=self.registry
        )
        self.errors = PrometheusCounter("negset_reconcile_errors", "Reconciles that failed and are retried.", registry=self.registry)
        self.children = PrometheusCounter("negset_children_created", "Children created, by kind.", ["kind"], registry=self.registry)
        self._warnings = PrometheusCounter(
            "negset_warnings", "Warning events about datasets, by reason.", ["reason"], registry=self.registry
        )
        self._steps = Histogram(
            "negset_step_duration_seconds", "Duration of completed steps, by kind.", ["kind"], buckets=_LONG, registry=self.registry
        )
        self._failures = PrometheusCounter(
            "negset_step_failures",
            "Failed attempts at a step, by kind and fault.",
            ["kind", "fault"],
            registry=self.registry,
        )
        # `increase` misses the first event of a series that starts at 1, so each starts at 0.
        for kind in stages.KINDS:
            self._steps.labels(kind=kind)
            for fault in Fault:
                self._failures.labels(kind=kind, fault=fault.value)
        build = Info("negset_build", "Version of the operator and of Python.", registry=self.registry)
        build.info({"version": version(), "python": platform.python_version()})
        self.registry.register(_Gauges(datasets, depth, leading))
        self.registry.register(_Requests(requests, watches))

    def warned(self, reason: str) -> None:
        """Count a warning event about a dataset."""
        self._warnings.labels(reason=reason).inc()

    def failed(self, step: str, fault: str) -> None:
        """Count a failed attempt at a step."""
        self._failures.labels(kind=step, fault=fault).inc()

    def finished(self, step: str, seconds: float) -> None:
        """Count a completed step."""
        self._steps.labels(kind=step).observe(seconds)


class _Gauges(Collector):
    def __init__(self, datasets: Callable[[], Iterable[Dataset]], depth: Callable[[], int], leading: Callable[[], bool]) -> None:
        self._datasets, self._depth, self._leading = datasets, depth, leading

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("negset_queue_depth", "Datasets that wait in the leader's queue.", value=self._depth())
        yield GaugeMetricFamily("negset_leader", "1 if this replica is the leader, otherwise 0.", value=float(self._leading()))
        states: dict[str, Counter[str]] = {}
        totals = Counter[str]()
        for dataset in self._datasets():
            states.setdefault(dataset.metadata.namespace, Counter())[state(dataset)] += 1
            images = dataset.status.get("images") or {}
            totals.update({outcome: images.get(outcome, 0) for outcome in ("planned", "stored", "failed")})
        # Not "namespace": Prometheus adds that label itself, with the operator's own namespace.
        by_state = GaugeMetricFamily(
            "negset_datasets", "Datasets by their namespace and their state.", labels=["dataset_namespace", "state"]
        )
        for namespace, counts in sorted(states.items()):
            for name in STATES:
                by_state.add_metric([namespace, name], counts[name])
        yield by_state
        by_outcome = GaugeMetricFamily("negset_images", "Images of all datasets by outcome.", labels=["outcome"])
        for name in ("planned", "stored", "failed"):
            by_outcome.add_metric([name], totals[name])
        yield by_outcome


class _Requests(Collector):
    def __init__(self, requests: Mapping[tuple[str, str], int], watches: Callable[[], Mapping[str, Watched]]) -> None:
        self._requests, self._watches = requests, watches

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily("negset_api_requests", "Requests to the API server by method and status.", labels=["method", "code"])
        for (method, code), count in sorted(dict(self._requests).items()):
            counts.add_metric([method, code], count)
        yield counts
        restarts = CounterMetricFamily("negset_watch_restarts", "Lists and watches that failed, by kind.", labels=["kind"])
        stale = GaugeMetricFamily(
            "negset_watch_stale_seconds", "Seconds without a watch of the kind. The operator's data may be that old.", labels=["kind"]
        )
        for kind, watched in sorted(self._watches().items()):
            restarts.add_metric([kind], watched.restarts)
            stale.add_metric([kind], watched.stale_seconds)
        yield restarts
        yield stale


STATES: Final = ("ready", "reconciling", "suspended", "stalled", "new")


def state(dataset: Dataset) -> str:
    """Return the state of a dataset, one of `STATES`."""
    conditions = {entry.get("type"): entry.get("status") for entry in dataset.status.get("conditions") or ()}
    if not conditions:
        return "new"
    for kind, name in ((reasons.STALLED, "stalled"), (reasons.READY, "ready"), (reasons.RECONCILING, "reconciling")):
        if conditions.get(kind) == "True":
            return name
    return "suspended"
