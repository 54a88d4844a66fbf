"""Objects of excluded classes whose annotation names no image: any image may show them. Pure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec
from negset_jobs.formats.coco import Annotations
from negset_jobs.formats.coco_ids import UNREADABLE
from negset_jobs.selection.filters import positions_of
from negset_jobs.selection.guard import Mask

log = logging.getLogger(__name__)

FIELD: Final = "spec.source.coco.annotations"

_IN_ORDER: Final = 0.99
"""The part of the annotations that follow in the order of their images, if an exporter wrote so."""


class Unplaced(NamedTuple):
    """How many objects have no image, and the images that most probably show them."""

    objects: int
    near: Mask


def find_unplaced(spec: NegativeDatasetSpec, annotations: Annotations, excluded: frozenset[int]) -> Unplaced:
    """Return the objects that may be of an excluded class and are in no image.

    Exporters write the annotations of an image together. So the image is that of the annotation
    before, or of the next one, or one that has no other annotation: one between them if the file
    has the annotations in the order of the images. These are left out. In a file that says where a
    class is verified to be absent, such an object changes nothing.

    Raises `InvalidInput` if there are several, and more than `maxFailedPercent` of all objects of
    the excluded classes.
    """
    near = np.zeros(len(annotations.images), bool)
    if annotations.verified is not None or not (annotations.image_ids == UNREADABLE).any():
        return Unplaced(0, near)
    wanted = np.isin(annotations.category_ids, [*excluded, UNREADABLE])
    rows = np.flatnonzero(wanted & (annotations.image_ids == UNREADABLE))
    if not rows.size:
        return Unplaced(0, near)
    total, allowed = int(wanted.sum()), spec.download.max_failed_percent
    told = f"{rows.size:,} of {total:,} annotations of the excluded classes have no readable image_id, so any image may show their objects"
    if rows.size > 1 and rows.size * 100 > allowed * total:
        raise InvalidInput(f"{FIELD}: {told}; spec.download.maxFailedPercent allows {allowed}%: correct the annotations")
    positions = positions_of(annotations.image_ids, annotations.image_keys)
    placed = np.flatnonzero(positions >= 0)
    _mark(near, positions[placed], np.searchsorted(placed, rows).tolist())
    log.warning("%s: %s; the images next to them in the file are left out, and the others are taken: correct the annotations", FIELD, told)
    return Unplaced(int(rows.size), near)


def _mark(near: Mask, positions: npt.NDArray[np.intp], places: Sequence[int]) -> None:
    """Mark the images that objects at these places among the positions may belong to.

    `positions` are those of the images of all placed annotations, in the order of the file.
    """
    if positions.size > 1 and (np.diff(positions) >= 0).mean() >= _IN_ORDER:
        ends = [0, *positions.tolist(), len(near) - 1]
        for place in places:
            first, last = sorted(ends[place : place + 2])
            near[first : last + 1] = True
        return
    for place in places:
        near[positions[max(place - 1, 0) : place + 1]] = True
    near[np.setdiff1d(np.arange(len(near)), positions)] = True
