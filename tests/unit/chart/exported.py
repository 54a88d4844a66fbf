"""The metrics of a running operator, without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from negset_operator.kube.objects import Dataset, ObjectMeta
from negset_operator.metrics import Metrics, Watched


class Family(NamedTuple):
    """One metric: the name that queries begin with, its type, labels and description."""

    name: str
    type: str
    labels: tuple[str, ...]
    description: str


def shown() -> str:
    """What a running operator answers under /metrics."""
    dataset = Dataset(metadata=ObjectMeta(name="one", namespace="team-a"))
    metrics = Metrics(
        datasets=lambda: [dataset],
        depth=lambda: 1,
        leading=lambda: True,
        requests={("GET", "200"): 1},
        watches=lambda: {"pods": Watched(restarts=1)},
    )
    metrics.children.labels(kind="Job").inc()
    metrics.warned("InvalidSpec")
    metrics.failed("data", "work")
    metrics.finished("data", 60)
    return generate_latest(metrics.registry).decode()


def series() -> dict[str, set[str]]:
    """Name → label names of every series that a running operator exports."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(shown()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def families() -> Iterator[Family]:
    """Every metric, without the `_created` series that the client library adds."""
    for family in text_string_to_metric_families(shown()):
        if family.type == "gauge" and family.name.endswith("_created"):
            continue
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        name = family.name + ("_total" if family.type == "counter" else "")
        yield Family(name, family.type, tuple(labels), family.documentation)
