"""Models of the Object Detection API, with their variables."""

from __future__ import annotations

from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection import model_lib, model_lib_v2
from object_detection.builders import model_builder
from object_detection.utils import config_util

from negset_jobs.training import precision

_SIDE: Final = 256  # pixels of the first image, if the configuration leaves the size open


def build(config: Any, *, training: bool) -> Any:
    """Return the configuration's model. Raises what the API raises if it refuses the configuration.

    The API creates variables when a model first sees an image, usually while a graph is traced.
    Here they are created at once and outside any graph. So only the random seed decides their
    values, whatever data follow, and graphs are traced once instead of twice.
    """
    model = model_builder.build(config.model, is_training=training)
    precision.adapt(model)
    resizer = config_util.get_image_resizer_config(config.model)
    height, width = (side if side and side > 0 else _SIDE for side in config_util.get_spatial_image_size(resizer))
    # As in model_lib_v2._ensure_model_is_built: no moving average changes, and no objects are
    # needed.
    model._is_training = False  # noqa: SLF001
    tf.keras.backend.set_learning_phase(False)
    model.predict(*model.preprocess(tf.zeros((1, height, width, 3))))
    model._is_training = training  # noqa: SLF001
    return model


def losses(model: Any, train_config: Any, features: Any, labels: Any) -> tuple[dict[str, Any], Any]:
    """Return the losses of a batch, without regularisation, and the predictions behind them.

    The model is in training mode. The losses are the same as in `eager_train_step`.
    """
    model._is_training = True  # noqa: SLF001
    tf.keras.backend.set_learning_phase(True)
    unstacked = model_lib.unstack_batch(labels, unpad_groundtruth_tensors=train_config.unpad_groundtruth_tensors)
    found, predictions = model_lib_v2._compute_losses_and_predictions_dicts(  # noqa: SLF001
        model, features, unstacked, training_step=0, add_regularization_loss=False
    )
    return {name: value for name, value in found.items() if name != "Loss/total_loss"}, predictions
