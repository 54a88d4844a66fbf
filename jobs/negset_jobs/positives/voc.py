"""Reads positives from Pascal VOC annotations: one .xml file per image.

Coordinates are pixels counted from 1, and both corners belong to the box. "The top-left pixel in
the image has coordinates (1,1)" (The PASCAL Visual Object Classes Challenge 2012 Development Kit,
the section on bounding boxes). The kit computes its own overlap with `xmax - xmin + 1`. So a box
spans [xmin - 1, xmax] of the image's width. The Object Detection API's create_pascal_tf_record.py
divides both by the width instead, which moves the top and left sides in by one pixel. Some
exporters count from 0, which the whole source shows (`voc_boxes.count_from_zero`).

People write these files, one by one, so a mistake in a file is the failure of its image. What can
be derived is derived: the size from the image, the file's name from its path, the corners of a box
that was drawn from another side, and the box around a polygon or a turned box (`voc_outlines`).
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import logging
import posixpath
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_api.spec import VocPositives
from negset_api.values import Outcome
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, find_input, read_input
from negset_jobs.adapters.quoting import of_xml, quoted
from negset_jobs.adapters.store_errors import MissingInput
from negset_jobs.adapters.urls import parse, shown
from negset_jobs.adapters.wildcards import has_wildcard, is_hidden
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.file_kind import OTHER_XML, recognised
from negset_jobs.formats.image_url import image_url, placeholders
from negset_jobs.formats.pictures import name_key
from negset_jobs.positives.annotated import BACKGROUND, OTHER_CLASSES, Annotation, FailedImage, Source, SourceImage, spelt
from negset_jobs.positives.units import Layout, Reading, Unit
from negset_jobs.positives.voc_boxes import annotation, count_from_zero, counted_from_zero, flag, text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

log = logging.getLogger(__name__)

FIELD: Final = "spec.positives.voc.annotations"
READING: Final = Reading(Layout.XYXY, Unit.PIXELS)
READERS: Final = 32
"""Files read at the same time.

They have about a kilobyte each, so only the latency of a remote store counts. 10,000 files at 30 ms
take 5 minutes one by one, but 10 seconds with 32 readers.
"""
_SIZE: Final = (("width", "ncols"), ("height", "nrows"))  # as VOC writes it, and as LabelMe does
_ROOT: Final = b"<annotation>"
_FOLDER: Final = "folder"
_ENDING: Final = ".xml"
_ENOUGH: Final = 4096  # bytes that show what a file is
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
    urls = _files(source.annotations, access)
    with concurrent.futures.ThreadPoolExecutor(READERS) as readers:
        files = dict(zip(urls, readers.map(functools.partial(_read, access=access), urls), strict=True))
    failed = {url: file for url, file in files.items() if isinstance(file, str)}
    good = _counted({url: file for url, file in files.items() if not isinstance(file, str)})
    names = {url: posixpath.join(_folder(url, source.image_url), file.file_name) for url, file in good.items()}
    failed |= _second_files(names)
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
            fields = {"filename": file.file_name, _FOLDER: _folder(url, source.image_url)}
            address = image_url(source.image_url, fields, field="spec.positives.voc.imageUrl")
        except InvalidInput as error:
            failed[url] = str(error)
            continue
        images.append(SourceImage(names[url], names[url], address, file.width, file.height, objects))
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
        raise InvalidFile(what or "is not in Pascal VOC's format: expected <annotation> as the outermost element, found another")
    name = _file_name(text(root, "filename"), text(root, "path"))
    if not name:
        raise InvalidFile("does not name its image: expected a value in <filename>, found none")
    width, height = (_pixels(text(root, f"size/{side}") or text(root, f"imagesize/{other}")) for side, other in _SIZE)
    known = width > 0 and height > 0
    # LabelMe keeps an object that its annotator deleted.
    objects = tuple(annotation(item) for item in root.findall("object") if not flag(text(item, "deleted")))
    return VocFile(name, width if known else 0, height if known else 0, objects)


def _files(annotations: str, access: Access) -> list[str]:
    """Return the files that a glob matches, or those in a folder: a name without an ending."""
    url = access.check_url(annotations, FIELD)
    if has_wildcard(url) or posixpath.splitext(url.leaf.path.rstrip("/"))[1]:
        return expand(annotations, access, FIELD)
    found = [str(file) for file in find_input(url, access, FIELD) if file.name.lower().endswith(_ENDING) and not is_hidden(file.name)]
    if not found:
        raise InvalidInput(f"{FIELD}: expected a glob, or a folder with {_ENDING} files, got {shown(url)} without any")
    return found


def _counted(files: Mapping[str, VocFile]) -> Mapping[str, VocFile]:
    """Return the files with their boxes counted from the image's edge."""
    if not count_from_zero(item for file in files.values() for item in file.objects):
        return files
    log.info("%s: the boxes are counted from 0, although Pascal VOC counts from 1", FIELD)
    return {url: file._replace(objects=tuple(map(counted_from_zero, file.objects))) for url, file in files.items()}


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


def _pixels(text: str) -> int:
    """Return a number of pixels; 0 if there is none, as in files of tools that did not know it."""
    try:
        return max(int(float(text)), 0)
    except (ValueError, OverflowError):
        return 0


def _read(url: str, access: Access) -> VocFile | str:
    """Return the file, or why it cannot be used."""
    try:
        return parse_voc(read_input(url, access, FIELD))
    except InvalidFile as error:
        return str(error)
    except MissingInput:
        return "does not exist: it is a broken link, or was removed"


def _folder(url: str, template: str) -> str:
    """Return the name of the folder that a file lies in; empty if the template does not use it.

    Exports have a folder for each split, and images of one name in several of them.
    """
    return posixpath.basename(posixpath.dirname(parse(url).leaf.path)) if _FOLDER in placeholders(template) else ""


def _second_files(names: Mapping[str, str]) -> dict[str, str]:
    """Return the files that describe an image that another file describes, and why.

    `names` has the image of each file.

    If the file's own name tells which of them is right, that one stays: a copied file often keeps
    the <filename> of its original.
    """
    by_image: dict[str, list[str]] = collections.defaultdict(list)
    for url, image in names.items():
        by_image[name_key(image)].append(url)
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
