"""Annotated images in the form that every kind of source returns, with the rejected boxes."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from negset_api.values import Box, ImageId, Outcome, PlannedImage, Value
from negset_jobs.formats.boxes import MIN_SIDE, Corners, Reason, fit, normalised
from negset_jobs.formats.class_names import Spelling
from negset_jobs.positives.units import Reading, Unit

CROWDS: Final = "crowds"
ONLY_CROWDS: Final = "images_with_only_crowds"
BACKGROUND: Final = "images_without_objects"
REPEATED: Final = "boxes_listed_again"
OTHER_CLASSES: Final = "images_of_other_classes"
OTHER_RECORDS: Final = "records_of_other_classes"
"""Keys of what is left out, in `Positives.left_out`."""


class Annotation(NamedTuple):
    """One annotation as in its source.

    `corners` are counted from 0 at the image's edge, in the source's unit; None if there are no
    four coordinates. `given` is the box as the source writes it, for a person who searches for it.
    `class_name` is empty if the source has none.
    """

    class_name: str
    corners: Corners | None
    given: Sequence[object]
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False


class SourceImage(NamedTuple):
    """An image as its source describes it. Sides are in pixels, 0 if the source has none."""

    image_id: ImageId
    file_name: str
    url: str
    width: int
    height: int
    annotations: Sequence[Annotation]
    license: int = 0
    page: str = ""


class FailedImage(Value, frozen=True, kw_only=True):
    """An image that is not stored, and why."""

    image_id: ImageId
    outcome: Outcome
    detail: str


class Source(NamedTuple):
    """What a reader found: the images with an annotation of a wanted class, in its own order.

    `reading` says how its boxes are written, `field` which field of the spec names it. `failed` are
    the images, or files, with a mistake. `classes` are the names that the source knows; of a COCO
    file, those with an object. `left_out` counts the images without such an annotation, by kind.
    """

    field: str
    reading: Reading
    images: Sequence[SourceImage]
    classes: frozenset[str]
    failed: Sequence[FailedImage] = ()
    left_out: Mapping[str, int] = {}


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
    without objects. `annotations` counts all annotations of the wanted classes by class, `crowds`
    those that are crowds.
    """

    images: tuple[PlannedImage, ...]
    rejected: tuple[RejectedBox, ...]
    classes: frozenset[str]
    annotations: dict[str, int]
    crowds: dict[str, int]
    failed: tuple[FailedImage, ...]
    left_out: dict[str, int]


def planned_images(source: Source, *, crowds_are_objects: bool = False, orientation: str = "") -> Annotated:
    """Return the images that show a single object, ready to be downloaded.

    An image that shows only crowds is left out. `orientation` is as in `PlannedImage`.
    """
    images: list[PlannedImage] = []
    rejected: list[RejectedBox] = []
    left_out = collections.Counter(source.left_out)
    annotations: collections.Counter[str] = collections.Counter()
    crowds: collections.Counter[str] = collections.Counter()
    for listed in map(_without_crowds, source.images) if crowds_are_objects else source.images:
        image = _without_repeats(listed)
        left_out[REPEATED] += len(listed.annotations) - len(image.annotations)
        annotations.update(annotation.class_name for annotation in image.annotations)
        regions = [annotation.class_name for annotation in image.annotations if annotation.crowd]
        crowds.update(regions)
        if len(regions) == len(image.annotations):
            left_out[ONLY_CROWDS] += 1
            continue
        planned, unusable = _planned(image, source.reading.unit, orientation)
        images.append(planned)
        rejected.extend(unusable)
    left_out[CROWDS] = crowds.total()
    return Annotated(
        images=tuple(images),
        rejected=tuple(rejected),
        classes=source.classes,
        annotations=dict(annotations),
        crowds=dict(crowds),
        failed=tuple(source.failed),
        left_out=dict(+left_out),
    )


def spelt(annotations: Iterable[Annotation], wanted: Spelling) -> list[Annotation]:
    """Return the annotations of the wanted classes, named as the manifest spells them.

    Those without a class are among them: they are rejected later, and told.
    """
    named = ((item, wanted.of(item.class_name) if item.class_name else "") for item in annotations)
    return [item._replace(class_name=name) for item, name in named if name is not None]


