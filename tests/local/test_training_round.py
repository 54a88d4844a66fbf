"""Real training rounds: the Object Detection API on a small set of shapes, with the tiny preset."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from tests.local.training_data import HELD_OUT, make_revision, manifest, step
from tests.progress import Silent

from negset_api import names
from negset_api.errors import Interrupted, InvalidInput, WorkFailed
from negset_api.values import Round, decode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.training import checkpoints, config, failures, heldout
from negset_jobs.training.stage import train_round
from negset_jobs.training.task import round_input_digest

pytestmark = pytest.mark.tensorflow

STEPS = 40


class Watched(Silent):
    """Counts what is reported; `after` is called with the number of steps done."""

    def __init__(self, after=lambda _: None):
        self.stages, self.begun, self.done, self.losses, self._after = [], [], 0, [], after

    def start(self, stage, total, unit, *, done=0):
        self.stages.append((stage, total, unit))
        self.begun.append(done)
        self.done = 0

    def advance(self, done=1, *, loss=None, **_):
        self.done += done
        self.losses.append(loss)
        self._after(self.done)


@pytest.fixture(scope="session")
def trained():
    """The only round in a store that is not local, so that everything is fetched and uploaded."""
    store, dataset, progress = Store("memory://training-round"), manifest(steps=STEPS, hardNegativeMining={"rounds": 1}), Watched()
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
    return list(heldout.images(trained.store, [key]))


def test_the_round_says_what_was_done(trained):
    value = trained.round
    assert decode(trained.store.read(names.round_marker(1)), Round) == value
    assert (value.number, value.steps, value.negative_percent, value.miner) == (1, STEPS, 30, "miner")
    assert value.input_digest == round_input_digest(trained.store, trained.dataset, step(trained.dataset, 1), Access())
    measured = value.measurement
    assert (measured.positives, measured.negatives, measured.objects) == (HELD_OUT, HELD_OUT, HELD_OUT)
    assert value.worst
    assert all(image.image_id.startswith("records/heldout") for image in value.worst)
    assert [image.score for image in value.worst] == sorted((image.score for image in value.worst), reverse=True)


def test_the_share_of_negatives_is_counted_in_what_was_fed(trained):
    # 40 batches of 8, 3 of 10 images without a box: 96 of 320.
    assert trained.round.measured_negative_percent == pytest.approx(30.0)


def test_the_loss_falls_and_every_part_of_it_is_in_the_curve(trained):
    curve = trained.round.losses
    assert [point.step for point in curve] == list(range(1, STEPS + 1))
    first, last = curve[:5], curve[-5:]
    for part in ("total", "classification", "localization"):
        assert sum(getattr(p, part) for p in last) < sum(getattr(p, part) for p in first), part


def test_progress_counts_every_step_and_image(trained):
    assert trained.progress.stages == [("Training", STEPS, "steps"), ("Measuring", 2 * HELD_OUT, "images")]
    assert trained.progress.done == 2 * HELD_OUT
    assert trained.progress.losses[0] > 0


def test_the_configuration_beside_it_is_whole_and_readable_by_the_api(trained):
    from object_detection.builders import model_builder

    from negset_jobs.training import compat  # noqa: F401

    used = config.parse(trained.store.read(trained.round.config), "stored")
    assert list(used.train_input_reader.sample_from_datasets_weights) == [35, 35, 15, 15]
    assert used.train_input_reader.label_map_path == trained.store.location(names.LABEL_MAP)
    assert model_builder.build(used.model, is_training=False).num_classes == 1


def test_the_newest_three_checkpoints_are_complete_in_the_store(trained):
    found = checkpoints.complete(trained.store, names.round_checkpoints(1), trained.round.input_digest)
    assert [checkpoint.step for checkpoint in found] == [20, 30, 40]
    assert found[-1].prefix == trained.round.checkpoint
    assert (found[-1].images, found[-1].images_without_boxes) == (320, 96)
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
    images = [(truth.image_id, encoded) for truth, encoded in held_out]
    assert len({(truth.width, truth.height) for truth, _ in held_out}) > 1, "the images differ in size"
    together = scorer.score(images)
    assert [image.image_id for image in together] == [name for name, _ in images]
    alone = [scorer.score([each])[0] for each in images]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose([d.score for d in one.detections], [d.score for d in other.detections], atol=1e-5)
        assert [d.score for d in one.detections] == sorted((d.score for d in one.detections), reverse=True)
    assert scorer.score([]) == []


def test_an_image_that_cannot_be_decoded_is_marked_and_the_others_of_its_batch_are_scored(scorer, held_out):
    images = [(truth.image_id, encoded) for truth, encoded in held_out[:3]]
    broken = [("cut", images[0][1][:400]), ("text", b"not an image"), ("empty", b"")]
    scored = scorer.score([broken[0], images[0], broken[1], *images[1:], broken[2]])
    assert [image.image_id for image in scored if image.unreadable] == ["cut", "text", "empty"]
    assert all(not image.detections for image in scored if image.unreadable)
    fine = [image for image in scored if not image.unreadable]
    for one, other in zip(fine, scorer.score(images), strict=True):
        assert one.image_id == other.image_id
        np.testing.assert_allclose([d.score for d in one.detections], [d.score for d in other.detections], atol=1e-5)
    assert [image.unreadable for image in scorer.score(broken)] == [True, True, True]


def rewritten(store, key, change):
    """Replace each record's payload by `change(index, payload)`; a bytearray is a whole frame."""
    stream = io.BytesIO()
    with store.reading(key) as source:
        for index, (_, payload) in enumerate(read_records(source)):
            changed = change(index, payload)
            if isinstance(changed, bytearray):
                stream.write(changed)
            else:
                write_record(stream, changed)
    store.write(key, stream.getvalue())


