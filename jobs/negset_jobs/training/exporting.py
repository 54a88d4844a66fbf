"""Exports a trained model as a SavedModel, with the signature of the API's own exporter."""

from __future__ import annotations

from typing import Any

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection.core import standard_fields

from negset_jobs.training.scoring import detect


def export(model: Any, folder: str) -> None:
    """Write a restored, built detection model to `folder`.

    The signature is that of `exporter_lib_v2.DetectionFromImageModule`. The input is
    `input_tensor`, uint8 of shape (1, height, width, 3). The outputs are `detection_boxes`
    (normalised), `detection_scores`, `detection_classes` (from 1), `num_detections` and the model's
    raw outputs, all float32. That module is not used. It also saves every Keras layer so that it
    can be rebuilt in Python. This takes most of a minute even for a small model.
    """

    def serve(input_tensor: Any) -> dict[str, Any]:
        images, shapes = model.preprocess(tf.cast(input_tensor, tf.float32))
        found = detect(model, images, shapes)
        classes = standard_fields.DetectionResultFields.detection_classes
        found[classes] += 1
        return {name: tf.cast(value, tf.float32) for name, value in found.items()}

    signature = [tf.TensorSpec((1, None, None, 3), tf.uint8, name="input_tensor")]
    concrete = tf.function(serve, autograph=False, input_signature=signature).get_concrete_function()
    # Only the variables are tracked: not their layers, and not the function, which would be traced
    # again.
    module = tf.Module()
    module.weights = list(concrete.graph.variables)
    tf.saved_model.save(module, folder, signatures=concrete)
