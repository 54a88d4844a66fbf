"""Read COCO's instances annotations (https://cocodataset.org/#format-data) to select images.

Of each annotation, two numbers are kept in arrays, and its box if the caller wants boxes. Polygons
and masks are skipped while reading. So train2017's 565 MB need little more memory than its list of
images.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from operator import attrgetter
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_jobs.adapters.urls import shown
from negset_jobs.formats.json_arrays import BLOCK, read_arrays
from negset_jobs.formats.json_window import BrokenJson, WrongShape
from negset_jobs.formats.lvis import Verified, verified

log = logging.getLogger(__name__)

Ids = npt.NDArray[np.int64]
Boxes = npt.NDArray[np.float32]

_EXAMPLES: Final = 5
_SIDES: Final = 4
# Pixels. Larger numbers are not positions in an image, and some are too large for a float.
_FURTHEST: Final = 1e9


class Image(msgspec.Struct, frozen=True, gc=False):
    """One entry of `images`.

    Sides are in pixels. A field that is missing or null in the file is None.
    """

    id: int
    file_name: str
    width: int | float | None = None
    height: int | float | None = None
    license: int | None = None
    coco_url: str | None = None
    flickr_url: str | None = None


class ListedImage(Image, frozen=True, gc=False):
    """One entry of `images` as the file has it, with the fields of LVIS.

    They are lists of category ids (https://www.lvisdataset.org/dataset). A file without them is
    exhaustive: it annotates every class in every image.
    """

    neg_category_ids: Any = None
    not_exhaustive_category_ids: Any = None


class Category(msgspec.Struct, frozen=True, gc=False):
    """One class. Several classes can share a supercategory, which users can exclude as a whole."""

    id: int
    name: str
    supercategory: str | None = None


class FileLicense(msgspec.Struct, frozen=True, gc=False):
    """One entry of `licenses`."""

    id: int
    name: str | None = None
    url: str | None = None


class Annotation(msgspec.Struct, gc=False):
    """The fields of an annotation that are kept.

    A crowd region counts like any other annotation: the class is in the image.
    """

    image_id: int
    category_id: int


class BoxedAnnotation(msgspec.Struct, gc=False):
    """An annotation with its box: [x, y, width, height] in pixels.

    The box may be anything that an annotation tool wrote there: no decision depends on it.
    """

    image_id: int
    category_id: int
    bbox: Any = None


KINDS: Final[Mapping[str, Any]] = {"images": ListedImage, "annotations": Annotation, "categories": Category, "licenses": FileLicense}
_REQUIRED: Final = ("images", "annotations", "categories")


@dataclass(frozen=True, eq=False)
class Annotations:
    """A checked file: unique image ids and category ids, and only known categories.

    `image_ids` and `category_ids` have one entry per annotation, in the order of the file. An image
    id there may be missing from `images`. `boxes` has one row per annotation: x, y, width and
    height in pixels, all nan if the file does not have four numbers. It has no rows if the caller
    did not want boxes.

    `verified` is None if the file annotates every class in every image.
    """

    images: tuple[Image, ...]
    categories: tuple[Category, ...]
    licenses: tuple[FileLicense, ...]
    image_ids: Ids
    category_ids: Ids
    boxes: Boxes
    verified: Verified | None = None

    @cached_property
    def digest(self) -> str:
        """A digest of all fields but the boxes, as 16 hexadecimal digits.

        Two files with the same digest give the same plan, whatever their formatting.
        """
        state = blake2b(digest_size=8)
        for part in (self.images, self.categories, self.licenses):
            state.update(msgspec.json.encode(part))
        verified = [ids for pairs in self.verified or () for ids in pairs]
        for ids in (self.image_ids, self.category_ids, *verified):
            state.update(ids.astype("<i8", copy=False).tobytes())
        return state.hexdigest()


def read_annotations(stream: BinaryIO, *, field: str, url: str, block: int = BLOCK, boxes: bool = False) -> Annotations:
    """Return the annotations in a stream of JSON.

    Raises `InvalidInput`, naming `field` and `url`, if they are not in COCO's instances format.
    """
    kinds = {**KINDS, "annotations": BoxedAnnotation} if boxes else KINDS
    found = _read(stream, kinds, _REQUIRED, field=field, url=url, block=block)
    image_ids, category_ids = (
        np.concatenate([np.empty(0, np.int64), *(chunk[index] for chunk in found["annotations"])]) for index in range(2)
    )
    annotations = Annotations(
        images=tuple(map(_plain, found["images"])),
        categories=tuple(found["categories"]),
        licenses=tuple(found.get("licenses", ())),
        image_ids=image_ids,
        category_ids=category_ids,
        boxes=np.concatenate([np.empty((0, _SIDES), np.float32), *(chunk[2] for chunk in found["annotations"])]),
    )
    try:
        annotations = replace(annotations, verified=verified(found["images"]))
        _check(annotations)
    except WrongShape as problem:
        raise _not_coco(field, url, problem) from problem
    return annotations


def read_images(stream: BinaryIO, *, field: str, url: str) -> tuple[Image, ...]:
    """Return the images that a file lists. The file needs no annotations.

    Raises `InvalidInput`, naming `field` and `url`.
    """
    return tuple(_read(stream, {"images": Image}, ("images",), field=field, url=url, block=BLOCK)["images"])


def _read(
    stream: BinaryIO, kinds: Mapping[str, Any], required: tuple[str, ...], *, field: str, url: str, block: int
) -> dict[str, list[Any]]:
    """Return the wanted arrays of the file. Annotations become numpy arrays while they are read."""
    found: dict[str, list[Any]] = {}
    try:
        for key, elements in read_arrays(stream, kinds, block=block):
            found.setdefault(key, []).extend([_columns(elements)] if key == "annotations" else elements)
        _check_present(required, found)
    except BrokenJson as problem:
        raise InvalidInput(f"{field}: {shown(url)} is not valid JSON: {problem}") from problem
    except WrongShape as problem:
        raise _not_coco(field, url, problem) from problem
    return found


def _check_present(required: tuple[str, ...], found: Mapping[str, Any]) -> None:
    missing = [repr(key) for key in required if key not in found]
    if missing:
        raise WrongShape(f"expected the keys {', '.join(required)} at the top, found no {' and no '.join(missing)}")


def _plain(listed: ListedImage) -> Image:
    return Image(listed.id, listed.file_name, listed.width, listed.height, listed.license, listed.coco_url, listed.flickr_url)


def _columns(annotations: list[Any]) -> tuple[Ids, Ids, Boxes]:
    try:
        return (
            np.fromiter(map(attrgetter("image_id"), annotations), np.int64, len(annotations)),
            np.fromiter(map(attrgetter("category_id"), annotations), np.int64, len(annotations)),
            _boxes([annotation.bbox for annotation in annotations if isinstance(annotation, BoxedAnnotation)]),
        )
    except OverflowError as error:
        raise WrongShape("annotations: expected ids of at most 64 bits") from error


def _boxes(values: list[Any]) -> Boxes:
    try:
        with np.errstate(over="ignore"):
            boxes = np.array(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        boxes = np.empty(0, np.float32)
    if boxes.shape == (len(values), _SIDES):
        return boxes
    return np.array([_four(value) for value in values], np.float32).reshape(-1, _SIDES)


def _four(value: Any) -> list[float]:
    numbers = isinstance(value, list) and len(value) == _SIDES and all(isinstance(each, int | float) for each in value)
    return value if numbers and all(abs(each) < _FURTHEST for each in value) else [math.nan] * _SIDES


def _check(annotations: Annotations) -> None:
    """Raise `WrongShape` for anything that makes a selection unsafe."""
    _check_unique("images", (image.id for image in annotations.images))
    _check_unique("categories", (category.id for category in annotations.categories))
    try:
        images, categories = (np.array([item.id for item in items], np.int64) for items in (annotations.images, annotations.categories))
    except OverflowError as error:
        raise WrongShape("expected ids of at most 64 bits") from error
    unknown = np.setdiff1d(annotations.category_ids, categories)
    if unknown.size:
        # An unknown category may be an excluded class, so its images may not be negatives.
        raise WrongShape(f"expected every category_id of the annotations in 'categories', found {_some(unknown)}")
    stray = np.setdiff1d(annotations.image_ids, images)
    if stray.size:
        log.warning("%d image ids of the annotations are not in 'images' (%s); they cannot be selected", stray.size, _some(stray))


def _check_unique(key: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for number in ids:
        if number in seen:
            raise WrongShape(f"{key}: expected unique ids, found {number} twice")
        seen.add(number)


def _some(ids: Ids) -> str:
    more = f" and {ids.size - _EXAMPLES} more" if ids.size > _EXAMPLES else ""
    return ", ".join(str(number) for number in ids[:_EXAMPLES]) + more


def _not_coco(field: str, url: str, problem: WrongShape) -> InvalidInput:
    return InvalidInput(f"{field}: {shown(url)} is not in COCO's instances format: {problem}")
