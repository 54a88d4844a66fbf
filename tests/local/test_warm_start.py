"""A training starts from the checkpoints that users have.

The content of a checkpoint is found by reading it, and its weights are loaded into the model.
"""

from __future__ import annotations

import os
import shutil

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import PipelineConfig, Training
from negset_jobs.adapters.access import Access
from negset_jobs.training import config as configs

pytestmark = pytest.mark.tensorflow

TINY = "ssd-mobilenet-v2-tiny-96"
FIELD = "spec.training.fineTuneCheckpoint"


def training(url):
    return Training(steps=10, pipeline_config=PipelineConfig(preset=TINY), fine_tune_checkpoint=str(url))


def configured(classes=("disc",), kind="", width=None):
    config = configs.prepare(training(""), Access())
    config.train_config.fine_tune_checkpoint_type = kind
    if width:
        config.model.ssd.feature_extractor.depth_multiplier = width
    return configs.patch_data(config, configs.Data(classes=classes, label_map="", train=(), held_out=()))


def built(config, seed):
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    from negset_jobs.training import models

    tf.keras.utils.set_random_seed(seed)
    return models.build(config, training=True)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A model of one class and its checkpoint, as the API's loop writes them.

    The checkpoint has a step, and a training step inside the model, which the model tracks by
    mistake.
    """
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    model = built(configured(), seed=1)
    model._training_step = tf.Variable(700, dtype=tf.int64)
    prefix = tf.train.Checkpoint(model=model, step=tf.Variable(700, dtype=tf.int64)).write(
        str(tmp_path_factory.mktemp("detector") / "ckpt-7")
    )
    return model, prefix


def started(url, config, tmp_path, seed=2):
    """A model of another seed, started from the checkpoint at `url`.

    Also what the configuration says was restored.
    """
    from negset_jobs.training import warm_start

    running = warm_start.prepare(config, training(url), Access(), str(tmp_path / "fetched"))
    model = built(running, seed)
    warm_start.restore(model, running.train_config)
    return model, running.train_config.fine_tune_checkpoint_type


def same(first, second, part):
    """Whether the weights of a part are equal in two models: all of them, or none.

    The part is `_feature_extractor` or `_box_predictor`.
    """
    import numpy as np

    # A bias and a scale are zeros and ones at first, in every model.
    pairs = [
        (a.numpy(), b.numpy())
        for a, b in zip(getattr(first, part).trainable_variables, getattr(second, part).trainable_variables, strict=True)
        if a.shape == b.shape and len(a.shape) == 4
    ]
    equal = {np.array_equal(a, b) for a, b in pairs}
    assert len(equal) == 1, "some are, some are not"
    return equal.pop()


@pytest.mark.parametrize(
    ("asked", "taken", "heads"),
    [
        pytest.param("classification", "detection", False, id="which every configuration of the model zoo calls classification"),
        pytest.param("", "detection", False, id="of which the configuration says nothing"),
        pytest.param("detection", "detection", False, id="which is called one"),
        pytest.param("full", "full", True, id="whose heads are wanted, too"),
    ],
)
def test_a_detectors_checkpoint(detector, tmp_path, asked, taken, heads):
    model, prefix = detector
    mine, kind = started(prefix, configured(kind=asked), tmp_path)
    assert kind == taken
    assert same(model, mine, "_feature_extractor")
    assert same(model, mine, "_box_predictor") is heads
    assert not isinstance(getattr(mine, "_training_step", None), type(model._training_step)), "no step comes with the weights"


def test_another_number_of_classes_starts_the_heads_with_random_weights_and_logs_it(detector, tmp_path, caplog):
    model, prefix = detector
    mine, _ = started(prefix, configured(classes=("disc", "ring", "cross"), kind="full"), tmp_path)
    assert same(model, mine, "_feature_extractor")
    assert not same(model, mine, "_box_predictor")
    assert "another number of classes or anchors: the heads of the model start with random weights" in caplog.text


def test_the_type_that_is_wrong_is_corrected_aloud(detector, tmp_path, caplog):
    started(detector[1], configured(kind="classification"), tmp_path)
    assert "from 'classification' to 'detection': the checkpoint is of a detector" in caplog.text


def test_the_checkpoint_of_a_wider_model_is_refused_in_words(detector, tmp_path):
    with pytest.raises(InvalidInput, match=r"of another model than the configuration's, \d+ weights have another shape"):
        started(detector[1], configured(width=0.5), tmp_path)


@pytest.mark.parametrize("name", ["feature_extractor", "model", "root"])
def test_a_classifiers_checkpoint_fills_the_backbone_however_it_was_saved(tmp_path, name):
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    backbone = built(configured(), seed=1)._feature_extractor.classification_backbone
    url = tf.train.Checkpoint(**{name: backbone}).write(str(tmp_path / "weights"))
    mine, kind = started(url, configured(kind="detection"), tmp_path)
    assert kind == "classification"
    pairs = zip(backbone.trainable_variables, mine._feature_extractor.classification_backbone.trainable_variables, strict=True)
    assert all((a.numpy() == b.numpy()).all() for a, b in pairs)


def refuse(url, tmp_path):
    from negset_jobs.training import warm_start

    warm_start.prepare(configured(), training(url), Access(), str(tmp_path / "fetched"))


@pytest.mark.parametrize("share", [1, 50, 99])
@pytest.mark.parametrize("part", [".data-00000-of-00001", ".index"])
def test_a_file_that_is_cut_short_is_refused_in_words(detector, tmp_path, part, share):
    copy = str(tmp_path / "ckpt-7")
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(detector[1] + suffix, copy + suffix)
    os.truncate(copy + part, os.path.getsize(copy + part) * share // 100 + 1)
    with pytest.raises(InvalidInput, match=f"^{FIELD}: the checkpoint at .* is damaged or truncated"):
        refuse(copy, tmp_path)


def test_a_byte_that_changed_is_found(detector, tmp_path):
    copy = str(tmp_path / "ckpt-7")
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(detector[1] + suffix, copy + suffix)
    with open(f"{copy}.data-00000-of-00001", "r+b") as stream:
        stream.seek(os.path.getsize(stream.name) // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 0xFF]))
    with pytest.raises(InvalidInput, match="damaged or truncated"):
        refuse(copy, tmp_path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    url = tf.train.Checkpoint(encoder=tf.Variable(1.0)).write(str(tmp_path / "ckpt-1"))
    with pytest.raises(InvalidInput, match="expected the checkpoint of a detector or of a classifier"):
        refuse(url, tmp_path)


def test_a_checkpoint_of_tensorflow_1_is_refused_by_name(tmp_path):
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("FeatureExtractor/weights", [3])
        session.run(tf.compat.v1.global_variables_initializer())
        url = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    with pytest.raises(InvalidInput, match="is of TensorFlow 1"):
        refuse(url, tmp_path)
