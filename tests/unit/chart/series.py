"""Build the samples of a series in promtool's notation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tests.unit.chart.promtool import SCRAPE_SECONDS

PER_MINUTE = 60 // SCRAPE_SECONDS
NOTHING = "_"
"""A missing scrape."""
STALE = "stale"
"""Prometheus' marker for a target that is gone."""

Samples = list[float | str]


def flat(value: float, minutes: float) -> Samples:
    """Return a gauge with a constant value."""
    return [value] * round(minutes * PER_MINUTE)


def rising(per_minute: float, minutes: float, start: float = 0) -> Samples:
    """Return a counter that starts at `start` and rises evenly."""
    return [start + per_minute * number / PER_MINUTE for number in range(round(minutes * PER_MINUTE))]


def gap(minutes: float) -> Samples:
    """Return missing scrapes."""
    return [NOTHING] * round(minutes * PER_MINUTE)


def steps(total_minutes: float, at: Iterable[float], each: float = 1) -> Samples:
    """Return a counter that rises by `each` at these minutes."""
    moments = sorted(at)
    return [each * sum(moment <= number / PER_MINUTE for moment in moments) for number in range(round(total_minutes * PER_MINUTE))]


def part(value: Samples, *more: Samples) -> Samples:
    """Return the samples one after the other."""
    return [sample for samples in (value, *more) for sample in samples]


def series(
    name: str, samples: Sequence[float | str], *, pod: str = "negset-a", job: str = "negset-metrics", **labels: str
) -> tuple[str, str]:
    """Return a series with the labels that the chart's ServiceMonitor adds."""
    target = {"namespace": "negset-system", "job": job, "service": job, "endpoint": "metrics", "pod": pod, "instance": f"{pod}:8080"}
    text = ",".join(f'{label}="{value}"' for label, value in {**target, **labels}.items())
    return f"{name}{{{text}}}", " ".join(str(sample) for sample in samples)


def buckets(
    fast_per_minute: float, slow_per_minute: float, minutes: float, *, slow: float = 10, pod: str = "negset-a"
) -> list[tuple[str, str]]:
    """Return a histogram of reconciles: some take 20 ms, others almost `slow` seconds.

    `slow` must be the limit of a bucket.
    """
    name, everything = "negset_reconcile_duration_seconds", fast_per_minute + slow_per_minute
    found = [series(f"{name}_count", rising(everything, minutes), pod=pod)]
    for limit in (0.01, 0.025, 2.5, 5.0, 10.0, 30.0, math.inf):
        per_minute = 0 if limit < 0.025 else fast_per_minute if limit < slow else everything
        found.append(series(f"{name}_bucket", rising(per_minute, minutes), pod=pod, le="+Inf" if math.isinf(limit) else str(limit)))
    return found
