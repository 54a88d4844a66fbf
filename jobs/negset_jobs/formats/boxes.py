"""Decides without I/O whether an annotated box is usable.

A box is given in pixels (COCO, Pascal VOC) or already normalised (TFRecords, YOLO). It may extend
beyond the image, be empty, or be no box at all. A box that extends beyond the image is clipped,
because the object is there. A box that cannot be used is rejected with a reason: a single mistake
of an annotator neither stops the work nor stays hidden.
"""

from __future__ import annotations

import enum
import math
from typing import Final, NamedTuple

MIN_SIDE: Final = 0.1
"""The shortest side of a usable box in pixels.

A smaller part of an object cannot be seen. A TFRecord stores float32, whose steps are 2**-24 below
1. In an image 100,000 pixels wide, the side is still 16 steps. So a side is never rounded to zero.
"""


class Reason(enum.StrEnum):
    """Why an annotation was rejected."""

    MISSING = "missing"
    NOT_FINITE = "not_finite"
    NO_EXTENT = "no_extent"
    OUTSIDE = "outside"
    TOO_SMALL = "too_small"
    FAR_OUTSIDE = "far_outside"
    OTHER_UNIT = "other_unit"
    NO_CLASS = "no_class"

    @property
    def sentence(self) -> str:
        """The reason as a text for a person."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    Reason.MISSING: "its box is not four numbers",
    Reason.NOT_FINITE: "a coordinate is not a finite number",
    Reason.NO_EXTENT: "its width or height is zero or negative",
    Reason.OUTSIDE: "it lies outside the image",
    Reason.TOO_SMALL: f"a side has less than {MIN_SIDE} pixels inside the image",
    Reason.FAR_OUTSIDE: "it extends beyond the image by more than the image's size",
    Reason.OTHER_UNIT: "it is smaller than a pixel, as if its numbers were fractions of the image",
    Reason.NO_CLASS: "it has no class, or one that its dataset does not define",
}


_FURTHEST: Final = 1.0
"""How far a box may extend beyond its image, as a multiple of the image's side.

Annotators draw over the border. But a box that is several times as large as its image is in another
unit, or of another image. Clipped, it would become a box of the whole image.
"""


class Corners(NamedTuple):
    """The corners of a box, in the Object Detection API's order.

    They are in pixels, or fractions of the image's height and width.
    """

    ymin: float
    xmin: float
    ymax: float
    xmax: float


def fit(box: Corners, *, height: int, width: int) -> Corners | Reason:
    """Return a normalised box clipped to its image, or the reason for which it is rejected.

    `height` and `width` are those of the image in pixels. A box inside the image is returned
    unchanged.
    """
    if not all(math.isfinite(corner) for corner in box):
        return Reason.NOT_FINITE
    if box.ymax <= box.ymin or box.xmax <= box.xmin:
        return Reason.NO_EXTENT
    clipped = Corners(*(min(max(corner, 0.0), 1.0) for corner in box))
    if clipped.ymax <= clipped.ymin or clipped.xmax <= clipped.xmin:
        return Reason.OUTSIDE
    if min(box) < -_FURTHEST or max(box) > 1 + _FURTHEST:
        return Reason.FAR_OUTSIDE
    if (clipped.ymax - clipped.ymin) * height < MIN_SIDE or (clipped.xmax - clipped.xmin) * width < MIN_SIDE:
        return Reason.TOO_SMALL
    return clipped


def normalised(box: Corners, *, height: int, width: int) -> Corners:
    """Return a box in pixels as fractions of the image's height and width, both positive."""
    return Corners(box.ymin / height, box.xmin / width, box.ymax / height, box.xmax / width)
