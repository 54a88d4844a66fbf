"""Every preset is built by the Object Detection API, and in every one a batch without any object carries loss."""

from __future__ import annotations

import math

import pytest
from tests.local.training_data import make_revision

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.spec import HardNegativeMining, PipelineConfig, Training
from negset_jobs.access import Access
from negset_jobs.store import Store
from negset_jobs.training import config as configs

pytestmark = pytest.mark.tensorflow

PRESETS = (
    "ssd-mobilenet-v2-tiny-96",
    "ssd-mobilenet-v2-320",
    "ssd-mobilenet-v2-fpnlite-320",
    "ssd-resnet50-fpn-640",
    "faster-rcnn-resnet50-640",
)


def prepared(preset="ssd-mobilenet-v2-tiny-96", **mining):
    training = Training(
        pipeline_config=PipelineConfig(preset=preset),
        steps=10,
        batch_size=4,
        negative_percent=50,
        hard_negative_mining=HardNegativeMining(**mining),
    )
    config = configs.prepare(training, Access())
    return configs.patch_data(config, configs.Data(classes=("disc",), label_map="", train=(), held_out=()))


def shrink(config):
    """The same network on smaller pictures, for speed; what counts is not how large they are."""
    model = getattr(config.model, config.model.WhichOneof("model"))
    if model.image_resizer.HasField("fixed_shape_resizer"):
        model.image_resizer.fixed_shape_resizer.height = model.image_resizer.fixed_shape_resizer.width = 160
    else:
        model.image_resizer.keep_aspect_ratio_resizer.min_dimension = model.image_resizer.keep_aspect_ratio_resizer.max_dimension = 160
    return config


def blank_loss(config, side=160):
    """The classification losses of two pictures without objects, and the norm of the gradient of all losses but regularisation."""
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    from negset_jobs.training import models

    tf.keras.utils.set_random_seed(1)
    model = models.build(config, training=True)
    tf.keras.backend.set_learning_phase(True)
    images, shapes = model.preprocess(tf.random.uniform((2, side, side, 3), 0, 255, seed=1))
    model.provide_groundtruth(
        groundtruth_boxes_list=[tf.zeros((0, 4))] * 2,
        groundtruth_classes_list=[tf.zeros((0, 1))] * 2,
        groundtruth_weights_list=[tf.zeros((0,))] * 2,
    )
    with tf.GradientTape() as tape:
        losses = model.loss(model.predict(images, shapes), shapes)
        total = tf.add_n(list(losses.values()))
    gradient = tf.linalg.global_norm([g for g in tape.gradient(total, model.trainable_variables) if g is not None])
    scores = [float(value) for name, value in losses.items() if name.endswith(("classification_loss", "objectness_loss"))]
    return scores, float(gradient)


@pytest.mark.parametrize("preset", PRESETS)
def test_blank_pictures_carry_loss_with_every_preset(preset):
    scores, gradient = blank_loss(shrink(prepared(preset)))
    assert all(score > 1e-4 for score in scores)
    assert gradient > 1e-4


def test_blank_pictures_carry_exactly_no_loss_in_what_the_linter_refuses():
    """The trap itself, so that the linter's reason is known to hold."""
    config = shrink(prepared())
    config.model.ssd.loss.hard_example_miner.min_negatives_per_image = 0
    assert blank_loss(config) == ([0.0], 0.0)


