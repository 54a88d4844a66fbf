"""Reads positives in YOLO's format: data.yaml, and a .txt file of labels for each image.

A row is `class x y width height`, as fractions of the image's size, with x and y at the box's
centre. Keypoints may follow (`keypoints`). A row of a polygon (`class x1 y1 x2 y2 x3 y3 ...`)
becomes the box around it. So do the four corners of a turned box.

The labels of images/a.jpg are in labels/a.txt, or beside the image, as Ultralytics looks for them
(`img2label_paths`). An image without labels shows no object.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import logging
import posixpath
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_api.spec import YoloPositives
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import read_input
from negset_jobs.adapters.store_errors import MissingInput
from negset_jobs.adapters.urls import Url, shown
from negset_jobs.formats.boxes import Corners
from negset_jobs.formats.class_names import Spelling
from negset_jobs.positives.annotated import BACKGROUND, OTHER_CLASSES, Annotation, Source, SourceImage, spelt
from negset_jobs.positives.keypoints import BOX, find_keypoints
from negset_jobs.positives.units import Layout, Reading, Unit
from negset_jobs.positives.voc import READERS
from negset_jobs.positives.yolo_data import FIELD, YoloData, class_names, find_images, folder_of, parse_data, with_splits

log = logging.getLogger(__name__)

READING: Final = Reading(Layout.CENTRE, Unit.FRACTIONS)
_BOX: Final = 5  # columns: the class, and the box
_SCORED: Final = 6  # the same, and the score of a model that wrote the labels
_POLYGON: Final = 7  # the fewest columns: the class, and three points
_SAMPLE: Final = 1000  # images whose rows show whether they are polygons or keypoints


class Row(NamedTuple):
    """A row of labels.

    `found` is the object if the numbers after the class are a box or a polygon. `size` is how many
    they are, and `numbers` has the first of them, which are a box if keypoints follow.
    """

    found: Annotation
    size: int = 0
    numbers: tuple[float, ...] = ()

    def annotation(self, keypoints: int) -> Annotation:
        """Return the object. `keypoints` is the count of numbers after a box."""
        if len(self.numbers) < BOX or self.size != BOX + keypoints:
            return self.found
        return _annotation(self.found.class_name, self.numbers[:BOX])

    def shortened(self) -> Row:
        """Return the row with the numbers of a box only. Those of all polygons are too many."""
        return self._replace(numbers=self.numbers[:BOX])


Labels = Mapping[Url, Sequence[Row] | None]


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
    read = functools.partial(_read, names=names, access=access)
    with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
        step = 1 + len(images) // _SAMPLE
        found: Labels = {
            image: rows if rows is None or not index % step else [row.shortened() for row in rows]
            for index, (image, rows) in enumerate(zip(images, readers.map(read, images), strict=True))
        }
    if not images:
        raise InvalidInput(f"{FIELD}: expected images in {', '.join(splits)} of {shown(url)}, found none")
    if all(labels is None for labels in found.values()):
        raise InvalidInput(
            f"{FIELD}: expected labels of the {len(images):,} images, found none; "
            f"those of {shown(images[0])} are expected at {shown(label_url(images[0]))}"
        )
    keypoints = _keypoints(found, data, url)
    described, left_out, asked = [], collections.Counter[str](), Spelling(wanted)
    folder = folder_of(url).leaf.path
    for image, labels in found.items():
        objects = spelt([row.annotation(keypoints) for row in labels or ()], asked)
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


def _keypoints(found: Labels, data: YoloData, url: Url) -> int:
    """Return the count of numbers after a box: as the description says, or as the rows look.

    Raises `InvalidInput` if they may be keypoints or polygons.
    """
    counts = collections.Counter(row.size for rows in found.values() for row in rows or ())
    if data.keypoints == 0 or (data.keypoints and counts[BOX + data.keypoints]):
        return data.keypoints
    evidence = find_keypoints(counts, [row.numbers for rows in found.values() for row in rows or ()])
    if evidence.keypoints is None:
        raise InvalidInput(
            f"{FIELD}: expected kpt_shape in {shown(url)}, got none that fits: the {evidence.rows:,} rows with {evidence.numbers} numbers after the "
            f"class may be a box and keypoints, or a polygon; add kpt_shape: [{(evidence.numbers - BOX) // 2}, 2] if they are keypoints, "
            "or kpt_shape: [0, 2] if they are polygons"
        )
    if evidence.keypoints:
        log.warning(
            "%s: %s has no kpt_shape that fits; %d rows with %d numbers after the class are read as a box and keypoints: the points lie in it",
            *(FIELD, shown(url), evidence.rows, evidence.numbers),
        )
    return evidence.keypoints


def parse_labels(data: bytes, names: Mapping[int, str]) -> tuple[Row, ...]:
    """Return the rows of a file of labels. A row that cannot be read has no class, or no corners.

    A row that is repeated is one object.
    """
    text = data.decode("utf-8-sig", "replace").replace(",", " ")
    rows = dict.fromkeys(tuple(line.split()) for line in text.splitlines())
    return tuple(_row(row, names) for row in rows if row)


def _row(row: Sequence[str], names: Mapping[int, str]) -> Row:
    label = _number(row[0])
    name = names.get(int(label), "") if label is not None and label.is_integer() else ""
    columns = [_number(value) for value in row[1:]]
    values = tuple(value for value in columns if value is not None)
    unread = Annotation(name, None, row[1:])
    if len(values) < len(columns) or len(row) < _BOX:
        return Row(unread)
    if len(row) in {_BOX, _SCORED}:
        return Row(_annotation(name, values[:BOX]))
    return Row(_around(name, values) if len(row) >= _POLYGON and len(row) % 2 else unread, len(values), values)


def _around(name: str, values: Sequence[float]) -> Annotation:
    left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    return _annotation(name, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top))


def _annotation(name: str, box: Sequence[float]) -> Annotation:
    x, y, width, height = box
    return Annotation(name, Corners(y - height / 2, x - width / 2, y + height / 2, x + width / 2), (x, y, width, height))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(image: Url, *, names: Mapping[int, str], access: Access) -> tuple[Row, ...] | None:
    """Return the labels of an image; None if it has no file of labels."""
    try:
        return parse_labels(read_input(label_url(image), access, FIELD), names)
    except MissingInput:
        return None
