"""What cannot work is refused, with the field and the remedy; the mode Auto picks what works."""

import re

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import HardNegativeMining, PipelineConfig, Training
from negset_jobs.training import config as configs
from negset_jobs.training import linter

SSD = "ssd-mobilenet-v2-tiny-96"
FOCAL = "ssd-mobilenet-v2-fpnlite-320"
FASTER_RCNN = "faster-rcnn-resnet50-640"
CENTER_NET = "centernet-resnet50-v1-fpn-512"
EFFICIENT_DET = "efficientdet-d0-512"


def parsed(preset, extra=""):
    """The preset with a piece of text format laid over it."""
    from google.protobuf import text_format

    config = configs.parse(configs.preset(preset), "preset")
    return text_format.Merge(extra, config)


def training(**fields):
    return Training(**{"steps": 10, "pipeline_config": PipelineConfig(preset=SSD), **fields})


def lint(config, spec):
    linter.check_model(config)
    patched = configs.patch_training(config, spec)
    linter.check_losses(patched, spec)
    linter.check_batches(patched, spec)
    return patched


def refused(preset, extra, message, *, id, mode="Auto"):  # noqa: A002 (pytest's own word)
    return pytest.param(preset, extra, mode, message, id=id)


def ssd(text):
    return f"model {{ ssd {{ {text} }} }}"


def suppression(text):
    return ssd(f"post_processing {{ batch_non_max_suppression {{ {text} }} }}")


