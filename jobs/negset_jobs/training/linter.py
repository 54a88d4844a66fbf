"""Refuses a pipeline.config that cannot work with negatives, and says why. Pure: looks at the parsed message only.

The central question is whether a picture without objects carries any loss. Where it does not, the training runs without complaint and the negatives teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from object_detection.protos import input_reader_pb2, losses_pb2

from negset_api.errors import InvalidInput
from negset_api.spec import Training

Focus = Literal["miner", "focal loss", "sampler", "none"]
"""What makes the loss dwell on hard negatives: the hard example miner, a focal loss, Faster R-CNN's balanced samplers, or nothing."""

_CONFIG: Final = "spec.training.pipelineConfig"
_MODE: Final = "spec.training.hardNegativeMining.mode"
_FOCAL: Final = "weighted_sigmoid_focal"
_MINABLE: Final = ("weighted_sigmoid", "weighted_softmax", "weighted_logits_softmax", "bootstrapped_sigmoid")


def focus(config: Any, mode: str) -> Focus:
    """What the mode means for this model. Raises `InvalidInput` where the mode cannot work with it."""
    family = config.model.WhichOneof("model")
    if family == "faster_rcnn":
        return _focus_of_faster_rcnn(mode)
    loss = classification_loss(config)
    if mode == "Miner" and loss == _FOCAL:
        raise InvalidInput(
            f"{_MODE}: Miner does not work with {_FOCAL}, which the Object Detection API refuses beside a hard_example_miner; use Auto or LossFocus, or a "
            "configuration with weighted_sigmoid"
        )
    if mode == "LossFocus" and loss != _FOCAL:
        raise InvalidInput(
            f"{_MODE}: LossFocus needs a loss that weighs hard examples by itself, and the classification_loss is {loss}; put {_FOCAL} into the configuration, or use "
            "Auto, which mines"
        )
    if mode == "Off":
        return "focal loss" if loss == _FOCAL else "miner" if config.model.ssd.loss.HasField("hard_example_miner") else "none"
    if loss == _FOCAL:
        return "focal loss"
    if loss not in _MINABLE:
        raise InvalidInput(f"{_CONFIG}: expected one of {', '.join((*_MINABLE, _FOCAL))} as classification_loss, got {loss}")
    return "miner"


def _focus_of_faster_rcnn(mode: str) -> Focus:
    if mode in ("Miner", "LossFocus"):
        raise InvalidInput(
            f"{_MODE}: {mode} does not work with faster_rcnn: its second stage samples the proposals it learns from by itself; use Auto, which relies on that"
        )
    return "sampler"


def classification_loss(config: Any) -> str:
    """The name of an SSD's classification loss; empty where the configuration names none."""
    return config.model.ssd.loss.classification_loss.WhichOneof("classification_loss") or ""


def check_model(config: Any) -> None:
    """Refuses models and tasks that negset does not train. Raises `InvalidInput`."""
    family = config.model.WhichOneof("model")
    if family not in ("ssd", "faster_rcnn"):
        raise InvalidInput(f"{_CONFIG}: expected a model of the kind ssd or faster_rcnn, got {family or 'none'}")
    _refuse(_unsupported(config))


def check_losses(config: Any, training: Training) -> None:
    """Refuses, in the patched configuration, every loss to which a picture without objects contributes nothing. Raises `InvalidInput`."""
    focus(config, training.hard_negative_mining.mode)
    _refuse(_silent_faster_rcnn(config) if config.model.WhichOneof("model") == "faster_rcnn" else _silent_ssd(config))


