"""Average precision, and the effect of chance in the choice of the held-out positives on it.

Pure. pycocotools matches the detections once. What follows is its `accumulate` in whole arrays, run
once with every image and once without each group of images: a delete-a-group jackknife. It needs 21
evaluations where a bootstrap needs thousands. For a statistic as smooth as AP it gives the same
result (Shao and Tu, The Jackknife and Bootstrap, 1995, chapter 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.values import Interval, ScoredImage
from negset_jobs.training.measuring import Truth, coco_evaluation

Array = npt.NDArray[np.float64]

GROUPS: Final = 20
# Student's t at 97.5 % for 1 to 19 degrees of freedom: of G groups G - 1 are free.
_STUDENT: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093)  # fmt: skip


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """COCO's AP and its parts.

    `by_class_50` is the AP at IoU 0.50 of each class that has objects. `without` is the AP without
    each group of images in turn.
    """

    whole: float = 0.0
    by_class_50: dict[str, float] = {}
    without: tuple[float, ...] = ()


def precision(truths: Sequence[Truth], scored: Sequence[ScoredImage], groups: int = GROUPS) -> Precision:
    """Return the precision of detections on held-out positives.

    Image i is in group i modulo `groups`, so groups of two models are the same images.
    """
    groups = min(groups, len(truths))
    evaluation = coco_evaluation(truths, scored)
    if evaluation is None:
        return Precision(without=(0.0,) * groups)
    names = {each["id"]: each["name"] for each in evaluation.cocoGt.dataset["categories"]}
    images = len(evaluation.params.imgIds)
    curves: list[Array] = []
    by_class = {}
    for index, category in enumerate(evaluation.params.catIds):
        found = [each for each in evaluation.evalImgs[index * images : (index + 1) * images] if each is not None]
        values = _by_group(found, evaluation.params.recThrs, groups)
        curves.append(values.mean(axis=1))
        if not math.isnan(values[0, 0]):
            by_class[names[category]] = float(values[0, 0])
    # A class without objects has no AP. It is not in the mean, as in pycocotools.
    means = np.array([_mean(column) for column in np.array(curves).T])
    return Precision(whole=float(means[0]), by_class_50=by_class, without=tuple(means[1:].tolist()))


def difference_interval(first: Precision, second: Precision) -> Interval | None:
    """Return the 95 % interval of the difference of two APs.

    None if there are too few images.
    """
    groups = len(first.without)
    if groups < 2 or groups != len(second.without):  # noqa: PLR2004 - one group has no spread
        return None
    differences = np.array(first.without) - np.array(second.without)
    error = math.sqrt((groups - 1) / groups * float(((differences - differences.mean()) ** 2).sum()))
    middle, reach = first.whole - second.whole, _STUDENT[min(groups - 1, len(_STUDENT)) - 1] * error
    return middle - reach, middle + reach


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _by_group(found: list[dict[str, Any]], recalls: Array, groups: int) -> Array:
    """Return the AP of one class at each IoU threshold.

    Row 0 is with all images, row g + 1 without group g; nan if no object is left.
    """
    scores = np.concatenate([each["dtScores"] for each in found])
    # The same sort as in pycocotools, so that equal scores have the same order.
    order = np.argsort(-scores, kind="mergesort")
    group = np.concatenate([np.full(len(each["dtScores"]), each["image_id"] % groups) for each in found])[order]
    ignored = np.concatenate([each["dtIgnore"] for each in found], axis=1)[:, order].astype(bool)
    matched = np.concatenate([each["dtMatches"] for each in found], axis=1)[:, order] > 0
    objects = np.zeros(groups, int)
    for each in found:
        objects[each["image_id"] % groups] += int(np.count_nonzero(each["gtIgnore"] == 0))
    rows = [_sampled(matched & ~ignored, ~matched & ~ignored, int(objects.sum()), recalls)]
    for number in range(groups):
        kept = group != number
        good, bad = (matched & ~ignored)[:, kept], (~matched & ~ignored)[:, kept]
        rows.append(_sampled(good, bad, int(objects.sum() - objects[number]), recalls))
    return np.array(rows)


def _sampled(good: npt.NDArray[np.bool_], bad: npt.NDArray[np.bool_], objects: int, recalls: Array) -> Array:
    """Return the mean of the precision at COCO's 101 recalls, for each IoU threshold."""
    if not objects:
        return np.full(good.shape[0], np.nan)
    hits, misfires = np.cumsum(good, axis=1, dtype=float), np.cumsum(bad, axis=1, dtype=float)
    values = hits / (hits + misfires + np.spacing(1))
    envelope = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    means = np.zeros(good.shape[0])
    for row, (recall, curve) in enumerate(zip(hits / objects, envelope, strict=True)):
        places = np.searchsorted(recall, recalls, side="left")
        means[row] = curve[places[places < curve.size]].sum() / recalls.size
    return means
