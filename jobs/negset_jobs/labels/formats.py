"""What a label format is: the files of one image, and the files that list them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from negset_api.values import License
from negset_jobs.labels.labelled import LabelledImage


class File(NamedTuple):
    """One object of a label dataset; `key` is relative to the dataset's folder."""

    key: str
    data: bytes


class Contents(NamedTuple):
    """What a dataset says about itself.

    `classes` are those that its images are free of; `categories` all that the source knows, by id.
    """

    title: str
    classes: Sequence[str]
    categories: Mapping[int, str]
    licenses: Sequence[License]


class LabelFormat(Protocol):
    """A module that writes one format. The same images always give the same bytes."""

    def image_files(self, image: LabelledImage, encoded: bytes) -> Iterator[File]:
        """The image itself and, where the format has one, its label file."""

    def index_files(self, images: Sequence[LabelledImage], contents: Contents) -> Iterator[File]:
        """The files that describe the dataset, written when all images are known, in plan order."""