def check_batches(config: Any, training: Training) -> None:
    """Refuses batches that the replicas cannot share, or in which there is no room for a positive. Raises `InvalidInput`."""
    batch = config.train_config.batch_size
    replicas = training.workers * max(1, training.gpus_per_worker)
    if batch < 1 or batch % replicas:
        raise InvalidInput(
            f"spec.training.batchSize: expected a multiple of {replicas}, one share for each of {replicas} replicas (workers times GPUs), got {batch}"
        )
    each = batch // replicas
    # SSD divides a batch's loss by its matched anchors, and by 1 where there are none (object_detection/meta_architectures/ssd_meta_arch.py, `loss`): a batch of
    # negatives alone weighs as much as dozens of others.
    if config.model.WhichOneof("model") == "ssd" and each * (100 - training.negative_percent) < 100:  # noqa: PLR2004
        room = -(-100 // (100 - training.negative_percent))
        raise InvalidInput(
            f"spec.training.negativePercent: {training.negative_percent} percent of a batch of {each} per replica leaves batches without any positive, whose loss "
            f"is out of proportion; expected a batchSize of at least {room * replicas}, or a lower share"
        )
    resizer = _resizer(config)
    if each > 1 and resizer.HasField("keep_aspect_ratio_resizer") and not resizer.keep_aspect_ratio_resizer.pad_to_max_dimension:
        raise InvalidInput(
            f"{_CONFIG}: keep_aspect_ratio_resizer gives pictures of different sizes, which do not fit into one batch of {each}; expected pad_to_max_dimension: true"
        )


def _refuse(problems: Iterator[str]) -> None:
    for problem in problems:
        raise InvalidInput(f"{_CONFIG}: {problem}")


def _resizer(config: Any) -> Any:
    return getattr(config.model, config.model.WhichOneof("model")).image_resizer


def _unsupported(config: Any) -> Iterator[str]:
    model, reader, train = config.model, config.train_input_reader, config.train_config
    if model.HasField("faster_rcnn") and model.faster_rcnn.number_of_stages != 2:  # noqa: PLR2004
        yield f"number_of_stages is {model.faster_rcnn.number_of_stages}; expected 2, since negset trains boxes without masks"
    if model.HasField("ssd") and model.ssd.HasField("mask_head_config"):
        yield "mask_head_config asks for masks; negset trains boxes, remove it"
    for field in ("load_instance_masks", "load_dense_pose", "load_keypoint_depth_features", "load_multiclass_scores", "load_track_id"):
        if getattr(reader, field):
            yield f"train_input_reader.{field} asks for what the records do not have; negset trains boxes, remove it"
    if reader.input_type != input_reader_pb2.InputType.Value("TF_EXAMPLE"):
        yield "train_input_reader.input_type is not TF_EXAMPLE, which the records are"
    if reader.num_keypoints:
        yield "train_input_reader.num_keypoints asks for keypoints; negset trains boxes, remove it"
    if not train.optimizer.WhichOneof("optimizer"):
        yield "train_config.optimizer is missing"
    if train.load_all_detection_checkpoint_vars:
        yield "load_all_detection_checkpoint_vars is not supported with TensorFlow 2; use fine_tune_checkpoint_type"


def _silent_faster_rcnn(config: Any) -> Iterator[str]:
    if config.model.faster_rcnn.HasField("hard_example_miner"):
        # object_detection/meta_architectures/faster_rcnn_meta_arch.py, _unpad_proposals_and_apply_hard_mining: returns from within the loop over the pictures,
        # and fails outside eager execution.
        yield "hard_example_miner in faster_rcnn looks at the first picture of a batch only, and fails in TensorFlow 2's graphs; remove it"


def _silent_ssd(config: Any) -> Iterator[str]:
    """The ways in which a picture without objects contributes nothing; the classes named are those of object_detection/core."""
    ssd, loss = config.model.ssd, config.model.ssd.loss
    kind = classification_loss(config)
    if loss.HasField("hard_example_miner"):
        yield from _silent_miner(loss.hard_example_miner, kind)
    if kind in ("weighted_softmax", "weighted_logits_softmax") and ssd.encode_background_as_zeros:
        # The target of an unmatched anchor is then all zeros, with which a cross-entropy is 0 whatever is predicted (core/losses.py).
        yield f"encode_background_as_zeros: true beside {kind} gives negatives a loss of zero; set it to false"
    if loss.HasField("random_example_sampler"):
        # core/balanced_positive_negative_sampler.py: negatives are drawn in proportion to the positives of the same picture.
        yield "random_example_sampler draws no negative anchor from a picture without objects, which then has no loss; remove it"
    if loss.expected_loss_weights != losses_pb2.Loss.NONE and loss.min_num_negative_samples <= 0:
        # utils/ops.py, expected_classification_loss_by_*: the weight of negatives is in proportion to the positives, at least min_num_negative_samples.
        yield "expected_loss_weights without min_num_negative_samples gives a picture without objects no loss; set min_num_negative_samples"
    if ssd.negative_class_weight <= 0:
        yield "negative_class_weight: 0 gives negatives a loss of zero; remove it"
    if loss.classification_weight <= 0:
        yield "classification_weight: 0 gives negatives a loss of zero; remove it"


def _silent_miner(miner: Any, kind: str) -> Iterator[str]:
    if kind == _FOCAL:
        # builders/losses_builder.py, build.
        yield f"hard_example_miner beside {_FOCAL} is refused by the Object Detection API; remove it"
    if miner.max_negatives_per_positive > 0 and miner.min_negatives_per_image <= 0:
        # core/losses.py, HardExampleMiner: max(min_negatives_per_image, max_negatives_per_positive * positives) anchors are kept, which is none.
        yield (
            "min_negatives_per_image: 0, its default, beside max_negatives_per_positive gives a picture without objects exactly no loss; set it to at least 1, "
            "or use hardNegativeMining.mode Auto"
        )
    if miner.loss_type == losses_pb2.HardExampleMiner.LOCALIZATION:
        yield "loss_type: LOCALIZATION ranks negatives by a loss that they do not have; use CLASSIFICATION"
