"""Every round learns.

Its weights move, its learning rate follows the schedule, and only the weights of an earlier round
are taken over.
"""

from __future__ import annotations

import math
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from tests.local.training_data import TRAIN, TRAIN_FILES, make_revision, manifest, step
from tests.progress import Silent

from negset_api import names
from negset_api.errors import Interrupted
from negset_api.values import Mining, Round, decode, encode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.training import checkpoints, detections
from negset_jobs.training.stage import train_round
from negset_jobs.training.task import prepare

pytestmark = pytest.mark.tensorflow

STEPS = 30
ROUNDS = {"rounds": 2}
_STEP = "step/.ATTRIBUTES/VARIABLE_VALUE"
_ITERATIONS = "optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"


class Terminated(Silent):
    """Asks this process to end after so many steps."""

    def __init__(self, after):
        self._left = after

    def advance(self, done=1, **_):
        self._left -= done
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGTERM)


def mined(store):
    """A mining that found half of the negatives hard and drew the other half."""
    first, second = (key for key in store.keys("records") if "train-" in key)
    return Mining(
        number=1,
        input_digest="mining",
        threshold=0.5,
        floor=0.05,
        pool=TRAIN,
        trained_on=TRAIN,
        fooled=TRAIN,
        hard=(second,),
        hard_images=TRAIN,
        added=TRAIN,
        random=(first,),
        negatives=(first,),
        negative_images=TRAIN,
        review=(),
        scores="",
    )


