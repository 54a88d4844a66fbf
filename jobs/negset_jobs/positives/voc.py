"""Reads positives from Pascal VOC annotations: one .xml file per image.

Coordinates are pixels counted from 1, and both corners belong to the box. "The top-left pixel in
the image has coordinates (1,1)" (The PASCAL Visual Object Classes Challenge 2012 Development Kit,
the section on bounding boxes). The kit computes its own overlap with `xmax - xmin + 1`. So a box
spans [xmin - 1, xmax] of the image's width. The Object Detection API's create_pascal_tf_record.py
divides both by the width instead, which moves the top and left sides in by one pixel.

People write these files, one by one, so a mistake in a file is the failure of its image. What can
be derived is derived: the size from the image, the file's name from its path, and the corners of a
box that was drawn from another side.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_api.spec import VocPositives
from negset_api.values import Outcome
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, read_input
from negset_jobs.adapters.quoting import of_xml, quoted
from negset_jobs.adapters.store_errors import MissingInput
from negset_jobs.adapters.urls import shown
from negset_jobs.formats.boxes import Corners
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.file_kind import OTHER_XML, recognised
from negset_jobs.formats.image_url import image_url
from negset_jobs.formats.pictures import name_key
from negset_jobs.positives.annotated import BACKGROUND, OTHER_CLASSES, Annotation, FailedImage, Source, SourceImage, numbers, spelt
from negset_jobs.positives.units import Layout, Reading, Unit

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FIELD: Final = "spec.positives.voc.annotations"
READING: Final = Reading(Layout.XYXY, Unit.PIXELS)
READERS: Final = 32
"""Files read at the same time.