REFUSED = [
    refused(
        SSD,
        ssd("feature_extractor { type: 'ssd_mobilenet_v1' }"),
        "'ssd_mobilenet_v1' is for TensorFlow 1; expected a type for TensorFlow 2, such as ssd_mobilenet_v1_keras, .*ssd_mobilenet_v1_fpn_keras",
        id="an extractor of TensorFlow 1 with a namesake in TensorFlow 2",
    ),
    refused(
        FASTER_RCNN,
        "model { faster_rcnn { feature_extractor { type: 'faster_rcnn_resnet101' } } }",
        "is for TensorFlow 1; expected a type for TensorFlow 2, such as faster_rcnn_resnet101_keras",
        id="an extractor of TensorFlow 1 in Faster R-CNN",
    ),
    refused(
        SSD,
        ssd("feature_extractor { type: 'ssd_inception_v2' }"),
        "'ssd_inception_v2' is unknown to the Object Detection API in TensorFlow 2; expected a type such as ssd_",
        id="an extractor of TensorFlow 1 without a successor",
    ),
    refused(SSD, ssd("feature_extractor { type: '' }"), "feature_extractor.type is missing; expected one of ssd_", id="no extractor"),
    refused(
        CENTER_NET,
        "model { center_net { feature_extractor { type: 'ssd_mobilenet_v2_keras' } } }",
        "is unknown.*expected a type such as mobilenet_v2",
        id="another family's extractor",
    ),
    refused(
        SSD,
        ssd("feature_extractor { fpn { min_level: 3 } }"),
        "feature_extractor.fpn does not work with ssd_mobilenet_v2_keras; remove it",
        id="a pyramid for an extractor without one, which ends in a TypeError",
    ),
    refused(
        SSD, ssd("image_resizer { identity_resizer { } }"), "identity_resizer gives images of different sizes.*batch of 8", id="no resizing"
    ),
    refused(
        SSD,
        ssd("image_resizer { conditional_shape_resizer { size_threshold: 96 } }"),
        "conditional_shape_resizer gives images of different sizes.*expected fixed_shape_resizer",
        id="resizing of large images only",
    ),
    refused(
        SSD,
        ssd("image_resizer { pad_to_multiple_resizer { multiple: 32 } }"),
        "pad_to_multiple_resizer is unknown",
        id="a resizer of TensorFlow 1",
    ),
    refused(
        EFFICIENT_DET,
        ssd("image_resizer { keep_aspect_ratio_resizer { min_dimension: 600 } }"),
        "expected min_dimension from 1 to max_dimension, got 600 and 512",
        id="a shorter side that is longer than the longer",
    ),
    refused(
        SSD, ssd("image_resizer { fixed_shape_resizer { height: 0 } }"), "height and width of at least 1, got 0 and 96", id="no height"
    ),
    refused(
        SSD,
        suppression("score_threshold: 0.9"),
        "score_threshold is 0.9, which leaves almost no detections",
        id="a threshold that nothing passes",
    ),
    refused(SSD, suppression("max_total_detections: 0"), "max_total_detections is 0, which leaves no detections", id="no detections"),
    refused(
        SSD, suppression("max_detections_per_class: 0"), "max_detections_per_class is 0, which leaves no", id="no detections of a class"
    ),
    refused(
        SSD,
        suppression("max_detections_per_class: 50"),
        "at most max_total_detections, which is 20, got 50",
        id="more of a class than in all",
    ),
    refused(SSD, suppression("iou_threshold: 1.5"), "expected iou_threshold from 0 to 1, got 1.5", id="an overlap of more than everything"),
    refused(SSD, ssd("post_processing { score_converter: IDENTITY }"), "score_converter is IDENTITY", id="scores that are logits"),
    refused(
        FASTER_RCNN,
        "model { faster_rcnn { first_stage_nms_score_threshold: 0.9 } }",
        "first_stage_nms_score_threshold is 0.9",
        id="proposals that nothing passes",
    ),
    refused(
        FASTER_RCNN,
        "model { faster_rcnn { first_stage_max_proposals: 10 } }",
        "at least second_stage_batch_size, which is",
        id="too few proposals",
    ),
    refused(
        CENTER_NET, "model { center_net { object_center_params { max_box_predictions: 0 } } }", "max_box_predictions is 0", id="no peaks"
    ),
    refused(
        FOCAL,
        ssd("loss { classification_loss { weighted_sigmoid_focal { alpha: 1.0 } } }"),
        "alpha: 1 gives negatives no loss; expected a number above 0 and at most 0.99",
        id="a focal loss that gives all weight to objects",
    ),
    refused(
        FOCAL,
        ssd("loss { classification_loss { weighted_sigmoid_focal { alpha: 0.0 } } }"),
        "alpha: 0 gives objects no loss",
        id="a focal loss that gives none to objects",
    ),
    refused(
        FOCAL,
        ssd("loss { classification_loss { weighted_sigmoid_focal { gamma: 20 } } }"),
        "gamma: expected 0 to 5, got 20",
        id="a focal loss so sharp that nothing is left",
    ),
    refused(
        FASTER_RCNN,
        "model { faster_rcnn { second_stage_classification_loss { weighted_sigmoid_focal { alpha: 1.0 } } } }",
        "alpha: 1 gives negatives no loss",
        id="the same in the second stage of Faster R-CNN",
    ),
    refused(
        FASTER_RCNN,
        "model { faster_rcnn { second_stage_classification_loss_weight: 0 } }",
        "second_stage_classification_loss_weight: 0",
        id="a second stage that weighs nothing",
    ),
    refused(
        CENTER_NET,
        "model { center_net { object_center_params { object_center_loss_weight: 0 } } }",
        "object_center_loss_weight: 0",
        id="peaks that weigh nothing",
    ),
    refused(CENTER_NET, "", "Miner does not work with center_net.*use Auto or LossFocus", mode="Miner", id="the miner asked of CenterNet"),
    refused(
        CENTER_NET,
        "model { center_net { object_center_params { classification_loss { weighted_sigmoid { } } } } }",
        "expected penalty_reduced_logistic_focal_loss as classification_loss of object_center_params, got weighted_sigmoid",
        id="a loss that does not fit a map of centres",
    ),
    refused(
        CENTER_NET,
        "model { center_net { keypoint_estimation_task { } } }",
        "keypoint_estimation_task asks for what the records do not have",
        id="keypoints of a CenterNet",
    ),
    refused(CENTER_NET, "model { center_net { mask_estimation_task { } } }", "mask_estimation_task asks for", id="masks of a CenterNet"),
    refused(
        FASTER_RCNN,
        "model { faster_rcnn { context_config { } } }",
        "context_config asks for features of other images",
        id="context from other images",
    ),
    refused(
        SSD,
        "train_config { freeze_variables: 'FeatureExtractor' }",
        "freeze_variables does nothing.*remove it",
        id="layers frozen that are not",
    ),
    refused(
        SSD,
        "train_config { update_trainable_variables: 'Box' }",
        "update_trainable_variables does nothing",
        id="layers chosen that are not",
    ),
    refused(
        SSD,
        "train_config { use_multiclass_scores: true }",
        "use_multiclass_scores asks for scores",
        id="scores that the records do not have",
    ),
    refused(
        SSD, "train_input_reader { num_additional_channels: 1 }", "num_additional_channels asks for what", id="channels beside the colours"
    ),
]