@pytest.fixture(scope="module")
def rounds():
    """Round 1, a round 2 that is terminated and resumed, and the arm that compares."""
    store = Store("memory://rounds-learn")
    dataset = manifest(steps=STEPS, hardNegativeMining=ROUNDS, comparisons=["RandomNegatives"])
    make_revision(store)
    first = train_round(store, dataset, step(dataset, 1), Access(), Silent())
    store.write(names.mining_marker(1), encode(mined(store)))
    with pytest.raises(Interrupted):
        train_round(store, dataset, step(dataset, 2), Access(), Terminated(STEPS // 2))
    second = train_round(store, dataset, step(dataset, 2), Access(), Silent())
    compared = train_round(store, dataset, step(dataset, 2, names.RANDOM_NEGATIVES), Access(), Silent())
    return SimpleNamespace(store=store, dataset=dataset, first=first, second=second, compared=compared)


def variables(store, folder, prefix):
    """The variables of a checkpoint in the store by their keys."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(checkpoints.download(store, prefix, str(folder)))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if key.endswith("VARIABLE_VALUE")}


def learning_rates(store, folder, number, arm=names.MINED):
    """Step → learning rate, as TensorBoard shows it."""
    from negset_jobs.training import events

    os.makedirs(folder, exist_ok=True)
    for key in store.keys(names.round_events(number, arm)):
        store.get(key, os.path.join(folder, os.path.basename(key)))
    return {
        at: value for path in sorted(os.listdir(folder)) for at, tag, value in events._scalars(f"{folder}/{path}") if tag == "learning_rate"
    }


def scheduled(position):
    """The tiny preset's schedule over 60 steps.

    It is a warm-up of 3 from a tenth, then half a cosine
    (object_detection/utils/learning_schedules.py).
    """
    from negset_jobs.training import config

    rate = config.prepare(manifest(steps=STEPS, hardNegativeMining=ROUNDS).spec.training, Access()).train_config.optimizer.adam_optimizer
    cosine = rate.learning_rate.cosine_decay_learning_rate
    assert cosine.total_steps == 2 * STEPS
    if position < cosine.warmup_steps:
        slope = (cosine.learning_rate_base - cosine.warmup_learning_rate) / cosine.warmup_steps
        return cosine.warmup_learning_rate + slope * position
    done = (position - cosine.warmup_steps) / (cosine.total_steps - cosine.warmup_steps)
    return cosine.learning_rate_base * (1 + math.cos(math.pi * done)) / 2


@pytest.mark.parametrize("which", ["second", "compared"])
def test_after_round_2_every_weight_has_moved(rounds, which, tmp_path):
    before = variables(rounds.store, tmp_path / "1", rounds.first.checkpoint)
    after = variables(rounds.store, tmp_path / "2", getattr(rounds, which).checkpoint)
    weights = [key for key in before if key.startswith("model/")]
    assert len(weights) > 50
    still = [key for key in weights if np.array_equal(before[key], after[key])]
    assert still == []


@pytest.mark.parametrize(("number", "arm"), [(1, names.MINED), (2, names.MINED), (2, names.RANDOM_NEGATIVES)])
def test_the_learning_rate_is_on_the_schedule_that_spans_the_rounds(rounds, number, arm, tmp_path):
    rates = learning_rates(rounds.store, str(tmp_path), number, arm)
    assert max(rates) == STEPS
    expected = {at: scheduled((number - 1) * STEPS + at) for at in rates}
    assert rates == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert min(value for at, value in rates.items() if at < STEPS) > 0


def test_round_2_after_an_interruption_has_a_curve_without_a_gap(rounds, tmp_path):
    rates = learning_rates(rounds.store, str(tmp_path), 2)
    assert [point.step for point in rounds.second.losses] == sorted(rates)
    assert min(rates) == 1


@pytest.mark.parametrize("which", ["first", "second", "compared"])
def test_the_optimizer_and_the_step_agree_and_count_the_rounds_own_steps(rounds, which, tmp_path):
    kept = variables(rounds.store, tmp_path, getattr(rounds, which).checkpoint)
    assert (kept[_STEP], kept[_ITERATIONS]) == (STEPS, STEPS)


def test_a_checkpoints_weights_hold_no_step(rounds, tmp_path):
    """A saved training step would come back with the weights.

    It did when the next round traced its first step, and the learning rate was that of the end: 0.
    """
    kept = variables(rounds.store, tmp_path, rounds.first.checkpoint)
    assert [key for key in kept if key.startswith("model/") and "step" in key] == []


def test_a_model_that_is_fine_tuned_in_full_begins_at_the_start_of_its_schedule(rounds, tmp_path):
    store, own = Store(str(tmp_path / "revision")), tmp_path / "pipeline.config"
    make_revision(store)
    prefix = checkpoints.download(rounds.store, rounds.first.checkpoint, str(tmp_path / "start"))
    text = rounds.store.read(rounds.first.config).decode()
    own.write_text(text.replace("train_config {", f'train_config {{ fine_tune_checkpoint: "{prefix}" fine_tune_checkpoint_type: "full"', 1))
    dataset = manifest(steps=6, pipelineConfig={"url": str(own)}, hardNegativeMining=ROUNDS)
    value = train_round(store, dataset, step(dataset, 1), Access(), Silent())
    rates = learning_rates(store, str(tmp_path / "events"), 1)
    assert sorted(rates) == list(range(1, 7))
    assert max(rates, key=rates.get) < 4, "the rate falls after the warm-up; at the end of a schedule it would be 0 from the first step"
    assert min(list(rates.values())[:3]) > 1e-4
    assert value.losses[0].classification < rounds.first.losses[0].classification / 2, "it begins with the weights"


def test_round_2_begins_where_round_1_ended_with_the_hard_negatives_in_half_of_the_negatives_places(rounds):
    task = prepare(rounds.store, rounds.dataset, step(rounds.dataset, 2), Access())
    assert list(task.config.train_input_reader.sample_from_datasets_weights) == [35, 35, 15, 15]
    assert rounds.second.measured_negative_percent == pytest.approx(30.0, abs=1.0), "the pattern begins again after an interruption"
    assert rounds.second.losses[0].classification < rounds.first.losses[0].classification / 2


def test_the_arms_differ_in_what_was_added_and_in_nothing_else(rounds):
    mined_task, compared = (
        prepare(rounds.store, rounds.dataset, step(rounds.dataset, 2, arm), Access()) for arm in (names.MINED, names.RANDOM_NEGATIVES)
    )
    assert mined_task.before == compared.before == rounds.first
    assert (mined_task.chosen.negatives, mined_task.total_steps) == (compared.chosen.negatives, compared.total_steps)
    assert mined_task.chosen.hard != compared.chosen.hard
    assert (rounds.second.total_steps, rounds.compared.total_steps) == (2 * STEPS, 2 * STEPS)
    assert (rounds.second.negatives, rounds.compared.negatives) == (TRAIN_FILES * TRAIN, TRAIN_FILES * TRAIN)
    assert decode(rounds.store.read(names.round_marker(2, names.RANDOM_NEGATIVES)), Round) == rounds.compared


def test_the_last_mined_model_alone_is_exported(rounds):
    assert rounds.second.saved_model == names.round_saved_model(2)
    assert f"{rounds.second.saved_model}/saved_model.pb" in rounds.store.keys(rounds.second.saved_model)
    assert (rounds.first.saved_model, rounds.compared.saved_model) == ("", "")
    for number, arm in ((1, names.MINED), (2, names.RANDOM_NEGATIVES)):
        assert rounds.store.keys(names.round_saved_model(number, arm)) == []


def test_what_the_model_detects_on_the_held_out_images_is_kept(rounds):
    kept = detections.decode(rounds.store.read(rounds.second.detections))
    measured = rounds.second.measurement
    assert (len(kept.truths), len(kept.positives), len(kept.negatives)) == (measured.positives, measured.positives, measured.negatives)
    counted = sum(found.score >= measured.threshold for image in kept.negatives for found in image.detections)
    assert counted / measured.negatives == pytest.approx(measured.false_positives_per_image)
    assert sum(len(truth.counted) for truth in kept.truths) == measured.objects
