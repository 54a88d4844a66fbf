"""The training loop, made of the pieces of object_detection/model_lib_v2.py.

Its own `train_loop` cannot report progress, stop in between, tell what it was fed, or save what
comes after the last multiple of its checkpoint interval. What is trained here is the same:
`eager_train_step` under a distribution strategy, losses divided by the number of replicas.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection.builders import optimizer_builder
from object_detection.core import standard_fields

from negset_api.errors import Interrupted, PeerLost, WorkFailed
from negset_jobs.adapters.progress import Progress
from negset_jobs.training import events, failures, families, models, precision, warm_start
from negset_jobs.training.checkpoints import KEPT
from negset_jobs.training.screening import Unreadable

log = logging.getLogger(__name__)

# Points of the loss curve that a training gives at least, where it has as many steps.
_CHUNKS: Final = 50
_MOST_STEPS: Final = 100  # steps between two looks at the clock, the signals and the losses
_CHUNK_SECONDS: Final = 2.0  # how long a request to stop waits at most, about
_IMAGES_WITHOUT_BOXES: Final = "blanks"
_STOP: Final = "stop"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a training begins: at `resume`, the local prefix of its own checkpoint after `step`
    steps; else with the weights of `weights`; else with random ones.

    `earlier_steps` were made in earlier rounds: the learning rate schedule goes on after them.
    Nothing else of an earlier round but the weights goes over.
    """

    resume: str = ""
    weights: str = ""
    earlier_steps: int = 0
    step: int = 0
    images: int = 0
    images_without_boxes: int = 0


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What was fed to a training, over all its attempts: images, and those of them without any box.

    `unreadable` is what was passed over.
    """

    images: int
    images_without_boxes: int
    unreadable: Unreadable = Unreadable()


Save = Callable[[str, int, int, int], None]
"""Receives a checkpoint: local prefix, step, images and images without a box fed up to then."""


def strategy() -> Any:
    """How the steps are spread: over the workers of `TF_CONFIG`, over this machine's GPUs, or not
    at all. Must be called before anything else of TensorFlow.
    """
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    if sum(len(cluster.get(kind, ())) for kind in ("chief", "worker")) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy() if tf.config.list_physical_devices("GPU") else tf.distribute.get_strategy()


def train(
    config: Any,
    make_batches: Callable[[Any, Any], Any],
    start: Start,
    *,
    where: Any,
    seed: int,
    folder: str,
    checkpoint_every: int,
    save: Save,
    progress: Progress,
) -> Trained:
    """Trains for the configuration's `num_steps`.

    `make_batches(model, context)` gives the `tf.data.Dataset` of a worker; `where` is the
    `strategy`.

    Checkpoints go to `folder` and to `save`, at every multiple of `checkpoint_every` steps and at
    the end; event files to `folder`/train. Raises `Interrupted` after a SIGTERM or SIGINT, having
    saved; `WorkFailed` where the loss is not finite; `InvalidInput` where the Object Detection API
    refuses the configuration.
    """
    tf.keras.utils.set_random_seed(seed)
    steps, batch = config.train_config.num_steps, config.train_config.batch_size
    with where.scope(), failures.refusals():
        trainer = _Trainer(config, where)
        batches = iter(where.distribute_datasets_from_function(lambda context: make_batches(trainer.model, context)))
        trainer.restore(start)
        manager = tf.train.CheckpointManager(trainer.checkpoint, _own(where, folder), max_to_keep=KEPT)
    writer = tf.summary.create_file_writer(_own(where, os.path.join(folder, "train")))
    step, images, images_without_boxes = start.step, start.images, start.images_without_boxes
    # (the public API has no such question).
    several = where.extended._in_multi_worker_mode()  # noqa: SLF001
    clock = _Clock(steps, several=several)
    with where.scope(), writer.as_default(), _asked_to_stop() as stop:
        progress.start("Training", steps, "steps", done=step)
        while step < steps:
            count = min(clock.chunk, steps - step, checkpoint_every - step % checkpoint_every)
            began = time.perf_counter()
            try:
                with failures.refusals():
                    sums = trainer.run(batches, count, stop=stop.is_set())
            except PeerLost as lost:
                raise PeerLost(str(lost), steps=step - start.step) from lost
            clock.took(count, time.perf_counter() - began)
            step, images, images_without_boxes = (
                step + count,
                images + count * batch,
                images_without_boxes + round(sums.pop(_IMAGES_WITHOUT_BOXES)),
            )
            flagged = sums.pop(_STOP) > 0
            # Several workers have to stop at the same step.
            halted = flagged if several else stop.is_set()
            losses = {name: value / count for name, value in sums.items()}
            _require_finite(losses, step)
            events.write(step, losses, clock.steps_per_second, trainer.learning_rate())
            if step % checkpoint_every == 0 or step == steps or halted:
                writer.flush()
                path = manager.save(checkpoint_number=step)
                if where.extended.should_checkpoint:
                    save(path, step, images, images_without_boxes)
            progress.advance(count, loss=losses[events.TOTAL])
            if halted and step < steps:
                raise Interrupted(
                    f"stopped after step {step} of {steps}, as asked; its checkpoint is saved, and the next run goes on from there"
                )
        progress.finish()
    return Trained(images=images, images_without_boxes=images_without_boxes)


class _Trainer:
    """The model, its optimizer and the compiled steps."""

    def __init__(self, config: Any, where: Any) -> None:
        self._where, self._train = where, config.train_config
        self.model = models.build(config, training=True)
        self.step = tf.Variable(
            0, trainable=False, dtype=tf.int64, name="global_step", aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        # Where the schedule of the learning rate is. Like `step`, but it also counts the steps of
        # earlier rounds, and it is no part of a checkpoint.
        self._position = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        self._optimizer, (rate,) = optimizer_builder.build(self._train.optimizer, global_step=self._position)
        # Otherwise the optimizer creates its slots while the step is traced, which is then traced
        # once more.
        # (the public `build` is that of the newer optimizers).
        self._optimizer._create_all_weights(self.model.trainable_variables)  # noqa: SLF001
        self._optimizer = precision.optimizer(self._optimizer)
        self._rate = rate if callable(rate) else lambda: rate
        # The names are those of the API's own loop, so that its programs read the checkpoints.
        self.checkpoint = tf.train.Checkpoint(step=self.step, model=self.model, optimizer=self._optimizer)
        self._compiled = tf.function(self._steps, autograph=False, reduce_retracing=True)

    def learning_rate(self) -> float:
        return float(self._rate())

    def restore(self, start: Start) -> None:
        """Loads what the training begins with."""
        if start.resume:
            self.checkpoint.restore(start.resume).assert_existing_objects_matched()
        elif start.weights:
            tf.train.Checkpoint(model=self.model).restore(start.weights).expect_partial().assert_existing_objects_matched()
        elif self._train.fine_tune_checkpoint:
            warm_start.restore(self.model, self._train)
        self._position.assign(self.step + start.earlier_steps)

    def run(self, batches: Any, count: int, *, stop: bool) -> dict[str, float]:
        """Makes `count` steps.

        Returns sums over the steps: the losses, the images without a box, and how many replicas
        were asked to stop.
        """
        sums = self._compiled(batches, tf.constant(count), tf.constant(float(stop)))
        return {name: float(value) for name, value in sums.items()}

    def _steps(self, batches: Any, count: Any, stop: Any) -> dict[str, Any]:
        def body(index: Any, sums: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            features, labels = next(batches)
            values = self._where.run(self._one_step, args=(features, labels, stop))
            totals = {name: self._where.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for name, value in values.items()}
            return index + 1, {name: sums[name] + totals[name] for name in sums}

        zeros = {
            name: tf.constant(0.0) for name in (events.TOTAL, events.CLASSIFICATION, events.LOCALIZATION, _IMAGES_WITHOUT_BOXES, _STOP)
        }
        return dict(tf.while_loop(lambda index, _: index < count, body, (tf.constant(0), zeros))[1])

    def _one_step(self, features: Any, labels: Any, stop: Any) -> dict[str, Any]:
        boxes = labels[standard_fields.InputDataFields.num_groundtruth_boxes]
        losses = precision.train_step(
            self.model,
            features,
            labels,
            self._train.unpad_groundtruth_tensors,
            self._optimizer,
            # The value, not the variable: the model keeps what it is given
            # (object_detection/core/model.py, `_training_step`), so the variable would be saved
            # with the weights and come back with them when the next round traces its first step
            # (https://github.com/tensorflow/models/issues/10468).
            training_step=self.step.read_value(),
            add_regularization_loss=self._train.add_regularization_loss,
            clip_gradients_value=self._train.gradient_clipping_by_norm or None,
            num_replicas=self._where.num_replicas_in_sync,
        )
        self.step.assign_add(1)
        self._position.assign_add(1)
        return {
            events.TOTAL: losses["Loss/total_loss"],
            events.CLASSIFICATION: _sum(losses, families.CLASSIFICATION_LOSSES),
            events.LOCALIZATION: _sum(losses, families.LOCALIZATION_LOSSES),
            _IMAGES_WITHOUT_BOXES: tf.reduce_sum(tf.cast(tf.equal(boxes, 0), tf.float32)),
            _STOP: tf.identity(stop),
        }


def _sum(losses: dict[str, Any], endings: tuple[str, ...]) -> Any:
    return tf.add_n([tf.cast(value, tf.float32) for name, value in losses.items() if name.endswith(endings)])


class _Clock:
    """Decides how many steps are made before the next look at the signals and the losses."""

    def __init__(self, steps: int, *, several: bool) -> None:
        # Workers must make the same chunks to stop at the same step, and their clocks differ.
        self._most = max(1, min(_MOST_STEPS // 10 if several else _MOST_STEPS, steps // _CHUNKS))
        self._fixed = several
        self.chunk = self._most if several else 1
        self.steps_per_second = 0.0

    def took(self, count: int, seconds: float) -> None:
        """The last chunk's steps and time.

        The very first includes the tracing of the graph, and so the second is short too.
        """
        self.steps_per_second = count / seconds
        if not self._fixed:
            self.chunk = max(1, min(self._most, math.ceil(_CHUNK_SECONDS * self.steps_per_second)))


def _own(where: Any, folder: str) -> str:
    """The chief's folder; another worker, which has to save too, gets one of its own that nobody
    reads.
    """
    return folder if where.extended.should_checkpoint else os.path.join(folder, f"worker-{where.extended._task_id}")  # noqa: SLF001


def _require_finite(losses: dict[str, float], step: int) -> None:
    if not all(map(math.isfinite, losses.values())):
        raise WorkFailed(
            f"the loss is not a finite number at step {step}; lower the learning rate in train_config.optimizer, set train_config.gradient_clipping_by_norm "
            "(10.0 is a common value), or raise spec.training.batchSize"
        )


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by SIGTERM or SIGINT while the block runs; handlers can be installed in the main thread
    only, elsewhere it stays unset.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
