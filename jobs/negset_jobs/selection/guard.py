"""Decide which images the files of `excludeImagesOf` list. Pure.

Many tools count the ids of each file from 0 or 1. Then an id says nothing about another file, so
images are compared by their names and URLs. An id counts where no name contradicts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from negset_api.values import ImageId
from negset_jobs.formats.coco import Image
from negset_jobs.formats.coco_ids import digits_of
from negset_jobs.formats.pictures import agree, original, tails, url_key

Mask = npt.NDArray[np.bool_]


class Guarded(NamedTuple):
    """The images of the files in `excludeImagesOf`, by file."""

    files: tuple[tuple[Image, ...], ...] = ()

    @classmethod
    def of(cls, *files: Iterable[Image]) -> Guarded:
        return cls(tuple(map(tuple, files)))

    def match(self, images: Sequence[Image]) -> Mask:
        """Return which images are not to be used, because a file lists them.

        An image is listed if a file has its name, which may lack folders in front, or its URL. It
        is also listed if the file has its id, and

        - one of the two has no name, or the names differ in the ending only; or
        - the file has the ids of these images: most images of both with one id have one name.
        """
        mask = np.zeros(len(images), bool)
        keys = [_name(image) for image in images] if self.files else []
        for file in self.files:
            known = _Listed(file)
            named = np.fromiter(map(known.has, images, keys), bool, len(images))
            mask |= named | known.by_id(images, keys, named)
        return mask


class _Listed:
    """The images of one file by name, URL and id."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._names: dict[str, list[Image]] = {}
        self._tails: dict[str, list[Image]] = {}
        self._urls: set[str] = set()
        self._ids: dict[ImageId, str] = {}
        for image in images:
            name = self._ids[_id(image)] = _name(image)
            self._urls |= _urls(image)
            if name:
                self._names.setdefault(name, []).append(image)
                for tail in tails(name):
                    self._tails.setdefault(tail, []).append(image)

    def has(self, image: Image, name: str) -> bool:
        """Return True if an image has the name or a URL of one in the file."""
        if self._urls and not self._urls.isdisjoint(_urls(image)):
            return True
        if not name or name in self._names:
            return bool(name)
        # A name with fewer folders is the same only if the size can be.
        partly = [*self._tails.get(name, ()), *(other for tail in tails(name) for other in self._names.get(tail, ()))]
        return any(_same_size(image, other) for other in partly)

    def by_id(self, images: Sequence[Image], keys: Sequence[str], named: Mask) -> Mask:
        """Return which images are listed by their id. `named` are those listed by their name."""
        mask = np.zeros(len(images), bool)
        contradicted: list[int] = []
        compared = 0
        for position, (image, name) in enumerate(zip(images, keys, strict=True)):
            known = self._ids.get(_id(image))
            if known is None:
                continue
            compared += bool(name and known)
            if not name or not known or agree(name, known):
                mask[position] = True
            elif not named[position]:
                contradicted.append(position)
        if compared > 2 * len(contradicted):
            mask[contradicted] = True
        return mask


def _id(image: Image) -> ImageId:
    """Return the id, as a number if it is written in digits: another file may spell it so."""
    number = digits_of(image.id)
    return image.id if number is None else number


def _name(image: Image) -> str:
    """Return the key of the image's name; of its URL if it has none; empty if it has neither.

    Windows and macOS take names that differ in case for one, and copy files under either.
    """
    return (original(image.file_name) or original(url_key(image.coco_url or "").rpartition("/")[2])).casefold()


def _urls(image: Image) -> frozenset[str]:
    return frozenset(url_key(url) for url in (image.coco_url, image.flickr_url) if url)


def _same_size(image: Image, other: Image) -> bool:
    """Return True if the sizes are equal, or one of them is unknown."""
    sides, others = (image.width, image.height), (other.width, other.height)
    return not (all(sides) and all(others)) or sides == others
