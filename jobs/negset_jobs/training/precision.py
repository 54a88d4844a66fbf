"""Mixed precision: layers compute in 16 bits; weights, predictions and losses are in 32 bits.

The Object Detection API's own support, `use_bfloat16`, works on TPUs only. Elsewhere two things are
needed. The predictions of the network must be in 32 bits, because the API's helper
`bfloat16_to_float32_nested` does not know float16. The feature maps that Faster R-CNN crops must be
in 32 bits, because TensorFlow's CropAndResize has no bfloat16.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection import model_lib, model_lib_v2

from negset_api.errors import InvalidInput

log = logging.getLogger(__name__)

SINGLE: Final = "float32"
_HALF: Final = "mixed_float16"
_BRAIN: Final = "mixed_bfloat16"
_OLDEST: Final = (7, 0)  # the first compute capability with tensor cores


def policy(capabilities: Sequence[tuple[int, int]], *, mixed: bool) -> str:
    """Return the Keras policy for GPUs of these compute capabilities.

    An empty list means the CPU. There TensorFlow computes bfloat16 faster than float16.

    Raises `InvalidInput` if a GPU is too old to gain anything.
    """
    if not mixed:
        return SINGLE
    if not capabilities:
        return _BRAIN
    if (oldest := min(capabilities)) < _OLDEST:
        raise InvalidInput(
            f"spec.training.mixedPrecision: expected GPUs of compute capability {_OLDEST[0]}.{_OLDEST[1]} or more, got {oldest[0]}.{oldest[1]}, which "
            "is no faster in 16 bits; set mixedPrecision to false, or train on newer GPUs"
        )
    return _HALF


def capabilities() -> list[tuple[int, int]]:
    """Return the compute capabilities of this machine's GPUs."""
    details = (tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU"))
    return [tuple(found["compute_capability"]) for found in details if "compute_capability" in found]


@contextlib.contextmanager
def applied(name: str) -> Iterator[None]:
    """Apply the policy to what the block builds.

    What is built later (the model that is measured) is in 32 bits again.
    """
    before = tf.keras.mixed_precision.global_policy()
    if name != SINGLE:
        log.info("layers compute with the policy %s; weights stay in 32 bits", name)
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def adapt(model: Any) -> None:
    """Make a model of the API work under the policy, in place, before its first prediction."""
    if tf.keras.mixed_precision.global_policy().compute_dtype == SINGLE:
        return
    predict = model.predict
    model.predict = lambda *args, **keywords: _single(predict(*args, **keywords))
    if hasattr(model, "_crop_and_resize_fn"):
        # The API takes this function from its own configuration only.
        crop = model._crop_and_resize_fn  # noqa: SLF001
        model._crop_and_resize_fn = lambda maps, *args, **keywords: crop(_single(maps), *args, **keywords)  # noqa: SLF001


def optimizer(plain: Any) -> Any:
    """Return the optimizer; under float16, it scales the loss.

    Without scaling, small gradients are 0 in float16. bfloat16 has the range of float32.
    """
    if tf.keras.mixed_precision.global_policy().name != _HALF:
        return plain
    return tf.keras.mixed_precision.LossScaleOptimizer(plain)


def train_step(
    model: Any,
    features: Any,
    labels: Any,
    unpad_groundtruth_tensors: Any,
    optimizer: Any,
    *,
    training_step: Any,
    add_regularization_loss: bool,
    clip_gradients_value: float | None,
    num_replicas: int,
) -> dict[str, Any]:
    """Make one step, as `model_lib_v2.eager_train_step` makes it.

    The API's function cannot scale a loss, so such a step is made here from the same parts.
    """
    if not hasattr(optimizer, "get_scaled_loss"):
        plain: dict[str, Any] = model_lib_v2.eager_train_step(
            model,
            features,
            labels,
            unpad_groundtruth_tensors,
            optimizer,
            training_step=training_step,
            add_regularization_loss=add_regularization_loss,
            clip_gradients_value=clip_gradients_value,
            num_replicas=num_replicas,
        )
        return plain
    model._is_training = True  # noqa: SLF001
    tf.keras.backend.set_learning_phase(True)
    labels = model_lib.unstack_batch(labels, unpad_groundtruth_tensors=unpad_groundtruth_tensors)
    with tf.GradientTape() as tape:
        losses, _ = model_lib_v2._compute_losses_and_predictions_dicts(  # noqa: SLF001
            model, features, labels, training_step=training_step, add_regularization_loss=add_regularization_loss
        )
        losses = model_lib_v2.normalize_dict(losses, num_replicas)
        scaled = optimizer.get_scaled_loss(losses["Loss/total_loss"])
    gradients = optimizer.get_unscaled_gradients(tape.gradient(scaled, model.trainable_variables))
    if clip_gradients_value:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_gradients_value)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return dict(losses)


def _single(values: Any) -> Any:
    """Return the same structure with every 16-bit tensor in 32 bits."""

    def widened(value: Any) -> Any:
        return tf.cast(value, tf.float32) if tf.is_tensor(value) and value.dtype in (tf.float16, tf.bfloat16) else value

    return tf.nest.map_structure(widened, values)