@pytest.mark.parametrize(
    ("preset", "extra", "mode", "expected"),
    [
        pytest.param(SSD, "", "Auto", "miner", id="Auto mines where the loss is a plain sigmoid"),
        pytest.param(
            SSD,
            "model { ssd { encode_background_as_zeros: false loss { classification_loss { weighted_softmax { } } } } }",
            "Auto",
            "miner",
            id="Auto mines where the loss is a softmax",
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { classification_loss { bootstrapped_sigmoid { alpha: 0.5 } } } } }",
            "Auto",
            "miner",
            id="Auto mines with a bootstrapped sigmoid",
        ),
        pytest.param(FOCAL, "", "Auto", "focal loss", id="Auto leaves it to the focal loss where there is one"),
        pytest.param(FASTER_RCNN, "", "Auto", "sampler", id="Auto leaves it to Faster R-CNN's own sampling"),
        pytest.param(SSD, "", "Miner", "miner", id="Miner mines where it can"),
        pytest.param(FOCAL, "", "LossFocus", "focal loss", id="LossFocus takes the focal loss"),
        pytest.param(SSD, "", "Off", "none", id="Off leaves a plain loss plain"),
        pytest.param(FOCAL, "", "Off", "focal loss", id="Off leaves a focal loss focal"),
        pytest.param(FASTER_RCNN, "", "Off", "sampler", id="Off leaves Faster R-CNN's sampling"),
        pytest.param(CENTER_NET, "", "Auto", "focal loss", id="Auto leaves it to CenterNet's focal loss"),
        pytest.param(CENTER_NET, "", "LossFocus", "focal loss", id="LossFocus takes CenterNet's focal loss"),
        pytest.param(CENTER_NET, "", "Off", "focal loss", id="Off leaves CenterNet's loss"),
        pytest.param(EFFICIENT_DET, "", "Auto", "focal loss", id="Auto leaves it to EfficientDet's focal loss"),
        pytest.param(
            SSD,
            "model { ssd { loss { hard_example_miner { max_negatives_per_positive: 3 min_negatives_per_image: 4 } } } }",
            "Off",
            "miner",
            id="Off leaves the configuration's own miner",
        ),
    ],
)
def test_what_a_mode_means(preset, extra, mode, expected):
    spec = training(hard_negative_mining=HardNegativeMining(mode=mode))
    patched = lint(parsed(preset, extra), spec)
    assert linter.focus(patched, mode) == expected
    if mode != "Off":
        assert (expected == "miner") == (preset == SSD and patched.model.ssd.loss.HasField("hard_example_miner"))


