"""What makes an annotated box usable, decided without I/O.

A box comes in pixels (COCO, Pascal VOC) or already normalised (TFRecords), and may overhang the
image, be empty, or not be a box at all. One that overhangs is clipped, since the object is there;
one that cannot be used is rejected with a reason, so that a single slip of an annotator neither
stops the work nor goes unseen.
"""

from __future__ import annotations

import enum
import math
from typing import Final, NamedTuple

MIN_SIDE: Final = 0.1
"""Shortest side of a usable box in pixels.

Less of an object cannot be seen; and in an image 100,000 pixels wide it is still 16 steps of the
float32 (2**-24 below 1) that a TFRecord stores, so that a side never rounds to nothing.
"""


class Reason(enum.StrEnum):
    """Why an annotation was rejected."""

    MISSING = "missing"
    NOT_FINITE = "not_finite"
    NO_EXTENT = "no_extent"
    OUTSIDE = "outside"
    TOO_SMALL = "too_small"

    @property
    def sentence(self) -> str:
        """The reason for a person."""
        return _SENTENCES[self]


_SENTENCES: Final = {
    Reason.MISSING: "it has no four coordinates",
    Reason.NOT_FINITE: "a coordinate is not a finite number",
    Reason.NO_EXTENT: "its width or height is zero or negative",
    Reason.OUTSIDE: "it lies outside the image",
    Reason.TOO_SMALL: f"less than {MIN_SIDE} pixels of a side lie in the image",
}


class Corners(NamedTuple):
    """The corners of a box, in the Object Detection API's order.

    In pixels, or as parts of the image's height and width.
    """

    ymin: float
    xmin: float
    ymax: float
    xmax: float


def fit(box: Corners, *, height: int, width: int) -> Corners | Reason:
    """A normalised box of an image of `height` by `width` pixels, clipped to the image; or why it
    cannot be used. A box that lies inside comes back as it was.
    """
    if not all(math.isfinite(corner) for corner in box):
        return Reason.NOT_FINITE
    if box.ymax <= box.ymin or box.xmax <= box.xmin:
        return Reason.NO_EXTENT
    clipped = Corners(*(min(max(corner, 0.0), 1.0) for corner in box))
    if clipped.ymax <= clipped.ymin or clipped.xmax <= clipped.xmin:
        return Reason.OUTSIDE
    if (clipped.ymax - clipped.ymin) * height < MIN_SIDE or (clipped.xmax - clipped.xmin) * width < MIN_SIDE:
        return Reason.TOO_SMALL
    return clipped


def normalised(box: Corners, *, height: int, width: int) -> Corners:
    """A box in pixels as parts of the image's height and width, which must be positive."""
    return Corners(box.ymin / height, box.xmin / width, box.ymax / height, box.xmax / width)
