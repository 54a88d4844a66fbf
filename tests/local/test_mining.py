"""Mining for real: a model of the Object Detection API scores every negative in a Ray actor, and the next round's files are written from what it says.

The model is not trained: its scores rank the pictures without any meaning, which is all that these tests need.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from pyarrow import parquet
from tests.conftest import ROOT
from tests.local.training_data import TRAIN, TRAIN_FILES, make_revision
from tests.local.untrained_model import DATASET, SCORES, in_file, pictures

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.values import Mining, Records, decode
from negset_jobs import on_ray
from negset_jobs.mining.stage import mine_round
from negset_jobs.progress import Silent
from negset_jobs.store import Store

pytestmark = pytest.mark.tensorflow

NEGATIVES = TRAIN_FILES * TRAIN


class Counted(Silent):
    """The sum of what was reported."""

    done = 0

    def advance(self, done=1, **_):
        self.done += done


@pytest.fixture(scope="module")
def ray():
    with on_ray.session(1):
        yield


@pytest.fixture(scope="module")
def mined(tmp_path_factory, ray):
    """A mining at a threshold that half of the model's scores reach."""
    store = Store(str(tmp_path_factory.mktemp("mining")))
    make_revision(store)
    # In a process of its own, as in the pipeline: what drives Ray does not import TensorFlow.
    subprocess.run([sys.executable, "-m", "tests.local.untrained_model", store.url], check=True, cwd=ROOT)
    scores = json.loads(store.read(SCORES))
    progress = Counted()
    return store, DATASET, mine_round(store, DATASET, 1, progress), scores, progress


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