@pytest.mark.parametrize(
    ("preset", "extra", "mode", "message"),
    [
        pytest.param(
            FOCAL,
            "",
            "Miner",
            "mode: Miner does not work with weighted_sigmoid_focal.*use Auto or LossFocus",
            id="the miner beside a focal loss",
        ),
        pytest.param(
            SSD, "", "LossFocus", "mode: LossFocus needs a loss.*put weighted_sigmoid_focal", id="focus asked of a plain sigmoid loss"
        ),
        pytest.param(
            FASTER_RCNN, "", "Miner", "mode: Miner does not work with faster_rcnn.*use Auto", id="the miner asked of Faster R-CNN"
        ),
        pytest.param(FASTER_RCNN, "", "LossFocus", "mode: LossFocus does not work with faster_rcnn", id="focus asked of Faster R-CNN"),
        pytest.param(
            FASTER_RCNN,
            "model { faster_rcnn { hard_example_miner { } } }",
            "Auto",
            "hard_example_miner in faster_rcnn looks at the first image.*remove it",
            id="a miner in the user's Faster R-CNN, which crashes",
        ),
        pytest.param(
            FOCAL,
            "model { ssd { loss { hard_example_miner { } } } }",
            "Auto",
            "hard_example_miner beside weighted_sigmoid_focal",
            id="the user's miner beside a focal loss",
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { hard_example_miner { max_negatives_per_positive: 3 } } } }",
            "Off",
            "min_negatives_per_image: 0, its default.*set it to at least 1",
            id="the user's miner with which a blank image has no loss",
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { hard_example_miner { loss_type: LOCALIZATION } } } }",
            "Off",
            "loss_type: LOCALIZATION.*use CLASSIFICATION",
            id="a miner that ranks negatives by localisation",
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { classification_loss { weighted_softmax { } } } } }",
            "Auto",
            "encode_background_as_zeros: true beside weighted_softmax.*set it to false",
            id="softmax with a background of zeros",
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { random_example_sampler { } } } }",
            "Off",
            "random_example_sampler draws no negative anchor",
            id="a sampler in proportion to positives",
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { expected_loss_weights: EXPECTED_SAMPLING } } }",
            "Off",
            "expected_loss_weights without min_num_negative_samples",
            id="expected loss weights in proportion to positives",
        ),
        pytest.param(
            SSD, "model { ssd { negative_class_weight: 0 } }", "Auto", "negative_class_weight: 0", id="negatives that weigh nothing"
        ),
        pytest.param(
            SSD,
            "model { ssd { loss { classification_weight: 0 } } }",
            "Auto",
            "classification_weight: 0",
            id="a classification that weighs nothing",
        ),
        pytest.param(SSD, "model { ssd { mask_head_config { } } }", "Auto", "mask_head_config asks for masks", id="masks of an SSD"),
        pytest.param(
            FASTER_RCNN,
            "model { faster_rcnn { number_of_stages: 3 } }",
            "Auto",
            "number_of_stages is 3; expected 2",
            id="masks of a Faster R-CNN",
        ),
        pytest.param(SSD, "train_input_reader { num_keypoints: 17 }", "Auto", "num_keypoints asks for keypoints", id="keypoints"),
        pytest.param(
            SSD,
            "train_input_reader { load_instance_masks: true }",
            "Auto",
            "load_instance_masks asks for what",
            id="masks that the records do not have",
        ),
        pytest.param(
            SSD, "train_input_reader { input_type: TF_SEQUENCE_EXAMPLE }", "Auto", "input_type is not TF_EXAMPLE", id="sequences of frames"
        ),
        pytest.param(
            SSD,
            "train_config { load_all_detection_checkpoint_vars: true }",
            "Auto",
            "not supported with TensorFlow 2",
            id="what TensorFlow 2 cannot restore",
        ),
        pytest.param(
            SSD,
            "model { ssd { image_resizer { keep_aspect_ratio_resizer { } } } }",
            "Auto",
            "do not fit into one batch of 8; expected pad_to_max_dimension: true",
            id="images of different sizes in one batch",
        ),
        *REFUSED,
    ],
)
def test_what_cannot_work_is_refused(preset, extra, mode, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        lint(parsed(preset, extra), training(hard_negative_mining=HardNegativeMining(mode=mode)))
    assert str(caught.value).startswith("spec.training.")


def test_auto_repairs_the_users_miner_instead_of_refusing_it():
    config = parsed(SSD, "model { ssd { loss { hard_example_miner { num_hard_examples: 64 max_negatives_per_positive: 3 } } } }")
    miner = lint(config, training()).model.ssd.loss.hard_example_miner
    assert (miner.num_hard_examples, miner.min_negatives_per_image) == (0, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"", "expected a model of the kind ssd, faster_rcnn, center_net, got none", id="no model at all"),
        pytest.param(b"model { experimental_model { name: 'x' } }", "got experimental_model", id="a model that is somebody's own"),
    ],
)
def test_a_model_of_another_kind_is_refused_by_name(text, message):
    with pytest.raises(InvalidInput, match=message):
        linter.check_model(configs.parse(text, "own"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"batch_size": 9, "workers": 2}, "batchSize: expected a multiple of 2,.* got 9", id="a batch that two workers cannot share"
        ),
        pytest.param(
            {"batch_size": 8, "gpus_per_worker": 3}, "batchSize: expected a multiple of 3", id="a batch that three GPUs cannot share"
        ),
        pytest.param(
            {"batch_size": 1, "negative_percent": 10},
            "batchSize of at least 2",
            id="a batch of one has no room for a positive beside a negative",
        ),
        pytest.param(
            {"batch_size": 8, "negative_percent": 90},
            "batchSize of at least 10",
            id="nine of ten negatives leave batches of eight without a positive",
        ),
        pytest.param(
            {"batch_size": 8, "workers": 8, "negative_percent": 10}, "batchSize of at least 16", id="it is the replica's batch that counts"
        ),
    ],
)
def test_batches_that_cannot_be_balanced_are_refused(fields, message):
    with pytest.raises(InvalidInput, match=message):
        lint(parsed(SSD), training(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"batch_size": 2, "negative_percent": 50}, id="one of each in a batch of two"),
        pytest.param({"batch_size": 10, "negative_percent": 90}, id="one positive in a batch of ten"),
        pytest.param({"batch_size": 32, "workers": 2, "gpus_per_worker": 4}, id="four images for each of eight replicas"),
    ],
)
def test_batches_with_room_for_a_positive_are_taken(fields):
    lint(parsed(SSD), training(**fields))