def usable_boxes(
    annotations: Iterable[Annotation], unit: Unit, *, image_id: ImageId, file_name: str, height: int, width: int
) -> tuple[tuple[Box, ...], tuple[RejectedBox, ...]]:
    """Return the annotations of one image as boxes clipped to it, and those that cannot be used.

    `height` and `width` are in pixels. If they are 0, boxes in pixels stay in pixels: they are
    clipped when the image is there. Both results are in the given order.
    """
    boxes: list[Box] = []
    rejected: list[RejectedBox] = []
    for annotation in annotations:
        box = _fitted(annotation, unit, height=height, width=width)
        name = annotation.class_name
        if isinstance(box, Reason):
            given = f"[{', '.join(map(str, annotation.given))}]"
            rejected.append(RejectedBox(image_id=image_id, file_name=file_name, class_name=name, reason=box, given=given))
        else:
            flags = {"crowd": annotation.crowd, "difficult": annotation.difficult, "truncated": annotation.truncated}
            boxes.append(Box(**box._asdict(), class_name=name, **flags))
    return tuple(boxes), tuple(rejected)


def shown_classes(boxes: Iterable[Box]) -> tuple[str, ...]:
    """Return the classes of the objects among the boxes, sorted.

    A crowd is not an object to learn from.
    """
    return tuple(sorted({box.class_name for box in boxes if not box.crowd}))


def _without_crowds(image: SourceImage) -> SourceImage:
    return image._replace(annotations=[annotation._replace(crowd=False) for annotation in image.annotations])


def _without_repeats(image: SourceImage) -> SourceImage:
    """Return the image with one of the annotations that have one class, place and flags.

    Two boxes of one object weigh twice in training. Evaluation never finds the second.
    """
    if len(image.annotations) <= 1:
        return image
    found = {
        (item.class_name, item.corners, item.crowd, item.difficult, item.truncated) if item.corners else index: item
        for index, item in enumerate(image.annotations)
    }
    return image if len(found) == len(image.annotations) else image._replace(annotations=list(found.values()))


def _planned(image: SourceImage, unit: Unit, orientation: str) -> tuple[PlannedImage, tuple[RejectedBox, ...]]:
    boxes, rejected = usable_boxes(
        image.annotations, unit, image_id=image.image_id, file_name=image.file_name, height=image.height, width=image.width
    )
    planned = PlannedImage(
        image_id=image.image_id,
        url=image.url,
        file_name=image.file_name,
        width=image.width,
        height=image.height,
        license=image.license,
        page=image.page,
        objects=boxes if shown_classes(boxes) else (),  # nothing, or only crowds, are left
        pixels=unit is Unit.PIXELS and not image.width,
        orientation=orientation,
    )
    return planned, rejected


def _fitted(annotation: Annotation, unit: Unit, *, height: int, width: int) -> Corners | Reason:
    corners = annotation.corners
    if not annotation.class_name:
        return Reason.NO_CLASS
    if corners is None:
        return Reason.MISSING
    if unit is Unit.FRACTIONS:
        return fit(corners, height=height or _ANY_SIDE, width=width or _ANY_SIDE)
    if _within_a_pixel(annotation.given) and min(height, width) != 1:
        return Reason.OTHER_UNIT
    if not width:
        return _open_ended(corners)
    return fit(normalised(corners, height=height, width=width), height=height, width=width)


_ANY_SIDE: Final = 10_000
"""The side of an image of unknown size, for the shortest side of a box: it may be this large."""


def _open_ended(corners: Corners) -> Corners | Reason:
    """Return a box in pixels on an image of unknown size, or the reason to reject it on any."""
    if not all(map(math.isfinite, corners)):
        return Reason.NOT_FINITE
    height, width = corners.ymax - corners.ymin, corners.xmax - corners.xmin
    if min(height, width) <= 0:
        return Reason.NO_EXTENT
    if min(corners.ymax, corners.xmax) <= 0:
        return Reason.OUTSIDE
    return corners if min(height, width) >= MIN_SIDE else Reason.TOO_SMALL


def numbers(given: Sequence[object]) -> tuple[float, ...] | None:
    """Return the four numbers of a box as its source writes it; None if they are not four."""
    try:
        found = tuple(float(number) for number in given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if len(found) == len(Corners._fields) else None


def _within_a_pixel(given: Sequence[object]) -> bool:
    found = numbers(given)
    return found is not None and all(0 <= number <= 1 for number in found) and any(found)
