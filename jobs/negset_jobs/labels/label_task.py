"""Write the images and label files of one shard, in every format. One task for a worker."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from negset_api import names
from negset_api.values import PlannedImage
from negset_jobs.adapters.store import Store
from negset_jobs.labels import coco, voc, yolo
from negset_jobs.labels.formats import LabelFormat
from negset_jobs.labels.labelled import LabelledImage, read_images

FORMATS: Final[Mapping[str, LabelFormat]] = {"YOLO": yolo, "COCO": coco, "VOC": voc}
"""The label formats by their names in the manifest."""

_WRITERS: Final = 32
"""Objects written concurrently. They are small, so a remote store's response time dominates.

At most 64 are in memory, with their images.
"""


class LabelTask(msgspec.Struct, frozen=True, kw_only=True):
    """One shard to write: its TFRecord file, and its planned images with stems, by source id."""

    store_url: str
    key: str
    split: str
    formats: tuple[str, ...]
    planned: dict[str, tuple[PlannedImage, str]]


class LabelledShard(NamedTuple):
    """The images of a shard in its order, and why others were passed over."""

    images: list[LabelledImage]
    unreadable: list[str]


def write_shard(task: LabelTask) -> LabelledShard:
    """Write the files of every image of a shard that can be read."""
    store = Store(task.store_url)
    images: list[LabelledImage] = []
    unreadable: list[str] = []

    def objects() -> Iterable[tuple[str, bytes]]:
        for image, encoded in read_images(store, task.key, task.split, task.planned, unreadable.append):
            images.append(image)
            for name in task.formats:
                for file in FORMATS[name].image_files(image, encoded):
                    yield f"{names.labels_folder(name)}/{file.key}", file.data

    _write_all(store, objects())
    return LabelledShard(images, unreadable)


def _write_all(store: Store, objects: Iterable[tuple[str, bytes]]) -> None:
    """Write objects concurrently. The queue is bounded: reading is not faster than writing."""
    remaining = iter(objects)
    with concurrent.futures.ThreadPoolExecutor(_WRITERS) as writers:
        waiting: collections.deque[concurrent.futures.Future[None]] = collections.deque()
        try:
            for key, data in remaining:
                waiting.append(writers.submit(store.write, key, data))
                if len(waiting) >= 2 * _WRITERS:
                    waiting.popleft().result()
            for write in waiting:
                write.result()
        except BaseException:
            writers.shutdown(cancel_futures=True)
            raise