def undecodable(payload):
    """The record with the second half of its image file overwritten; its structure stays."""
    (encoded,) = decode_example(payload)["image/encoded"]
    half = len(encoded) // 2
    return payload.replace(encoded, encoded[:half] + bytes(len(encoded) - half))


def torn(payload):
    stream = io.BytesIO()
    write_record(stream, payload)
    frame = bytearray(stream.getvalue())
    frame[100] ^= 1
    return frame


def keyless(payload):
    return payload.replace(b"image/encoded", b"image/ENCODED")


def make_damaged_revision(store):
    """Of each kind of file one record, which every check before the training has let pass."""
    make_revision(store)
    train, held = names.shard(names.TRAIN, 0, 2), names.shard(names.HELD_OUT, 0, 1)
    for folder, split, number, damage in (
        ("positives", train, 3, undecodable),
        ("records", train, 5, torn),
        ("positives", held, 2, undecodable),
        ("records", held, 4, keyless),
    ):
        change = lambda index, payload, number=number, damage=damage: damage(payload) if index == number else payload  # noqa: E731
        rewritten(store, f"{folder}/{split}.tfrecord", change)


def with_budget(dataset, percent):
    download = msgspec.structs.replace(dataset.spec.download, max_failed_percent=percent)
    return msgspec.structs.replace(dataset, spec=msgspec.structs.replace(dataset.spec, download=download))


def test_records_that_cannot_be_read_are_counted_named_and_do_not_end_a_round(tmp_path, caplog):
    store = Store(str(tmp_path / "revision"))
    make_damaged_revision(store)
    dataset = with_budget(manifest(steps=10), 10)
    value = train_round(store, dataset, step(dataset, 1), Access(), Silent())
    assert value.unreadable == 4
    named = "; ".join(value.unreadable_examples)
    for part in (
        "positives/train-00000-of-00002.tfrecord: record 3 (id ",
        "records/train-00000-of-00002.tfrecord: record 5 (at byte",
        "positives/heldout-00000-of-00001.tfrecord: record 2 (id ",
        "records/heldout-00000-of-00001.tfrecord: record 4 (at byte",
    ):
        assert part in named
    (warning,) = [
        record.getMessage() for record in caplog.records if record.getMessage().startswith("skipped") and record.levelname == "WARNING"
    ]
    assert warning.startswith("skipped 4 of 116 records that cannot be read: ")
    # What could not be measured is in no denominator.
    assert (value.measurement.positives, value.measurement.negatives, value.measurement.objects) == (
        HELD_OUT - 1,
        HELD_OUT - 1,
        HELD_OUT - 1,
    )
    assert value.measured_negative_percent == pytest.approx(30.0)


def test_more_unreadable_records_than_the_budget_end_the_round_before_its_first_step(tmp_path):
    store, progress = Store(str(tmp_path / "revision")), Watched()
    make_damaged_revision(store)
    dataset = with_budget(manifest(steps=10), 9)
    with pytest.raises(
        WorkFailed, match=r"2 of 20 held-out records cannot be read, more than spec\.download\.maxFailedPercent \(9\) allows: .*record 2"
    ):
        train_round(store, dataset, step(dataset, 1), Access(), progress)
    assert progress.stages == []


def test_mixed_precision_reaches_the_layers_and_the_model_is_measured_in_32_bits(trained, tmp_path, caplog):
    import tensorflow as tf

    store = Store(str(tmp_path / "revision"))
    make_revision(store)
    mixed, plain = (manifest(steps=10, mixedPrecision=value) for value in (True, False))
    assert round_input_digest(store, mixed, step(mixed, 1), Access()) != round_input_digest(store, plain, step(plain, 1), Access())
    with caplog.at_level(logging.INFO):
        value = train_round(store, mixed, step(mixed, 1), Access(), Silent())
    assert "layers compute with the policy mixed_bfloat16" in caplog.text
    # The same weights see the same first batch; 8 bits of mantissa give nearly the same loss, and
    # not the same number.
    assert value.losses[0].total == pytest.approx(trained.round.losses[0].total, rel=0.02)
    assert value.losses[0].total != trained.round.losses[0].total
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    assert value.measurement.positives == HELD_OUT


