"""The check before the first download agrees with the Object Detection API's own builders.

It finds configurations that train but teach nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import PipelineConfig, Training
from negset_jobs.adapters.access import Access
from negset_jobs.training import config as configs
from negset_jobs.training import extractors, families

pytestmark = pytest.mark.tensorflow

CLASSES = ("disc", "ring")
TINY = "ssd-mobilenet-v2-tiny-96"


def configured(folder, extra, preset=TINY):
    """A configuration of one's own: a preset with a piece of text format laid over it."""
    from google.protobuf import text_format

    path = folder / "pipeline.config"
    path.write_bytes(configs.render(text_format.Merge(extra, configs.parse(configs.preset(preset), "preset"))))
    return path


def verdict(path):
    """What our check says: nothing, or the message."""
    from negset_jobs.training.check import check

    try:
        check(Training(steps=10, pipeline_config=PipelineConfig(url=str(path))), Access(), CLASSES)
    except InvalidInput as error:
        return str(error)
    return ""


def verdict_of_the_api(path):
    """The API's error from everything before the first step; empty if it accepts all."""
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf
    from object_detection.builders import optimizer_builder, preprocessor_builder

    from negset_jobs.training import models

    try:
        config = configs.parse(path.read_bytes(), "own")
        models.build(config, training=True)
        optimizer_builder.build(config.train_config.optimizer, global_step=tf.Variable(0, dtype=tf.int64))
        for option in config.train_config.data_augmentation_options:
            preprocessor_builder.build(option)
    except Exception as error:  # noqa: BLE001 (whatever is at hand)
        return f"{type(error).__name__}: {error}"
    return ""


def test_the_extractors_that_are_known_are_those_of_the_api():
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    from object_detection.builders import model_builder

    assert set(extractors.KNOWN[families.SSD]) == set(model_builder.SSD_KERAS_FEATURE_EXTRACTOR_CLASS_MAP)
    assert set(extractors.KNOWN[families.FASTER_RCNN]) == set(model_builder.FASTER_RCNN_KERAS_FEATURE_EXTRACTOR_CLASS_MAP)
    assert set(extractors.KNOWN[families.CENTER_NET]) == set(model_builder.CENTER_NET_EXTRACTOR_FUNCTION_MAP)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param("", id="the preset itself"),
        pytest.param("train_config { data_augmentation_options { ssd_random_crop { } } }", id="an augmentation of SSD's own"),
        pytest.param(
            "train_config { optimizer { rms_prop_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } } } }",
            id="another optimizer",
        ),
        pytest.param("model { ssd { loss { localization_loss { weighted_giou { } } } } }", id="another loss of boxes"),
    ],
)
def test_what_the_api_takes_is_taken(tmp_path, extra):
    path = configured(tmp_path, extra)
    assert verdict_of_the_api(path) == ""
    assert verdict(path) == ""


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param("model { ssd { feature_extractor { type: 'ssd_mobilenet_v1' } } }", id="an extractor of TensorFlow 1"),
        pytest.param("model { ssd { feature_extractor { fpn { min_level: 3 } } } }", id="a pyramid for an extractor without one"),
        pytest.param("model { ssd { image_resizer { pad_to_multiple_resizer { multiple: 32 } } } }", id="a resizer of TensorFlow 1"),
        pytest.param(
            "model { ssd { anchor_generator { ssd_anchor_generator { num_layers: 3 } } } }",
            id="anchors for a map that the network does not have",
        ),
        pytest.param(
            "model { ssd { anchor_generator { ssd_anchor_generator { num_layers: 1 } } } }", id="anchors of one layer, a division by zero"
        ),
        pytest.param("model { ssd { box_predictor { rfcn_box_predictor { } } } }", id="a predictor of another family"),
        pytest.param("model { ssd { post_processing { batch_non_max_suppression { soft_nms_sigma: -1 } } } }", id="a negative spread"),
        pytest.param(
            "train_config { optimizer { adam_optimizer { learning_rate { manual_step_learning_rate { initial_learning_rate: 0.1 } } } } }",
            id="a schedule without a step",
        ),
    ],
)
def test_what_the_api_refuses_is_refused_in_one_line(tmp_path, extra):
    path = configured(tmp_path, extra)
    assert verdict_of_the_api(path)
    message = verdict(path)
    assert message.startswith("spec.training.pipelineConfig")
    assert "\n" not in message


