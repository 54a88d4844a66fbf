"""A small revision to train on: red discs are objects, other shapes are not.

Made with the same writers as the real thing.
"""

from __future__ import annotations

import hashlib
import io

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from negset_api import names, stages
from negset_api.spec import NegativeDataset
from negset_api.values import Box, Copies, Positives, Records, encode
from negset_jobs.adapters.store import Store
from negset_jobs.formats.label_map import write_label_map
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import write_record

SIZES = ((96, 96), (120, 90), (80, 128))
TRAIN_FILES, TRAIN, HELD_OUT = 2, 24, 10


def drawn_image(random, *, positive):
    """An encoded JPEG of one of `SIZES`, its size, and its boxes."""
    width, height = SIZES[random.integers(len(SIZES))]
    image = Image.new("RGB", (width, height), tuple(int(value) for value in random.integers(90, 200, 3)))
    pen, radius = ImageDraw.Draw(image), int(random.integers(10, 18))
    x, y = (int(random.integers(radius + 1, side - radius - 1)) for side in (width, height))
    corners = (x - radius, y - radius, x + radius, y + radius)
    if positive:
        pen.ellipse(corners, fill=(200, 40, 40))
    else:
        pen.rectangle(corners, fill=(200, 40, 40))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92)
    box = Box(ymin=corners[1] / height, xmin=corners[0] / width, ymax=corners[3] / height, xmax=corners[2] / width, class_name="disc")
    return stream.getvalue(), width, height, [box] if positive else []


def write_shard(store, key, count, *, positive, seed):
    random = np.random.default_rng(seed)
    stream = io.BytesIO()
    for index in range(count):
        encoded, width, height, boxes = drawn_image(random, positive=positive)
        name = f"{key}-{index}"
        example = encode_example(
            encoded=encoded,
            image_format="jpeg",
            file_name=f"{name}.jpg",
            source_id=name,
            sha256=hashlib.sha256(encoded).hexdigest(),
            height=height,
            width=width,
            boxes=boxes,
            label_ids={"disc": 1},
        )
        write_record(stream, example)
    store.write(key, stream.getvalue())
    return key


def make_revision(store: Store, *, pool: int = 0) -> None:
    """Everything that a round reads; `pool` shards of `TRAIN` negatives are in the pool."""
    files, images = {}, {names.TRAIN: TRAIN_FILES * TRAIN, names.HELD_OUT: HELD_OUT}
    for folder, positive, seed in ((names.POSITIVES_FOLDER, True, 0), (names.RECORDS_FOLDER, False, 100)):
        train = [names.shard(names.TRAIN, index, TRAIN_FILES) for index in range(TRAIN_FILES)]
        files[folder] = {
            names.TRAIN: tuple(
                write_shard(store, f"{folder}/{shard}.tfrecord", TRAIN, positive=positive, seed=seed + index)
                for index, shard in enumerate(train)
            ),
            names.HELD_OUT: (
                write_shard(store, f"{folder}/{names.shard(names.HELD_OUT, 0, 1)}.tfrecord", HELD_OUT, positive=positive, seed=seed + 50),
            ),
        }
    waiting = [f"{names.RECORDS_FOLDER}/{names.shard(names.POOL, index, pool)}.tfrecord" for index in range(pool)]
    for index, key in enumerate(waiting):
        write_shard(store, key, TRAIN, positive=False, seed=200 + index)
    if pool:
        files[names.RECORDS_FOLDER][names.POOL] = tuple(waiting)
    store.write(names.LABEL_MAP, write_label_map(["disc"]))
    records = Records(
        input_digest="records",
        planned=58,
        stored=58,
        bytes=0,
        outcomes={},
        files=files[names.RECORDS_FOLDER],
        images=images | ({names.POOL: pool * TRAIN} if pool else {}),
        manifest=names.MANIFEST,
    )
    positives = Positives(
        input_digest="positives",
        classes=("disc",),
        label_map=names.LABEL_MAP,
        files=files[names.POSITIVES_FOLDER],
        images=images,
        boxes=images,
        outcomes={},
        rejected_boxes={},
    )
    store.write(names.RECORDS, encode(records))
    store.write(names.POSITIVES, encode(positives))
    store.write(names.COPIES, encode(Copies(input_digest="copies")))


def manifest(**training) -> NegativeDataset:
    training = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "negativePercent": 30, "checkpointEverySteps": 10, **training}
    spec = {
        "source": {"coco": {"annotations": "annotations.json"}},
        "excludeClasses": ["disc"],
        "selection": {"count": 58},
        "output": {"url": "/tmp/unused"},
        "positives": {"tfrecords": ["unused.tfrecord"]},
        "training": training,
    }
    return msgspec.convert({"metadata": {"name": "shapes"}, "spec": spec}, NegativeDataset)


def step(dataset: NegativeDataset, number: int, arm: str = names.MINED) -> stages.Step:
    """The step that trains a round of an arm."""
    (found,) = (each for each in stages.training_steps(dataset.spec) if (each.round, each.arm) == (number, arm))
    return found
