"""The Object Detection API builds every preset.

With each of them, a batch without any object has a loss.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tests.local.training_data import drawn_image, make_revision

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.spec import HardNegativeMining, PipelineConfig, Training
from negset_api.values import Box
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import write_record
from negset_jobs.training import config as configs
from negset_jobs.training import families

pytestmark = pytest.mark.tensorflow

PRESETS = (
    "ssd-mobilenet-v2-tiny-96",
    "ssd-mobilenet-v2-320",
    "ssd-mobilenet-v2-fpnlite-320",
    "ssd-resnet50-fpn-640",
    "faster-rcnn-resnet50-640",
    "efficientdet-d0-512",
    "centernet-resnet50-v1-fpn-512",
)
EXPORTED = ("faster-rcnn-resnet50-640", "centernet-resnet50-v1-fpn-512")
"""One of each family, because exporting and loading take long.

`test_training_round` tests an SSD, the third family.
"""

SIDE = 160  # the same networks on smaller images, for speed; what counts is not how large they are
SIDES = {"efficientdet-d0-512": 256}  # its pyramid wants a multiple of 128, and more than one of it


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


def shrink(config, side=SIDE):
    resizer = families.image_resizer(config)
    if resizer.HasField("fixed_shape_resizer"):
        resizer.fixed_shape_resizer.height = resizer.fixed_shape_resizer.width = side
    else:
        resizer.keep_aspect_ratio_resizer.min_dimension = resizer.keep_aspect_ratio_resizer.max_dimension = side
    return config


def blank_loss(config, model=None):
    """The classification losses of two images without objects, and the norm of the gradient.

    The gradient is of all losses except regularisation.
    """
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    from negset_jobs.training import models

    tf.keras.utils.set_random_seed(1)
    model = model or models.build(config, training=True)
    tf.keras.backend.set_learning_phase(True)
    images, shapes = model.preprocess(tf.random.uniform((2, SIDE, SIDE, 3), 0, 255, seed=1))
    model.provide_groundtruth(
        groundtruth_boxes_list=[tf.zeros((0, 4))] * 2,
        groundtruth_classes_list=[tf.zeros((0, 1))] * 2,
        groundtruth_weights_list=[tf.zeros((0,))] * 2,
    )
    with tf.GradientTape() as tape:
        losses = model.loss(model.predict(images, shapes), shapes)
        total = tf.add_n(list(losses.values()))
    gradient = tf.linalg.global_norm([g for g in tape.gradient(total, model.trainable_variables) if g is not None])
    return [float(value) for name, value in losses.items() if name.endswith(families.CLASSIFICATION_LOSSES)], float(gradient)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The training files of a small revision, and its label map."""
    store = Store(str(tmp_path_factory.mktemp("revision")))
    make_revision(store)
    local = {kind: tuple(map(store.location, store.keys(kind))) for kind in (names.POSITIVES_FOLDER, names.RECORDS_FOLDER)}
    train = {kind: tuple(path for path in paths if "/train-" in path) for kind, paths in local.items()}
    return train[names.POSITIVES_FOLDER], train[names.RECORDS_FOLDER], store.location(names.LABEL_MAP)


@pytest.fixture(scope="module")
def tiny():
    """A model for what only asks it how images are prepared."""
    from negset_jobs.training import models

    return models.build(prepared(), training=True)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_learns_from_images_without_objects_and_then_scores(preset, files, tmp_path):
    """In one test, since building a model takes longer than all else."""
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf

    from negset_jobs.training import events, feeding
    from negset_jobs.training.mix import Mix
    from negset_jobs.training.scoring import Scorer
    from negset_jobs.training.trainer import Trainer

    positives, negatives, label_map = files
    side = SIDES.get(preset, SIDE)
    config = shrink(prepared(preset), side)
    config.train_input_reader.label_map_path = label_map
    tf.keras.utils.set_random_seed(1)
    trainer = Trainer(config, tf.distribute.get_strategy())

    scores, gradient = blank_loss(config, trainer.model)
    assert all(score > 1e-4 for score in scores)
    assert gradient > 1e-4

    before = [variable.numpy() for variable in trainer.model.trainable_variables]
    for features, labels in feeding.batches(
        config, trainer.model, Mix(positives=positives, negatives=negatives), negative_percent=50, seed=0
    ).take(1):
        boxes = labels["num_groundtruth_boxes"].numpy()
        assert features["image"].shape == (4, side, side, 3)
        # A crop may leave a positive without its object, so there may be more.
        assert (boxes == 0).sum() >= 2
        assert (boxes > 0).any()
        losses = {name: float(value) for name, value in trainer._one_step(features, labels, tf.constant(0.0)).items()}
        assert losses[events.CLASSIFICATION] > 0
        assert losses[events.LOCALIZATION] > 0
        assert losses[events.TOTAL] >= losses[events.CLASSIFICATION] + losses[events.LOCALIZATION] - 1e-4
    moved = [not np.array_equal(old, new.numpy()) for old, new in zip(before, trainer.model.trainable_variables, strict=True)]
    assert sum(moved) > len(moved) / 2

    scorer = Scorer(configs.render(config), trainer.checkpoint.save(str(tmp_path / "ckpt")), classes=("disc",), floor=0.0)
    images = [drawn_image(np.random.default_rng(seed), positive=True)[0] for seed in (1, 2, 3)]
    scored = scorer.score([(str(index), encoded) for index, encoded in enumerate(images)])
    assert all(image.detections and {each.class_name for each in image.detections} == {"disc"} for image in scored)
    assert all(0 <= each.score <= 1 for image in scored for each in image.detections)
    if preset in EXPORTED:
        check_export(scorer, images, scored, str(tmp_path / "saved_model"))


