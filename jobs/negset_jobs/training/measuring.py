"""Measures a model on the held-out images.

The measures are false positives at a fixed recall, and COCO's average precision. Imports no
TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from negset_api.values import Box, Detection, Measurement, ScoredImage

IOU: Final = 0.5
"""The minimum overlap (IoU) of a detection with an object that it finds."""

Array = np.ndarray[Any, np.dtype[np.float64]]


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A held-out positive: its size in pixels and its objects.

    Crowd regions and difficult objects are included, but ignored.
    """

    image_id: str
    width: int
    height: int
    objects: tuple[Box, ...]

    @property
    def counted(self) -> tuple[Box, ...]:
        """The objects that a model should find."""
        return tuple(box for box in self.objects if not (box.crowd or box.difficult))


def measure(truths: Sequence[Truth], positives: Sequence[ScoredImage], negatives: Sequence[ScoredImage], *, recall: float) -> Measurement:
    """Measure the detections at the threshold that finds the share `recall` of the objects.

    `positives` are the detections on held-out positives, in the order of `truths`; `negatives`
    those on held-out negatives.
    """
    objects = sum(len(truth.counted) for truth in truths)
    scores = [score for truth, scored in zip(truths, positives, strict=True) for score in matched_scores(truth, scored)]
    threshold, reached = threshold_at_recall(scores, objects, recall)
    precision, precision_50 = average_precision(truths, positives)
    return Measurement(
        threshold=threshold,
        recall=reached,
        wanted_recall=recall,
        false_positives_per_image=false_positives_per_image(negatives, threshold),
        average_precision=precision,
        average_precision_50=precision_50,
        negatives=len(negatives),
        positives=len(truths),
        objects=objects,
    )


def matched_scores(truth: Truth, scored: ScoredImage) -> list[float]:
    """Return the scores of the detections that find an object, best first."""
    found = (detection.score for detection, index in zip(scored.detections, matches(truth, scored), strict=True) if index >= 0)
    return sorted(found, reverse=True)


def matches(truth: Truth, scored: ScoredImage) -> list[int]:
    """Return for each detection the index of the counted object that it finds; -1 for none.

    This is COCO's matching (pycocotools/cocoeval.py, `evaluateImg`). The detections are matched in
    the order of their scores, best first. Each takes the free object of its class with the highest
    overlap, if that is at least `IOU`. The match of a detection does not depend on weaker ones. So
    the matches above a threshold are those of the detections above it.
    """
    objects = truth.counted
    found = [-1] * len(scored.detections)
    if not objects or not scored.detections:
        return found
    overlaps = iou(corners(scored.detections), corners(objects))
    classes = np.array([box.class_name for box in objects])
    possible = (overlaps >= IOU) & (np.array([detection.class_name for detection in scored.detections])[:, None] == classes)
    free = np.ones(len(objects), bool)
    near = np.flatnonzero(possible.any(axis=1)).tolist()
    for index in sorted(near, key=lambda index: -scored.detections[index].score):
        candidates = free & possible[index]
        if candidates.any():
            found[index] = int(np.where(candidates, overlaps[index], -1.0).argmax())
            free[found[index]] = False
    return found


