"""What a label format is: the files of one picture, and the files that list them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from negset_api.values import License
from negset_jobs.labels.pictures import Picture


class File(NamedTuple):
    """One object of a label data set; `key` is relative to the data set's folder."""

    key: str
    data: bytes


class Contents(NamedTuple):
    """What a data set says about itself. `classes` are those that its pictures are free of; `categories` all that the source knows, by id."""

    title: str
    classes: Sequence[str]
    categories: Mapping[int, str]
    licenses: Sequence[License]


class LabelFormat(Protocol):
    """A module that writes one format. The same pictures always give the same bytes."""

    def picture_files(self, picture: Picture, encoded: bytes) -> Iterator[File]:
        """The picture itself and, where the format has one, its label file."""

    def index_files(self, pictures: Sequence[Picture], contents: Contents) -> Iterator[File]:
        """The files that describe the data set, written when all pictures are known, in plan order."""
