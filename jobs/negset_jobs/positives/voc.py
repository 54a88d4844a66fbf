"""Reads positives from Pascal VOC annotations: one .xml file per image.

Coordinates are pixels counted from 1, and both corners belong to the box. "The top-left pixel in
the image has coordinates (1,1)" (The PASCAL Visual Object Classes Challenge 2012 Development Kit,
the section on bounding boxes). The kit computes its own overlap with `xmax - xmin + 1`. So a box
spans [xmin - 1, xmax] of the image's width. The Object Detection API's create_pascal_tf_record.py
divides both by the width instead, which moves the top and left sides in by one pixel.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_api.spec import VocPositives
from negset_api.values import PlannedImage
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, read_input
from negset_jobs.adapters.quoting import of_xml, quoted
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.image_url import image_url
from negset_jobs.formats.pictures import name_key
from negset_jobs.positives.annotated import Annotated, Annotation, RejectedBox, usable_boxes
from negset_jobs.positives.boxes import Corners

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FIELD: Final = "spec.positives.voc.annotations"
_READERS: Final = 32
"""Files read at the same time.

They have about a kilobyte each, so only the latency of a remote store counts. 10,000 files at 30 ms
take 5 minutes one by one, but 10 seconds with 32 readers.
"""


class VocFile(NamedTuple):
    """One .xml file, in the units of the source: `width` and `height` in pixels."""

    file_name: str
    width: int
    height: int
    objects: tuple[Annotation, ...]


def read_voc(source: VocPositives, wanted: frozenset[str], access: Access) -> Annotated:
    """Read the images that show an object of the wanted classes, by the name of the .xml file.

    Raises `InvalidInput`, naming the file, if a file is not in Pascal VOC's format.
    """
    urls = expand(source.annotations, access, FIELD)
    with concurrent.futures.ThreadPoolExecutor(_READERS) as readers:
        files = list(readers.map(functools.partial(_read, access=access), urls))
    _check_names(urls, files)
    images: list[PlannedImage] = []
    rejected: list[RejectedBox] = []
    spelling = Spelling(wanted)
    for file in files:
        spelt = ((item, spelling.of(item.class_name)) for item in file.objects)
        objects = [item._replace(class_name=name) for item, name in spelt if name is not None]
        if not objects:
            continue
        boxes, unusable = usable_boxes(objects, image_id=file.file_name, file_name=file.file_name, height=file.height, width=file.width)
        rejected.extend(unusable)
        images.append(
            PlannedImage(
                image_id=file.file_name,
                url=image_url(source.image_url, {"filename": file.file_name}, field="spec.positives.voc.imageUrl"),
                file_name=file.file_name,
                width=file.width,
                height=file.height,
                objects=boxes,
            )
        )
    return Annotated(tuple(images), tuple(rejected), frozenset(item.class_name for file in files for item in file.objects))


def parse_voc(data: bytes, where: str) -> VocFile:
    """Parse one .xml file.

    Raises `InvalidInput`, naming `where`, if a field is missing or invalid.
    """
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InvalidInput(f"{FIELD}: {where} is not readable XML: {of_xml(error)}") from error
    if root.tag != "annotation":
        raise InvalidInput(f"{FIELD}: {where}: expected Pascal VOC's <annotation> as the outermost element, found another")
    reader = _Reader(where)
    width, height = (reader.pixels(root, f"size/{side}") for side in ("width", "height"))
    return VocFile(reader.text(root, "filename"), width, height, tuple(reader.annotation(item) for item in root.findall("object")))


class _Reader(NamedTuple):
    """Reads the fields of one file. Its errors name the file."""

    where: str

    def text(self, element: Element, path: str) -> str:
        value = (element.findtext(path) or "").strip()
        if not value:
            raise InvalidInput(f"{FIELD}: {self.where}: expected a value in <{path}> of <{element.tag}>, found none")
        return value

    def pixels(self, element: Element, path: str) -> int:
        value = self.text(element, path)
        try:
            pixels = int(float(value))
        except (ValueError, OverflowError):
            pixels = 0
        if pixels < 1:
            raise InvalidInput(f"{FIELD}: {self.where}: expected a number of pixels of at least 1 in <{path}>, found something else")
        return pixels

    def flag(self, element: Element, path: str) -> bool:
        """Read a field that is 0 or 1, or missing (0), as `difficult` may be in VOC 2012."""
        value = (element.findtext(path) or "0").strip().lower()
        if value not in _FLAGS:
            raise InvalidInput(f"{FIELD}: {self.where}: expected 0 or 1 in <{path}> of <object>, found something else")
        return _FLAGS[value]

    def annotation(self, element: Element) -> Annotation:
        # Only direct children: the parts of a person (<part>) have their own <name> and <bndbox>.
        given = [(element.findtext(f"bndbox/{side}") or "").strip() for side in ("xmin", "ymin", "xmax", "ymax")]
        return Annotation(
            class_name=self.text(element, "name"),
            corners=_corners(given),
            given=given,
            difficult=self.flag(element, "difficult"),
            truncated=self.flag(element, "truncated"),
        )


_FLAGS: Final = {"0": False, "1": True, "false": False, "true": True}


def _corners(given: Sequence[str]) -> Corners | None:
    """Return the corners counted from the image's edge instead of from pixel 1.

    Some VOC 2011 boxes have fractions.
    """
    try:
        xmin, ymin, xmax, ymax = map(float, given)
    except ValueError:
        return None
    return Corners(ymin=ymin - 1, xmin=xmin - 1, ymax=ymax, xmax=xmax)


def _read(url: str, access: Access) -> VocFile:
    return parse_voc(read_input(url, access, FIELD), url)


def _check_names(urls: Sequence[str], files: Sequence[VocFile]) -> None:
    first: dict[str, str] = {}
    for url, file in zip(urls, files, strict=True):
        other = first.setdefault(name_key(file.file_name), url)
        if other != url:
            raise InvalidInput(f"{FIELD}: expected one .xml file for each image, {other} and {url} both describe {quoted(file.file_name)}")