def test_an_image_size_that_the_pyramid_does_not_divide_is_found_although_a_smaller_one_would_pass(tmp_path):
    sides = "min_dimension: 600 max_dimension: 600"
    path = configured(tmp_path, f"model {{ ssd {{ image_resizer {{ keep_aspect_ratio_resizer {{ {sides} }} }} }} }}", "efficientdet-d0-512")
    assert "the Object Detection API refuses it" in verdict(path)


def test_an_augmentation_that_needs_autograph_is_fed(tmp_path):
    """`random_square_crop_by_scale`, as in six Faster R-CNN configurations of the model zoo."""
    augmented = "train_config { data_augmentation_options { random_square_crop_by_scale { scale_min: 0.6 scale_max: 1.3 } } }"
    assert verdict(configured(tmp_path, augmented)) == ""


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(
            "model { ssd { loss { hard_example_miner { max_negatives_per_positive: 3 min_negatives_per_image: 0 } } } }",
            id="a miner that keeps nothing of an image without objects",
        ),
        pytest.param(
            "model { ssd { loss { classification_loss { weighted_sigmoid_focal { alpha: 1.0 } } } } }", id="a focal loss for objects alone"
        ),
        pytest.param("model { ssd { negative_class_weight: 0.0 } }", id="negatives that weigh nothing"),
    ],
)
def test_that_negatives_teach_nothing_is_seen_in_the_loss_itself_without_any_rule(tmp_path, extra):
    """The static rules know these. This is what finds the ones that no rule knows."""
    from negset_jobs.training import check

    config = configs.parse(configured(tmp_path, extra).read_bytes(), "own")
    config = configs.patch_data(config, configs.Data(classes=CLASSES, label_map="", train=(), held_out=()))
    files = check._write_images(str(tmp_path), CLASSES)
    config.train_input_reader.label_map_path = str(tmp_path / "label_map.pbtxt")
    config.train_config.batch_size = 2
    config.train_config.optimizer.use_moving_average = False
    with pytest.raises(InvalidInput, match="an image without objects has a classification loss of 0"):
        check._try(config, files)


def manifest(folder, **training):
    folder.joinpath("source.json").write_text(json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}]}))
    document = {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "case"},
        "spec": {
            "source": {"coco": {"annotations": "source.json"}},
            "excludeClasses": ["disc"],
            "selection": {"count": 1},
            "output": {"url": "out"},
            "positives": {"coco": {"annotations": "source.json"}},
            "training": {"steps": 2, "hardNegativeMining": {"rounds": 1}, "batchSize": 8, **training},
        },
    }
    folder.joinpath("spec.yaml").write_text(json.dumps(document))


def negset(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "negset_jobs", *arguments], cwd=folder, capture_output=True, text=True, check=False, env={**os.environ}
    )


@pytest.mark.parametrize("command", [("run", "spec.yaml"), ("job", "check", "--file", "spec.yaml")])
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param("model { ssd { feature_extractor { type: 'ssd_mobilenet_v1' } } }", "is for TensorFlow 1", id="by the static rules"),
        pytest.param(
            "model { ssd { box_predictor { rfcn_box_predictor { } } } }", "model: the Object Detection API refuses it", id="by the API"
        ),
        pytest.param(
            "train_config { fine_tune_checkpoint: 'PATH_TO_BE_CONFIGURED/ckpt-0' }",
            "a placeholder; give the",
            id="by its placeholder",
        ),
        pytest.param(
            "train_config { fine_tune_checkpoint: 'gone/ckpt-0' }", "found none at 'gone/ckpt-0'", id="by a checkpoint that is not there"
        ),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_read_or_written(tmp_path, command, extra, message):
    configured(tmp_path, extra)
    manifest(tmp_path, pipelineConfig={"url": "pipeline.config"})
    ended = negset(tmp_path, *command)
    assert ended.returncode == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("negset:")]
    assert message in line
    assert "internal error" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_configuration_that_works_passes_the_check_of_the_operators_job(tmp_path):
    configured(tmp_path, "")
    manifest(tmp_path, pipelineConfig={"url": "pipeline.config"})
    ended = negset(tmp_path, "job", "check", "--file", "spec.yaml")
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
