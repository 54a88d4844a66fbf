"""The interface of a label format: the files of one image, and the files of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from negset_api.values import License
from negset_jobs.labels.labelled import LabelledImage


class File(NamedTuple):
    """One file of a label dataset. `key` is relative to the dataset's folder."""

    key: str
    data: bytes


class Contents(NamedTuple):
    """The description of a dataset.

    `classes` are the excluded classes. `categories` are all categories of the source, by id.
    """

    title: str
    classes: Sequence[str]
    categories: Mapping[int, str]
    licenses: Sequence[License]


class LabelFormat(Protocol):
    """A module that writes one format. The same images always give the same bytes."""

    def image_files(self, labelled: LabelledImage, encoded: bytes) -> Iterator[File]:
        """Yield the image and, if the format has one, its label file."""

    def index_files(self, labelled_images: Sequence[LabelledImage], contents: Contents) -> Iterator[File]:
        """Yield the files that describe the dataset.

        `labelled_images` are all images, in plan order.
        """
