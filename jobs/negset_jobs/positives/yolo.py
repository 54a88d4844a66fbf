"""Reads positives in YOLO's format: data.yaml, and a .txt file of labels for each image.

A row is `class x y width height`, as fractions of the image's size, with x and y at the box's
centre. A row of a polygon (`class x1 y1 x2 y2 x3 y3 ...`) becomes the box around it. So do the four
corners of a turned box. The labels of images/a.jpg are in labels/a.txt, or beside the image, as
Ultralytics looks for them (`img2label_paths`). An image without labels shows no object.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import posixpath
from collections.abc import Mapping, Sequence
from typing import Final

from negset_api.errors import InvalidInput
from negset_api.spec import YoloPositives
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import read_input
from negset_jobs.adapters.store_errors import MissingInput
from negset_jobs.adapters.urls import Url, shown
from negset_jobs.formats.boxes import Corners
from negset_jobs.formats.class_names import Spelling
from negset_jobs.positives.annotated import BACKGROUND, OTHER_CLASSES, Annotation, Source, SourceImage, spelt
from negset_jobs.positives.units import Layout, Reading, Unit
from negset_jobs.positives.voc import READERS
from negset_jobs.positives.yolo_data import FIELD, class_names, find_images, folder_of, parse_data, with_splits

READING: Final = Reading(Layout.CENTRE, Unit.FRACTIONS)
_BOX: Final = 5  # columns: the class, and the box
_SCORED: Final = 6  # the same, and the score of a model that wrote the labels
_POLYGON: Final = 7  # the fewest columns: the class, and three points


def read_yolo(source: YoloPositives, wanted: frozenset[str], access: Access) -> Source:
    """Read the images that show an object of the wanted classes, in the order of data.yaml.

    Raises `InvalidInput` if the description cannot be used, or no image has labels.
    """
    url = access.check_url(source.data, FIELD)
    data = with_splits(parse_data(read_input(url, access, FIELD), source.data), url, access)
    names = class_names(data, url, access)
    splits = [split for split in source.splits if split in data.splits]
    if not splits:
        raise InvalidInput(
            f"{FIELD}: expected one of the splits {', '.join(source.splits)} in {shown(url)}, it has {', '.join(sorted(data.splits))}"
        )
    images = list(dict.fromkeys(image for split in splits for image in find_images(data, url, split, access)))
    read = functools.partial(_read, names=names, keypoints=data.keypoints, access=access)
    with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
        found = dict(zip(images, readers.map(read, images), strict=True))
    if not images:
        raise InvalidInput(f"{FIELD}: expected images in {', '.join(splits)} of {shown(url)}, found none")
    if all(labels is None for labels in found.values()):
        raise InvalidInput(
            f"{FIELD}: expected labels of the {len(images):,} images, found none; "
            f"those of {shown(images[0])} are expected at {shown(label_url(images[0]))}"
        )
    described, left_out, asked = [], collections.Counter[str](), Spelling(wanted)
    folder = folder_of(url).leaf.path
    for image, labels in found.items():
        objects = spelt(labels or (), asked)
        if objects:
            name = _name(image, folder)
            described.append(SourceImage(name, name, str(image), 0, 0, objects))
        else:
            left_out[OTHER_CLASSES if labels else BACKGROUND] += 1
    return Source(FIELD, READING, described, frozenset(names.values()), (), left_out)


def _name(image: Url, folder: str) -> str:
    """Return the path of an image in the dataset's folder, however either of them is written."""
    name = posixpath.relpath(image.leaf.path, folder)
    return image.leaf.path if name.startswith("../") else name


def label_url(image: Url) -> Url:
    """Return where the labels of an image are: the last images/ in its path becomes labels/."""
    head, separator, tail = f"/{image.leaf.path}".rpartition("/images/")
    path = f"{head}/labels/{tail}"[1:] if separator else image.leaf.path
    return image.with_path(f"{posixpath.splitext(path)[0]}.txt")


def parse_labels(data: bytes, names: Mapping[int, str], keypoints: int = 0) -> tuple[Annotation, ...]:
    """Return the rows of a file of labels. A row that cannot be read has no class, or no corners.

    A row that is repeated is one object. `keypoints` is the number of columns after a box.
    """
    text = data.decode("utf-8-sig", "replace").replace(",", " ")
    rows = dict.fromkeys(tuple(line.split()) for line in text.splitlines())
    return tuple(_annotation(row, names, keypoints) for row in rows if row)


def _annotation(row: Sequence[str], names: Mapping[int, str], keypoints: int) -> Annotation:
    label = _number(row[0])
    name = names.get(int(label), "") if label is not None and label.is_integer() else ""
    columns = [_number(value) for value in row[1:]]
    values = [value for value in columns if value is not None]
    if len(values) < len(columns):
        return Annotation(name, None, row[1:])
    if len(row) in {_BOX, _SCORED, _BOX + keypoints}:
        x, y, width, height = values[:4]
    elif len(row) >= _POLYGON and len(row) % 2:
        left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    else:
        return Annotation(name, None, row[1:])
    corners = Corners(y - height / 2, x - width / 2, y + height / 2, x + width / 2)
    return Annotation(name, corners, (x, y, width, height))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(image: Url, *, names: Mapping[int, str], keypoints: int, access: Access) -> tuple[Annotation, ...] | None:
    """Return the labels of an image; None if it has no file of labels."""
    try:
        return parse_labels(read_input(label_url(image), access, FIELD), names, keypoints)
    except MissingInput:
        return None
