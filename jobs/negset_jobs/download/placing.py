"""Put the boxes of a positive on its downloaded image. Pure, but for Pillow."""

from __future__ import annotations

import logging
from typing import NamedTuple

import msgspec

from negset_api.values import Box, Outcome, PlannedImage
from negset_jobs.download.failure import Failed
from negset_jobs.download.orientation import Reading, is_upright, orientation_of, turned
from negset_jobs.download.verify import EncodedImage
from negset_jobs.formats.boxes import Corners, Reason, fit, normalised

log = logging.getLogger(__name__)


class Placed(NamedTuple):
    """The image to store, and its boxes as fractions of it. `orientation` is the original's."""

    image: EncodedImage
    boxes: tuple[Box, ...] = ()
    orientation: int = 1
    turned: bool = False


def placed(planned: PlannedImage, image: EncodedImage, rest: str) -> Placed:
    """Return the image so that its boxes lie on their objects. Raises `Failed`.

    A negative has no boxes, and is stored as it is. `rest` is what the other images prove, as in
    `orientation.Reading`.
    """
    if not planned.objects:
        if planned.width and (image.width, image.height) != (planned.width, planned.height):
            log.debug("%s: expected %dx%d pixels, got %dx%d", planned.url, planned.width, planned.height, image.width, image.height)
        return Placed(image)
    orientation = orientation_of(image)
    reading = Reading(planned.orientation, rest)
    upright = is_upright(image, orientation, width=planned.width, height=planned.height, reading=reading)
    stored = turned(image, orientation) if upright else image
    boxes = placed_boxes(planned, width=stored.width, height=stored.height)
    if not any(not box.crowd for box in boxes):
        raise Failed(Outcome.INVALID_BOX, "none of its boxes is usable")
    return Placed(stored, boxes, orientation, upright)


def placed_boxes(planned: PlannedImage, *, width: int, height: int) -> tuple[Box, ...]:
    """Return the usable boxes as fractions of the stored image's size, in the plan's order."""
    return tuple(box for box in map_boxes(planned, width=width, height=height) if isinstance(box, Box))


def map_boxes(planned: PlannedImage, *, width: int, height: int) -> tuple[Box | Reason, ...]:
    """Return each box as a fraction of the stored image's size, or why it cannot be used."""
    if not planned.pixels:
        return planned.objects
    return tuple(_box(box, width=width, height=height) for box in planned.objects)


def _box(box: Box, *, width: int, height: int) -> Box | Reason:
    corners = Corners(box.ymin, box.xmin, box.ymax, box.xmax)
    fitted = fit(normalised(corners, height=height, width=width), height=height, width=width)
    return fitted if isinstance(fitted, Reason) else msgspec.structs.replace(box, **fitted._asdict())
