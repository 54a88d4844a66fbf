"""A model's detections on the held-out images as arrays, each with a verdict.

Pure. The table of a round has a hundred detections for each image. As objects they would fill the
memory; as arrays they do not.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.values import Round, ScoredImage
from negset_jobs.reporting.precision import Precision
from negset_jobs.reporting.precision import precision as measure_precision
from negset_jobs.training.detections import HeldOut
from negset_jobs.training.measuring import IOU, Truth, corners, intersection, iou, matches

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

HIT, DUPLICATE, WRONG_CLASS, WRONG_PLACE, IGNORED = range(5)
"""The verdicts on a detection on a positive.

In this order: it finds an object; it finds an object that a better detection has found; it lies on
an object of another class; it lies on none; it is ignored. A detection on a crowd region or a
difficult object of its class is ignored.
"""

# COCO's rule for crowd regions (pycocotools/cocoeval.py, `computeIoU`): the overlap is measured
# against the area of the detection.
_COVERED: Final = 0.5


class Columns(msgspec.Struct, frozen=True):
    """Detections on several images.

    `images` and `labels` are the positions of the image and of the class. A box is ymin, xmin,
    ymax, xmax.
    """

    scores: Floats
    images: Ints
    labels: Ints
    boxes: Floats


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The detections of one round's model.

    `verdicts` has an entry for each detection on a positive. `objects` counts the objects to find
    on each positive.
    """

    round: Round
    classes: tuple[str, ...]
    truths: tuple[Truth, ...]
    negative_ids: tuple[str, ...]
    positives: Columns
    negatives: Columns
    verdicts: Ints
    objects: Ints
    precision: Precision

    @property
    def threshold(self) -> float:
        """The score at which the round was measured."""
        return self.round.measurement.threshold

    @property
    def firing(self) -> npt.NDArray[np.bool_]:
        """Which detections on negatives are false positives: those at or above the threshold."""
        return self.negatives.scores >= self.threshold

    @property
    def rate(self) -> float:
        """False positives per held-out negative."""
        return float(self.firing.sum()) / max(1, len(self.negative_ids))

    def counts(self) -> collections.Counter[int]:
        """Return the number of detections on positives by verdict, at or above the threshold."""
        return collections.Counter(self.verdicts[self.positives.scores >= self.threshold].tolist())


def evidence(trained: Round, held_out: HeldOut, *, classes: Sequence[str]) -> Evidence:
    """Return the evidence of a round. `classes` are in the order of the label map."""
    labels = {name: index for index, name in enumerate(dict.fromkeys((*classes, *_classes(held_out))))}
    verdicts = [_verdicts(truth, image) for truth, image in zip(held_out.truths, held_out.positives, strict=True)]
    return Evidence(
        round=trained,
        classes=tuple(labels),
        truths=held_out.truths,
        negative_ids=tuple(image.image_id for image in held_out.negatives),
        positives=_columns(held_out.positives, labels),
        negatives=_columns(held_out.negatives, labels),
        verdicts=np.concatenate([np.empty(0, np.int32), *verdicts]),
        objects=np.array([len(truth.counted) for truth in held_out.truths], np.int32),
        precision=measure_precision(held_out.truths, held_out.positives),
    )


def _classes(held_out: HeldOut) -> list[str]:
    """Return every class that occurs; a label map should have all of them."""
    found = {box.class_name for truth in held_out.truths for box in truth.objects}
    return sorted(found | {each.class_name for image in (*held_out.positives, *held_out.negatives) for each in image.detections})


def _columns(images: Sequence[ScoredImage], labels: dict[str, int]) -> Columns:
    sizes = [len(image.detections) for image in images]
    return Columns(
        np.array([found.score for image in images for found in image.detections], np.float32),
        np.repeat(np.arange(len(images), dtype=np.int32), sizes),
        np.array([labels[found.class_name] for image in images for found in image.detections], np.int32),
        np.concatenate([np.empty((0, 4), np.float32), *(corners(image.detections).astype(np.float32) for image in images)]),
    )


def _verdicts(truth: Truth, image: ScoredImage) -> Ints:
    found = np.array(matches(truth, image), np.int32)
    names = np.array([each.class_name for each in image.detections])[:, None]
    boxes, objects = corners(image.detections), truth.counted
    near = iou(boxes, corners(objects)) >= IOU
    same = names == np.array([box.class_name for box in objects])
    ignored = [box for box in truth.objects if box.crowd or box.difficult]
    covered = (coverage(boxes, corners(ignored)) >= _COVERED) & (names == np.array([box.class_name for box in ignored]))
    return np.select(
        [found >= 0, covered.any(axis=1), (near & same).any(axis=1), near.any(axis=1)], [HIT, IGNORED, DUPLICATE, WRONG_CLASS], WRONG_PLACE
    ).astype(np.int32)


def coverage(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the share of each box of `first` (n, 4) that lies within each of `second` (m, 4).

    It is a share of the box's area, shape (n, m); 0 for empty boxes.
    """
    within = intersection(first, second)
    area = np.broadcast_to(np.prod(first[:, 2:] - first[:, :2], axis=-1)[:, None], within.shape)
    share: npt.NDArray[np.float64] = np.divide(within, area, out=np.zeros(within.shape), where=area > 0)
    return share
