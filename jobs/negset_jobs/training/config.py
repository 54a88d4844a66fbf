"""The pipeline.config of a round: read from a preset or the user's own, then patched as a parsed protobuf. Imports no TensorFlow, only the API's messages."""

from __future__ import annotations

import copy
import importlib.resources
import logging
import os
from typing import Any, Final

import msgspec
from google.protobuf import text_format
from object_detection.protos import losses_pb2, pipeline_pb2, train_pb2

from negset_api import names, stages
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec, PipelineConfig, Training
from negset_jobs.access import Access
from negset_jobs.training import linter

log = logging.getLogger(__name__)

Config = Any
"""`pipeline_pb2.TrainEvalPipelineConfig`, which has no type stubs."""

_FIELD: Final = "spec.training.pipelineConfig"
_PLACEHOLDER: Final = "PATH_TO_BE_CONFIGURED"


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """One TFRecord file of the weighted mix: where it lies, and its weight relative to the others'."""

    path: str
    weight: float


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What a round trains on, as the configuration names it: paths or URLs."""

    classes: tuple[str, ...]
    label_map: str
    train: tuple[InputFile, ...]
    held_out: tuple[str, ...]


def check(spec: NegativeDatasetSpec, access: Access) -> None:
    """Raises `InvalidInput` where the spec's configuration cannot train, as far as that is known before there are data."""
    if spec.training is not None:
        prepare(spec.training, access)


def prepare(training: Training, access: Access) -> Config:
    """The configuration with everything patched that the spec alone decides. Raises `InvalidInput`."""
    text, origin = read(training.pipeline_config, access)
    config = parse(text, origin)
    linter.check_model(config)
    patched = patch_training(config, training)
    linter.check_losses(patched, training)
    linter.check_batches(patched, training)
    return patched


def read(pipeline: PipelineConfig, access: Access) -> tuple[bytes, str]:
    """The configuration's text, and the field it came from, for messages. Raises `InvalidInput`."""
    if pipeline.preset is not None:
        return preset(pipeline.preset), f"{_FIELD}.preset"
    if pipeline.url is not None:
        from negset_jobs.store import read_input

        return read_input(pipeline.url, access, f"{_FIELD}.url"), f"{_FIELD}.url"
    try:
        with open(os.environ.get(names.PIPELINE_CONFIG_VARIABLE, ""), "rb") as stream:
            return stream.read(), f"{_FIELD}.configMap"
    except OSError as error:
        raise InvalidInput(
            f"{_FIELD}.configMap: a ConfigMap is mounted on a cluster only; on a laptop, give the file as {_FIELD}.url"
        ) from error


def preset(name: str) -> bytes:
    """The text of a configuration that comes with negset. Raises `InvalidInput` for an unknown name."""
    folder = importlib.resources.files("negset_jobs.training") / "presets"
    known = sorted(entry.name.removesuffix(".config") for entry in folder.iterdir() if entry.name.endswith(".config"))
    if name not in known:
        raise InvalidInput(f"{_FIELD}.preset: expected one of {', '.join(known)}, got {name!r}")
    return (folder / f"{name}.config").read_bytes()


def parse(text: bytes, origin: str) -> Config:
    """The parsed configuration. Raises `InvalidInput` with line and column where it is not one."""
    try:
        return text_format.Parse(text.decode(), pipeline_pb2.TrainEvalPipelineConfig())
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{origin}: expected a pipeline.config as text, got bytes that are not UTF-8 (at byte {error.start})") from error
    except text_format.ParseError as error:
        where = f"line {error.GetLine()}, column {error.GetColumn()}: " if error.GetLine() is not None else ""
        # The message repeats the position as "12:5 : " where it is known.
        message = str(error).partition(" : ")[2] or str(error)
        raise InvalidInput(f"{origin}: not a pipeline.config of the Object Detection API: {where}{message}") from error


def render(config: Config) -> bytes:
    """The configuration as text that `parse` and the Object Detection API's own programs read."""
    return bytes(text_format.MessageToString(config).encode())


def patch_training(config: Config, training: Training) -> Config:
    """A copy with the spec's batch size, steps and hard negative mining. Augmentations stay as they are.

    One schedule of the learning rate spans the steps of all rounds: a training of 800 steps is better than two of 400 that each begin and end their own.
    """
    patched = copy.deepcopy(config)
    train = patched.train_config
    if training.batch_size is not None:
        train.batch_size = training.batch_size
    if train.optimizer.use_moving_average:  # its default
        log.info(
            "train_config.optimizer.use_moving_average is set to false: the weights that are measured and exported are those that are trained"
        )
        train.optimizer.use_moving_average = False
    total = stages.total_steps(training.hard_negative_mining.rounds, training)
    _scale_learning_rate(train, total)
    train.num_steps = total
    _patch_mining(patched, training)
    return patched


