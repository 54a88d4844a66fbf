"""Mining with a real model of the Object Detection API, which scores every negative.

The next round's files are written from its scores. The model is not trained: its scores rank the
images without meaning, which is enough for these tests.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys

import msgspec
import pytest
from pyarrow import parquet
from tests.conftest import ROOT
from tests.local.training_data import TRAIN, TRAIN_FILES, make_revision
from tests.local.untrained_model import DATASET, SCORES, images, in_file
from tests.local.workers import working
from tests.progress import Silent

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.values import Mining, Records, Round, decode, encode
from negset_jobs.adapters import work
from negset_jobs.adapters.store import Store
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored import load
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.mining.stage import mine_round

pytestmark = pytest.mark.tensorflow

POOL_FILES = 3
POOL, TRAINED = POOL_FILES * TRAIN, TRAIN_FILES * TRAIN


class Counted(Silent):
    """The sum of what was reported."""

    done = 0

    def advance(self, done=1, **_):
        self.done += done


@pytest.fixture(scope="module")
def workers():
    with work.session(1):
        yield


@pytest.fixture(scope="module")
def mined(tmp_path_factory, workers):
    """A mining with the model of a round 1, and the model's own scores by id.

    Half of the model's scores reach the threshold.
    """
    store = Store(str(tmp_path_factory.mktemp("mining")))
    make_revision(store, pool=POOL_FILES)
    # In a process of its own, as in the pipeline: what distributes work does not import TensorFlow.
    subprocess.run([sys.executable, "-m", "tests.local.untrained_model", store.url], check=True, cwd=ROOT)
    progress = Counted()
    return store, DATASET, mine_round(store, DATASET, 1, progress), json.loads(store.read(SCORES)), progress


def copy_of(store, folder, *, without=()):
    """Another store with the same objects but those whose keys begin like one of `without`."""
    other = Store(str(folder))
    for key in store.keys(""):
        if not key.startswith(tuple(without)):
            other.write(key, store.read(key))
    return other


def names_in(store, split):
    return {name for name, _ in images(store, split)}


def table(store, value):
    return parquet.read_table(io.BytesIO(store.read(value.scores))).to_pylist()


def test_the_pool_and_what_was_trained_on_are_scored_as_the_model_itself_scores_them(mined):
    store, _, value, scores, progress = mined
    rows = table(store, value)
    assert (value.pool, value.trained_on) == (POOL, TRAINED)
    assert value.scored == len(rows) == progress.done == POOL + TRAINED
    assert {row["image_id"]: row["score"] for row in rows} == pytest.approx(scores, abs=1e-5)
    assert rows == sorted(rows, key=lambda row: (-row["score"], row["image_id"]))
    assert {row["image_id"] for row in rows if row["trained_on"]} == names_in(store, names.TRAIN)
    assert not names_in(store, names.HELD_OUT) & {row["image_id"] for row in rows}, "what measures is never looked at"


def test_those_of_the_pool_that_reach_the_threshold_fool_the_model(mined):
    store, _, value, scores, _ = mined
    assert value.fooled == sum(scores[name] >= value.threshold for name in names_in(store, names.POOL))
    assert 0 < value.fooled < POOL


def test_the_hardest_quarter_of_the_pool_is_added_in_as_many_files_as_there_are_workers(mined):
    store, _, value, scores, _ = mined
    assert (value.added, value.hard_images, len(value.hard)) == (POOL // 4, POOL // 4, 3)
    copied = dict(each for key in value.hard for each in in_file(store, key))
    assert copied == {name: encoded for name, encoded in images(store, names.POOL) if name in copied}
    assert len(copied) == POOL // 4
    weakest = min(scores[name] for name in copied)
    assert all(scores[name] <= weakest + 1e-5 for name in names_in(store, names.POOL) - copied.keys())
    assert [image.image_id for image in value.hardest] == sorted(copied, key=lambda name: (-scores[name], name))


def test_as_many_random_negatives_of_the_pool_are_laid_beside_them(mined):
    store, _, value, _, _ = mined
    drawn = [name for key in value.random for name, _ in in_file(store, key)]
    assert len(drawn) == len(set(drawn)) == value.hard_images
    assert set(drawn) <= names_in(store, names.POOL)
    assert set(drawn) != {name for key in value.hard for name, _ in in_file(store, key)}


def test_without_a_review_round_1s_negatives_stay_where_they_are_and_the_marker_is_the_value(mined):
    store, _, value, _, _ = mined
    assert value.negatives == decode(store.read(names.RECORDS), Records).files[names.TRAIN]
    assert (value.negative_images, value.different_images) == (TRAINED, TRAINED + POOL // 4)
    assert (value.review, value.review_declined) == ((), 0)
    assert decode(store.read(names.mining_marker(1)), Mining) == value


def test_the_next_mining_keeps_what_is_hard_and_looks_for_more_among_the_rest_of_the_pool(mined, tmp_path):
    store, _, first, scores, _ = mined
    later = copy_of(store, tmp_path)
    later.write(names.round_marker(2), encode(msgspec.structs.replace(decode(store.read(names.round_marker(1)), Round), number=2)))
    value = mine_round(later, DATASET, 2, Silent())
    hard, more = ({name for key in each.hard for name, _ in in_file(later, key)} for each in (first, value))
    assert hard < more
    assert (value.pool, value.trained_on) == (POOL - len(hard), TRAINED + len(hard))
    assert (value.added, value.hard_images) == (len(more - hard), len(more))
    assert min(scores[name] for name in hard) >= max(scores[name] for name in more - hard) - 1e-5
    drawn, more_drawn = ({name for key in each.random for name, _ in in_file(later, key)} for each in (first, value))
    assert drawn < more_drawn
    assert len(more_drawn) == len(more)


def test_an_interrupted_mining_scores_only_the_shards_that_are_missing(mined, monkeypatch):
    store, dataset, value, _, _ = mined
    real, asked = work.map_with_actors, []

    def interrupted(make_worker, shards, **options):
        for index, result in enumerate(real(make_worker, shards, **options)):
            if index == 2:
                raise WorkFailed("a node was lost")
            yield result

    def watched(make_worker, shards, **options):
        asked.extend(shards)
        return real(make_worker, shards, **options)

    before = {key: store.read(key) for key in store.keys(names.round_folder(1))}
    store.remove([names.mining_marker(1)])
    monkeypatch.setattr(work, "map_with_actors", interrupted)
    with pytest.raises(WorkFailed, match="a node was lost"):
        mine_round(store, dataset, 1, Silent())
    monkeypatch.setattr(work, "map_with_actors", watched)
    progress = Counted()
    assert mine_round(store, dataset, 1, progress) == value
    assert len(asked) == POOL_FILES + TRAIN_FILES - 2
    assert progress.done == POOL + TRAINED, "what was scored before counts too"
    assert {key: store.read(key) for key in store.keys(names.round_folder(1))} == before, "the same bytes, and nothing left behind"


def test_ray_scores_the_same_and_the_next_files_have_the_same_bytes(mined, tmp_path):
    store, dataset, value, _, _ = mined
    made = [name(1) for name in (names.mining_marker, names.mining_hard, names.mining_random, names.mining_scores)]
    other = copy_of(store, tmp_path, without=made)
    with working("Ray"):
        assert mine_round(other, dataset, 1, Silent()) == value
    for key in store.keys(names.round_folder(1)):
        assert other.read(key) == store.read(key), key


def test_without_a_pool_the_hardest_of_those_trained_on_are_given_more_weight_and_the_log_says_so(mined, tmp_path, caplog):
    trained, _, _, every_score, _ = mined
    store = copy_of(trained, tmp_path, without=(names.mining_marker(1), names.RECORDS_FOLDER))
    make_revision(store)
    scores = {name: every_score[name] for name in names_in(store, names.TRAIN)}
    value = mine_round(store, DATASET, 1, Silent())
    hard = {name for key in value.hard for name, _ in in_file(store, key)}
    assert (value.pool, value.trained_on, len(hard)) == (0, TRAINED, TRAINED // 4)
    assert hard == set(sorted(scores, key=lambda name: (-scores[name], name))[: TRAINED // 4])
    assert value.different_images == TRAINED
    assert "there is no pool" in caplog.text


def test_an_image_that_cannot_be_decoded_ends_nothing_and_is_counted_and_named(mined, tmp_path, caplog):
    trained, _, whole, _, _ = mined
    store = copy_of(trained, tmp_path, without=(names.mining_marker(1),))
    key = load(store, names.RECORDS, Records).files[names.POOL][0]
    with store.reading(key) as stream:
        payloads = [payload for _, payload in read_records(stream)]
    image = decode_example(payloads[3])
    stream = io.BytesIO()
    for index, payload in enumerate(payloads):
        write_record(stream, payload.replace(image[od_keys.ENCODED][0], bytes(len(image[od_keys.ENCODED][0]))) if index == 3 else payload)
    store.write(key, stream.getvalue())
    value = mine_round(store, DATASET, 1, Silent())
    name = image[od_keys.SOURCE_ID][0].decode()
    assert (value.pool, value.unreadable) == (whole.pool - 1, 1)
    assert value.unreadable_examples == (f"{key}: the image {name} cannot be decoded",)
    assert f"skipped 1 records that cannot be read: {key}: the image {name}" in caplog.text


def test_a_missing_checkpoint_is_one_clear_error(mined, tmp_path):
    store, dataset, _, _, _ = mined
    other = copy_of(store, tmp_path, without=(names.round_checkpoints(1), names.mining_marker(1)))
    with pytest.raises(
        InvalidInput, match=r"expected a checkpoint at .*ckpt-1, found none; remove .*training/round-1 to train the round again"
    ):
        mine_round(other, dataset, 1, Silent())
