"""Reads positives from annotations in COCO's instances format.

A box is [x, y, width, height] in pixels, counted from 0 at the image's edge
(https://cocodataset.org/#format-data). A crowd region keeps its mark, because evaluation must
ignore detections in it; the Object Detection API's create_coco_tf_record.py keeps it too.
"""

from __future__ import annotations

import collections
import logging
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
from negset_jobs.formats import spelling
from negset_jobs.formats.box_spelling import COORDINATES, four_numbers, kind_of_box
from negset_jobs.formats.boxes import Corners
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.coco import Category, Image, read_instances
from negset_jobs.formats.coco_columns import reading
from negset_jobs.formats.coco_ids import key_of
from negset_jobs.formats.image_url import check_base_names, entry_fields, image_url, photo_page
from negset_jobs.formats.masks import box_around
from negset_jobs.formats.same_pictures import identity_of, same_pictures
from negset_jobs.positives.annotated import BACKGROUND, OTHER_CLASSES, Annotation, FailedImage, Source, SourceImage
from negset_jobs.positives.merging import merged
from negset_jobs.positives.units import Layout, Reading, Unit

log = logging.getLogger(__name__)

FIELD: Final = "spec.positives.coco.annotations"
_IMAGE_URL: Final = "spec.positives.coco.imageUrl"
READING: Final = Reading(Layout.XYWH, Unit.PIXELS)
_KINDS_SHOWN: Final = 3
_NO_BOX: Final = (math.nan,) * COORDINATES


class _Object(msgspec.Struct, gc=False):
    """The fields read from one annotation."""

    image_id: int
    category_id: int
    bbox: list[float | None] | None = None
    iscrowd: float | bool | None = None


def _are_complete(objects: Sequence[_Object]) -> bool:
    """Return True if no box has to be derived: an exporter of masks may write four zeros."""
    return all(item.bbox and len(item.bbox) == COORDINATES and any(item.bbox) for item in objects)


_OBJECTS: Final = reading(_Object, "segmentation", complete=_are_complete)


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
    parts: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]] = []
    odd: list[str] = []

    def collect(objects: list[Any]) -> None:
        crowd, boxes = _columns(objects)
        without = np.flatnonzero(np.isnan(boxes).all(axis=1))
        odd.extend(kind_of_box(objects[index].bbox) for index in without)
        parts.append((crowd, boxes))

    entries, image_ids, category_ids = read_instances(stream, _OBJECTS, collect, field=FIELD, url=url)
    _tell_odd(odd)
    crowd, boxes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Instances(entries.images, entries.categories, Columns(image_ids, category_ids, crowd, boxes))


def _tell_odd(kinds: Sequence[str]) -> None:
    """Warn of boxes that are not four numbers, and say what they are instead."""
    if kinds:
        listed = ", ".join(f"{kind} ({count} times)" for kind, count in collections.Counter(kinds).most_common(_KINDS_SHOWN))
        log.warning("%s: expected bbox as [x, y, width, height], got %s", FIELD, listed)


def annotated(instances: Instances, wanted: frozenset[str], source: CocoPositives) -> Source:
    """Return the images with an annotation of the wanted classes.

    An image without a usable URL is a failure. One without its size keeps its boxes in pixels.
    """
    _check_url_fields(instances.images, source.image_url)
    classes = {category.id: category.name for category in instances.categories}
    asked = Spelling(wanted)
    objects = _by_image(instances.objects, {number: spelt for number, name in classes.items() if (spelt := asked.of(name)) is not None})
    others = frozenset(instances.objects.image_ids.tolist())
    images: list[SourceImage] = []
    failed: list[FailedImage] = []
    left_out: collections.Counter[str] = collections.Counter()
    for entries in _pictures(instances.images, source):
        described = [(image, annotations) for image in entries if (annotations := objects.get(key_of(image.id), ()))]
        if not described:
            left_out[OTHER_CLASSES if any(key_of(image.id) in others for image in entries) else BACKGROUND] += 1
            continue
        try:
            images.append(merged([_described(image, annotations, source) for image, annotations in described]))
        except InvalidInput as error:
            failed.append(FailedImage(image_id=entries[0].id, outcome=Outcome.INVALID_ANNOTATION, detail=str(error)))
    # An export of Roboflow has a root category: no object is of this class.
    used = set(np.unique(instances.objects.category_ids).tolist())
    shown = frozenset(name for number, name in classes.items() if number in used)
    return Source(FIELD, READING, images, shown, failed, left_out)


def _check_url_fields(images: Sequence[Image], template: str) -> None:
    """Raise `InvalidInput` if no image has a field of the template, or if two share a URL by it."""
    for name in identity_of(template):
        if images and not any(getattr(image, name) for image in images):
            raise InvalidInput(
                f"{_IMAGE_URL}: {template!r} needs {name}, which none of the {len(images):,} images has; "
                "set imageUrl to the location of the images, such as s3://bucket/folder/{file_name}"
            )
    check_base_names(template, (image.file_name for image in images), field=_IMAGE_URL)


def _pictures(images: Sequence[Image], source: CocoPositives) -> Iterator[list[Image]]:
    """Yield the entries of each picture, in the file's order."""
    same = {members[0]: members for members in same_pictures(images, identity_of(source.image_url))}
    again = {position for first, members in same.items() for position in members if position != first}
    if again:
        log.warning("%s: %d entries describe an image again; its objects are those of all its entries", FIELD, len(again))
    for position in range(len(images)):
        if position not in again:
            yield [images[member] for member in same.get(position, [position])]


def _described(image: Image, annotations: Sequence[Annotation], source: CocoPositives) -> SourceImage:
    width, height = int(image.width or 0), int(image.height or 0)
    known = width > 0 and height > 0
    return SourceImage(
        image_id=image.id,
        url=image_url(source.image_url, entry_fields(image.file_name, image.coco_url, image.flickr_url), field=_IMAGE_URL),
        file_name=image.file_name,
        width=width if known else 0,
        height=height if known else 0,
        license=image.license or 0,
        page=photo_page(image.flickr_url or ""),
        annotations=annotations,
    )


def _columns(objects: Sequence[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    count = len(objects)
    # Reading a value in all its spellings takes twice the time, so only what needs it is read so.
    crowd, box = (_is_crowd, _box) if objects and type(objects[0]) is _Object else (_is_written_crowd, _written_box)
    return (
        np.fromiter(map(crowd, objects), np.bool_, count),
        np.array([box(item) for item in objects], np.float64).reshape(count, COORDINATES),
    )


def _is_crowd(item: _Object) -> bool:
    return bool(item.iscrowd)


def _is_written_crowd(item: Any) -> bool:
    return bool(spelling.flag(item.iscrowd))


def _box(item: _Object) -> Sequence[float]:
    """Return a box; all NaN if there are no four values, and NaN for null."""
    bbox = item.bbox
    if bbox is None or len(bbox) != COORDINATES:
        return _NO_BOX
    return [math.nan if value is None else value for value in bbox]


def _written_box(item: Any) -> Sequence[float]:
    """Return a box in any spelling; without one, the box around the segmentation."""
    given = four_numbers(item.bbox)
    box = given if given and any(given) else four_numbers(box_around(item.segmentation)) or given or _NO_BOX
    return [math.nan if value is None else value for value in box]


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
