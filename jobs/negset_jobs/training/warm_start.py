"""What is in the checkpoint that a training starts from, and how its weights get into the model.

The Object Detection API trusts `fine_tune_checkpoint_type`, and every configuration of its model
zoo has "classification" there for the checkpoint of a detector. Here the checkpoint itself is
looked at.
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
# Under which name the network of a classifier lies in its checkpoint: as the API wants it, as
# tf.train.Checkpoint(model=...), as Keras' own save_weights.
_CLASSIFIERS: Final = {"feature_extractor/": "feature_extractor", "model/layer_with_weights-": "model", "layer_with_weights-": "root"}


def prepare(config: Any, training: Training, access: Access, folder: str) -> Any:
    """The configuration, starting from a local copy in `folder` of the checkpoint that the spec or
    the configuration names, of the type that it is; from none where none is named.

    Raises `InvalidInput`, naming the field, where it is missing, damaged or of no use.
    """
    url, field = fine_tune.origin(config, training)
    if not url:
        return fine_tune.patch(config, "", "")
    prefix = fine_tune.fetch(fine_tune.find(url, access, field), access, field, folder)
    kind = restored_part(content(read_shapes(prefix, url, field), url, field), config.train_config.fine_tune_checkpoint_type)
    return fine_tune.patch(config, prefix, kind)


def read_shapes(prefix: str, url: str, field: str) -> Shapes:
    """The names and shapes of everything in a checkpoint.

    All of it is read, with its checksums, so that a damaged one is found now.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        for name in shapes:
            reader.get_tensor(name)
    # The C++ side's errors arrive as any of these.
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError, OSError) as error:
        raise InvalidInput(f"{field}: the checkpoint at {shown(url)} is damaged or cut short; upload it again") from error
    return shapes


def content(shapes: Shapes, url: str, field: str) -> Content:
    """What a checkpoint is of, by the names of what is in it.

    Raises `InvalidInput` where that is nothing to start from.
    """
    if _OBJECTS not in shapes:
        raise InvalidInput(
            f"{field}: expected a checkpoint of TensorFlow 2, the one at {shown(url)} is of TensorFlow 1; take one of the TensorFlow 2 model zoo"
        )
    if any(name.startswith(_EXTRACTOR) for name in shapes):
        return "detector"
    if any(name.startswith(tuple(_CLASSIFIERS)) for name in shapes):
        return "classifier"
    raise InvalidInput(
        f"{field}: expected the checkpoint of a detector or of a classifier, the one at {shown(url)} has neither model/_feature_extractor nor feature_extractor in it"
    )


def restored_part(found: Content, asked: str) -> str:
    """The `fine_tune_checkpoint_type` that fits what was found, after what was `asked` for."""
    if found == "classifier":
        if asked not in ("", "classification"):
            log.warning("fine_tune_checkpoint_type %r is set to 'classification': the checkpoint is that of a classifier", asked)
        return "classification"
    if asked == "full":
        return "full"
    if asked == "classification":
        log.warning("fine_tune_checkpoint_type 'classification' is set to 'detection': the checkpoint is that of a detector")
    return "detection"


def restore(model: Any, train_config: Any) -> None:
    """Loads the weights that `prepare` has put into the configuration into a built model.

    Raises `InvalidInput` where they are those of another model.
    """
    prefix, kind = train_config.fine_tune_checkpoint, train_config.fine_tune_checkpoint_type
    shapes: Shapes = {name: tuple(shape) for name, shape in tf.train.list_variables(prefix)}
    if kind == "classification":
        _load(_classifier(model, shapes), prefix)
        return
    others = sorted(_mismatches(_shapes_of(model), shapes))
    if foreign := [name for name in others if name.startswith(_EXTRACTOR)]:
        raise InvalidInput(
            f"{_FIELDS}: the checkpoint is of another model than the configuration's, {len(foreign)} weights have another shape; give that model's pipeline.config, "
            "or its checkpoint"
        )
    if others:
        log.warning(
            "the checkpoint was trained with another number of classes or anchors: the model's heads start anew, the rest is taken from it"
        )
        kind = "detection"
    elif kind == "detection":
        log.info("the model's heads start anew, the rest is taken from the checkpoint; fine_tune_checkpoint_type: 'full' takes them too")
    # What each part is, the model knows (object_detection/meta_architectures,
    # restore_from_objects).
    _load(tf.train.Checkpoint(**model.restore_from_objects(fine_tune_checkpoint_type=kind)), prefix)


def _classifier(model: Any, shapes: Shapes) -> Any:
    """The trackable through which a classifier's weights reach the backbone of the model."""
    backbone = model.restore_from_objects(fine_tune_checkpoint_type="classification")["feature_extractor"]
    name = next(name for start, name in _CLASSIFIERS.items() if any(key.startswith(start) for key in shapes))
    return tf.train.Checkpoint(**{name: backbone})


def _load(checkpoint: Any, prefix: str) -> None:
    try:
        # Not `restore`, which wants a counter of saves that checkpoints of `write` and of Keras do
        # not have.
        checkpoint.read(prefix).expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise InvalidInput(
            f"{_FIELDS}: the checkpoint is of another model than the configuration's: its weights do not fit; give that model's pipeline.config, or its checkpoint"
        ) from error


def _shapes_of(model: Any) -> Shapes:
    """The names and shapes that the model's own checkpoint would have.

    Only writing one tells them.
    """
    with tempfile.TemporaryDirectory(prefix="negset-") as folder:
        prefix = tf.train.Checkpoint(model=model).write(os.path.join(folder, "own"))
        return {name: tuple(shape) for name, shape in tf.train.list_variables(prefix)}


def _mismatches(own: Shapes, given: Shapes) -> set[str]:
    """The names of the weights that both have, in different shapes."""
    return {name for name, shape in own.items() if name.endswith(_VALUE) and name in given and given[name] != shape}
