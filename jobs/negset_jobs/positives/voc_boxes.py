"""The boxes of Pascal VOC's files, and whether they are counted from 0 or 1. Pure.

An object may have an outline where VOC has a box (`voc_outlines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from negset_jobs.formats.boxes import Corners
from negset_jobs.positives.annotated import Annotation, numbers
from negset_jobs.positives.voc_outlines import box_of_outline

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
_PARTS: Final = 100
"""One box of so many shows that a source counts from 0, as a person's slip does not.

Of the boxes of an exporter that counts from 0, one of ten begins at the image's border.
"""
_TRUE: Final = frozenset({"true", "yes", "y", "t"})


def annotation(element: Element) -> Annotation:
    """Return an <object>. Its corners are counted from the image's edge."""
    # Only direct children: the parts of a person (<part>) have their own <name> and <bndbox>.
    given: Sequence[object] = [text(element, f"bndbox/{side}") for side in _SIDES]
    found = _corners(given)
    if found is None and (found := box_of_outline(element)) is not None:
        given = (found.xmin, found.ymin, found.xmax, found.ymax)
    return Annotation(
        class_name=text(element, "name"),
        corners=found,
        given=given,
        difficult=flag(text(element, "difficult")),
        truncated=flag(text(element, "truncated")),
    )


def text(element: Element, path: str) -> str:
    """Return the text of the element at a path, stripped; empty if there is none."""
    return (element.findtext(path) or "").strip()


def flag(written: str) -> bool:
    """Read a flag. Tools also write words, such as Unspecified, which are not a mark."""
    try:
        return float(written) > 0
    except ValueError:
        return written.lower() in _TRUE


def count_from_zero(objects: Iterable[Annotation]) -> bool:
    """Return True if the boxes of a source are counted from 0, although VOC counts from 1.

    Label Studio, CVAT, FiftyOne and labelme do so. There is no pixel 0 if counted from 1.
    """
    known = [item.corners for item in objects if item.corners is not None and _is_counted(item)]
    return sum(-1 <= min(box.xmin, box.ymin) < 0 for box in known) * _PARTS >= max(len(known), 1)


def counted_from_zero(item: Annotation) -> Annotation:
    """Return an annotation that was read as if counted from 1. Its ends are edges, not pixels."""
    if item.corners is None or not _is_counted(item):
        return item
    box = item.corners
    return item._replace(corners=box._replace(ymin=box.ymin + 1, xmin=box.xmin + 1))


def _is_counted(item: Annotation) -> bool:
    """Return True for a box as it is written. The numbers of an outline are between pixels."""
    return all(isinstance(number, str) for number in item.given)


def _corners(given: Sequence[object]) -> Corners | None:
    """Return the corners counted from the image's edge instead of from pixel 1.

    Some VOC 2011 boxes have fractions. Any two opposite corners name the box.
    """
    found = numbers(given)
    if found is None:
        return None
    xmin, ymin, xmax, ymax = found
    return Corners(ymin=min(ymin, ymax) - 1, xmin=min(xmin, xmax) - 1, ymax=max(ymin, ymax), xmax=max(xmin, xmax))
