"""The box around an object of a VOC file that has an outline and no <bndbox>. Pure.

VOC has no outlines, so each tool writes them in its own way:

- roLabelImg: <robndbox> with <cx>, <cy>, <w>, <h> and <angle>, in radians
- Roboflow, X-AnyLabeling: <polygon> with <x1>, <y1>, <x2>, ...
- LabelMe of MIT: <polygon> with <pt>, each with <x> and <y>
- DIOR-R: <robndbox> with <x_left_top>, <y_left_top>, <x_right_top>, ...
- FAIR1M: <points> with <point>, each with the text `x,y`

Their numbers are positions between pixels, and not pixels that are counted from 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from negset_jobs.formats import spelling
from negset_jobs.formats.boxes import Corners

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_OUTLINES: Final = ("robndbox", "rotated_bndbox", "polygon", "segmentation", "points", "bndbox")
_TURNED: Final = ("cx", "cy", "w", "h", "angle")
_FEWEST: Final = 2  # points: opposite corners
_WHOLE_TURN: Final = 2 * math.pi


class _Point(NamedTuple):
    x: float
    y: float


def box_of_outline(element: Element) -> Corners | None:
    """Return the box around the outline of an <object> in pixels, or None if it has none.

    All parts of an outline count. If one number of them cannot be read, there is no box.
    """
    for name in _OUTLINES:
        if parts := element.findall(name):
            points = [point for part in parts for point in _points(part)]
            known = [point for point in points if point is not None]
            if len(known) < len(points) or len(known) < _FEWEST:
                continue
            return Corners(
                ymin=min(point.y for point in known),
                xmin=min(point.x for point in known),
                ymax=max(point.y for point in known),
                xmax=max(point.x for point in known),
            )
    return None


def _points(outline: Element) -> Iterator[_Point | None]:
    """Yield the points of an outline, None for each that cannot be read."""
    turned = [outline.findtext(name) for name in _TURNED]
    if all(value is not None for value in turned):
        yield from _corners([spelling.number(value) for value in turned])
    elif pairs := [(x, y) for node in outline.iter() for x, y in _pairs(node)]:
        yield from itertools.starmap(_point, pairs)
    else:
        words = " ".join(outline.itertext()).replace(",", " ").replace(";", " ").split()
        yield from itertools.starmap(_point, itertools.zip_longest(words[::2], words[1::2]))


def _pairs(node: Element) -> Iterator[tuple[str | None, str | None]]:
    """Yield the texts of x and y of each point, whose tags differ in this letter only."""
    for child in node:
        if child.tag.startswith("x"):
            yield child.text, node.findtext(f"y{child.tag[1:]}")


def _point(x: object, y: object) -> _Point | None:
    across, down = spelling.number(x), spelling.number(y)
    return None if across is None or down is None else _Point(across, down)


def _corners(turned: Sequence[float | None]) -> Iterator[_Point | None]:
    """Yield the corners of a turned box. An angle beyond a whole turn is not in radians."""
    known = [value for value in turned if value is not None]
    if len(known) < len(turned) or abs(known[-1]) > _WHOLE_TURN:
        yield None
        return
    x, y, width, height, angle = known
    for right, down in itertools.product((-width / 2, width / 2), (-height / 2, height / 2)):
        yield _Point(
            x=x + right * math.cos(angle) - down * math.sin(angle),
            y=y + right * math.sin(angle) + down * math.cos(angle),
        )
