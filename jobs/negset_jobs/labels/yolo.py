"""The YOLO format as Ultralytics reads it (https://docs.ultralytics.com/datasets/detect/): a picture without objects has an empty label file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from negset_jobs.labels.formats import Contents, File
from negset_jobs.labels.pictures import Picture


def picture_files(picture: Picture, encoded: bytes) -> Iterator[File]:
    yield File(f"images/{picture.subset}/{picture.name}", encoded)
    yield File(f"labels/{picture.subset}/{picture.stem}.txt", b"")


def index_files(pictures: Sequence[Picture], contents: Contents) -> Iterator[File]:
    """`data.yaml`. It has no `path`: paths then start at its own folder, so that the data set can be moved.

    `val` is always there, since Ultralytics refuses a file without the key; it is null where nothing is held out.
    """
    subsets = {picture.subset for picture in pictures}
    listing = {
        **{subset: f"images/{subset}" if subset in subsets else None for subset in ("train", "val")},
        "names": dict(enumerate(contents.classes)),
    }
    yield File("data.yaml", yaml.safe_dump(listing, sort_keys=False, allow_unicode=True).encode())
