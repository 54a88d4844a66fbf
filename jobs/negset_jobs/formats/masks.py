"""The box around a COCO segmentation: polygons, or a run-length encoded mask. Pure.

Both forms are those of pycocotools (`common/maskApi.c`): a mask is counted column by column, zeros
first. A compressed mask has the same counts as text of 6 bits a character.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from negset_jobs.formats import spelling

_MOST_RUNS: Final = 1_000_000
_FEWEST_NUMBERS: Final = 4


def box_around(segmentation: Any) -> list[float] | None:
    """Return [x, y, width, height] in pixels, or None if there is no readable segmentation."""
    if isinstance(segmentation, dict):
        return _around_mask(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        return None
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    points = [spelling.number(each) for polygon in polygons if isinstance(polygon, list) for each in _flat(polygon)]
    if len(points) < _FEWEST_NUMBERS or len(points) % 2:
        return None
    numbers = [each for each in points if each is not None]
    if len(numbers) != len(points):
        return None
    left, top = min(numbers[::2]), min(numbers[1::2])
    return [left, top, max(numbers[::2]) - left, max(numbers[1::2]) - top]


def _flat(polygon: list[Any]) -> Iterable[Any]:
    """Return the numbers of a polygon, which some programs write as pairs."""
    return itertools.chain.from_iterable(polygon) if all(isinstance(point, list) for point in polygon) else polygon


def _around_mask(mask: dict[str, Any]) -> list[float] | None:
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or not size:
        return None
    height = spelling.whole_number(size[0])
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    if height is None or height < 1 or not isinstance(runs, list) or len(runs) > _MOST_RUNS:
        return None
    lengths = [each for each in map(spelling.whole_number, runs) if each is not None and each >= 0]
    return _around_runs(lengths, height) if len(lengths) == len(runs) else None


def _around_runs(lengths: Sequence[int], height: int) -> list[float] | None:
    ends = list(itertools.accumulate(lengths))
    ones = [(start, end - 1) for start, end in zip(ends[::2], ends[1::2], strict=False) if end > start]
    if not ones:
        return None
    left, right = ones[0][0] // height, ones[-1][1] // height
    whole = any(start // height != end // height for start, end in ones)
    top = 0 if whole else min(start % height for start, _ in ones)
    bottom = height - 1 if whole else max(end % height for _, end in ones)
    return [left, top, right - left + 1, bottom - top + 1]


def _decompressed(text: str) -> list[int] | None:
    """Return the counts of a compressed mask (`rleFrString` of maskApi.c)."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:  # noqa: PLR2004 - 6 bits a character, 64 bits a count
            return None
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value |= -1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))  # noqa: PLR2004 - from the fourth on, differences
        value = shift = 0
    return counts
