"""Open the source of a dataset: its images, and what is known of them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Final

from negset_api.spec import NegativeDatasetSpec, OpenImagesSource
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, open_input
from negset_jobs.formats import coco, image_url, open_images
from negset_jobs.formats.image_lists import read_images
from negset_jobs.selection import images
from negset_jobs.selection import open_images as verified
from negset_jobs.selection.classes import resolve

ANNOTATIONS: Final = "spec.source.coco.annotations"


def read(spec: NegativeDatasetSpec, access: Access, *, boxes: bool) -> coco.Annotations:
    """Return the images of the source, and what is annotated or verified in them.

    Raises `InvalidInput`, naming the field.
    """
    source = spec.source
    if source.coco is not None:
        with open_input(source.coco.annotations, access, ANNOTATIONS) as stream:
            return coco.read_annotations(stream, field=ANNOTATIONS, url=source.coco.annotations, boxes=boxes)
    if source.images is not None:
        return images.without_annotations(read_images(source.images.urls, access, images.FIELD), spec.exclude_classes)
    assert source.open_images is not None
    return _open_images(spec, source.open_images, access)


def url_field(spec: NegativeDatasetSpec) -> str:
    """Return the field that decides the URLs of the images."""
    if spec.source.open_images is not None:
        return verified.IMAGE_URL
    return image_url.FIELD if spec.source.coco else images.FIELD


def _open_images(spec: NegativeDatasetSpec, source: OpenImagesSource, access: Access) -> coco.Annotations:
    field = f"{verified.FIELD}.classDescriptions"
    with open_input(source.class_descriptions, access, field) as stream:
        classes = open_images.read_classes(stream, field=field, url=source.class_descriptions)
    categories = verified.categories(classes)
    excluded = resolve(spec.exclude_classes, categories, allowed=spec.selection.allow_classes, annotated=())
    positions = frozenset(number - 1 for number in excluded)
    reader = open_images.LabelReader(classes, positions)
    for field, url in _files(source.labels, access, f"{verified.FIELD}.labels"):
        with open_input(url, access, field) as stream:
            reader.read(stream, field=field, url=url)
    known = verified.known_images(reader.labels(), positions)
    with contextlib.closing(_listed(source, access, known)) as rows:
        entries = verified.entries(known, source.image_url, rows if source.images else None)
        named = excluded | {category.id for category in categories if category.name in spec.selection.allow_classes}
        return verified.as_annotations(known, categories, named, entries)


def _listed(source: OpenImagesSource, access: Access, known: verified.Known) -> Generator[open_images.ListedImage]:
    """Yield the images of the lists of which something is known."""
    for field, url in _files(source.images, access, f"{verified.FIELD}.images"):
        with open_input(url, access, field) as stream:
            yield from open_images.read_list(stream, known.keys, field=field, url=url)


def _files(urls: tuple[str, ...], access: Access, field: str) -> Iterator[tuple[str, str]]:
    """Yield the URLs that the entries of a field match, each with the entry's field."""
    for index, url in enumerate(urls):
        entry = f"{field}[{index}]"
        for match in expand(url, access, entry):
            yield entry, match
