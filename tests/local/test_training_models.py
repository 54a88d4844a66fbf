"""Every preset is built by the Object Detection API, and in every one a batch without any object carries loss."""

from __future__ import annotations

import math

import pytest

from negset_api.errors import WorkFailed
from negset_api.spec import HardNegativeMining, PipelineConfig, Training
from negset_jobs.access import Access
from negset_jobs.training import config as configs

pytestmark = pytest.mark.tensorflow


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


@pytest.mark.parametrize(
    "preset",
    [
        "ssd-mobilenet-v2-tiny-96",
        "ssd-mobilenet-v2-320",
        "ssd-mobilenet-v2-fpnlite-320",
        "ssd-resnet50-fpn-640",
        "faster-rcnn-resnet50-640",
    ],
)
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
    thinned = events.losses(str(tmp_path))
    assert len(thinned) == events.MOST_POINTS
    assert (thinned[0].step, thinned[-1].step) == (1, 1000)