def check_export(scorer, images, scored, folder):
    """The exported model finds what the scorer finds."""
    import tensorflow as tf

    from negset_jobs.training import exporting

    exporting.export(scorer.model, folder)
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    for encoded, image in zip(images, scored, strict=True):
        found = serve(input_tensor=tf.io.decode_image(encoded)[tf.newaxis])
        assert float(tf.reduce_max(found["detection_scores"])) == pytest.approx(image.score, abs=1e-4)


def test_blank_images_carry_exactly_no_loss_in_what_the_linter_refuses():
    """The trap itself, so that the linter's reason is known to hold."""
    config = shrink(prepared())
    config.model.ssd.loss.hard_example_miner.min_negatives_per_image = 0
    assert blank_loss(config) == ([0.0], 0.0)


def test_blank_images_carry_as_many_negatives_as_the_miner_is_told():
    """At first every anchor is undecided, so both columns of a mined anchor cost about ln 2."""
    (few,), _ = blank_loss(shrink(prepared(min_negatives_per_image=2)))
    (many,), _ = blank_loss(shrink(prepared(min_negatives_per_image=8)))
    assert few < many < 4 * few, "the anchors with the highest losses come first"


def test_three_hundred_objects_of_an_image_are_all_fed(tiny, files, tmp_path):
    from negset_jobs.training import feeding
    from negset_jobs.training.mix import Mix

    boxes = [
        Box(ymin=y / 18, xmin=x / 18, ymax=(y + 0.9) / 18, xmax=(x + 0.9) / 18, class_name="disc")
        for y, x in itertools.islice(itertools.product(range(18), repeat=2), 312)
    ]
    encoded, width, height, _ = drawn_image(np.random.default_rng(0), positive=False)
    example = encode_example(
        encoded=encoded,
        image_format="jpeg",
        file_name="a.jpg",
        source_id="a",
        sha256="",
        height=height,
        width=width,
        boxes=boxes,
        label_ids={"disc": 1},
    )
    with open(tmp_path / "full.tfrecord", "wb") as stream:
        write_record(stream, example)
    config = configs.patch_data(prepared(), configs.Data(classes=("disc",), label_map="", train=(), held_out=(), most_boxes=312))
    config.train_input_reader.label_map_path = files[2]
    ((_, labels),) = feeding.batches(config, tiny, Mix(positives=(str(tmp_path / "full.tfrecord"),)), negative_percent=50, seed=0).take(1)
    assert labels["num_groundtruth_boxes"].numpy().tolist() == [312] * 4
    assert (labels["groundtruth_weights"].numpy().sum(axis=1) == 312).all()


def test_the_same_seed_feeds_the_same_images_and_every_file_is_read(tiny, files):
    from negset_jobs.training import feeding
    from negset_jobs.training.mix import Mix

    positives, negatives, label_map = files
    config = prepared()
    config.train_input_reader.label_map_path = label_map

    def fed(seed, kinds, count=24):
        batches = feeding.batches(config, tiny, kinds, negative_percent=50, seed=seed)
        return [int(value) for features, _ in batches.take(count) for value in features["hash"].numpy()]

    both = Mix(positives=positives, negatives=negatives)
    first = fed(1, both)
    assert fed(1, both) == first
    assert fed(2, both) != first
    # 24 batches of 4 are one pass over 48 positives and 48 negatives.
    assert len(set(first)) == 96
    thirds = Mix(positives=positives, negatives=negatives[:1], hard=negatives[1:], hard_percent=50)
    assert len(set(fed(1, thirds))) == 96, "half of the negatives are the hard ones, here a file of each"


def test_the_seed_alone_decides_the_first_weights():
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import numpy as np
    import tensorflow as tf

    from negset_jobs.training.trainer import Trainer

    def weights(seed):
        tf.keras.utils.set_random_seed(seed)
        trainer = Trainer(prepared(), tf.distribute.get_strategy())
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
