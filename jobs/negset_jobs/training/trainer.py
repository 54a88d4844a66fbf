"""The model of a training, its optimizer and the compiled steps.

What is trained is the same as in `train_loop` of object_detection/model_lib_v2.py:
`eager_train_step` under a distribution strategy, losses divided by the number of replicas.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection.builders import optimizer_builder
from object_detection.core import standard_fields

from negset_jobs.training import events, families, models, precision, warm_start

IMAGES_WITHOUT_BOXES: Final = "blanks"
STOP: Final = "stop"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a training starts.

    It resumes from `resume`, the local prefix of its own checkpoint after `step` steps. Otherwise
    it starts with the weights at `weights`, or else with random weights.

    `earlier_steps` is the number of steps of the earlier rounds; the learning rate schedule
    continues after them. Only the weights are reused from an earlier round.
    """

    resume: str = ""
    weights: str = ""
    earlier_steps: int = 0
    step: int = 0
    images: int = 0
    images_without_boxes: int = 0


class Trainer:
    """The model, its optimizer and the compiled steps."""

    def __init__(self, config: Any, strategy: Any) -> None:
        self._strategy, self._train = strategy, config.train_config
        self.model = models.build(config, training=True)
        self.step = tf.Variable(
            0, trainable=False, dtype=tf.int64, name="global_step", aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        # The position in the learning rate schedule. Like `step`, but it also counts the steps of
        # earlier rounds, and it is not part of a checkpoint.
        self._position = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        self._optimizer, (rate,) = optimizer_builder.build(self._train.optimizer, global_step=self._position)
        # Otherwise the optimizer creates its slots while the step is traced, and the step is traced
        # twice. The public `build` exists for newer optimizers only.
        self._optimizer._create_all_weights(self.model.trainable_variables)  # noqa: SLF001
        self._optimizer = precision.optimizer(self._optimizer)
        self._rate = rate if callable(rate) else lambda: rate
        # The names are those of the API's own loop, so that its programs read the checkpoints.
        self.checkpoint = tf.train.Checkpoint(step=self.step, model=self.model, optimizer=self._optimizer)
        self._compiled = tf.function(self._steps, autograph=False, reduce_retracing=True)

    def learning_rate(self) -> float:
        return float(self._rate())

    def restore(self, start: Start) -> None:
        """Load what the training starts from."""
        if start.resume:
            self.checkpoint.restore(start.resume).assert_existing_objects_matched()
        elif start.weights:
            tf.train.Checkpoint(model=self.model).restore(start.weights).expect_partial().assert_existing_objects_matched()
        elif self._train.fine_tune_checkpoint:
            warm_start.restore(self.model, self._train)
        self._position.assign(self.step + start.earlier_steps)

    def run(self, batches: Any, count: int, *, stop: bool) -> dict[str, float]:
        """Make `count` steps.

        Returns sums over the steps: the losses, the images without boxes, and how many replicas
        were asked to stop.
        """
        sums = self._compiled(batches, tf.constant(count), tf.constant(float(stop)))
        return {name: float(value) for name, value in sums.items()}

    def _steps(self, batches: Any, count: Any, stop: Any) -> dict[str, Any]:
        def body(index: Any, sums: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            features, labels = next(batches)
            values = self._strategy.run(self._one_step, args=(features, labels, stop))
            totals = {name: self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in values.items()}
            return index + 1, {name: sums[name] + totals[name] for name in sums}

        zeros = {name: tf.constant(0.0) for name in (events.TOTAL, events.CLASSIFICATION, events.LOCALIZATION, IMAGES_WITHOUT_BOXES, STOP)}
        return dict(tf.while_loop(lambda index, _: index < count, body, (tf.constant(0), zeros))[1])

    def _one_step(self, features: Any, labels: Any, stop: Any) -> dict[str, Any]:
        boxes = labels[standard_fields.InputDataFields.num_groundtruth_boxes]
        losses = precision.train_step(
            self.model,
            features,
            labels,
            self._train.unpad_groundtruth_tensors,
            self._optimizer,
            # The value, not the variable. The model keeps what it is given
            # (object_detection/core/model.py, `_training_step`), so the variable would be saved
            # with the weights. The next round would restore it when it traces its first step
            # (https://github.com/tensorflow/models/issues/10468).
            training_step=self.step.read_value(),
            add_regularization_loss=self._train.add_regularization_loss,
            clip_gradients_value=self._train.gradient_clipping_by_norm or None,
            num_replicas=self._strategy.num_replicas_in_sync,
        )
        self.step.assign_add(1)
        self._position.assign_add(1)
        return {
            events.TOTAL: losses["Loss/total_loss"],
            events.CLASSIFICATION: _sum(losses, families.CLASSIFICATION_LOSSES),
            events.LOCALIZATION: _sum(losses, families.LOCALIZATION_LOSSES),
            IMAGES_WITHOUT_BOXES: tf.reduce_sum(tf.cast(tf.equal(boxes, 0), tf.float32)),
            STOP: tf.identity(stop),
        }


def _sum(losses: dict[str, Any], endings: tuple[str, ...]) -> Any:
    return tf.add_n([tf.cast(value, tf.float32) for name, value in losses.items() if name.endswith(endings)])
