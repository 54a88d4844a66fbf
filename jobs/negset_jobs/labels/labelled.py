"""Read the stored negatives from the TFRecords for the label formats.

So exactly the stored images are listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.values import PlannedImage
from negset_jobs.adapters.store import Store
from negset_jobs.download import verify
from negset_jobs.download.failure import Failed
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored_images import Report
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records

SPLITS: Final = {names.TRAIN: "train", names.POOL: "train", names.HELD_OUT: "val"}
"""negset's splits → their names in every label format."""

_EXTENSIONS: Final = {b"jpeg": ".jpg", b"png": ".png"}
_UNSAFE: Final = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST_STEM: Final = 200  # a file name has at most 255 bytes, with a number and an extension


class LabelledImage(NamedTuple):
    """One stored image in a label dataset.

    `name` is its file name there, `stem` the same without extension. `width` and `height` are those
    of the stored image, in pixels. `channels` is 1 for grey, else 3.
    """

    image: PlannedImage
    split: str
    stem: str
    name: str
    width: int
    height: int
    channels: int


def unique_stems(images: Iterable[PlannedImage]) -> list[str]:
    """Return a unique file name without extension for each image.

    It has only letters, digits, `.`, `_` and `-`, and is unique even if a file system ignores case.
    A name depends only on the images before it, so that a larger dataset keeps the names of the
    smaller one.
    """
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last one by stem: names in other alphabets all become one stem
    stems = []
    for image in images:
        wanted = _stem(image.file_name)
        stem, number = wanted, numbers.get(wanted.lower(), 1)
        while stem.lower() in taken:
            number += 1
            stem = f"{wanted}_{number}"
        numbers[wanted.lower()] = number
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def read_images(
    store: Store, key: str, split: str, planned: Mapping[str, tuple[PlannedImage, str]], report: Report
) -> Iterator[tuple[LabelledImage, bytes]]:
    """Yield the images of one TFRecord file in its order, each with its encoded bytes.

    `planned` has the planned image and its stem by source id. An image that cannot be read goes to
    `report`. Raises `WorkFailed` if the file is damaged or contains an image that was not planned.
    """
    with store.reading(key) as stream:
        for _, payload in read_records(stream):
            features = decode_example(payload)
            source_id = features[od_keys.SOURCE_ID][0].decode()
            if source_id not in planned:
                raise WorkFailed(f"{store.location(key)}: image {source_id!r} is not in the plan")
            encoded = features[od_keys.ENCODED][0]
            try:
                channels = verify.channels(encoded)
            except Failed as failure:
                report(f"{key}: the image {source_id}: {failure.detail}")
                continue
            image, stem = planned[source_id]
            labelled = LabelledImage(
                image=image,
                split=SPLITS[split],
                stem=stem,
                name=stem + _EXTENSIONS[features[od_keys.FORMAT][0]],
                width=features[od_keys.WIDTH][0],
                height=features[od_keys.HEIGHT][0],
                channels=channels,
            )
            yield labelled, encoded


def _stem(file_name: str) -> str:
    stem, dot, extension = file_name.rpartition(".")
    if not dot or "/" in extension:
        stem = file_name
    return _UNSAFE.sub("_", stem).strip("._")[:_LONGEST_STEM] or "image"
