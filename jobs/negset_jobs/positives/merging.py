"""Makes one image of several entries of a source that describe it. Pure.

Each entry may have only some of the objects. The others would be learned as background.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from negset_api.values import PlannedImage
from negset_jobs.formats.boxes import Corners
from negset_jobs.positives.annotated import Annotation, SourceImage


def merged(entries: Sequence[SourceImage]) -> SourceImage:
    """Return the image that several entries of a source describe, with the objects of all of them.

    Boxes are in pixels. An object that two entries have in the same place is one.
    """
    first, *others = entries
    if not others:
        return first
    found = {(item.class_name, item.corners, item.crowd): item for entry in entries for item in _on_side(entry, first)}
    return first._replace(annotations=list(found.values()))


def merged_plans(entries: Sequence[PlannedImage]) -> PlannedImage:
    """Return the plan of one image that several entries describe, with the objects of all of them.

    If the size of any is unknown, all boxes are in pixels.
    """
    if len(entries) == 1:
        return entries[0]
    if any(entry.pixels for entry in entries):
        entries = [entry if entry.pixels else _in_pixels(entry) for entry in entries]
    boxes = tuple(dict.fromkeys(box for entry in entries for box in entry.objects))
    return msgspec.structs.replace(entries[0], objects=boxes)


def _in_pixels(image: PlannedImage) -> PlannedImage:
    """Return the image with boxes in pixels, as if its size were unknown."""
    boxes = tuple(
        msgspec.structs.replace(
            box, ymin=box.ymin * image.height, xmin=box.xmin * image.width, ymax=box.ymax * image.height, xmax=box.xmax * image.width
        )
        for box in image.objects
    )
    return msgspec.structs.replace(image, width=0, height=0, pixels=True, objects=boxes)


def _on_side(image: SourceImage, other: SourceImage) -> Sequence[Annotation]:
    """Return the annotations of an image as they are on another size of it."""
    if not (image.width and other.width) or (image.width, image.height) == (other.width, other.height):
        return image.annotations
    across, down = other.width / image.width, other.height / image.height
    return [
        annotation._replace(
            corners=annotation.corners
            and Corners(
                annotation.corners.ymin * down,
                annotation.corners.xmin * across,
                annotation.corners.ymax * down,
                annotation.corners.xmax * across,
            )
        )
        for annotation in image.annotations
    ]
