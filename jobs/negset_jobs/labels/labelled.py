"""The stored negatives as the label formats see them, read back from the TFRecords: what was stored
is what is listed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.values import PlannedImage
from negset_jobs.adapters.store import Store
from negset_jobs.formats import od_keys
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records

SPLITS: Final = {names.TRAIN: "train", names.POOL: "train", names.HELD_OUT: "val"}
"""negset's splits → what every label format calls them."""

_EXTENSIONS: Final = {b"jpeg": ".jpg", b"png": ".png"}
_UNSAFE: Final = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST_STEM: Final = 200  # file systems take 255 bytes; a number and an extension come after it


class LabelledImage(NamedTuple):
    """One stored image in a label dataset.

    `name` is its file name there, `stem` that without extension; sizes are those of the stored
    image, in pixels.
    """

    image: PlannedImage
    split: str
    stem: str
    name: str
    width: int
    height: int


def unique_stems(images: Iterable[PlannedImage]) -> list[str]:
    """A file name without extension for each image: letters, digits, `.`, `_` and `-` only, and
    unique even where a file system ignores case.

    A name depends only on the images before it, so that a larger dataset keeps the names of the
    smaller one.
    """
    taken: set[str] = set()
    stems = []
    for image in images:
        wanted = _stem(image.file_name)
        stem, number = wanted, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{wanted}_{number}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def read_images(
    store: Store, key: str, split: str, planned: Mapping[str, tuple[PlannedImage, str]]
) -> Iterator[tuple[LabelledImage, bytes]]:
    """The images of one TFRecord file in its order, each with its encoded bytes.

    `planned` gives the planned image and its stem by source id.

    Raises `WorkFailed` where the file is damaged or holds an image that was not planned.
    """
    with store.reading(key) as stream:
        for _, payload in read_records(stream):
            features = decode_example(payload)
            source_id = features[od_keys.SOURCE_ID][0].decode()
            if source_id not in planned:
                raise WorkFailed(f"{store.location(key)}: image {source_id!r} is not in the plan")
            image, stem = planned[source_id]
            yield (
                LabelledImage(
                    image=image,
                    split=SPLITS[split],
                    stem=stem,
                    name=stem + _EXTENSIONS[features[od_keys.FORMAT][0]],
                    width=features[od_keys.WIDTH][0],
                    height=features[od_keys.HEIGHT][0],
                ),
                features[od_keys.ENCODED][0],
            )


def depth(encoded: bytes) -> int:
    """The number of colour channels of an encoded image, as Pascal VOC gives it: 1 for grey, else
    3. Reads the header only.
    """
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as labelled:
        return 1 if labelled.mode in {"1", "L", "I;16"} else 3


def _stem(file_name: str) -> str:
    stem, dot, extension = file_name.rpartition(".")
    if not dot or "/" in extension:
        stem = file_name
    return _UNSAFE.sub("_", stem).strip("._")[:_LONGEST_STEM] or "image"
