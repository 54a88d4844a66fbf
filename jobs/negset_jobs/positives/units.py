"""Finds out whether boxes are in another unit, or another order, than their format wants.

Pure. A converter's mistake affects all of its boxes. So the question is asked once for the whole
source, and the answer counts the boxes. Single boxes that cannot be used are `formats.boxes`'.

The mistakes are those of public converters: fractions or percents instead of pixels, pixels instead
of fractions, thousandths (as vision-language models write them), and two corners instead of a
corner and a size.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_OVERHANG: Final = 0.05
"""How far a box may extend beyond its image, as a part of its side, without being a misfit.

Annotators draw over the border by some pixels. Boxes in another unit extend far beyond it.
"""
_SUSPICIOUS: Final = 0.25
"""The part of misfits from which another reading is sought.

Of small objects anywhere, three of four extend beyond the border if two corners are read as a
corner and a size. With large objects it is more.
"""
_CONVINCING: Final = 0.95  # the part of the boxes that another reading must explain
_MOST: Final = 0.5
_FEWEST: Final = 8
"""The fewest boxes that can show a unit although every box fits its image."""
_IMPROBABLE: Final = math.log(1e-9)
_SPREAD: Final = 0.75


class Layout(enum.StrEnum):
    """The four numbers of a box, in order."""

    XYWH = "x, y, width, height"
    XYXY = "xmin, ymin, xmax, ymax"
    YXYX = "ymin, xmin, ymax, xmax"
    CENTRE = "x centre, y centre, width, height"


class Unit(enum.StrEnum):
    """What the numbers of a box count."""

    PIXELS = "pixels"
    FRACTIONS = "fractions of the image (0 to 1)"
    PERCENT = "percents of the image (0 to 100)"
    THOUSANDTHS = "thousandths of the image (0 to 1000)"


_PARTS: Final = {Unit.FRACTIONS: 1.0, Unit.PERCENT: 100.0, Unit.THOUSANDTHS: 1000.0}


class Reading(NamedTuple):
    """How the numbers of a box are read."""

    layout: Layout
    unit: Unit

    def __str__(self) -> str:
        """Return it as a text for a person."""
        return f"[{self.layout}] in {self.unit}"


def _alternatives(declared: Reading) -> tuple[Reading, ...]:
    """Return what boxes may be instead, the most common mistake first."""
    units = (declared.unit, *(unit for unit in (Unit.PIXELS, Unit.PERCENT, Unit.THOUSANDTHS) if unit is not declared.unit))
    layouts = (declared.layout, *(layout for layout in _LAYOUTS[declared.unit] if layout is not declared.layout))
    return tuple(Reading(layout, unit) for unit in units for layout in layouts)[1:]


_LAYOUTS: Final = {
    # The pixels of swapped axes cannot be told from those of another image.
    Unit.PIXELS: (Layout.XYXY, Layout.XYWH, Layout.CENTRE),
    Unit.FRACTIONS: (Layout.XYXY, Layout.CENTRE, Layout.XYWH, Layout.YXYX),
}


def misread(given: Sequence[Sequence[float]], sizes: Sequence[tuple[int, int]], declared: Reading) -> str | None:
    """Return what most boxes look like if they are not in the declared reading; else None.

    `given` are the boxes' numbers in the declared order. `sizes` are the width and height of each
    box's image in pixels, 0 if unknown. The text counts the boxes and says what was expected.
    """
    numbers = np.array(given, np.float64).reshape(-1, 4)
    pixels = np.array(sizes, np.float64).reshape(-1, 2)
    pixels[pixels <= 0] = math.nan
    # A box of zeros is an empty field, whatever its unit.
    kept = np.isfinite(numbers).all(axis=1) & (numbers != 0).any(axis=1)
    numbers, pixels = numbers[kept], pixels[kept]
    if not len(numbers):
        return None
    for check in (_fractions, _misfits, _corner):
        if found := check(numbers, pixels, declared):
            count, text = found
            return f"{count:,} of {len(numbers):,} boxes {text}; expected {declared}"
    return None


def _fractions(numbers: Numbers, _: Numbers, declared: Reading) -> tuple[int, str] | None:
    """Find fractions where pixels are expected: all four numbers are at most 1."""
    if declared.unit is not Unit.PIXELS:
        return None
    count = int((np.abs(numbers) <= 1).all(axis=1).sum())
    return (count, f"are smaller than a pixel, so they look like {Unit.FRACTIONS}") if count >= _MOST * len(numbers) else None


def _misfits(numbers: Numbers, pixels: Numbers, declared: Reading) -> tuple[int, str] | None:
    """Find the reading in which the boxes fit their images, where they do not as declared."""
    known = np.isfinite(pixels).all(axis=1)
    if declared.unit is Unit.PIXELS:
        numbers, pixels = numbers[known], pixels[known]
    if not len(numbers):
        return None
    boxes = _boxes(numbers, pixels, declared)
    misfits = int((~_fit(boxes)).sum())
    if misfits < max(_SUSPICIOUS * len(numbers), 1):
        return None
    limit = f"numbers up to {np.abs(numbers).max():g}"
    for other in _alternatives(declared):
        if other.unit is Unit.PIXELS and not known.all():
            continue  # without sizes, any large numbers could be pixels
        explained = int(_fit(_boxes(numbers, pixels, other)).sum())
        if explained >= _CONVINCING * len(numbers):
            unseen = other.unit is not declared.unit and not known.any()
            return (
                misfits,
                f"do not fit their image ({limit}); {explained:,} fit it as {other}{', if they are not pixels' if unseen else ''}",
            )
    beyond = int((_ordered(boxes) & ~_fit(boxes)).sum())
    if beyond < _MOST * len(numbers):
        return None
    return beyond, f"extend beyond their image ({limit}), so they are in another unit or of an image of another size"


def _corner(numbers: Numbers, pixels: Numbers, declared: Reading) -> tuple[int, str] | None:
    """Find percents or thousandths that fit their images, because these are larger.

    Then every box lies in one corner of its image, up to 100 or 1000 pixels, and fills this corner.
    With objects that may be anywhere this is improbable.
    """
    if declared.unit is not Unit.PIXELS or len(numbers) < _FEWEST or not np.isfinite(pixels).all():
        return None
    for unit in (Unit.PERCENT, Unit.THOUSANDTHS):
        side = _PARTS[unit]
        improbability = np.log(side / pixels).sum()
        if (pixels <= side).any() or improbability > _IMPROBABLE:
            continue
        for layout in dict.fromkeys((declared.layout, Layout.XYXY)):
            corners = _corners(numbers, layout)
            if (corners >= 0).all() and (corners <= side).all() and (corners[:, 2:].max(axis=0) >= _SPREAD * side).all():
                return len(numbers), f"lie within {side:g} pixels of one corner, so they look like {Reading(layout, unit)}"
    return None


def _boxes(numbers: Numbers, pixels: Numbers, reading: Reading) -> Numbers:
    """Return (n, 4) xmin, ymin, xmax, ymax as fractions of the image; nan if its size is needed."""
    corners = _corners(numbers, reading.layout)
    scale = np.tile(pixels, 2) if reading.unit is Unit.PIXELS else _PARTS[reading.unit]
    return corners / scale


def _corners(numbers: Numbers, layout: Layout) -> Numbers:
    first, second = numbers[:, :2], numbers[:, 2:]
    match layout:
        case Layout.XYXY:
            return numbers
        case Layout.YXYX:
            return numbers[:, [1, 0, 3, 2]]
        case Layout.XYWH:
            return np.hstack([first, first + second])
        case Layout.CENTRE:
            return np.hstack([first - second / 2, first + second / 2])


def _ordered(boxes: Numbers) -> npt.NDArray[np.bool_]:
    return np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))


def _fit(boxes: Numbers) -> npt.NDArray[np.bool_]:
    inside = ((boxes >= -_OVERHANG) & (boxes <= 1 + _OVERHANG)).all(axis=1)
    return np.asarray(_ordered(boxes) & inside)
