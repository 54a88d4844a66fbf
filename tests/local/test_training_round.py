"""Training rounds for real: the Object Detection API on a small set of shapes, with the tiny preset."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tests.local.training_data import HELD_OUT, make_revision, manifest, step

from negset_api import names
from negset_api.errors import Interrupted, InvalidInput
from negset_api.values import Round, decode
from negset_jobs.access import Access
from negset_jobs.progress import Silent
from negset_jobs.store import Store
from negset_jobs.training import checkpoints, config, heldout
from negset_jobs.training.stage import round_inputs, train_round

pytestmark = pytest.mark.tensorflow

STEPS = 40


class Watched(Silent):
    """Counts what is reported; `after` is called with the number of steps done."""

    def __init__(self, after=lambda _: None):
        self.stages, self.done, self.notes, self._after = [], 0, [], after

    def start(self, stage, total, unit):
        self.stages.append((stage, total, unit))
        self.done = 0

    def advance(self, done=1, *, note="", **_):
        self.done += done
        self.notes.append(note)
        self._after(self.done)


@pytest.fixture(scope="session")
def trained():
    """Round 1 in a store that is not local, so that everything is fetched and uploaded."""
    store, dataset, progress = Store("memory://training-round"), manifest(steps=STEPS), Watched()
    make_revision(store)
    return SimpleNamespace(
        store=store, dataset=dataset, progress=progress, round=train_round(store, dataset, step(dataset, 1), Access(), progress)
    )


@pytest.fixture(scope="session")
def scorer(trained, tmp_path_factory):
    from negset_jobs.training.scoring import Scorer

    prefix = checkpoints.download(trained.store, trained.round.checkpoint, str(tmp_path_factory.mktemp("checkpoint")))
    return Scorer(trained.store.read(trained.round.config), prefix, classes=("disc",), floor=0.0)


@pytest.fixture(scope="session")
def held_out(trained):
    key = f"positives/{names.shard(names.HELD_OUT, 0, 1)}.tfrecord"
    return list(heldout.pictures(trained.store, [key]))


def test_the_round_says_what_was_done(trained):
    value = trained.round
    assert decode(trained.store.read(names.round_marker(1)), Round) == value
    assert (value.number, value.steps, value.negative_percent, value.miner) == (1, STEPS, 30, "miner")
    assert value.inputs == round_inputs(trained.store, trained.dataset, step(trained.dataset, 1), Access())
    measured = value.measurement
    assert (measured.positives, measured.negatives, measured.objects) == (HELD_OUT, HELD_OUT, HELD_OUT)
    assert value.worst
    assert all(image.image_id.startswith("records/heldout") for image in value.worst)
    assert [image.score for image in value.worst] == sorted((image.score for image in value.worst), reverse=True)


def test_the_share_of_negatives_is_counted_in_what_was_fed(trained):
    # 40 batches of 8, 3 of 10 pictures without a box: 96 of 320.
    assert trained.round.measured_negative_percent == pytest.approx(30.0)


def test_the_loss_falls_and_every_part_of_it_is_in_the_curve(trained):
    curve = trained.round.losses
    assert [point.step for point in curve] == list(range(1, STEPS + 1))
    first, last = curve[:5], curve[-5:]
    for part in ("total", "classification", "localization"):
        assert sum(getattr(p, part) for p in last) < sum(getattr(p, part) for p in first), part


def test_progress_counts_every_step_and_picture(trained):
    assert trained.progress.stages == [("Training", STEPS, "steps"), ("Measuring", 2 * HELD_OUT, "images")]
    assert trained.progress.done == 2 * HELD_OUT
    assert trained.progress.notes[0].startswith("loss ")


def test_the_configuration_beside_it_is_whole_and_readable_by_the_api(trained):
    from object_detection.builders import model_builder

    from negset_jobs.training import compat  # noqa: F401

    used = config.parse(trained.store.read(trained.round.config), "stored")
    assert list(used.train_input_reader.sample_from_datasets_weights) == [35, 35, 15, 15]
    assert used.train_input_reader.label_map_path == trained.store.location(names.LABEL_MAP)
    assert model_builder.build(used.model, is_training=False).num_classes == 1


def test_the_newest_three_checkpoints_are_complete_in_the_store(trained):
    found = checkpoints.complete(trained.store, names.round_checkpoints(1), trained.round.inputs)
    assert [checkpoint.step for checkpoint in found] == [20, 30, 40]
    assert found[-1].prefix == trained.round.checkpoint
    assert (found[-1].pictures, found[-1].blanks) == (320, 96)
    assert any("tfevents" in key for key in trained.store.keys(names.round_events(1)))


def test_the_exported_model_gives_the_same_detections_as_the_scorer(trained, scorer, held_out, tmp_path):
    import tensorflow as tf

    for key in trained.store.keys(trained.round.saved_model):
        target = tmp_path / key.removeprefix(f"{trained.round.saved_model}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        trained.store.get(key, str(target))
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for truth, encoded in held_out[:4]:
        (scored,) = scorer.score([(truth.image_id, encoded)])
        found = served(input_tensor=tf.io.decode_image(encoded)[tf.newaxis])
        assert found["detection_classes"].numpy().min() == 1.0
        np.testing.assert_allclose([d.score for d in scored.detections], found["detection_scores"].numpy()[0], atol=1e-5)
        corners = [(d.ymin, d.xmin, d.ymax, d.xmax) for d in scored.detections]
        np.testing.assert_allclose(corners, found["detection_boxes"].numpy()[0], atol=1e-4)


def test_scores_do_not_depend_on_the_batch(scorer, held_out):
    pictures = [(truth.image_id, encoded) for truth, encoded in held_out]
    assert len({(truth.width, truth.height) for truth, _ in held_out}) > 1, "the pictures differ in size"
    together = scorer.score(pictures)
    assert [image.image_id for image in together] == [name for name, _ in pictures]
    alone = [scorer.score([picture])[0] for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose([d.score for d in one.detections], [d.score for d in other.detections], atol=1e-5)
        assert [d.score for d in one.detections] == sorted((d.score for d in one.detections), reverse=True)
    assert scorer.score([]) == []


def test_a_picture_that_cannot_be_decoded_is_named(scorer):
    from negset_api.errors import WorkFailed

    with pytest.raises(WorkFailed, match="cannot decode one of the pictures broken to broken"):
        scorer.score([("broken", b"not a picture")])


def test_a_start_from_a_given_checkpoint_takes_the_network_and_not_the_heads(trained, scorer, tmp_path):
    import tensorflow as tf

    from negset_jobs.training.loop import Start, _Trainer
    from negset_jobs.training.stage import _download_start

    url = trained.store.location(trained.round.checkpoint)
    prefix = _download_start(url, Access(), "spec.training.fineTuneCheckpoint", str(tmp_path))
    tf.keras.utils.set_random_seed(99)
    trainer = _Trainer(config.patch_start(scorer.config, prefix), tf.distribute.get_strategy())
    trainer.restore(Start(), None)

    def same(part):
        pairs = zip(getattr(trainer.model, part).weights, getattr(scorer.model, part).weights, strict=True)
        return [np.array_equal(mine.numpy(), other.numpy()) for mine, other in pairs]

    assert all(same("_feature_extractor"))
    assert not all(same("_box_predictor"))
    with pytest.raises(InvalidInput, match=r"fineTuneCheckpoint: .*ckpt-7\.index.* does not exist"):
        _download_start(url.replace("ckpt-40", "ckpt-7"), Access(), "spec.training.fineTuneCheckpoint", str(tmp_path))


KILLED = """
import os, signal, sys
from negset_jobs.access import Access
from negset_jobs.progress import Silent
from negset_jobs.store import Store
from negset_jobs.training.stage import train_round
from tests.local.training_data import manifest, step
class Progress(Silent):
    def start(self, stage, total, unit): print(stage, flush=True)