They have about a kilobyte each, so only the latency of a remote store counts. 10,000 files at 30 ms
take 5 minutes one by one, but 10 seconds with 32 readers.
"""
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_ROOT: Final = b"<annotation>"
_ENOUGH: Final = 4096  # bytes that show what a file is
_TRUE: Final = frozenset({"true", "yes", "y", "t"})
_SEPARATORS: Final = re.compile(r"[/\\]")
_ABSOLUTE: Final = re.compile(r"[A-Za-z]:[/\\]|[/\\]")
_DECLARATION: Final = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
_KNOWN_ENCODINGS: Final = frozenset({"utf-8", "utf8", "utf-16", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"})


class VocFile(NamedTuple):
    """One .xml file. `width` and `height` are in pixels, 0 if it has none."""

    file_name: str
    width: int
    height: int
    objects: tuple[Annotation, ...]


class InvalidFile(Exception):
    """A file cannot be used. The message says why."""


def read_voc(source: VocPositives, wanted: frozenset[str], access: Access) -> Source:
    """Read the images that show an object of the wanted classes, by the name of the .xml file.

    A file that cannot be used is a failure, and so are two files that describe one image. Raises
    `InvalidInput` if there are no files, or the store cannot be read.
    """
    urls = expand(source.annotations, access, FIELD)
    with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
        files = dict(zip(urls, readers.map(functools.partial(_read, access=access), urls), strict=True))
    failed = {url: file for url, file in files.items() if isinstance(file, str)}
    good = {url: file for url, file in files.items() if not isinstance(file, str)}
    failed |= _second_files(good)
    images: list[SourceImage] = []
    left_out: collections.Counter[str] = collections.Counter()
    asked = Spelling(wanted)
    for url, file in good.items():
        objects = spelt(file.objects, asked)
        if url in failed:
            continue
        if not objects:
            left_out[OTHER_CLASSES if file.objects else BACKGROUND] += 1
            continue
        try:
            address = image_url(source.image_url, {"filename": file.file_name}, field="spec.positives.voc.imageUrl")
        except InvalidInput as error:
            failed[url] = str(error)
            continue
        images.append(SourceImage(file.file_name, file.file_name, address, file.width, file.height, objects))
    return Source(
        field=FIELD,
        reading=READING,
        images=images,
        classes=frozenset(item.class_name for file in good.values() for item in file.objects if item.class_name),
        failed=[
            FailedImage(image_id=posixpath.basename(url), outcome=Outcome.INVALID_ANNOTATION, detail=f"{shown(url)} {why}")
            for url, why in failed.items()
        ],
        left_out=left_out,
    )


def parse_voc(data: bytes) -> VocFile:
    """Parse one .xml file.

    Raises `InvalidFile` if it is no annotation, or does not say which image it describes.
    """
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root = ElementTree.fromstring(_readable(data))
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InvalidFile(_other_kind(data) or f"is not readable XML: {of_xml(error)}") from error
    _drop_namespace(root)
    if root.tag != "annotation":
        what = _other_kind(data)
        raise InvalidFile(
            what or f"is not in Pascal VOC's format: expected <annotation> as the outermost element, found {quoted(root.tag)}"
        )
    name = _file_name(_text(root, "filename"), _text(root, "path"))
    if not name:
        raise InvalidFile("does not name its image: expected a value in <filename>, found none")
    width, height = (_pixels(_text(root, f"size/{side}")) for side in ("width", "height"))
    known = width > 0 and height > 0
    return VocFile(name, width if known else 0, height if known else 0, tuple(map(_annotation, root.findall("object"))))


def _drop_namespace(root: Element) -> None:
    """Drop the namespace of a document that declares one: its elements are the same."""
    if root.tag.startswith("{"):
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]


def _other_kind(data: bytes) -> str:
    """Return what a file is that was meant to be another; empty if it may be a damaged VOC file."""
    if _ROOT in data[:_ENOUGH]:
        return ""
    if data.lstrip().startswith((b"{", b"[")):
        return "is JSON; give COCO's format as spec.positives.coco, or convert it, such as labelme's with labelme2voc"
    known = recognised(data[:_ENOUGH])
    return f"is not in Pascal VOC's format: it is {known}" if known and known != OTHER_XML else ""


def _readable(data: bytes) -> bytes | str:
    """Return the document as text if its encoding is one that the XML parser does not know.

    Expat knows Unicode and encodings of one byte. Tools in China and Japan write others.
    """
    declared = _DECLARATION.match(data)
    if declared is None or declared[1].decode().lower() in _KNOWN_ENCODINGS:
        return data
    encoding = declared[1].decode().lower()
    return data[declared.end() :].decode("gb18030" if encoding in {"gb2312", "gbk"} else encoding)


def _file_name(name: str, path: str) -> str:
    """Return the name of the image's file, relative to the folder of images.

    <path> is that of the annotator's machine. It has the ending that some tools omit in <filename>.
    """
    base = _SEPARATORS.split(path)[-1]
    if _ABSOLUTE.match(name):
        name = _SEPARATORS.split(name)[-1]
    return base if not name or (base.startswith(f"{name}.") and not posixpath.splitext(name)[1]) else name


def _annotation(element: Element) -> Annotation:
    # Only direct children: the parts of a person (<part>) have their own <name> and <bndbox>.
    given = [_text(element, f"bndbox/{side}") for side in _CORNERS]
    return Annotation(
        class_name=_text(element, "name"),
        corners=_corners(given),
        given=given,
        difficult=_flag(_text(element, "difficult")),
        truncated=_flag(_text(element, "truncated")),
    )


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _pixels(text: str) -> int:
    """Return a number of pixels; 0 if there is none, as in files of tools that did not know it."""
    try:
        return max(int(float(text)), 0)
    except (ValueError, OverflowError):
        return 0


def _flag(text: str) -> bool:
    """Read a flag. Tools also write words, such as Unspecified, which are not a mark."""
    try:
        return float(text) > 0
    except ValueError:
        return text.lower() in _TRUE


def _corners(given: Sequence[str]) -> Corners | None:
    """Return the corners counted from the image's edge instead of from pixel 1.

    Some VOC 2011 boxes have fractions. Any two opposite corners name the box.
    """
    found = numbers(given)
    if found is None:
        return None
    xmin, ymin, xmax, ymax = found
    return Corners(ymin=min(ymin, ymax) - 1, xmin=min(xmin, xmax) - 1, ymax=max(ymin, ymax), xmax=max(xmin, xmax))


def _read(url: str, access: Access) -> VocFile | str:
    """Return the file, or why it cannot be used."""
    try:
        return parse_voc(read_input(url, access, FIELD))
    except InvalidFile as error:
        return str(error)
    except MissingInput:
        return "does not exist: it is a broken link, or was removed"


def _second_files(files: Mapping[str, VocFile]) -> dict[str, str]:
    """Return the files that describe an image that another file describes, and why.

    If the file's own name tells which of them is right, that one stays: a copied file often keeps
    the <filename> of its original.
    """
    by_image: dict[str, list[str]] = collections.defaultdict(list)
    for url, file in files.items():
        by_image[name_key(file.file_name)].append(url)
    failed: dict[str, str] = {}
    for name, urls in by_image.items():
        same = [url for url in urls if _stem(url) == _stem(name)]
        right = same if len(same) == 1 else []
        for url in urls:
            if len(urls) > 1 and url not in right:
                other = next(another for another in urls if another != url)
                failed[url] = f"describes {quoted(name)}, as {shown(other)} does; expected one .xml file for each image"
    return failed


def _stem(path: str) -> str:
    return posixpath.splitext(_SEPARATORS.split(path)[-1])[0]