def test_each_presets_configuration_is_taken_without_warnings():
    for preset in (SSD, FOCAL, FASTER_RCNN, CENTER_NET, EFFICIENT_DET):
        config = parsed(preset)
        assert not list(linter.warnings(config)), preset
        lint(config, training())


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(
            "train_config { optimizer { use_moving_average: true } }", "set optimizer.use_moving_average to false", id="moving averages"
        ),
        pytest.param("train_config { bias_grad_multiplier: 2 }", "bias_grad_multiplier does nothing", id="larger gradients of biases"),
        pytest.param(
            "train_config { max_number_of_boxes: 300 }",
            "max_number_of_boxes: 300 does nothing.*raised",
            id="the limit of boxes that is not read",
        ),
        pytest.param(suppression("score_threshold: 0.3"), "below score_threshold 0.3 are not seen", id="a threshold that hides detections"),
    ],
)
def test_settings_without_effect_are_named(extra, message):
    config = parsed(SSD, extra)
    (warning,) = linter.warnings(config)
    assert re.search(message, warning)
    lint(config, training())


def test_images_of_any_size_are_taken_one_by_one():
    config = parsed(FASTER_RCNN, "model { faster_rcnn { image_resizer { keep_aspect_ratio_resizer { pad_to_max_dimension: false } } } }")
    lint(config, training(batch_size=1))
    with pytest.raises(InvalidInput, match="expected pad_to_max_dimension: true"):
        lint(config, training(batch_size=2))
