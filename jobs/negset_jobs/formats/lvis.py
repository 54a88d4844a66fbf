"""LVIS's fields beside COCO's (https://www.lvisdataset.org/dataset).

LVIS annotates only some classes in each image. Each image lists the classes that are verified to be
absent, and those whose objects may not all be annotated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from negset_jobs.adapters.quoting import quoted_id
from negset_jobs.formats.coco_ids import key_of
from negset_jobs.formats.json_window import WrongShape
from negset_jobs.formats.spelling import identifier

_Ids = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """Ids of images (their keys) and categories: one pair in each position of the two arrays."""

    image_ids: _Ids
    category_ids: _Ids


class Verified(NamedTuple):
    """What a file says of single images and classes.

    In the `absent` pairs, the image does not show the class. In the `not_exhaustive` ones it may
    show objects of the class that are not annotated. Of all other pairs without an annotation,
    nothing is known.
    """

    absent: Pairs
    not_exhaustive: Pairs


class Listed(Protocol):
    """An entry of `images`. Both fields are lists of category ids, or None if they are missing."""

    @property
    def id(self) -> Any: ...
    @property
    def neg_category_ids(self) -> Any: ...
    @property
    def not_exhaustive_category_ids(self) -> Any: ...


def verified(images: Iterable[Listed]) -> Verified | None:
    """Return what the fields say; None if no image has one of them, so that the file is COCO's.

    Raises `WrongShape`.
    """
    listed = [image for image in images if image.neg_category_ids is not None or image.not_exhaustive_category_ids is not None]
    return Verified(*(_pairs(listed, field) for field in ("neg_category_ids", "not_exhaustive_category_ids"))) if listed else None


def _pairs(images: Iterable[Listed], field: str) -> Pairs:
    identified = ((identifier(image.id), image) for image in images)
    pairs = [(key_of(key), number) for key, image in identified if key is not None for number in _numbers(image, field)]
    try:
        table = np.array(pairs, np.int64).reshape(-1, 2)
    except OverflowError as error:
        raise WrongShape(f"images: expected ids of at most 64 bits in {field!r}") from error
    return Pairs(table[:, 0], table[:, 1])


def _numbers(image: Listed, field: str) -> list[int]:
    """Return the category ids in a field, which may be missing.

    A number may be written as text or with a decimal point.
    """
    values = getattr(image, field)
    try:
        numbers = [int(value) for value in values or () if not isinstance(value, float) or value.is_integer()]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if not isinstance(values, list | None) or len(numbers) != len(values or ()):
        raise WrongShape(f"images: expected {field!r} to be a list of category ids, found something else in image {quoted_id(image.id)}")
    return numbers
