"""Refuses a source whose mistakes are not single slips, and says how many there are. Pure."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.values import ShardResult
from negset_jobs.adapters.quoting import quoted
from negset_jobs.positives.annotated import FailedImage, RejectedBox, SourceImage, numbers
from negset_jobs.positives.units import Reading, misread

log = logging.getLogger(__name__)

_EXAMPLES: Final = 3


def check_unit(boxes: Iterable[tuple[Sequence[object], tuple[int, int]]], reading: Reading, field: str) -> None:
    """Raise `InvalidInput`, naming `field`, if most boxes are in another unit than `reading`.

    `boxes` are pairs of the four numbers of a box, and the width and height of its image in pixels,
    0 if unknown.
    """
    read = [(given, size) for raw, size in boxes if (given := numbers(raw)) is not None]
    found = misread([given for given, _ in read], [size for _, size in read], reading)
    if found:
        raise InvalidInput(f"{field}: {found}; convert them, or set spec.positives.checkBoxUnit to false if they are right")


def boxes_of(images: Iterable[SourceImage]) -> Iterable[tuple[Sequence[object], tuple[int, int]]]:
    """Yield the boxes of the images as `check_unit` takes them."""
    return ((annotation.given, (image.width, image.height)) for image in images for annotation in image.annotations)


def with_stored_sizes(images: Iterable[SourceImage], results: Iterable[ShardResult]) -> list[SourceImage]:
    """Return the images whose size the source does not have and the stored image shows."""
    sizes = {ended.image_id: (ended.width, ended.height) for result in results for ended in result.results if ended.width}
    return [
        image._replace(width=sizes[image.image_id][0], height=sizes[image.image_id][1])
        for image in images
        if not image.width and image.image_id in sizes
    ]


def check_crowds(annotations: Mapping[str, int], crowds: Mapping[str, int], requested: Sequence[str], field: str) -> None:
    """Raise `InvalidInput`, naming `field`, if nothing but crowds is left of what is wanted.

    `annotations` and `crowds` count by class. A class that is requested by name needs an object of
    its own; otherwise one class with objects is enough.
    """
    only = [name for name, count in annotations.items() if count == crowds.get(name, 0)]
    refused = [name for name in only if name in requested] or (only if len(only) == len(annotations) else [])
    if refused:
        count = sum(annotations[name] for name in refused)
        raise InvalidInput(
            f"{field}: expected single objects, got only crowds: all {count:,} annotations of {_listed(refused)} are marked iscrowd, "
            "as CVAT marks every mask; if they are single objects, set spec.positives.crowds to Objects"
        )
    if only:
        log.warning("all annotations of %s are marked as crowds, so none of them is learned", _listed(only))


def check_failed(failed: Sequence[FailedImage], total: int, percent: int, field: str) -> None:
    """Raise `InvalidInput`, naming `field`, if too many images of the source cannot be used.

    They are too many if they are all, or more than `percent` of `total`.
    """
    if not failed or (len(failed) < total and len(failed) * 100 <= percent * total):
        return
    examples = "; ".join(failure.detail for failure in failed[:_EXAMPLES])
    raise InvalidInput(
        f"{field}: {len(failed):,} of {total:,} images cannot be used, spec.download.maxFailedPercent allows {percent}%: {examples}"
        f"{_rest(len(failed), names.FAILED_POSITIVES)}"
    )


def check_rejected(rejected: Sequence[RejectedBox], total: int, percent: int, field: str) -> None:
    """Raise `InvalidInput`, naming `field`, if too many boxes cannot be used.

    They are too many if they are all, or more than `percent` of `total`: what they show would be
    learned as background.
    """
    if not rejected or (len(rejected) < total and len(rejected) * 100 <= percent * total):
        return
    reasons = collections.Counter(box.reason for box in rejected)
    examples = {box.reason: box for box in reversed(rejected)}
    told = "; ".join(
        f"{count:,} times {reason.sentence} (such as in image {quoted(str(examples[reason].image_id))})"
        for reason, count in reasons.most_common(_EXAMPLES)
    )
    raise InvalidInput(
        f"{field}: {len(rejected):,} of {total:,} boxes cannot be used, spec.download.maxFailedPercent allows {percent}%: {told}"
        f"{_rest(len(rejected), names.REJECTED_BOXES)}"
    )


def _rest(count: int, key: str) -> str:
    return f"; {key} lists all of them" if count > _EXAMPLES else ""


def _listed(classes: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(classes)))
