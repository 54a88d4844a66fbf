"""LVIS's fields beside COCO's (https://www.lvisdataset.org/dataset).

LVIS annotates only some classes in each image. Each image lists the classes that are verified to be
absent, and those whose objects may not all be annotated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from negset_jobs.adapters.quoting import quoted_id
from negset_jobs.formats.coco_ids import key_of
from negset_jobs.formats.json_window import WrongShape
from negset_jobs.formats.spelling import identifier

_Ids = npt.NDArray[np.int64]

_FIELDS: Final = ("neg_category_ids", "not_exhaustive_category_ids", "pos_category_ids")
_IN_FIELDS: Final = attrgetter(*_FIELDS)
_NOTHING: Final = (None,) * len(_FIELDS)


class Pairs(NamedTuple):
    """Ids of images (their keys) and categories: one pair in each position of the two arrays."""

    image_ids: _Ids
    category_ids: _Ids


class Verified(NamedTuple):
    """What a file says of single images and classes.

    In the `absent` pairs, the image does not show the class. In the `not_exhaustive` ones it may
    show objects of the class that are not annotated, or does show one (`pos_category_ids`). Of all
    other pairs without an annotation, nothing is known.
    """

    absent: Pairs
    not_exhaustive: Pairs


class Listed(Protocol):
    """An entry of `images`. The fields are lists of category ids, or None if they are missing."""

    @property
    def id(self) -> Any: ...
    @property
    def neg_category_ids(self) -> Any: ...
    @property
    def not_exhaustive_category_ids(self) -> Any: ...
    @property
    def pos_category_ids(self) -> Any: ...


def verified(images: Sequence[Listed], names: Mapping[str, int]) -> Verified | None:
    """Return what the fields say; None if no image has one of them, so that the file is COCO's.

    `names` has the ids of categories by what the file may write for them. Raises `WrongShape`.
    """
    listed = [image for image, values in zip(images, map(_IN_FIELDS, images), strict=True) if values != _NOTHING]
    absent, *others = (_pairs(listed, field, names) for field in _FIELDS)
    return Verified(absent, Pairs(*map(np.concatenate, zip(*others, strict=True)))) if listed else None


def _pairs(images: Iterable[Listed], field: str, names: Mapping[str, int]) -> Pairs:
    identified = ((identifier(image.id), image) for image in images)
    pairs = [(key_of(key), number) for key, image in identified if key is not None for number in _numbers(image, field, names)]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return Pairs(table[:, 0], table[:, 1])


def _numbers(image: Listed, field: str, names: Mapping[str, int]) -> list[int]:
    """Return the category ids in a field, which may be missing."""
    values = getattr(image, field)
    found = [_number(value, names) for value in values] if isinstance(values, list) else []
    numbers = [number for number in found if number is not None]
    if not isinstance(values, list | None) or len(numbers) < len(found):
        raise WrongShape(f"images: expected {field!r} to be a list of category ids, found something else in image {quoted_id(image.id)}")
    return numbers


def _number(value: object, names: Mapping[str, int]) -> int | None:
    found = identifier(value)
    return names.get(found) if isinstance(found, str) else found
