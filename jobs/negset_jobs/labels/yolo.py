"""Write the YOLO format for Ultralytics (https://docs.ultralytics.com/datasets/detect/).

An image without objects has an empty label file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from negset_jobs.labels.formats import Contents, File
from negset_jobs.labels.labelled import LabelledImage


def image_files(labelled: LabelledImage, encoded: bytes) -> Iterator[File]:
    yield File(f"images/{labelled.split}/{labelled.name}", encoded)
    yield File(f"labels/{labelled.split}/{labelled.stem}.txt", b"")


def index_files(labelled_images: Sequence[LabelledImage], contents: Contents) -> Iterator[File]:
    """Yield `data.yaml`.

    It has no `path`: then paths are relative to its own folder, and the dataset can be moved. `val`
    is always present, because Ultralytics refuses a file without it. It is null if no image is held
    out.
    """
    splits = {labelled.split for labelled in labelled_images}
    listing = {
        **{split: f"images/{split}" if split in splits else None for split in ("train", "val")},
        "names": dict(enumerate(contents.classes)),
    }
    yield File("data.yaml", yaml.safe_dump(listing, sort_keys=False, allow_unicode=True).encode())
