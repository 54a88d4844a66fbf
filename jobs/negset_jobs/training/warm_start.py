"""Loads the weights of the checkpoint that a training starts from.

The Object Detection API trusts `fine_tune_checkpoint_type`. But every configuration of its model
zoo has "classification" there, for the checkpoint of a detector. So negset looks into the
checkpoint itself.
"""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Any, Final, Literal

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf

from negset_api.errors import InvalidInput
from negset_api.spec import Training
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.urls import shown
from negset_jobs.training import fine_tune

log = logging.getLogger(__name__)

Content = Literal["detector", "classifier"]
Shapes = dict[str, tuple[int, ...]]

_FIELDS: Final = "spec.training.fineTuneCheckpoint or train_config.fine_tune_checkpoint"
_OBJECTS: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"
_EXTRACTOR: Final = "model/_feature_extractor"  # Faster R-CNN has two, which begin alike
# The name of the network in a classifier's checkpoint: as the API expects it, by
# tf.train.Checkpoint(model=...), by Keras' own save_weights.
_CLASSIFIERS: Final = {"feature_extractor/": "feature_extractor", "model/layer_with_weights-": "model", "layer_with_weights-": "root"}


def prepare(config: Any, training: Training, access: Access, folder: str) -> Any:
    """Return the configuration, starting from a local copy of its checkpoint in `folder`.

    The checkpoint is the one that the spec or the configuration names, with the type that it really
    has; none if none is named. Raises `InvalidInput`, naming the field, if it is missing, damaged
    or not usable.
    """
    url, field = fine_tune.origin(config, training)
    if not url:
        return fine_tune.patch(config, "", "")
    prefix = fine_tune.fetch(fine_tune.find(url, access, field), access, field, folder)
    kind = restored_part(content(read_shapes(prefix, url, field), url, field), config.train_config.fine_tune_checkpoint_type)
    return fine_tune.patch(config, prefix, kind)


def read_shapes(prefix: str, url: str, field: str) -> Shapes:
    """Return the names and shapes of everything in a checkpoint.

    All of it is read, with its checksums, so that damage is found now.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        for name in shapes:
            reader.get_tensor(name)
    # Errors of the C++ side arrive as any of these.
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError, OSError) as error:
        raise InvalidInput(f"{field}: the checkpoint at {shown(url)} is damaged or truncated; upload it again") from error
    return shapes


def content(shapes: Shapes, url: str, field: str) -> Content:
    """Return the kind of a checkpoint, by the names in it.

    Raises `InvalidInput` if training cannot start from it.
    """
    if _OBJECTS not in shapes:
        raise InvalidInput(
            f"{field}: expected a checkpoint of TensorFlow 2, the one at {shown(url)} is of TensorFlow 1; use one of the TensorFlow 2 model zoo"
        )
    if any(name.startswith(_EXTRACTOR) for name in shapes):
        return "detector"
    if any(name.startswith(tuple(_CLASSIFIERS)) for name in shapes):
        return "classifier"
    raise InvalidInput(
        f"{field}: expected the checkpoint of a detector or of a classifier, the one at {shown(url)} has neither model/_feature_extractor nor feature_extractor in it"
    )


def restored_part(found: Content, asked: str) -> str:
    """Return the `fine_tune_checkpoint_type` that fits the checkpoint.

    `asked` is the type in the configuration.
    """
    if found == "classifier":
        if asked not in ("", "classification"):
            log.warning("changed fine_tune_checkpoint_type from %r to 'classification': the checkpoint is of a classifier", asked)
        return "classification"
    if asked == "full":
        return "full"
    if asked == "classification":
        log.warning("changed fine_tune_checkpoint_type from 'classification' to 'detection': the checkpoint is of a detector")
    return "detection"


def restore(model: Any, train_config: Any) -> None:
    """Load the weights that `prepare` put into the configuration into a built model.

    Raises `InvalidInput` if they are those of another model.
    """
    prefix, kind = train_config.fine_tune_checkpoint, train_config.fine_tune_checkpoint_type
    shapes: Shapes = {name: tuple(shape) for name, shape in tf.train.list_variables(prefix)}
    if kind == "classification":
        _load(_classifier(model, shapes), prefix)
        return
    others = sorted(_mismatches(_shapes_of(model), shapes))
    if foreign := [name for name in others if name.startswith(_EXTRACTOR)]:
        raise InvalidInput(
            f"{_FIELDS}: the checkpoint is of another model than the configuration's, {len(foreign)} weights have another shape; give the pipeline.config of that model, "
            "or the checkpoint of the configured model"
        )
    if others:
        log.warning(
            "the checkpoint was trained with another number of classes or anchors: the heads of the model start with random weights, the rest is restored from it"
        )
        kind = "detection"
    elif kind == "detection":
        log.info(
            "the heads of the model start with random weights, the rest is restored from the checkpoint; fine_tune_checkpoint_type: 'full' restores them too"
        )
    # The model knows its parts (object_detection/meta_architectures, restore_from_objects).
    _load(tf.train.Checkpoint(**model.restore_from_objects(fine_tune_checkpoint_type=kind)), prefix)


def _classifier(model: Any, shapes: Shapes) -> Any:
    """Return the trackable that loads a classifier's weights into the backbone of the model."""
    backbone = model.restore_from_objects(fine_tune_checkpoint_type="classification")["feature_extractor"]
    name = next(name for start, name in _CLASSIFIERS.items() if any(key.startswith(start) for key in shapes))
    return tf.train.Checkpoint(**{name: backbone})


def _load(checkpoint: Any, prefix: str) -> None:
    try:
        # Not `restore`: it needs a counter of saves, which checkpoints of `write` and of Keras do
        # not have.
        checkpoint.read(prefix).expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise InvalidInput(
            f"{_FIELDS}: the checkpoint is of another model than the configuration's, its weights do not fit; give the pipeline.config of that model, or the checkpoint of the configured model"
        ) from error


def _shapes_of(model: Any) -> Shapes:
    """Return the names and shapes that the model's own checkpoint would have.

    They are known only by writing one.
    """
    with tempfile.TemporaryDirectory(prefix="negset-") as folder:
        prefix = tf.train.Checkpoint(model=model).write(os.path.join(folder, "own"))
        return {name: tuple(shape) for name, shape in tf.train.list_variables(prefix)}


def _mismatches(own: Shapes, given: Shapes) -> set[str]:
    """Return the names of the weights that both have, in different shapes."""
    return {name for name, shape in own.items() if name.endswith(_VALUE) and name in given and given[name] != shape}
