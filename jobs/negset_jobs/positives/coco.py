"""Reads positives from annotations in COCO's instances format.

A box is [x, y, width, height] in pixels, counted from 0 at the image's edge
(https://cocodataset.org/#format-data). A crowd region keeps its mark, because evaluation must
ignore detections in it; the Object Detection API's create_coco_tf_record.py keeps it too.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_api.spec import CocoPositives
from negset_api.values import Outcome
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import open_input
from negset_jobs.adapters.urls import shown
from negset_jobs.formats.boxes import Corners
from negset_jobs.formats.coco import Category, Image
from negset_jobs.formats.image_url import image_url, photo_page
from negset_jobs.formats.json_arrays import read_arrays
from negset_jobs.formats.json_window import BrokenJson, WrongShape
from negset_jobs.positives.annotated import BACKGROUND, OTHER_CLASSES, Annotation, FailedImage, Source, SourceImage
from negset_jobs.positives.units import Layout, Reading, Unit

FIELD: Final = "spec.positives.coco.annotations"
READING: Final = Reading(Layout.XYWH, Unit.PIXELS)
_REQUIRED: Final = ("images", "annotations", "categories")
_COORDINATES: Final = 4


class _Object(msgspec.Struct, gc=False):
    """The fields read from one annotation. Tools may leave any value in `bbox`."""

    image_id: int
    category_id: int
    bbox: list[float | None] | None = None
    iscrowd: float | bool | None = None


class Columns(NamedTuple):
    """Annotations in the order of the file, one row each, so that a million use 49 MB.

    `boxes` is (n, 4): x, y, width, height in pixels, all NaN if there are no four numbers.
    """

    image_ids: npt.NDArray[np.int64]
    category_ids: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float64]


class Instances(NamedTuple):
    """The parts of a file that positives need."""

    images: tuple[Image, ...]
    categories: tuple[Category, ...]
    objects: Columns


def read_coco(source: CocoPositives, wanted: frozenset[str], access: Access) -> Source:
    """Read the images with an annotation of the wanted classes, in the file's order.

    Raises `InvalidInput` if the file is not in COCO's format.
    """
    with open_input(source.annotations, access, FIELD) as stream:
        instances = parse_coco(stream, source.annotations)
    return annotated(instances, wanted, source)


def parse_coco(stream: BinaryIO, url: str) -> Instances:
    """Parse the images, categories and boxes of a file, block by block.

    Raises `InvalidInput`, naming the field and `url`.
    """
    found: dict[str, list[Any]] = {}
    try:
        for key, elements in read_arrays(stream, {"images": Image, "categories": Category, "annotations": _Object}):
            found.setdefault(key, []).extend([_columns(elements)] if key == "annotations" else elements)
    except (BrokenJson, WrongShape, OverflowError) as problem:
        raise InvalidInput(f"{FIELD}: {shown(url)} is not in COCO's instances format: {problem}") from problem
    missing = [key for key in _REQUIRED if key not in found]
    if missing:
        raise InvalidInput(
            f"{FIELD}: {shown(url)} is not in COCO's instances format: expected the keys {', '.join(_REQUIRED)}, found no {', '.join(missing)}"
        )
    columns = Columns(*(np.concatenate(parts) for parts in zip(*found["annotations"], strict=True)))
    return Instances(tuple(found["images"]), tuple(found["categories"]), columns)


def annotated(instances: Instances, wanted: frozenset[str], source: CocoPositives) -> Source:
    """Return the images with an annotation of the wanted classes.

    An image without a usable URL is a failure. One without its size keeps its boxes in pixels.
    """
    classes = {category.id: category.name for category in instances.categories}
    objects = _by_image(instances.objects, {number: name for number, name in classes.items() if name in wanted})
    others = frozenset(instances.objects.image_ids.tolist())
    images: list[SourceImage] = []
    failed: list[FailedImage] = []
    left_out: collections.Counter[str] = collections.Counter()
    for image in instances.images:
        annotations = objects.get(image.id, ())
        if not annotations:
            left_out[OTHER_CLASSES if image.id in others else BACKGROUND] += 1
            continue
        try:
            images.append(_described(image, annotations, source))
        except InvalidInput as error:
            failed.append(FailedImage(image_id=image.id, outcome=Outcome.INVALID_ANNOTATION, detail=str(error)))
    return Source(FIELD, READING, images, frozenset(classes.values()), failed, left_out)


def _described(image: Image, annotations: Sequence[Annotation], source: CocoPositives) -> SourceImage:
    width, height = int(image.width or 0), int(image.height or 0)
    known = width > 0 and height > 0
    return SourceImage(
        image_id=image.id,
        url=image_url(source.image_url, _url_fields(image), field="spec.positives.coco.imageUrl"),
        file_name=image.file_name,
        width=width if known else 0,
        height=height if known else 0,
        license=image.license or 0,
        page=photo_page(image.flickr_url or ""),
        annotations=annotations,
    )


def _url_fields(image: Image) -> dict[str, str]:
    return {"file_name": image.file_name, "coco_url": image.coco_url or "", "flickr_url": image.flickr_url or ""}


def _columns(objects: Sequence[_Object]) -> Columns:
    count = len(objects)
    return Columns(
        np.fromiter((item.image_id for item in objects), np.int64, count),
        np.fromiter((item.category_id for item in objects), np.int64, count),
        np.fromiter((bool(item.iscrowd) for item in objects), np.bool_, count),
        np.array([_box(item.bbox) for item in objects], np.float64).reshape(count, _COORDINATES),
    )


def _box(bbox: list[float | None] | None) -> tuple[float, ...]:
    if bbox is None or len(bbox) != _COORDINATES:
        return (math.nan,) * _COORDINATES
    return tuple(math.nan if value is None else value for value in bbox)


def _by_image(objects: Columns, wanted: Mapping[int, str]) -> dict[int, list[Annotation]]:
    found: dict[int, list[Annotation]] = collections.defaultdict(list)
    rows = np.flatnonzero(np.isin(objects.category_ids, list(wanted)))
    for image_id, category_id, crowd, box in _rows(objects, rows):
        found[image_id].append(Annotation(wanted[category_id], _corners(box), box, crowd=crowd))
    return found


def _rows(objects: Columns, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, bool, list[float]]]:
    """Yield the rows as numbers of Python."""
    return zip(*(column[rows].tolist() for column in objects), strict=True)


def _corners(box: Sequence[float]) -> Corners | None:
    if all(math.isnan(value) for value in box):
        return None
    x, y, width, height = box
    return Corners(ymin=y, xmin=x, ymax=y + height, xmax=x + width)
