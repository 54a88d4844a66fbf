"""The boxes of stored positives: how many there are, and which were rejected on their image."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from negset_api.values import Box, ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.download.placing import map_boxes
from negset_jobs.formats.boxes import Reason
from negset_jobs.positives.annotated import RejectedBox


def count_boxes(plans: Sequence[ShardPlan], results: Sequence[ShardResult]) -> tuple[dict[str, list[int]], tuple[RejectedBox, ...]]:
    """Return the number of boxes of each stored image by split, and the boxes rejected there.

    Only boxes on images of unknown size can be rejected when the image is there.
    """
    boxes: dict[str, list[int]] = collections.defaultdict(list)
    rejected: list[RejectedBox] = []
    for plan, result in zip(plans, results, strict=True):
        for image, ended in zip(plan.images, result.results, strict=True):
            if ended.outcome is Outcome.STORED:
                late = list(_rejected(image, ended))
                boxes[plan.split].append(len(image.objects) - len(late))
                rejected += late
    return boxes, tuple(rejected)


def _rejected(image: PlannedImage, ended: ImageResult) -> Iterator[RejectedBox]:
    for box, found in zip(image.objects, map_boxes(image, width=ended.width, height=ended.height), strict=True):
        if isinstance(found, Reason):
            yield RejectedBox(
                image_id=image.image_id, file_name=image.file_name, class_name=box.class_name, reason=found, given=_pixels(box)
            )


def _pixels(box: Box) -> str:
    return f"[{box.xmin:g}, {box.ymin:g}, {box.xmax:g}, {box.ymax:g}]"
