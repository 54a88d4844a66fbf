"""Refuses a pipeline.config that cannot work with negatives, and says why.

Pure: it looks only at the parsed message, so it takes no time and needs no TensorFlow. `check.py`
finds what only the Object Detection API's own builders know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from negset_api.errors import InvalidInput
from negset_api.spec import Training
from negset_jobs.training import extractors, families, measurable, zero_loss
from negset_jobs.training.protos import input_reader_pb2

Focus = Literal["miner", "focal loss", "sampler", "none"]
"""How the loss concentrates on hard negatives.

By the hard example miner, a focal loss, Faster R-CNN's balanced samplers, or not at all.
"""

_CONFIG: Final = "spec.training.pipelineConfig"
_MODE: Final = "spec.training.hardNegativeMining.mode"
_MINABLE: Final = ("weighted_sigmoid", "weighted_softmax", "weighted_logits_softmax", "bootstrapped_sigmoid")
_STAGES: Final = 2
_CENTER_NET_TASKS: Final = (
    "keypoint_estimation_task",
    "mask_estimation_task",
    "densepose_estimation_task",
    "track_estimation_task",
    "temporal_offset_task",
    "deepmac_mask_estimation",
)
# Settings of the reader that ask for features that negset's records do not have.
_NOT_IN_RECORDS: Final = (
    "load_instance_masks",
    "load_dense_pose",
    "load_keypoint_depth_features",
    "load_multiclass_scores",
    "load_track_id",
    "load_context_features",
    "num_additional_channels",
    "num_keypoints",
)


def focus(config: Any, mode: str) -> Focus:
    """Return what the mode means for this model.

    Raises `InvalidInput` if the mode cannot work with it.
    """
    family = families.family(config)
    if family == families.FASTER_RCNN:
        return _focus_of_faster_rcnn(mode)
    loss = classification_loss(config)
    if family == families.CENTER_NET:
        return _focus_of_center_net(mode, loss)
    if mode == "Miner" and loss == zero_loss.FOCAL:
        raise InvalidInput(
            f"{_MODE}: Miner does not work with {zero_loss.FOCAL}: the Object Detection API refuses it together with a hard_example_miner; use Auto or LossFocus, or a "
            "configuration with weighted_sigmoid"
        )
    if mode == "LossFocus" and loss != zero_loss.FOCAL:
        raise InvalidInput(
            f"{_MODE}: LossFocus needs a loss that weighs hard examples by itself, got classification_loss {loss}; put {zero_loss.FOCAL} into the configuration, "
            "or use Auto, which uses the miner"
        )
    if mode == "Off":
        return "focal loss" if loss == zero_loss.FOCAL else "miner" if config.model.ssd.loss.HasField("hard_example_miner") else "none"
    if loss == zero_loss.FOCAL:
        return "focal loss"
    if loss not in _MINABLE:
        raise InvalidInput(
            f"{_CONFIG}: expected one of {', '.join((*_MINABLE, zero_loss.FOCAL))} as classification_loss, got {loss or 'none'}"
        )
    return "miner"


def _focus_of_faster_rcnn(mode: str) -> Focus:
    if mode in ("Miner", "LossFocus"):
        raise InvalidInput(
            f"{_MODE}: {mode} does not work with faster_rcnn: its second stage samples its own proposals; use Auto, which relies on that"
        )
    return "sampler"


def _focus_of_center_net(mode: str, loss: str) -> Focus:
    if mode == "Miner":
        raise InvalidInput(
            f"{_MODE}: Miner does not work with center_net, which has no hard_example_miner: its loss weighs hard negatives by itself; use Auto or LossFocus"
        )
    if loss != zero_loss.HEATMAP:
        raise InvalidInput(f"{_CONFIG}: expected {zero_loss.HEATMAP} as classification_loss of object_center_params, got {loss or 'none'}")
    return "focal loss"


def classification_loss(config: Any) -> str:
    """Return the name of the classification loss; empty if the configuration names none."""
    return families.classification(config).WhichOneof("classification_loss") or ""


def check_model(config: Any) -> None:
    """Refuse models and tasks that negset does not train, and what the API does not know.

    Raises `InvalidInput`.
    """
    family = families.family(config)
    if family not in families.FAMILIES:
        raise InvalidInput(f"{_CONFIG}: expected a model of the kind {', '.join(families.FAMILIES)}, got {family or 'none'}")
    _refuse(_unsupported_model(config))
    _refuse(_unsupported_training(config))
    _refuse(_unknown_to_tensorflow_2(config))
    _refuse(measurable.problems(config))


def check_losses(config: Any, training: Training) -> None:
    """Refuse, in the patched configuration, every loss that is zero for an image without objects.

    Raises `InvalidInput`.
    """
    focus(config, training.hard_negative_mining.mode)
    _refuse(zero_loss.problems(config))


def check_batches(config: Any, training: Training) -> None:
    """Refuse batches that the replicas cannot share, or that have no room for a positive.

    Raises `InvalidInput`.
    """
    batch = config.train_config.batch_size
    replicas = training.workers * max(1, training.gpus_per_worker)
    if batch < 1 or batch % replicas:
        raise InvalidInput(
            f"spec.training.batchSize: expected a multiple of {replicas}, one share for each of {replicas} replicas (workers times GPUs), got {batch}"
        )
    each = batch // replicas
    # SSD divides a batch's loss by its matched anchors, CenterNet by its objects, and both by 1 if
    # there are none (object_detection/meta_architectures, `loss`). So a batch of only negatives
    # weighs as much as dozens of others.
    if families.family(config) != families.FASTER_RCNN and each * (100 - training.negative_percent) < 100:  # noqa: PLR2004
        room = -(-100 // (100 - training.negative_percent))
        raise InvalidInput(
            f"spec.training.negativePercent: {training.negative_percent} percent of a batch of {each} per replica leaves batches without any positive, and their loss "
            f"is too large; expected a batchSize of at least {room * replicas}, or a lower negativePercent"
        )
    if each > 1 and not families.batches_as_one(config):
        resizer = families.image_resizer(config).WhichOneof("image_resizer_oneof")
        remedy = "pad_to_max_dimension: true" if resizer == "keep_aspect_ratio_resizer" else "fixed_shape_resizer"
        raise InvalidInput(
            f"{_CONFIG}: {resizer} gives images of different sizes, which do not fit into one batch of {each}; expected {remedy}"
        )


def warnings(config: Any) -> Iterator[str]:
    """Yield the settings that the configuration asks for but does not get, a sentence each.

    Training works without these settings. Also yield the settings that make the report's numbers
    worse than the model.
    """
    train, reader = config.train_config, config.train_input_reader
    if train.optimizer.use_moving_average:  # its default
        yield "set optimizer.use_moving_average to false: the trained weights themselves are measured and exported"
    if train.bias_grad_multiplier:
        yield "train_config.bias_grad_multiplier does nothing in TensorFlow 2"
    if train.HasField("max_number_of_boxes") and train.max_number_of_boxes > reader.max_number_of_boxes:
        yield (
            f"train_config.max_number_of_boxes: {train.max_number_of_boxes} does nothing in TensorFlow 2: train_input_reader.max_number_of_boxes counts; "
            "it is raised to the objects of the fullest image"
        )
    yield from measurable.warnings(config)


def _refuse(problems: Iterator[str]) -> None:
    for problem in problems:
        raise InvalidInput(f"{_CONFIG}: {problem}")


def _unsupported_model(config: Any) -> Iterator[str]:
    family, model = families.family(config), families.model(config)
    if family == families.FASTER_RCNN:
        if model.number_of_stages != _STAGES:
            yield f"number_of_stages is {model.number_of_stages}; expected {_STAGES}, since negset trains boxes without masks"
        if model.HasField("context_config"):
            yield "context_config asks for features of other images, which the records do not have; remove it"
    if family == families.SSD and model.HasField("mask_head_config"):
        yield "mask_head_config asks for masks; negset trains boxes, remove it"
    if family == families.CENTER_NET:
        if not model.HasField("object_detection_task"):
            yield "object_detection_task is missing; add it, because negset trains boxes"
        for task in _CENTER_NET_TASKS:
            if getattr(model, task) if task == "keypoint_estimation_task" else model.HasField(task):
                yield f"{task} asks for what the records do not have; negset trains boxes, remove it"


def _unsupported_training(config: Any) -> Iterator[str]:
    reader, train = config.train_input_reader, config.train_config
    for field in _NOT_IN_RECORDS:
        if getattr(reader, field):
            yield f"train_input_reader.{field} asks for {_asked(field)} the records do not have; negset trains boxes, remove it"
    if train.use_multiclass_scores:
        yield "train_config.use_multiclass_scores asks for scores, which the records do not have; remove it"
    if reader.input_type != input_reader_pb2.InputType.Value("TF_EXAMPLE"):
        yield "train_input_reader.input_type is not TF_EXAMPLE; set it, because the records are TF examples"
    if not train.optimizer.WhichOneof("optimizer"):
        yield "train_config.optimizer is missing; add one"
    if train.load_all_detection_checkpoint_vars:
        yield "load_all_detection_checkpoint_vars is not supported with TensorFlow 2; use fine_tune_checkpoint_type"
    for field in ("freeze_variables", "update_trainable_variables"):
        if getattr(train, field):
            # Only model_lib.py, TensorFlow 1's loop, reads it.
            yield f"train_config.{field} does nothing in TensorFlow 2: every layer would be trained; remove it"


def _asked(field: str) -> str:
    return "keypoints, which" if field == "num_keypoints" else "what"


def _unknown_to_tensorflow_2(config: Any) -> Iterator[str]:
    family, model = families.family(config), families.model(config)
    extractor = model.feature_extractor
    sections = frozenset(name for name in ("fpn", "bifpn") if name in extractor.DESCRIPTOR.fields_by_name and extractor.HasField(name))
    if problem := extractors.problem(family, extractor.type, sections):
        yield problem
    resizer = model.image_resizer
    match resizer.WhichOneof("image_resizer_oneof"):
        case None:
            yield "image_resizer is missing; expected fixed_shape_resizer, or keep_aspect_ratio_resizer with pad_to_max_dimension: true"
        case "pad_to_multiple_resizer":
            # utils/config_util.py, get_spatial_image_size.
            yield "pad_to_multiple_resizer is unknown to the Object Detection API in TensorFlow 2; expected fixed_shape_resizer"
        case "keep_aspect_ratio_resizer":
            sides = resizer.keep_aspect_ratio_resizer
            if not 0 < sides.min_dimension <= sides.max_dimension:
                yield f"keep_aspect_ratio_resizer: expected min_dimension from 1 to max_dimension, got {sides.min_dimension} and {sides.max_dimension}"
        case "fixed_shape_resizer":
            sides = resizer.fixed_shape_resizer
            if sides.height < 1 or sides.width < 1:
                yield f"fixed_shape_resizer: expected height and width of at least 1, got {sides.height} and {sides.width}"
        case _:
            pass
