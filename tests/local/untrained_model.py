"""A model with random weights, as round 1 of a small revision.

Run it as `python -m tests.local.untrained_model STORE`.
"""

from __future__ import annotations

import json
import sys

import msgspec
import numpy as np
from tests.local.training_data import manifest
from tests.reading import as_image

from negset_api import names
from negset_api.values import Measurement, Records, Round, decode, encode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tfrecord import read_records
from negset_jobs.mining.shard_scoring import load_model

MINING = {"rounds": 2, "hardPercent": 25, "reviewAbovePercent": 100}
DATASET = manifest(steps=10, workers=2, hardNegativeMining=MINING, comparisons=["RandomNegatives"])
SCORES = "expected.json"


def images(store, split):
    """Id and encoded image of every negative of a split."""
    for key in decode(store.read(names.RECORDS), Records).files[split]:
        yield from in_file(store, key)


def in_file(store, key):
    """Id and encoded image of every record of a file."""
    with store.reading(key) as stream:
        yield from [as_image(payload) for _, payload in read_records(stream)]


def make_round(store):
    """Round 1 with its configuration and a checkpoint of random weights, in the store."""
    import tensorflow as tf

    from negset_jobs.training import config, models

    prepared = config.prepare(DATASET.spec.training, Access())
    store.write(names.round_config(1), config.render(prepared))
    model = models.build(prepared, training=False)
    for index, weights in enumerate(model.trainable_variables):
        if weights.shape.rank == 4:
            # He's initialisation: the configuration's own is so small that, without training, every
            # score is one half.
            spread = (2 / np.prod(weights.shape[:3])) ** 0.5
            weights.assign(np.random.default_rng(index).normal(0, spread, weights.shape))
    tf.train.Checkpoint(model=model).save(store.location(f"{names.round_checkpoints(1)}/ckpt"))
    return Round(
        number=1,
        arm=names.MINED,
        input_digest="round",
        steps=10,
        total_steps=10,
        negatives=1,
        detections="",
        seed=0,
        negative_percent=30,
        measured_negative_percent=30,
        miner="",
        config=names.round_config(1),
        checkpoint=f"{names.round_checkpoints(1)}/ckpt-1",
        saved_model="",
        losses=(),
        steps_per_second=1,
        measurement=Measurement(
            threshold=0.0,
            recall=0.8,
            wanted_recall=0.8,
            false_positives_per_image=0,
            average_precision=0,
            average_precision_50=0,
            negatives=1,
            positives=1,
            objects=1,
        ),
        worst=(),
    )


if __name__ == "__main__":
    store = Store(sys.argv[1])
    made = make_round(store)
    model = load_model(store, made, ("disc",))
    splits = decode(store.read(names.RECORDS), Records).files.keys() - {names.HELD_OUT}
    scores = {image.image_id: image.score for split in splits for image in model.score(list(images(store, split)))}
    store.write(SCORES, json.dumps(scores).encode())
    measured = msgspec.structs.replace(made.measurement, threshold=sorted(scores.values())[len(scores) // 2])
    store.write(names.round_marker(1), encode(msgspec.structs.replace(made, measurement=measured)))
