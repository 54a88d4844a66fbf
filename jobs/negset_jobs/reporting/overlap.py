"""What the false positives lie on: the annotated classes of the held-out negatives.

Pure. A negative shows no excluded class, but most negatives show something else, and the
annotations say where. This table shows, for example, a detector of horses that fires on cows.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Final

import numpy as np

from negset_api.values import Box
from negset_jobs.reporting.evidence import Evidence, coverage
from negset_jobs.reporting.sentences import NOTHING
from negset_jobs.training.measuring import corners, iou

COVERED: Final = 0.5
"""A detection lies on an annotation that covers at least half of it.

It shows a part of that object (a wheel of a bus).
"""

OVERLAP: Final = 0.3
"""A detection also lies on an annotation with at least this IoU.

It shows the whole object with a box that is too large. A minimum of 0.25, half of the 0.5 that a
hit needs, would also include what lies next to it.
"""


def lies_on(model: Evidence, others: Mapping[str, tuple[Box, ...]]) -> dict[str, int]:
    """Return the false positives of a model by the class that they lie on, the most frequent first.

    `others` are the boxes on each negative, by id. If a detection lies on several annotations, the
    one with the highest IoU counts: a fork on a table is a fork.
    """
    counted: collections.Counter[str] = collections.Counter()
    firing = np.flatnonzero(model.firing)
    images = model.negatives.images[firing]
    for image in np.unique(images).tolist():
        boxes = model.negatives.boxes[firing[images == image]].astype(np.float64)
        counted.update(class_below(boxes, others.get(model.negative_ids[image], ())))
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def class_below(boxes: np.ndarray[tuple[int, ...], np.dtype[np.float64]], annotated: tuple[Box, ...]) -> list[str]:
    """Return for each detected box the class of the annotation that it lies on, or `NOTHING`.

    A box is ymin, xmin, ymax, xmax.
    """
    if not annotated:
        return [NOTHING] * len(boxes)
    places = corners(annotated)
    overlaps = iou(boxes, places)
    lies = (coverage(boxes, places) >= COVERED) | (overlaps >= OVERLAP)
    best = np.where(lies, overlaps, -1.0).argmax(axis=1)
    return [annotated[index].class_name if found.any() else NOTHING for index, found in zip(best, lies, strict=True)]