def test_blank_pictures_carry_as_many_negatives_as_the_miner_is_told():
    """At first every anchor is undecided, so each of both columns of a mined one costs ln 2 or about that."""
    (few,), _ = blank_loss(shrink(prepared(min_negatives_per_image=2)))
    (many,), _ = blank_loss(shrink(prepared(min_negatives_per_image=8)))
    assert few < many < 4 * few, "the anchors with the highest losses come first"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The training files of a small revision, and its label map."""
    store = Store(str(tmp_path_factory.mktemp("revision")))
    make_revision(store)
    local = {kind: tuple(map(store.location, store.keys(kind))) for kind in (names.POSITIVES_FOLDER, names.RECORDS_FOLDER)}
    train = {kind: tuple(path for path in paths if "/train-" in path) for kind, paths in local.items()}
    return train[names.POSITIVES_FOLDER], train[names.RECORDS_FOLDER], store.location(names.LABEL_MAP)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_batch_has_its_share_of_negatives_with_every_presets_augmentations(preset, files):
    from negset_jobs.training import feeding, models
    from negset_jobs.training.inputs import Inputs

    positives, negatives, label_map = files
    config = shrink(prepared(preset))
    config.train_input_reader.label_map_path = label_map
    model = models.build(config, training=True)
    batches = feeding.batches(config, model, Inputs(positives=positives, negatives=negatives), negative_percent=50, seed=0)
    for features, labels in batches.take(5):
        boxes = labels["num_groundtruth_boxes"].numpy()
        assert features["image"].shape == (4, 160, 160, 3)
        # A crop may leave a positive without its object, so there may be more.
        assert (boxes == 0).sum() >= 2
        assert (boxes > 0).any()


def test_the_same_seed_feeds_the_same_pictures_and_every_file_is_read(files):
    from negset_jobs.training import feeding, models
    from negset_jobs.training.inputs import Inputs

    positives, negatives, label_map = files
    config = prepared()
    config.train_input_reader.label_map_path = label_map
    model = models.build(config, training=True)

    def fed(seed, kinds, count=24):
        batches = feeding.batches(config, model, kinds, negative_percent=50, seed=seed)
        return [int(value) for features, _ in batches.take(count) for value in features["hash"].numpy()]

    both = Inputs(positives=positives, negatives=negatives)
    assert fed(1, both) == fed(1, both)
    assert fed(1, both) != fed(2, both)
    # 24 batches of 4 are one pass over 48 positives and 48 negatives.
    assert len(set(fed(1, both))) == 96
    thirds = Inputs(positives=positives, negatives=negatives[:1], hard=negatives[1:])
    assert len(set(fed(1, thirds))) == 96, "half of the negatives are the hard ones, here a file of each"


def test_the_seed_alone_decides_the_first_weights():
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import numpy as np
    import tensorflow as tf

    from negset_jobs.training.loop import _Trainer

    def weights(seed):
        tf.keras.utils.set_random_seed(seed)
        trainer = _Trainer(prepared(), tf.distribute.get_strategy())
        return [variable.numpy() for variable in trainer.model.variables]

    first, again, other = weights(3), weights(3), weights(4)
    assert len(first) > 200
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_loss_that_is_not_a_number_ends_the_training_with_advice():
    from negset_jobs.training.loop import _require_finite

    _require_finite({"total": 1.0}, 3)
    for value in (math.nan, math.inf):
        with pytest.raises(WorkFailed, match="at step 3; lower the learning rate"):
            _require_finite({"total": value}, 3)


def test_a_curve_is_whole_after_a_resume_and_is_thinned_to_what_a_page_can_show(tmp_path):
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    from negset_jobs.training import events

    def attempt(steps, total):
        writer = tf.summary.create_file_writer(str(tmp_path), filename_suffix=f".{total}")
        with writer.as_default():
            for step in steps:
                events.write(step, {"total": total, "classification": 1.0, "localization": 0.5}, 10.0, 0.01)
        writer.close()

    attempt(range(1, 31), 1.0)
    # Lost after step 30, gone on from the checkpoint at 20.
    attempt(range(21, 1001), 2.0)
    curve = events.losses(str(tmp_path), most=2000)
    assert [point.step for point in curve] == list(range(1, 1001))
    assert {point.total for point in curve[:20]} == {1.0}
    assert {point.total for point in curve[20:]} == {2.0}
    assert {round(point.learning_rate, 6) for point in curve} == {0.01}
    thinned = events.losses(str(tmp_path))
    assert len(thinned) == events.MOST_POINTS
    assert (thinned[0].step, thinned[-1].step) == (1, 1000)
