"""Annotated images in the form that every kind of source returns, with the rejected boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from negset_api.values import Box, ImageId, PlannedImage, Value
from negset_jobs.positives.boxes import Corners, Reason, fit, normalised


class Annotation(NamedTuple):
    """One annotation as in its source.

    `corners` are in pixels, counted from 0 at the image's edge; None if there are no four
    coordinates. `given` is the box as the source writes it, for a person who searches for it.
    """

    class_name: str
    corners: Corners | None
    given: Sequence[object]
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False


class RejectedBox(Value, frozen=True, kw_only=True):
    """An annotation that cannot be used, and the reason.

    `given` is its box in the source's own order and unit.
    """

    image_id: ImageId
    file_name: str
    class_name: str
    reason: Reason
    given: str


class Annotated(NamedTuple):
    """The images that show an object of the wanted classes, and the rejected annotations.

    `images` are in the source's order. An image whose annotations were all rejected is among them,
    without objects. `classes` are all the names that the source knows. `only_crowds` counts the
    images that were skipped because they show crowds and no single object.
    """

    images: tuple[PlannedImage, ...]
    rejected: tuple[RejectedBox, ...]
    classes: frozenset[str]
    only_crowds: int = 0


def usable_boxes(
    annotations: Iterable[Annotation], *, image_id: ImageId, file_name: str, height: int, width: int
) -> tuple[tuple[Box, ...], tuple[RejectedBox, ...]]:
    """Return the annotations of one image as boxes clipped to it, and those that cannot be used.

    `height` and `width` are in pixels. Both are in the given order.
    """
    boxes: list[Box] = []
    rejected: list[RejectedBox] = []
    for annotation in annotations:
        box = _fitted(annotation.corners, height=height, width=width)
        name = annotation.class_name
        if isinstance(box, Reason):
            rejected.append(
                RejectedBox(
                    image_id=image_id, file_name=file_name, class_name=name, reason=box, given=f"[{', '.join(map(str, annotation.given))}]"
                )
            )
        else:
            flags = {"crowd": annotation.crowd, "difficult": annotation.difficult, "truncated": annotation.truncated}
            boxes.append(Box(**box._asdict(), class_name=name, **flags))
    return tuple(boxes), tuple(rejected)


def merged(entries: Sequence[PlannedImage]) -> PlannedImage:
    """Return the image that several entries of a source describe, with the objects of all of them.

    An object that two entries have in the same place is one. If only crowds are left, the image has
    no objects.
    """
    boxes = entries[0].objects if len(entries) == 1 else tuple(dict.fromkeys(box for entry in entries for box in entry.objects))
    return msgspec.structs.replace(entries[0], objects=boxes if shown_classes(boxes) else ())


def shown_classes(boxes: Iterable[Box]) -> tuple[str, ...]:
    """Return the classes of the objects among the boxes, sorted.

    A crowd is not an object to learn from.
    """
    return tuple(sorted({box.class_name for box in boxes if not box.crowd}))


def _fitted(corners: Corners | None, *, height: int, width: int) -> Corners | Reason:
    if corners is None:
        return Reason.MISSING
    return fit(normalised(corners, height=height, width=width), height=height, width=width)
