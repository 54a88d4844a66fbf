"""What Prometheus sees. The names are part of the interface: the chart's dashboard and alerts use them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from negset_operator import reasons
from negset_operator.kube.objects import Dataset

_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's metrics in a registry of their own. Gauges are read when they are asked for, from the functions given."""

    def __init__(self, *, datasets: Callable[[], Iterable[Dataset]], depth: Callable[[], int], leading: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Histogram("negset_reconcile_duration_seconds", "Time of one reconcile.", buckets=_SECONDS, registry=self.registry)
        self.errors = PrometheusCounter("negset_reconcile_errors", "Reconciles that failed and are tried again.", registry=self.registry)
        self.children = PrometheusCounter("negset_children_created", "Children made.", ["kind"], registry=self.registry)
        self.registry.register(_Gauges(datasets, depth, leading))


class _Gauges(Collector):
    def __init__(self, datasets: Callable[[], Iterable[Dataset]], depth: Callable[[], int], leading: Callable[[], bool]) -> None:
        self._datasets, self._depth, self._leading = datasets, depth, leading

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("negset_queue_depth", "Data sets that wait to be reconciled.", value=self._depth())
        yield GaugeMetricFamily("negset_leader", "1 where this replica leads.", value=float(self._leading()))
        states, pictures = Counter[str](), Counter[str]()
        for dataset in self._datasets():
            states[state(dataset)] += 1
            images = dataset.status.get("images") or {}
            pictures.update({outcome: images.get(outcome, 0) for outcome in ("planned", "stored", "failed")})
        by_state = GaugeMetricFamily("negset_datasets", "Data sets by state.", labels=["state"])
        for name in STATES:
            by_state.add_metric([name], states[name])
        yield by_state
        by_outcome = GaugeMetricFamily("negset_images", "Pictures of all data sets by outcome.", labels=["outcome"])
        for name in ("planned", "stored", "failed"):
            by_outcome.add_metric([name], pictures[name])
        yield by_outcome


STATES: Final = ("ready", "reconciling", "suspended", "stalled", "new")


def state(dataset: Dataset) -> str:
    """One word for how a data set is."""
    conditions = {entry.get("type"): entry.get("status") for entry in dataset.status.get("conditions") or ()}
    if not conditions:
        return "new"
    for kind, name in ((reasons.STALLED, "stalled"), (reasons.READY, "ready"), (reasons.RECONCILING, "reconciling")):
        if conditions.get(kind) == "True":
            return name
    return "suspended"
