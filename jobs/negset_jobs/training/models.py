"""Models of the Object Detection API, with their variables."""

from __future__ import annotations

from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection.builders import model_builder
from object_detection.utils import config_util

from negset_jobs.training import precision

_SIDE: Final = 256  # pixels of the first picture, where the configuration leaves the size open


def build(config: Any, *, training: bool) -> Any:
    """The configuration's model. Raises what the API raises where it refuses it.

    The API creates variables when a model first sees a picture, which is usually while a graph is traced. They are created here at once and outside any graph: then the
    random seed alone decides their values, whatever data follow, and graphs are traced once instead of twice.
    """
    model = model_builder.build(config.model, is_training=training)
    precision.adapt(model)
    resizer = config_util.get_image_resizer_config(config.model)
    height, width = (side if side and side > 0 else _SIDE for side in config_util.get_spatial_image_size(resizer))
    # As model_lib_v2._ensure_model_is_built does: no moving average is touched, and nothing needs objects.
    model._is_training = False  # noqa: SLF001
    tf.keras.backend.set_learning_phase(False)
    model.predict(*model.preprocess(tf.zeros((1, height, width, 3))))
    model._is_training = training  # noqa: SLF001
    return model
