"""The trained model as a SavedModel that serves like one of the Object Detection API's exporter."""

from __future__ import annotations

from typing import Any

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection.core import standard_fields

from negset_jobs.training.scoring import detect


def export(model: Any, folder: str) -> None:
    """Writes a restored, built detection model to `folder`.

    The signature is that of `exporter_lib_v2.DetectionFromImageModule`: `input_tensor`, uint8 of
    shape (1, height, width, 3), to `detection_boxes` (normalised), `detection_scores`,
    `detection_classes` (from 1), `num_detections` and the model's raw outputs, all float32. That
    module is not used, because saving it also records every Keras layer for being built again in
    Python, which takes most of a minute even for a small model.
    """

    def serve(input_tensor: Any) -> dict[str, Any]:
        images, shapes = model.preprocess(tf.cast(input_tensor, tf.float32))
        found = detect(model, images, shapes)
        classes = standard_fields.DetectionResultFields.detection_classes
        found[classes] += 1
        return {name: tf.cast(value, tf.float32) for name, value in found.items()}

    signature = [tf.TensorSpec((1, None, None, 3), tf.uint8, name="input_tensor")]
    concrete = tf.function(serve, autograph=False, input_signature=signature).get_concrete_function()
    # The variables alone are tracked: not the layers that they belong to, and not the function,
    # which would be traced once more.
    module = tf.Module()
    module.weights = list(concrete.graph.variables)
    tf.saved_model.save(module, folder, signatures=concrete)