KILLED = """
import os, signal, sys
from negset_jobs.adapters.access import Access
from tests.progress import Silent
from negset_jobs.adapters.store import Store
from negset_jobs.training.stage import train_round
from tests.local.training_data import manifest, step
class Progress(Silent):
    def start(self, stage, total, unit, *, done=0): print(stage, flush=True)
dataset = manifest(steps=1_000_000, comparisons=["NoNegatives"])
train_round(Store(sys.argv[1]), dataset, step(dataset, 2, "NoNegatives"), Access(), Progress())
"""


def test_a_killed_training_without_negatives_resumes_and_a_terminated_one_saves_first(tmp_path):
    """One round in attempts: killed without warning, its newest checkpoint cut, and terminated."""
    store = Store(str(tmp_path / "revision"))
    make_revision(store)
    endless = manifest(steps=1_000_000, comparisons=["NoNegatives"])
    last = step(endless, 2, names.NO_NEGATIVES)
    folder, inputs = names.round_checkpoints(2, names.NO_NEGATIVES), round_input_digest(store, endless, last, Access())
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    process = subprocess.Popen([sys.executable, "-c", KILLED, store.url], cwd=root)
    try:
        deadline = time.monotonic() + 600
        while len(checkpoints.complete(store, folder, inputs)) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    *_, sound, newest = checkpoints.complete(store, folder, inputs)
    killed_after = sound.step
    (data,) = (key for key in newest.keys if ".data-" in key)
    store.write(data, store.read(data)[:-100])
    assert not store.exists(last.marker)

    progress = Watched(lambda done: os.kill(os.getpid(), signal.SIGTERM) if done >= 3 else None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="the next run resumes from it"):
        train_round(store, endless, last, Access(), progress)
    assert signal.getsignal(signal.SIGTERM) == before
    assert (progress.stages, progress.begun) == ([("Training", 2_000_000, "steps")], [killed_after]), (
        "it went on from the killed attempt's last sound checkpoint"
    )
    newest = checkpoints.complete(store, folder, inputs)[-1]
    assert newest.step == killed_after + progress.done, "every step made before the signal is saved"
    assert newest.images == 8 * newest.step
    assert newest.images_without_boxes == 0, "it sees no negative"
    assert not store.exists(last.marker)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        pytest.param(
            "ssd_mobilenet_v2_keras",
            "ssd_mobilenet_v9_keras",
            "ssd_mobilenet_v9_keras.* is unknown to the Object Detection API",
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


def real_failures(folder):
    """What TensorFlow itself raises, by what went wrong."""
    import tensorflow as tf

    variable = tf.Variable(tf.zeros(10))
    saved = tf.train.Checkpoint(v=variable).save(f"{folder}/ckpt")
    data = f"{saved}.data-00000-of-00001"
    with open(data, "rb") as stream:
        content = stream.read()

    def restored(content):
        with open(data, "wb") as stream:
            stream.write(content)
        tf.train.Checkpoint(v=variable).restore(saved).assert_existing_objects_matched()

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)])
    def added(one, other):
        return one + other

    other = tf.train.Checkpoint(w=tf.Variable(tf.zeros(3)))
    return {
        "the disk is full": lambda: tf.io.write_file("/dev/full", "x" * 100_000),
        "not enough memory for a training step": lambda: tf.zeros((1 << 20, 1 << 20, 8)),
        "damaged: .*Read less bytes": lambda: restored(content[:-20]),
        "damaged: .*Checksum": lambda: restored(bytes([content[0] ^ 1]) + content[1:]),
        "the checkpoint is of another model": lambda: other.restore(saved).assert_existing_objects_matched(),
        "image_resizer whose size fits.*Incompatible shapes": lambda: added(tf.zeros((2, 3)), tf.zeros((2, 4))),
        "image_resizer whose size fits.*downsampling": lambda: tf.keras.layers.Conv2D(3, 5)(tf.zeros((1, 3, 3, 3))),
        "an image or a record cannot be decoded": lambda: tf.io.decode_image(b"text"),
    }


def test_what_tensorflow_raises_becomes_a_message(tmp_path):
    for message, fail in real_failures(tmp_path).items():
        with pytest.raises((WorkFailed, InvalidInput), match=message), failures.translated():
            fail()


def test_a_size_that_the_network_cannot_take_is_the_configurations(tmp_path):
    store = Store(str(tmp_path / "revision"))
    make_revision(store)
    own = tmp_path / "pipeline.config"
    text = config.preset("ssd-resnet50-fpn-640").decode()
    own.write_text(text.replace("height: 640", "height: 96").replace("width: 640", "width: 96"))
    dataset = manifest(steps=1, pipelineConfig={"url": str(own)})
    with pytest.raises(InvalidInput, match=r"spec\.training\.pipelineConfig: expected an image_resizer whose size fits the network"):
        train_round(store, dataset, step(dataset, 1), Access(), Silent())
