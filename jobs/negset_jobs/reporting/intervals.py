"""The effect of chance in the choice of the held-out images on a rate.

By the bootstrap, paired between models. Pure.

Held-out negatives and held-out positives are drawn with replacement, as many as there are. Every
model is measured on the same draw. The threshold is measured too: it is found again on each draw of
the positives, at the wanted recall. https://doi.org/10.1214/ss/1177013815 (Efron and Tibshirani
1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_api.values import Interval
from negset_jobs.reporting.evidence import HIT, Evidence
from negset_jobs.training.measuring import wanted_objects

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

RESAMPLES: Final = 2000
_ROWS: Final = 250  # draws in memory at once, fewer if there are many images
_CELLS: Final = 4_000_000
_TAILS: Final = (0.025, 0.975)
_RULE_OF_THREE: Final = 3.0


class Draws(NamedTuple):
    """The rate of each model (row) on each draw (column).

    `phantoms` says how often two imaginary images were drawn; see `difference_interval`.
    """

    rates: Array
    phantoms: Integers
    negatives: int


class _Sample(NamedTuple):
    """What a draw needs of a model, best score first."""

    match_scores: Array
    match_images: Integers
    scores: Array
    images: Integers


def draw(models: Sequence[Evidence], *, recall: float, seed: int, resamples: int = RESAMPLES) -> Draws:
    """Return the rates of models that were measured on the same images, on `resamples` draws."""
    random = np.random.default_rng(seed)
    negatives, objects = len(models[0].negative_ids), models[0].objects.astype(np.int64)
    samples = [_sample(model) for model in models]
    rates = np.zeros((len(models), resamples))
    most = max(1, min(_ROWS, _CELLS // max(1, negatives, objects.size)))
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        drawn_negatives, drawn_positives = _weights(random, rows, negatives), _weights(random, rows, objects.size)
        wanted = wanted_objects(drawn_positives @ objects, recall)
        for row, sample in enumerate(samples):
            thresholds = _thresholds(sample, drawn_positives, wanted)
            rates[row, start : start + rows] = _false_positives(sample, drawn_negatives, thresholds) / max(1, negatives)
    return Draws(rates, random.poisson(1.0, (2, resamples)), negatives)


def rate_interval(draws: Draws, model: int) -> Interval:
    """Return the 95 % interval of the rate of one model.

    If nothing fired at all, draws cannot show how often it might. The rule of three can: less than
    3 in as many images.
    """
    low, high = np.quantile(draws.rates[model], _TAILS)
    return float(low), max(float(high), least_resolved(draws.negatives))


def difference_interval(draws: Draws, first: int, second: int) -> Interval:
    """Return the 95 % interval of the difference of two rates, first minus second.

    Two images are added to each draw, as Bonett and Price (2012) add them to paired counts. Only
    the first model fires on one, and only the second on the other. Without them, 0 false positives
    would be drawn as 0 each time, and 0 against 4 would look like a proof. An exact sign test needs
    6.
    """
    return _ends(*_paired(draws, first, second))


def change_interval(draws: Draws, first: int, second: int) -> Interval | None:
    """Return the 95 % interval of the change relative to the second rate: -0.5 means half.

    None if the second rate may be 0.
    """
    one, other = _paired(draws, first, second)
    if np.count_nonzero(other == 0) > _TAILS[0] * other.size:
        return None
    ratios = np.divide(one, other, out=np.full(one.shape, np.inf), where=other > 0)
    low, high = np.quantile(ratios, _TAILS, method="inverted_cdf")
    return (float(low) - 1, float(high) - 1) if np.isfinite(high) else None


def least_resolved(negatives: int) -> float:
    """Return the rule of three.

    If none of `negatives` images shows a false positive, the true rate is below this with 95 %
    confidence.
    """
    return _RULE_OF_THREE / max(1, negatives)


def _ends(one: Array, other: Array) -> Interval:
    low, high = np.quantile(one - other, _TAILS)
    return float(low), float(high)


def _paired(draws: Draws, first: int, second: int) -> tuple[Array, Array]:
    added = draws.phantoms / max(1, draws.negatives)
    return draws.rates[first] + added[0], draws.rates[second] + added[1]


def _sample(model: Evidence) -> _Sample:
    hits = model.verdicts == HIT
    match_scores, match_images = model.positives.scores[hits], model.positives.images[hits]
    by_match, by_score = np.argsort(-match_scores, kind="stable"), np.argsort(-model.negatives.scores, kind="stable")
    return _Sample(
        match_scores[by_match].astype(np.float64),
        match_images[by_match].astype(np.int64),
        model.negatives.scores[by_score].astype(np.float64),
        model.negatives.images[by_score].astype(np.int64),
    )


def _weights(random: np.random.Generator, rows: int, images: int) -> Integers:
    """Return how often each image is drawn in each of `rows` draws."""
    if not images:
        return np.zeros((rows, 0), np.int64)
    places = random.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
    return np.bincount(places.ravel(), minlength=rows * images).reshape(rows, images)


def _thresholds(sample: _Sample, weights: Integers, wanted: Integers) -> Array:
    """Return for each draw the highest score that finds the wanted number of objects.

    It is the lowest match if there are too few, and 0 if there is none.
    """
    if not sample.match_scores.size:
        return np.zeros(len(weights))
    found = np.cumsum(weights[:, sample.match_images], axis=1)
    reached = (found < wanted[:, None]).sum(axis=1)
    # If the wanted number cannot be reached, the threshold is the lowest match that was drawn.
    last = found.shape[1] - 1 - np.argmax(weights[:, sample.match_images[::-1]] > 0, axis=1)
    none = found[:, -1] == 0
    thresholds: Array = sample.match_scores[np.minimum(reached, last)]
    return np.where(none, 0.0, thresholds)


def _false_positives(sample: _Sample, weights: Integers, thresholds: Array) -> Array:
    """Count for each draw the detections at or above its threshold, on the images drawn.

    Draws share few thresholds, so images are counted once for each threshold.
    """
    levels, level = np.unique(-thresholds, return_inverse=True)  # strictest first
    first = np.searchsorted(levels, -sample.scores, side="left")
    counted = first < levels.size
    images = weights.shape[1]
    places = first[counted] * images + sample.images[counted]
    counts = np.bincount(places, minlength=levels.size * images).reshape(levels.size, images).cumsum(axis=0)
    return np.asarray((weights * counts[level]).sum(axis=1), np.float64)
