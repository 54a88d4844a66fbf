"""The pipeline.config of a round: read from a preset or the user's file, then patched.

It is patched as a parsed protobuf. Imports no TensorFlow, only the API's messages.
"""

from __future__ import annotations

import codecs
import copy
import importlib.resources
import logging
import os
from typing import Any, Final

import msgspec
from google.protobuf import text_format

from negset_api import names, stages
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec, PipelineConfig, Training
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.quoting import of_text_format
from negset_jobs.training import families, fine_tune, linter, schedule
from negset_jobs.training.protos import losses_pb2, pipeline_pb2

log = logging.getLogger(__name__)

Config = Any
"""`pipeline_pb2.TrainEvalPipelineConfig`, which has no type stubs."""

_FIELD: Final = "spec.training.pipelineConfig"
_BYTE_ORDER_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """One TFRecord file of the weighted mix: its path, and its weight relative to the others."""

    path: str
    weight: float


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The files and classes of a round, as the configuration names them: paths or URLs.

    `most_boxes` is the number of objects of the fullest positive, or 0 if unknown.
    """

    classes: tuple[str, ...]
    label_map: str
    train: tuple[InputFile, ...]
    held_out: tuple[str, ...]
    most_boxes: int = 0


def check(spec: NegativeDatasetSpec, access: Access) -> None:
    """Check that the spec's configuration can train, and that its checkpoint exists.

    Logs a warning for every setting that the configuration asks for but does not get. Needs no
    TensorFlow and no data; `check.py` checks more, with the Object Detection API itself. Raises
    `InvalidInput`.
    """
    if spec.training is not None:
        written = _written(spec.training, access)
        _patched(written, spec.training)
        fine_tune.check(written, spec.training, access)
        for warning in linter.warnings(written):
            log.warning("%s: %s", _FIELD, warning)


def prepare(training: Training, access: Access) -> Config:
    """Return the configuration with all patches that depend on the spec only.

    Raises `InvalidInput`.
    """
    return _patched(_written(training, access), training)


def _written(training: Training, access: Access) -> Config:
    """Return the configuration as written.

    Raises `InvalidInput` if negset does not train its model.
    """
    text, origin = read(training.pipeline_config, access)
    config = parse(text, origin)
    linter.check_model(config)
    return config


def _patched(written: Config, training: Training) -> Config:
    patched = patch_training(written, training)
    linter.check_losses(patched, training)
    linter.check_batches(patched, training)
    return patched


def read(pipeline: PipelineConfig, access: Access) -> tuple[bytes, str]:
    """Read the configuration's text, and return it with the field that names it.

    Raises `InvalidInput`.
    """
    if pipeline.preset is not None:
        return preset(pipeline.preset), f"{_FIELD}.preset"
    if pipeline.url is not None:
        from negset_jobs.adapters.inputs import read_input

        return read_input(pipeline.url, access, f"{_FIELD}.url"), f"{_FIELD}.url"
    try:
        with open(os.environ.get(names.PIPELINE_CONFIG_VARIABLE, ""), "rb") as stream:
            return stream.read(), f"{_FIELD}.configMap"
    except OSError as error:
        raise InvalidInput(
            f"{_FIELD}.configMap: a ConfigMap is available on a cluster only; on a laptop, give the file as {_FIELD}.url"
        ) from error


def preset(name: str) -> bytes:
    """Return the text of a configuration that negset ships.

    Raises `InvalidInput` for an unknown name.
    """
    folder = importlib.resources.files("negset_jobs.training") / "presets"
    known = sorted(entry.name.removesuffix(".config") for entry in folder.iterdir() if entry.name.endswith(".config"))
    if name not in known:
        raise InvalidInput(f"{_FIELD}.preset: expected one of {', '.join(known)}, got {name!r}")
    return (folder / f"{name}.config").read_bytes()


def parse(text: bytes, origin: str) -> Config:
    """Parse the configuration. Raises `InvalidInput` with line and column if it is not valid."""
    if text.startswith(_BYTE_ORDER_MARKS) or b"\0" in text:
        raise InvalidInput(f"{origin}: expected a pipeline.config in UTF-8, got UTF-16 or a binary file; save it as UTF-8")
    try:
        return text_format.Parse(text.decode("utf-8-sig"), pipeline_pb2.TrainEvalPipelineConfig())
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{origin}: expected a pipeline.config in UTF-8, got bytes that are not UTF-8 (at byte {error.start}); save it as UTF-8"
        ) from error
    except text_format.ParseError as error:
        raise InvalidInput(f"{origin}: not a pipeline.config of the Object Detection API: {of_text_format(error)}") from error


def render(config: Config) -> bytes:
    """Return the configuration as text for `parse` and the Object Detection API's own programs."""
    # Escapes were the default until protobuf 4. The text is part of the input digest, so they stay.
    return bytes(text_format.MessageToString(config, as_utf8=False).encode())


def patch_training(config: Config, training: Training) -> Config:
    """Return a copy with the spec's batch size, steps and hard negative mining.

    The learning rate is scaled to batch size and steps. Augmentations stay as they are.

    One schedule of the learning rate spans the steps of all rounds. One training of 800 steps is
    better than two of 400 that each start and end their own schedule.
    """
    patched = copy.deepcopy(config)
    train = patched.train_config
    if training.batch_size is not None:
        schedule.scale_for_batch(train, train.batch_size, training.batch_size)
        train.batch_size = training.batch_size
    train.optimizer.use_moving_average = False  # `linter.warnings` tells the user
    if train.use_bfloat16:
        # The API's own loop uses it on TPUs only (model_lib_v2.py, train_loop). Without TPUs only
        # the images would be cast, which loses precision and gains nothing.
        log.info("set train_config.use_bfloat16 to false: the Object Detection API uses it on TPUs only")
        train.use_bfloat16 = False
    total = stages.total_steps(training.hard_negative_mining.rounds, training)
    schedule.scale_for_steps(train, total)
    train.num_steps = total
    _patch_mining(patched, training)
    return patched


def patch_data(config: Config, data: Data) -> Config:
    """Return a copy with the classes, the label map and the files of a round.

    The user's other settings of the readers stay.
    """
    patched = copy.deepcopy(config)
    model = families.model(patched)
    if model.num_classes != len(data.classes):
        log.info("changed num_classes of the model from %d to %d: %s", model.num_classes, len(data.classes), ", ".join(data.classes))
        model.num_classes = len(data.classes)
    reader = patched.train_input_reader
    if data.most_boxes > reader.max_number_of_boxes:
        log.info("raised the limits of objects and detections per image to %d, the objects of the fullest image", data.most_boxes)
    families.make_room(patched, data.most_boxes)
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
    """Return a copy that stops after this many steps.

    The schedule of the learning rate still spans all rounds.
    """
    patched = copy.deepcopy(config)
    patched.train_config.num_steps = steps
    return patched


def _patch_mining(config: Config, training: Training) -> None:
    mining = training.hard_negative_mining
    if mining.mode == "Off" or linter.focus(config, mining.mode) != "miner":
        return
    miner = config.model.ssd.loss.hard_example_miner
    # As in the SSD paper, all anchors are ranked by their classification loss, and all matched
    # anchors are kept. No anchor is suppressed because it overlaps another
    # (object_detection/core/losses.py, HardExampleMiner).
    miner.num_hard_examples = 0
    miner.iou_threshold = 0.99
    miner.loss_type = losses_pb2.HardExampleMiner.CLASSIFICATION
    miner.max_negatives_per_positive = mining.negatives_per_positive
    miner.min_negatives_per_image = mining.min_negatives_per_image
