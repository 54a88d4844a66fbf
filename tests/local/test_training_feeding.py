"""Feeding several devices, and computing in 16 bits.

It runs on two logical devices of a CPU, in a process of its own, because devices can be divided
only once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.local.training_data import make_revision

from negset_api.errors import InvalidInput
from negset_jobs.adapters.store import Store

pytestmark = pytest.mark.tensorflow

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STEPS, BATCH = 10, 8


def ran(script, *arguments):
    """What the script prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


SETUP = """
import json, sys, tempfile
from negset_jobs.training import compat
import tensorflow as tf
from negset_api import names
from negset_jobs.adapters.access import Access
from tests.progress import Silent
from negset_jobs.adapters.store import Store
from negset_jobs.training import feeding, loop, mix, precision
from negset_jobs.training.task import prepare
from negset_jobs.training.trainer import Start, Trainer
from tests.local.training_data import manifest, step

store = Store(sys.argv[1])
dataset = manifest(steps=10)
task = prepare(store, dataset, step(dataset, 1), Access())
config = task.config
config.train_input_reader.label_map_path = store.location(names.LABEL_MAP)
local = mix.materialise(store, task.chosen, "")

def batches(model, context):
    return feeding.batches(config, model, local, negative_percent=30, seed=0, context=context)

def trained(strategy, folder=None, start=None, saved=lambda *_: None, every=10**6):
    return loop.train(
        config, batches, start or Start(), strategy=strategy, seed=0, folder=folder or tempfile.mkdtemp(), checkpoint_every=every,
        save=saved, progress=Silent(),
    )
"""

TWO_DEVICES = """
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
from negset_jobs.training import models
with strategy.scope():
    model = models.build(config, training=True)
    stream = iter(strategy.distribute_datasets_from_function(lambda context: batches(model, context)))
seen, shapes, images_without_boxes = [], set(), []
for _ in range(5):
    features, labels = next(stream)
    for part, truth in zip(strategy.experimental_local_results(features["hash"]), strategy.experimental_local_results(labels["num_groundtruth_boxes"])):
        shapes.add(tuple(part.shape))
        seen += part.numpy().tolist()
        images_without_boxes.append(int((truth.numpy() == 0).sum()))
done = trained(strategy)
print(json.dumps({
    "replicas": strategy.num_replicas_in_sync, "shapes": sorted(shapes), "seen": len(seen), "different": len(set(seen)),
    "without_boxes": images_without_boxes, "images": done.images, "fed_without_boxes": done.images_without_boxes,
}))
"""


@pytest.fixture(scope="module")
def revision(tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("feeding") / "revision"))
    make_revision(store)
    return store.url


