"""Read a COCO box in the spellings that exporters use. Pure.

The format wants [x, y, width, height]. pandas writes a list as text, NumPy one list within another,
and programs whose boxes are objects write their fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from negset_jobs.formats import spelling

COORDINATES: Final = 4

_SIZED: Final = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_CORNERS: Final = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"))
_BETWEEN: Final = re.compile(r"[\s,;]+")
_LONGEST: Final = 400


def four_numbers(box: Any) -> list[float | None] | None:
    """Return x, y, width and height, None for each that is no number; None if they are not four."""
    if isinstance(box, str) and len(box) <= _LONGEST:
        box = _BETWEEN.split(box.strip(" \t[](){}"))
    if isinstance(box, list) and len(box) == 1:
        box = box[0]
    if isinstance(box, Mapping):
        box = _of_fields(box)
    if not isinstance(box, list) or len(box) != COORDINATES:
        return None
    return [spelling.number(each) for each in box]


def kind_of_box(box: Any) -> str:
    """Return what a box is that is not four numbers, for a message."""
    if isinstance(box, list):
        return f"{len(box)} values" + (" that are no numbers" if len(box) == COORDINATES else "")
    return "nothing" if box is None else f"`{type(box).__name__}`"


def _of_fields(box: Mapping[str, Any]) -> list[Any] | None:
    for names in _SIZED:
        if all(name in box for name in names):
            return [box[name] for name in names]
    for names in _CORNERS:
        if all(name in box for name in names):
            left, top, right, bottom = (spelling.number(box[name]) for name in names)
            if left is None or top is None or right is None or bottom is None:
                return None
            return [left, top, right - left, bottom - top]
    return None