dataset = manifest(steps=1_000_000, comparisons=["NoNegatives"])
train_round(Store(sys.argv[1]), dataset, step(dataset, 2, "NoNegatives"), Access(), Progress())
"""


def test_a_killed_training_without_negatives_goes_on_and_a_terminated_one_saves_first(tmp_path):
    """One round in three attempts: killed without warning, terminated, finished."""
    store = Store(str(tmp_path / "revision"))
    make_revision(store)
    endless = manifest(steps=1_000_000, comparisons=["NoNegatives"])
    last = step(endless, 2, names.NO_NEGATIVES)
    folder, inputs = names.round_checkpoints(2, names.NO_NEGATIVES), round_inputs(store, endless, last, Access())
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    process = subprocess.Popen([sys.executable, "-c", KILLED, store.url], cwd=root)
    try:
        deadline = time.monotonic() + 600
        while not (saved := checkpoints.complete(store, folder, inputs)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    saved = checkpoints.complete(store, folder, inputs)
    killed_after = saved[-1].step
    assert not store.exists(last.marker)

    progress = Watched(lambda done: os.kill(os.getpid(), signal.SIGTERM) if done >= 3 else None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="the next run goes on from there"):
        train_round(store, endless, last, Access(), progress)
    assert signal.getsignal(signal.SIGTERM) == before
    assert progress.stages == [("Training", 2_000_000 - killed_after, "steps")], "it went on from the killed attempt's last checkpoint"
    newest = checkpoints.complete(store, folder, inputs)[-1]
    assert newest.step == killed_after + progress.done, "every step made before the signal is saved"
    assert newest.pictures == 8 * newest.step
    assert newest.blanks == 0, "it sees no negative"
    assert not store.exists(last.marker)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        pytest.param(
            "ssd_mobilenet_v2_keras",
            "ssd_mobilenet_v9_keras",
            "the Object Detection API refuses it: .*ssd_mobilenet_v9_keras",
            id="an unknown network",
        ),
        pytest.param(
            "num_layers: 2\n        min",
            "num_layers: 1\n        min",
            "the Object Detection API refuses it",
            id="an anchor generator with one layer",
        ),
    ],
)
def test_what_the_api_refuses_is_wrong_input(tmp_path, before, after, message):
    store = Store(str(tmp_path / "revision"))
    make_revision(store)
    own = tmp_path / "pipeline.config"
    text = config.preset("ssd-mobilenet-v2-tiny-96").decode()
    assert before in text
    own.write_text(text.replace(before, after))
    dataset = manifest(steps=1, pipelineConfig={"url": str(own)})
    with pytest.raises(InvalidInput, match=message):
        train_round(store, dataset, step(dataset, 1), Access(), Silent())
    assert not store.exists(names.round_marker(1))
