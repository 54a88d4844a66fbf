"""Read COCO's instances annotations (https://cocodataset.org/#format-data) to select images.

Of each annotation, two numbers are kept in arrays, and its box if the caller wants boxes. Polygons
and masks are skipped while reading. So train2017's 565 MB need little more memory than its list of
images.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_api.values import ImageId
from negset_jobs.adapters.quoting import quoted, quoted_id
from negset_jobs.adapters.urls import shown
from negset_jobs.formats import spelling
from negset_jobs.formats.coco_columns import IdColumns, reading
from negset_jobs.formats.coco_fields import CATEGORIES, IMAGES, LICENSES, Category, Entries, FileLicense, Image, read_entries
from negset_jobs.formats.coco_ids import Ids, keys_of
from negset_jobs.formats.file_kind import recognised_object
from negset_jobs.formats.json_arrays import BLOCK, read_arrays
from negset_jobs.formats.json_reading import Reading
from negset_jobs.formats.json_window import BrokenJson, WrongShape
from negset_jobs.formats.lvis import Verified

__all__ = ["Annotations", "Category", "FileLicense", "Ids", "Image", "read_annotations", "read_images", "read_instances"]

log = logging.getLogger(__name__)

Boxes = npt.NDArray[np.float32]

_SIDES: Final = 4
# Pixels. Larger numbers are not positions in an image, and some are too large for a float.
_FURTHEST: Final = 1e9
_LICENSES: Final = "licenses"


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


_REQUIRED: Final = ("images", "annotations", "categories")


@dataclass(frozen=True, eq=False)
class Annotations:
    """A checked file: unique image ids and category ids, and only known categories.

    `image_ids` and `category_ids` have one entry per annotation, in the order of the file. An image
    id there may be missing from `images`. `boxes` has one row per annotation: x, y, width and
    height in pixels, all nan if the file does not have four numbers. It has no rows if the caller
    did not want boxes. `unread` counts the images by the field whose value has no reading.

    `verified` is None if the file annotates every class in every image.
    """

    images: tuple[Image, ...]
    categories: tuple[Category, ...]
    licenses: tuple[FileLicense, ...]
    image_ids: Ids
    category_ids: Ids
    boxes: Boxes
    unread: Mapping[str, int] = dataclasses.field(default_factory=dict)
    verified: Verified | None = None

    @cached_property
    def image_keys(self) -> Ids:
        """The keys of the images' ids, which `image_ids` refers to."""
        return keys_of(image.id for image in self.images)

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
    parts: list[Boxes] = [np.empty((0, _SIDES), np.float32)]

    def collect(annotations: list[Any]) -> None:
        if boxes:
            parts.append(_boxes([annotation.bbox for annotation in annotations]))

    kind = reading(BoxedAnnotation if boxes else Annotation)
    entries, image_ids, category_ids = read_instances(stream, kind, collect, field=field, url=url, block=block)
    return Annotations(
        images=entries.images,
        categories=entries.categories,
        licenses=entries.licenses,
        image_ids=image_ids,
        category_ids=category_ids,
        boxes=np.concatenate(parts),
        unread=entries.unread,
        verified=entries.verified,
    )


def read_instances(
    stream: BinaryIO, annotation: Reading, collect: Callable[[list[Any]], None], *, field: str, url: str, block: int = BLOCK
) -> tuple[Entries, Ids, Ids]:
    """Return the entries of a file, and the keys of image and category of each annotation.

    Every part of the array of annotations, decoded as `annotation` says, is given to `collect`.
    Raises `InvalidInput`, naming `field` and `url`, if the file is not in COCO's instances format.
    """
    columns = IdColumns()

    def add(annotations: list[Any]) -> None:
        columns.add(annotations)
        collect(annotations)

    kinds = {"images": IMAGES, "annotations": annotation, "categories": CATEGORIES, "licenses": LICENSES}
    entries = _read(stream, kinds, _REQUIRED, add, field=field, url=url, block=block)
    try:
        return columns.resolved(entries)
    except WrongShape as problem:
        raise _not_coco(field, url, problem) from problem


def read_images(stream: BinaryIO, *, field: str, url: str) -> tuple[Image, ...]:
    """Return the images that a file lists. The file needs no annotations.

    Raises `InvalidInput`, naming `field` and `url`.
    """
    return _read(stream, {"images": IMAGES}, ("images",), len, field=field, url=url, block=BLOCK).images


def _read(
    stream: BinaryIO,
    kinds: Mapping[str, Reading],
    required: tuple[str, ...],
    add: Callable[[list[Any]], object],
    *,
    field: str,
    url: str,
    block: int,
) -> Entries:
    """Return the entries of the file. Its annotations are added part by part."""
    found: dict[str, list[Any]] = {}
    keys: set[str] = set()
    try:
        for key, elements in read_arrays(stream, kinds, block=block, keys=keys):
            part = found.setdefault(key, [])
            if key == "annotations":
                add(elements)
            else:
                part.extend(elements)
        _check_present(required, keys)
        entries = read_entries(found)
        read = entries._replace(images=_without_repeats(entries.images))
    except BrokenJson as problem:
        raise InvalidInput(f"{field}: {shown(url)} is not valid JSON: {problem}") from problem
    except WrongShape as problem:
        other = recognised_object(keys) if "images" not in keys else None
        raise _not_coco(field, url, WrongShape(f"it is {other}") if other else problem) from problem
    _warn(field, url, read)
    return read


def _warn(field: str, url: str, entries: Entries) -> None:
    """Say once which values count as unknown. Nothing may have asked for them."""
    unread = [
        f"{name} of {count} of {len(entries.images)} images" if name != _LICENSES else f"id of {count} entries of {name}"
        for name, count in sorted(entries.unread.items())
        if count
    ]
    if unread:
        log.warning("%s: %s: values that cannot be read count as unknown: %s", field, shown(url), ", ".join(unread))


def _check_present(required: tuple[str, ...], keys: set[str]) -> None:
    missing = [repr(key) for key in required if key not in keys]
    if missing:
        other = recognised_object(keys)
        raise WrongShape(
            f"it is {other}" if other else f"expected the keys {', '.join(required)} at the top, found no {' and no '.join(missing)}"
        )


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
    numbers = [spelling.number(each) for each in value] if isinstance(value, list) else []
    known = [each for each in numbers if each is not None and abs(each) < _FURTHEST]
    return known if len(numbers) == len(known) == _SIDES else [math.nan] * _SIDES


def _without_repeats(images: tuple[Image, ...]) -> tuple[Image, ...]:
    """Return the images without those that are listed again.

    Raises `WrongShape` if two images share an id: each annotation may be of either.
    """
    first: dict[ImageId, Image] = {}
    for image in images:
        other = first.setdefault(image.id, image).file_name
        if other != image.file_name:
            raise WrongShape(
                f"images: expected unique ids, found {quoted_id(image.id)} twice ({quoted(other)} and {quoted(image.file_name)})"
            )
    if len(first) < len(images):
        log.warning("%d images are listed again under the same id and file name", len(images) - len(first))
    return tuple(first.values())


def _not_coco(field: str, url: str, problem: WrongShape) -> InvalidInput:
    return InvalidInput(f"{field}: {shown(url)} is not in COCO's instances format: {problem}")
