"""Finds out whether YOLO's labels with many numbers are polygons, or boxes with keypoints.

Pure. A row of `x y width height x1 y1 x2 y2 ...` looks like a polygon if data.yaml has no
`kpt_shape`. The box around that polygon is none of the object: its second point is the width and
the height. One row cannot tell, but all of them can:

- With keypoints, all rows have the same count of numbers, and points lie in the row's own box.
- With polygons, the second point is near the others, and no sides cross.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

BOX: Final = 4  # numbers
FEWEST: Final = 6  # numbers of a polygon, or of a box and a keypoint

_SAME: Final = 0.95  # the part of the rows that must have one count of numbers
_CONVINCING: Final = 0.95
_MOST: Final = 0.9
_HALF: Final = 0.5
_OVERHANG: Final = 0.05
"""How far a box may extend beyond its image, as a part of its side."""
_AROUND: Final = 0.25
"""How far a keypoint may lie outside its box, as a part of the box's side."""
_VISIBILITY: Final = frozenset({0.0, 1.0, 2.0})
_ENOUGH: Final = 2000  # rows that show what all are
_WITH_VISIBILITY: Final = 3  # numbers of a keypoint

Row = Sequence[float]
Point = tuple[float, float]


class Evidence(NamedTuple):
    """What rows look like.

    `keypoints` is the count of numbers after the box, or 0 for polygons; None if both are possible.
    `rows` have `numbers` numbers.
    """

    keypoints: int | None
    rows: int = 0
    numbers: int = 0


def find_keypoints(counts: Counter[int], sample: Sequence[Row]) -> Evidence:
    """Return what the rows are whose counts of numbers after the class are `counts`.

    `sample` has some of these rows, in fractions of their images.
    """
    longer = Counter({number: count for number, count in counts.items() if number >= FEWEST})
    if not longer:
        return Evidence(0)
    numbers, rows = longer.most_common(1)[0]
    seen = [row for row in sample if len(row) == numbers]
    seen = seen[:: 1 + len(seen) // _ENOUGH]
    if rows < _SAME * longer.total() or not seen:
        return Evidence(0)

    def share(fits: Sequence[bool]) -> float:
        return sum(fits) / len(seen)

    more = numbers - BOX
    if more % _WITH_VISIBILITY == 0 and share([_is_pose(row, _WITH_VISIBILITY) for row in seen]) >= _MOST:
        return Evidence(more, rows, numbers)
    if numbers % 2:
        return Evidence(0)
    poses = share([_is_pose(row, 2) for row in seen])
    outlines = share([_is_outline(row) for row in seen]) if poses >= _HALF else 1.0
    if outlines >= _CONVINCING or poses < _HALF:
        return Evidence(0)
    return Evidence(more if poses >= _MOST and outlines < _HALF else None, rows, numbers)


def _is_pose(row: Row, each: int) -> bool:
    """Return True if a box within its image has all keypoints, of `each` numbers, in it.

    A keypoint at (0, 0) is not labelled.
    """
    x, y, width, height = row[:BOX]
    if min(width, height) <= 0 or not all(abs(centre - 0.5) + side / 2 <= 0.5 + _OVERHANG for centre, side in ((x, width), (y, height))):
        return False
    reach = 0.5 + _AROUND
    for start in range(BOX, len(row), each):
        across, down, *visibility = row[start : start + each]
        if not _VISIBILITY.issuperset(visibility):
            return False
        if (across or down) and (abs(across - x) > reach * width or abs(down - y) > reach * height):
            return False
    return True


def _is_outline(row: Row) -> bool:
    points = list(zip(row[::2], row[1::2], strict=True))
    return _is_near(points[1], [points[0], *points[2:]]) and not _crosses(points)


def _is_near(point: Point, others: Sequence[Point]) -> bool:
    """Return True if the point is no farther from the box around the others than its side."""
    ranges = [(min(values), max(values)) for values in zip(*others, strict=True)]
    longest = max(high - low for low, high in ranges)
    return all(low - longest <= value <= high + longest for value, (low, high) in zip(point, ranges, strict=True))


def _crosses(points: Sequence[Point]) -> bool:
    """Return True if two sides of the polygon cross. Sides that only touch do not."""
    sides = list(zip(points, [*points[1:], points[0]], strict=True))
    return any(
        _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0 for (a, b), (c, d) in itertools.combinations(sides, 2)
    )


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
