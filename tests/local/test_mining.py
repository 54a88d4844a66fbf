"""Mining for real: a model of the Object Detection API scores every negative in a Ray actor, and the next round's files are written from what it says.

The model is not trained: its scores rank the pictures without any meaning, which is all that these tests need.
"""

from __future__ import annotations

import io

import msgspec
import numpy as np
import pytest
from pyarrow import parquet
from tests.local.training_data import TRAIN, TRAIN_FILES, make_revision, manifest

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.values import Measurement, Mining, Records, Round, decode, encode
from negset_jobs import on_ray
from negset_jobs.access import Access
from negset_jobs.mining.scoring import as_picture, load_model
from negset_jobs.mining.stage import mine_round
from negset_jobs.progress import Silent
from negset_jobs.records.framing import read_records
from negset_jobs.store import Store

pytestmark = pytest.mark.tensorflow

NEGATIVES = TRAIN_FILES * TRAIN


class Counted(Silent):
    """The sum of what was reported."""

    done = 0

    def advance(self, done=1, **_):
        self.done += done


def untrained_round(store, dataset):
    """Round 1 with its configuration and a checkpoint of weights as they are drawn, in the store."""
    import tensorflow as tf

    from negset_jobs.training import config, models

    prepared = config.prepare(dataset.spec.training, Access())
    store.write(names.round_config(1), config.render(prepared))
    model = models.build(prepared, training=False)
    for index, weights in enumerate(model.trainable_variables):
        if weights.shape.rank == 4:
            # He's initialisation: the configuration's own is so small that, without training, every score is one half.
            spread = (2 / np.prod(weights.shape[:3])) ** 0.5
            weights.assign(np.random.default_rng(index).normal(0, spread, weights.shape))
    tf.train.Checkpoint(model=model).save(store.location(f"{names.round_checkpoints(1)}/ckpt"))
    return Round(
        number=1,
        inputs="round",
        steps=0,
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


def pictures(store, subset):
    for key in decode(store.read(names.RECORDS), Records).files[subset]:
        yield from in_file(store, key)


def in_file(store, key):
    with store.reading(key) as stream:
        yield from [as_picture(payload) for _, payload in read_records(stream)]


@pytest.fixture(scope="module")
def ray():
    with on_ray.session(1):
        yield


@pytest.fixture(scope="module")
def mined(tmp_path_factory, ray):
    """A mining at a threshold that the untrained model's scores straddle."""
    store = Store(str(tmp_path_factory.mktemp("mining")))
    make_revision(store)
    dataset = manifest(steps=10, workers=2, hardNegativeMining={"rounds": 2, "hardPercent": 25, "reviewAbovePercent": 100})
    trained = untrained_round(store, dataset)
    model = load_model(store, trained, ("disc",))
    scores = {image.image_id: image.score for image in model.score(list(pictures(store, names.TRAIN)))}
    median = sorted(scores.values())[NEGATIVES // 2]
    measured = msgspec.structs.replace(trained.measurement, threshold=median)
    store.write(names.round_marker(1), encode(msgspec.structs.replace(trained, measurement=measured)))
    progress = Counted()
    return store, dataset, mine_round(store, dataset, 1, progress), scores, progress


def test_every_training_negative_is_scored_as_the_model_itself_scores_it(mined):
    store, _, value, scores, progress = mined
    table = parquet.read_table(io.BytesIO(store.read(value.scores))).to_pylist()
    assert value.scored == len(table) == progress.done == NEGATIVES
    assert {row["image_id"]: row["score"] for row in table} == pytest.approx(scores, abs=1e-5)
    assert table == sorted(table, key=lambda row: (-row["score"], row["image_id"]))


def test_those_that_reach_the_threshold_fool_the_model(mined):
    _, _, value, scores, _ = mined
    assert value.fooled == sum(score >= value.threshold for score in scores.values())
    assert 0 < value.fooled < NEGATIVES


def test_the_hardest_quarter_is_copied_in_as_many_files_as_there_are_workers(mined):
    store, _, value, scores, _ = mined
    assert (value.hard_images, len(value.hard)) == (NEGATIVES // 4, 2)
    copied = dict(picture for key in value.hard for picture in in_file(store, key))
    assert copied == {name: encoded for name, encoded in pictures(store, names.TRAIN) if name in copied}
    assert len(copied) == NEGATIVES // 4
    weakest = min(scores[name] for name in copied)
    assert all(score <= weakest + 1e-5 for name, score in scores.items() if name not in copied)
    assert [image.image_id for image in value.hardest] == sorted(copied, key=lambda name: (-scores[name], name))


def test_without_a_review_the_negatives_stay_where_they_are_and_the_marker_is_the_value(mined):
    store, _, value, _, _ = mined
    assert value.negatives == decode(store.read(names.RECORDS), Records).files[names.TRAIN]
    assert (value.review, value.review_declined) == ((), 0)
    assert decode(store.read(names.mining_marker(1)), Mining) == value


def test_mining_again_gives_the_same_bytes(mined):
    store, dataset, value, _, _ = mined
    before = {key: store.read(key) for key in store.keys(names.round_folder(1))}
    store.remove([names.mining_marker(1)])
    assert mine_round(store, dataset, 1, Silent()) == value
    assert {key: store.read(key) for key in store.keys(names.round_folder(1))} == before


def test_a_missing_checkpoint_is_one_clear_error(mined, tmp_path):
    store, dataset, _, _, _ = mined
    other = Store(str(tmp_path))
    for key in store.keys(""):
        if names.round_checkpoints(1) not in key and key != names.mining_marker(1):
            other.write(key, store.read(key))
    with pytest.raises(WorkFailed, match=r"expected a checkpoint at .*ckpt-1, found none"):
        mine_round(other, dataset, 1, Silent())