def test_two_devices_share_each_batch_and_its_negatives(revision):
    found = ran(TWO_DEVICES, revision)
    assert found["replicas"] == 2
    assert found["shapes"] == [[BATCH // 2]], "each device has half of the batch"
    assert found["seen"] == found["different"] == 5 * BATCH, "no image is fed to both"
    # Of four images 30 percent are one or two.
    assert set(found["without_boxes"]) <= {1, 2}
    assert sum(found["without_boxes"]) == 12
    assert (found["images"], found["fed_without_boxes"]) == (STEPS * BATCH, STEPS * BATCH * 3 // 10)


PRECISIONS = """
import negset_jobs.training.events as events
losses, kinds = [], {}
events.write = lambda step, values, *_: losses.append(values["total"])
original = Trainer.__init__

def watched(self, *arguments):
    original(self, *arguments)
    layers = [layer for layer in self.model._feature_extractor.submodules if isinstance(layer, tf.keras.layers.Conv2D)]
    kinds["compute"] = sorted({layer.compute_dtype for layer in layers})
    kinds["weights"] = sorted({variable.dtype.name for variable in self.model.trainable_variables})
    kinds["optimizer"] = type(self._optimizer).__name__
    if kinds["scale"]:
        self._optimizer.loss_scale  # only a scaling optimizer has one
        self._optimizer._loss_scale._current_loss_scale.assign(kinds["scale"])
    kinds["trainer"] = self
    kinds["before"] = size(self)

def size(trainer):
    return float(tf.add_n([tf.reduce_sum(tf.abs(variable)) for variable in trainer.model.trainable_variables]))

def computed(policy, scale, resume):
    losses.clear()
    kinds["scale"], prefixes = scale, []
    with precision.applied(policy):
        trained(tf.distribute.get_strategy(), saved=lambda path, *_: prefixes.append(path), every=5)
    trainer = kinds.pop("trainer")
    found = {**kinds, "losses": list(losses), "policy_after": tf.keras.mixed_precision.global_policy().name, "after": size(trainer)}
    found["scale"] = float(getattr(trainer._optimizer, "loss_scale", 0))
    losses.clear()
    if resume:
        with precision.applied(policy):
            trained(tf.distribute.get_strategy(), start=Start(resume=prefixes[0], step=5))
    return {**found, "resumed": list(losses)}

Trainer.__init__ = watched
print(json.dumps({name: computed(*case) for name, case in json.loads(sys.argv[2]).items()}))
"""
CASES = {
    "float32": ("float32", 0, False),
    "bfloat16, with the optimizer as it is": ("mixed_bfloat16", 0, True),
    # At the scale that Keras begins with, 2**15, the first few steps of this model overflow.
    "float16, with a scaled loss": ("mixed_float16", 64.0, True),
    "float16, at a scale that overflows": ("mixed_float16", 2.0**40, False),
}
"""The policy, the scale of the loss if there is one, and whether training resumes in the middle."""


@pytest.fixture(scope="module")
def computed(revision):
    """The observations in each case.

    The cases run in one process, because starting TensorFlow takes as long as a case.
    """
    return ran(PRECISIONS, revision, json.dumps(CASES))


@pytest.mark.parametrize(
    ("case", "optimizer"),
    [("bfloat16, with the optimizer as it is", "Adam"), ("float16, with a scaled loss", "LossScaleOptimizer")],
)
def test_layers_compute_in_16_bits_and_learn_as_in_32(computed, case, optimizer):
    found, plain = computed[case], computed["float32"]
    policy, _, _ = CASES[case]
    assert (found["compute"], found["weights"], found["optimizer"]) == ([policy.removeprefix("mixed_")], ["float32"], optimizer)
    assert (plain["compute"], plain["optimizer"]) == (["float32"], "Adam")
    # The same weights see the same batch first. The losses after it stay near those of 32 bits, but
    # they are not the same numbers.
    assert found["losses"][0] == pytest.approx(plain["losses"][0], rel=0.02)
    assert found["losses"][-1] == pytest.approx(plain["losses"][-1], rel=0.5)
    assert found["losses"] != plain["losses"]
    assert found["losses"][-1] < found["losses"][0] / 1.3
    assert len(found["resumed"]) == STEPS // 2, "a checkpoint in the middle is gone on from"
    assert found["resumed"][-1] == pytest.approx(found["losses"][-1], rel=0.5)
    assert found["policy_after"] == "float32", "what is built afterwards, to measure, is in 32 bits"


def test_a_scale_at_which_gradients_overflow_is_halved_and_those_steps_change_nothing(computed):
    found = computed["float16, at a scale that overflows"]
    assert found["scale"] == 2.0 ** (40 - STEPS)
    assert found["after"] == found["before"]


def test_the_policy_follows_from_the_hardware():
    from negset_jobs.training.precision import policy

    assert policy([], mixed=False) == policy([(6, 1)], mixed=False) == "float32"
    assert policy([], mixed=True) == "mixed_bfloat16"
    assert policy([(9, 0), (7, 0)], mixed=True) == "mixed_float16"
    with pytest.raises(InvalidInput, match=r"mixedPrecision: expected GPUs of compute capability 7\.0 or more, got 6\.1"):
        policy([(8, 0), (6, 1)], mixed=True)


def test_what_faster_rcnn_crops_and_what_a_model_predicts_is_in_32_bits():
    import tensorflow as tf

    from negset_jobs.training.precision import adapt, applied

    class Model:
        def predict(self, value):
            return {"boxes": tf.cast(value, tf.float16), "levels": [tf.cast(value, tf.bfloat16)], "count": tf.constant(3)}

        def _crop_and_resize_fn(self, maps):
            return [found.dtype for found in maps]

    maps = [tf.zeros((1, 4, 4, 1), tf.bfloat16)]
    untouched = Model()
    adapt(untouched)
    assert untouched._crop_and_resize_fn(maps) == [tf.bfloat16]
    with applied("mixed_bfloat16"):
        model = Model()
        adapt(model)
    found = model.predict(tf.ones(2))
    assert (found["boxes"].dtype, found["levels"][0].dtype, found["count"].dtype) == (tf.float32, tf.float32, tf.int32)
    assert model._crop_and_resize_fn(maps) == [tf.float32]