def patch_data(config: Config, data: Data) -> Config:
    """A copy with the classes, the label map and the files of a round. The user's other settings of the readers stay."""
    patched = copy.deepcopy(config)
    model = getattr(patched.model, patched.model.WhichOneof("model"))
    if model.num_classes != len(data.classes):
        log.info("num_classes of the model is set from %d to %d: %s", model.num_classes, len(data.classes), ", ".join(data.classes))
        model.num_classes = len(data.classes)
    reader = patched.train_input_reader
    reader.label_map_path = data.label_map
    reader.tf_record_input_reader.input_path[:] = [file.path for file in data.train]
    reader.sample_from_datasets_weights[:] = [file.weight for file in data.train]
    del patched.eval_input_reader[1:]
    evaluation = patched.eval_input_reader[0] if patched.eval_input_reader else patched.eval_input_reader.add()
    evaluation.label_map_path = data.label_map
    evaluation.tf_record_input_reader.input_path[:] = data.held_out
    evaluation.shuffle = False
    evaluation.num_epochs = 1
    return patched


def patch_steps(config: Config, steps: int) -> Config:
    """A copy that stops after so many steps; the schedule of the learning rate stays that of all rounds."""
    patched = copy.deepcopy(config)
    patched.train_config.num_steps = steps
    return patched


def patch_start(config: Config, checkpoint: str) -> Config:
    """A copy that starts from the weights of a checkpoint, whose prefix is `checkpoint`; from none where that is empty."""
    patched = copy.deepcopy(config)
    train = patched.train_config
    train.fine_tune_checkpoint = checkpoint
    if checkpoint:
        train.fine_tune_checkpoint_version = train_pb2.CheckpointVersion.V2
        if not train.fine_tune_checkpoint_type:
            train.fine_tune_checkpoint_type = "detection"
    return patched


def start_checkpoint(config: Config, training: Training) -> tuple[str, str]:
    """The URL of the checkpoint's prefix to start from and the field that names it; empty where there is none. The spec's goes before the configuration's."""
    if training.fine_tune_checkpoint:
        return training.fine_tune_checkpoint, "spec.training.fineTuneCheckpoint"
    own = config.train_config.fine_tune_checkpoint
    if _PLACEHOLDER in own:
        raise InvalidInput(
            f"{_FIELD}: train_config.fine_tune_checkpoint is {own!r}, the placeholder of a downloaded configuration; give the checkpoint's URL in "
            "spec.training.fineTuneCheckpoint, or remove the line to train from scratch"
        )
    return own, f"{_FIELD}: train_config.fine_tune_checkpoint"


def _patch_mining(config: Config, training: Training) -> None:
    mining = training.hard_negative_mining
    if mining.mode == "Off" or linter.focus(config, mining.mode) != "miner":
        return
    miner = config.model.ssd.loss.hard_example_miner
    # As in the SSD paper: all anchors are ranked by their classification loss, none is suppressed for lying on another (object_detection/core/losses.py,
    # HardExampleMiner), all matched ones stay.
    miner.num_hard_examples = 0
    miner.iou_threshold = 0.99
    miner.loss_type = losses_pb2.HardExampleMiner.CLASSIFICATION
    miner.max_negatives_per_positive = mining.negatives_per_positive
    miner.min_negatives_per_image = mining.min_negatives_per_image


def _scale_learning_rate(train: Any, steps: int) -> None:
    """Stretches or shrinks the schedule, warm-up included, so that it ends with the training."""
    optimizer = train.optimizer
    kind = optimizer.WhichOneof("optimizer")
    if kind is None:
        return
    rate = getattr(optimizer, kind).learning_rate
    match rate.WhichOneof("learning_rate"):
        case "cosine_decay_learning_rate":
            schedule = rate.cosine_decay_learning_rate
            factor = steps / max(schedule.total_steps, 1)
            schedule.total_steps = steps
            # The API refuses a warm-up that is longer than the whole (object_detection/utils/learning_schedules.py, cosine_decay_with_warmup).
            schedule.warmup_steps = min(int(schedule.warmup_steps * factor), steps - 1)
            schedule.hold_base_rate_steps = int(schedule.hold_base_rate_steps * factor)
        case "exponential_decay_learning_rate" if train.num_steps:
            schedule = rate.exponential_decay_learning_rate
            schedule.decay_steps = max(1, schedule.decay_steps * steps // train.num_steps)
            schedule.burnin_steps = schedule.burnin_steps * steps // train.num_steps
        case "manual_step_learning_rate" if train.num_steps:
            previous = 0
            for entry in rate.manual_step_learning_rate.schedule:
                entry.step = previous = max(previous + 1, entry.step * steps // train.num_steps)
        case _:
            pass
