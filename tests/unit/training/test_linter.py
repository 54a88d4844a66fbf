"""What cannot work is refused, with the field and the remedy; the mode Auto picks what works."""

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import HardNegativeMining, PipelineConfig, Training
from negset_jobs.training import config as configs
from negset_jobs.training import linter

SSD = "ssd-mobilenet-v2-tiny-96"
FOCAL = "ssd-mobilenet-v2-fpnlite-320"
FASTER_RCNN = "faster-rcnn-resnet50-640"


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
            "hard_example_miner in faster_rcnn.*remove it",
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
            id="the user's miner with which a blank picture has no loss",
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
            id="pictures of different sizes in one batch",
        ),
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


def test_a_model_that_is_neither_ssd_nor_faster_rcnn_is_refused():
    config = configs.parse(b"model { center_net { } }", "own")
    with pytest.raises(InvalidInput, match="expected a model of the kind ssd or faster_rcnn, got center_net"):
        linter.check_model(config)


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
        pytest.param({"batch_size": 32, "workers": 2, "gpus_per_worker": 4}, id="four pictures for each of eight replicas"),
    ],
)
def test_batches_with_room_for_a_positive_are_taken(fields):
    lint(parsed(SSD), training(**fields))
