"""The points of curves, from the evidence. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_jobs.reporting.evidence import HIT, IGNORED, Evidence

Array = npt.NDArray[np.float64]

MOST_POINTS: Final = 150
"""A curve is 460 pixels wide and has no room for more points."""

BINS: Final = 25


class Curve(NamedTuple):
    """Points in the order of falling thresholds."""

    x: Array
    y: Array


class Histogram(NamedTuple):
    """How many have a score in each of `BINS` equal parts of [0, 1].

    Counted are the detections that find an object, and the best detection on each negative.
    """

    matches: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]


def froc(model: Evidence) -> Curve:
    """Return false positives per held-out negative (x) and recall (y).

    It starts at 0, 0 and has a point for each threshold at which one more object is found.
    """
    hits = _falling(model.positives.scores[model.verdicts == HIT])
    fired = _falling(model.negatives.scores)
    rates = np.searchsorted(-fired, -hits, side="right") / max(1, len(model.negative_ids))
    recall = np.arange(1, hits.size + 1) / max(1, int(model.objects.sum()))
    return _thinned(np.concatenate([[0.0], rates]), np.concatenate([[0.0], recall]))


def precision_recall(model: Evidence) -> Curve:
    """Return recall (x) and precision (y) on the held-out positives.

    At IoU 0.50, all classes together, with a point for each threshold at which one more object is
    found.
    """
    counted = model.verdicts != IGNORED
    order = np.argsort(-model.positives.scores[counted], kind="stable")
    good = (model.verdicts[counted] == HIT)[order]
    hits = np.cumsum(good)
    precision = hits / np.arange(1, good.size + 1)
    return _thinned(hits[good] / max(1, int(model.objects.sum())), precision[good])


def histogram(model: Evidence) -> Histogram:
    """Return the histogram of the scores. A negative without detections counts as score 0."""
    best = np.zeros(len(model.negative_ids), np.float32)
    np.maximum.at(best, model.negatives.images, model.negatives.scores)
    edges = np.linspace(0, 1, BINS + 1)
    matches = model.positives.scores[model.verdicts == HIT]
    return Histogram(*(np.histogram(np.clip(scores, 0, 1), edges)[0].astype(np.int64) for scores in (matches, best)))


def _falling(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.sort(scores)[::-1]


def _thinned(x: Array, y: Array) -> Curve:
    if x.size > MOST_POINTS:
        kept = np.unique(np.linspace(0, x.size - 1, MOST_POINTS).round().astype(int))
        x, y = x[kept], y[kept]
    return Curve(x, y)