def wanted_objects(objects: np.ndarray[Any, np.dtype[np.int64]], recall: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the share `recall` of `objects` as a number of objects, rounded up, at least one."""
    # A recall such as 0.8 of 5 objects is 4, not 5, although 0.8 * 5 may be a little more.
    wanted: np.ndarray[Any, np.dtype[np.int64]] = np.maximum(1, np.ceil(recall * objects - 1e-9)).astype(np.int64)
    return wanted


def threshold_at_recall(scores: Sequence[float], objects: int, recall: float) -> tuple[float, float]:
    """Return the highest score that finds the share `recall` of the objects, and that share.

    `scores` are those of the detections that found an object. If the share cannot be reached, the
    threshold is the lowest of them, which gives the highest possible share. If nothing was found at
    all, it is 0, so every detection on a negative counts.
    """
    if not scores or objects == 0:
        return 0.0, 0.0
    ranked = sorted(scores, reverse=True)
    threshold = ranked[min(int(wanted_objects(np.array(objects), recall)), len(ranked)) - 1]
    return threshold, sum(score >= threshold for score in ranked) / objects


def false_positives_per_image(negatives: Sequence[ScoredImage], threshold: float) -> float:
    """Return the detections at or above `threshold`, per image; 0 without images.

    On a negative every detection is false.
    """
    if not negatives:
        return 0.0
    return sum(detection.score >= threshold for scored in negatives for detection in scored.detections) / len(negatives)


def corners(boxes: Sequence[Box] | Sequence[Detection]) -> Array:
    """Return the boxes as an array of shape (n, 4): ymin, xmin, ymax, xmax."""
    return np.array([(box.ymin, box.xmin, box.ymax, box.xmax) for box in boxes], np.float64).reshape(-1, 4)


def iou(first: Array, second: Array) -> Array:
    """Return the overlap of each box of `first` (n, 4) with each of `second` (m, 4), shape (n, m).

    It is intersection over union in [0, 1]; 0 for empty boxes.
    """
    shared = intersection(first, second)
    area = np.prod(first[:, 2:] - first[:, :2], axis=-1)[:, None] + np.prod(second[:, 2:] - second[:, :2], axis=-1)[None, :]
    union = area - shared
    overlaps: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def intersection(first: Array, second: Array) -> Array:
    """Return the area that each box of `first` shares with each of `second`.

    The shapes are (n, 4) and (m, 4); the result has the shape (n, m).
    """
    sides = np.minimum(first[:, None, 2:], second[None, :, 2:]) - np.maximum(first[:, None, :2], second[None, :, :2])
    shared: Array = np.prod(np.clip(sides, 0, None), axis=-1)
    return shared


def average_precision(truths: Sequence[Truth], scored: Sequence[ScoredImage]) -> tuple[float, float]:
    """Return COCO's AP over the IoU thresholds 0.50 to 0.95, and at 0.50, by pycocotools.

    Both are 0 if there is nothing to find, or if nothing was detected.
    """
    evaluation = coco_evaluation(truths, scored)
    if evaluation is None:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        evaluation.accumulate()
        evaluation.summarize()
    precision, precision_50 = evaluation.stats[:2]
    return max(0.0, float(precision)), max(0.0, float(precision_50))


def coco_evaluation(truths: Sequence[Truth], scored: Sequence[ScoredImage]) -> Any:
    """Return the COCOeval of pycocotools with every image matched, objects of all sizes together.

    None if there is nothing to find, or if nothing was detected. Its image ids are the positions in
    `truths`.
    """
    if not any(truth.counted for truth in truths) or not any(image.detections for image in scored):
        return None
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    categories = sorted(
        {box.class_name for truth in truths for box in truth.objects} | {d.class_name for image in scored for d in image.detections}
    )
    ids = {name: index for index, name in enumerate(categories, start=1)}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        annotated = COCO()
        annotated.dataset = _annotations(truths, ids)
        annotated.createIndex()
        evaluation = COCOeval(annotated, annotated.loadRes(_results(truths, scored, ids)), "bbox")
        # Small, medium and large objects are not reported separately; each size would be matched
        # again.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
    return evaluation


def _annotations(truths: Sequence[Truth], ids: dict[str, int]) -> dict[str, Any]:
    """Return the truth in COCO's instances format.

    A difficult object becomes a crowd region, so COCO ignores it.
    """
    annotations: list[dict[str, Any]] = []
    for number, truth in enumerate(truths):
        for box in truth.objects:
            x, y, width, height = pixels(box, truth)
            annotations.append(
                {
                    "id": len(annotations) + 1,  # 0 is pycocotools' "no match"
                    "image_id": number,
                    "category_id": ids[box.class_name],
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(box.crowd or box.difficult),
                }
            )
    return {
        "info": {},
        "images": [{"id": number, "width": truth.width, "height": truth.height} for number, truth in enumerate(truths)],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for name, index in ids.items()],
    }


def _results(truths: Sequence[Truth], scored: Sequence[ScoredImage], ids: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"image_id": number, "category_id": ids[d.class_name], "bbox": list(pixels(d, truth)), "score": d.score}
        for number, (truth, image) in enumerate(zip(truths, scored, strict=True))
        for d in image.detections
    ]


def pixels(box: Box | Detection, truth: Truth) -> tuple[float, float, float, float]:
    """Return x, y, width and height in pixels, as COCO has them."""
    return (
        box.xmin * truth.width,
        box.ymin * truth.height,
        (box.xmax - box.xmin) * truth.width,
        (box.ymax - box.ymin) * truth.height,
    )
