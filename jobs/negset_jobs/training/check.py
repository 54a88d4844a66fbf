"""Tries a configuration with the Object Detection API before anything is downloaded.

It builds the model, feeds it and computes its loss. The images are synthetic: one with an object,
one without. The API must accept the configuration, and an image without objects must have a loss.
"""

from __future__ import annotations

import copy
import io
import logging
import math
import os
import tempfile
from collections.abc import Sequence
from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import numpy as np
import tensorflow as tf
from object_detection.builders import optimizer_builder
from PIL import Image

from negset_api.errors import InvalidInput
from negset_api.spec import Training
from negset_api.values import Box
from negset_jobs.adapters.access import Access
from negset_jobs.formats.label_map import write_label_map
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import write_record
from negset_jobs.training import config as configs
from negset_jobs.training import failures, families, feeding, models, warm_start
from negset_jobs.training.mix import Mix

log = logging.getLogger(__name__)

_FIELD: Final = "spec.training.pipelineConfig"
# The shorter side that is tried first. A large model takes minutes at its own size; the feature
# pyramids accept no smaller side.
_SIDE: Final = 256
_STRIDE: Final = 128  # of the coarsest map of the feature pyramids
_BATCH: Final = 2


def check(training: Training, access: Access, classes: Sequence[str]) -> None:
    """Try the configuration, and the checkpoint to start from.

    `classes` are the classes that will be trained, as far as known before there are data. Raises
    `InvalidInput` if the Object Detection API refuses the configuration, if an image without
    objects has no loss, or if the checkpoint does not fit.
    """
    prepared = configs.prepare(training, access)
    wanted = configs.patch_data(prepared, configs.Data(classes=tuple(classes), label_map="", train=(), held_out=()))
    with tempfile.TemporaryDirectory(prefix="negset-") as scratch:
        running = warm_start.prepare(wanted, training, access, os.path.join(scratch, "fine-tune"))
        files = _write_images(scratch, classes)
        running.train_input_reader.label_map_path = os.path.join(scratch, "label_map.pbtxt")
        running.train_config.batch_size = _BATCH
        with failures.trial("train_config.optimizer"):
            optimizer_builder.build(running.train_config.optimizer, global_step=tf.Variable(0, dtype=tf.int64))
        smaller = shrunk(running)
        if smaller is None:
            _try(running, files)
            return
        with failures.trial("model"):
            # The model sees one image of the configuration's own size.
            models.build(running, training=True)
        try:
            _try(smaller, files)
        except InvalidInput as error:
            # Perhaps only the smaller size is refused.
            log.info("trying the model at its own size, because it failed at a smaller one: %s", error)
            _try(running, files)


def shrunk(config: Any) -> Any:
    """Return a copy with smaller images, in proportion.

    None if they are small already, or have no given size.
    """
    smaller = copy.deepcopy(config)
    resizer = families.image_resizer(smaller)
    kind = resizer.WhichOneof("image_resizer_oneof")
    sides = {"fixed_shape_resizer": ("height", "width"), "keep_aspect_ratio_resizer": ("min_dimension", "max_dimension")}.get(kind)
    if sides is None:
        return None
    message = getattr(resizer, kind)
    shortest = min(getattr(message, side) for side in sides)
    if shortest <= _SIDE:
        return None
    for side in sides:
        setattr(message, side, round(getattr(message, side) * _SIDE / shortest / _STRIDE) * _STRIDE)
    return smaller


def _try(config: Any, files: Mix) -> None:
    tf.keras.utils.set_random_seed(0)
    with failures.trial("model"):
        model = models.build(config, training=True)
    if config.train_config.fine_tune_checkpoint:
        warm_start.restore(model, config.train_config)
    with failures.trial("train_config.data_augmentation_options or train_input_reader"):
        features, labels = next(iter(feeding.batches(config, model, files, negative_percent=50, seed=0)))
    with failures.trial("model"):
        _require_finite(_losses(config, model, features, labels))
        blank = _losses(config, model, *_without_objects(features, labels))
    _require_finite(blank)
    _require_loss(blank)


def _losses(config: Any, model: Any, features: Any, labels: Any) -> dict[str, float]:
    """Return the losses of a batch, without regularisation.

    Detections are made too, because an error in the suppression shows only then.
    """
    losses, predictions = models.losses(model, config.train_config, features, labels)
    model.postprocess(predictions, features["true_image_shape"])
    return {name: float(value) for name, value in losses.items()}


def _without_objects(features: Any, labels: Any) -> tuple[Any, Any]:
    """Return the same images without objects."""
    count = tf.zeros_like(labels["num_groundtruth_boxes"])
    empty = {name: tf.zeros_like(value) if name.startswith("groundtruth_") else value for name, value in labels.items()}
    return features, {**empty, "num_groundtruth_boxes": count}


def _require_finite(losses: dict[str, float]) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise InvalidInput(f"{_FIELD}: the first loss is not finite ({name}); check the losses, their weights and the initializers")


def _require_loss(blank: dict[str, float]) -> None:
    if not sum(value for name, value in blank.items() if name.endswith(families.CLASSIFICATION_LOSSES)) > 0:
        raise InvalidInput(
            f"{_FIELD}: an image without objects has a classification loss of 0, so negatives teach nothing; check the classification loss, its weights "
            "and hard_example_miner"
        )


def _write_images(folder: str, classes: Sequence[str]) -> Mix:
    """Write a file of positives, a file of negatives and the label map. Returns the files."""
    with open(os.path.join(folder, "label_map.pbtxt"), "wb") as stream:
        stream.write(write_label_map(list(classes)))
    kinds = {"positives": [Box(ymin=0.25, xmin=0.25, ymax=0.75, xmax=0.75, class_name=classes[0])], "negatives": []}
    for seed, (kind, boxes) in enumerate(kinds.items()):
        with open(os.path.join(folder, f"{kind}.tfrecord"), "wb") as stream:
            write_record(stream, _example(kind, boxes, seed))
    return Mix(positives=(os.path.join(folder, "positives.tfrecord"),), negatives=(os.path.join(folder, "negatives.tfrecord"),))


def _example(name: str, boxes: list[Box], seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return encode_example(
        encoded=stream.getvalue(),
        image_format="png",
        file_name=f"{name}.png",
        source_id=name,
        sha256="",
        height=_SIDE,
        width=_SIDE,
        boxes=boxes,
        label_ids={box.class_name: 1 for box in boxes},
    )
