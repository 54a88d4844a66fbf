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
from typing import Any, Final, NamedTuple

import msgspec

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf

from negset_api.errors import Interrupted, PeerLost, WorkFailed
from negset_jobs.adapters.progress import Progress
from negset_jobs.training import events, failures
from negset_jobs.training.checkpoints import KEPT
from negset_jobs.training.screening import Unreadable
from negset_jobs.training.trainer import IMAGES_WITHOUT_BOXES, STOP, Start, Trainer

log = logging.getLogger(__name__)

# Points of the loss curve that a training gives at least, where it has as many steps.
_CHUNKS: Final = 50
_MOST_STEPS: Final = 100  # steps between two looks at the clock, the signals and the losses
_CHUNK_SECONDS: Final = 2.0  # how long a request to stop waits at most, about


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What was fed to a training, over all its attempts: images, and those of them without any box.

    `unreadable` is what was passed over.
    """

    images: int
    images_without_boxes: int
    unreadable: Unreadable = Unreadable()


Save = Callable[[str, int, int, int], None]
"""Receives a checkpoint: local prefix, step, images and images without a box fed up to then."""


def distribution_strategy() -> Any:
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
    strategy: Any,
    seed: int,
    folder: str,
    checkpoint_every: int,
    save: Save,
    progress: Progress,
) -> Trained:
    """Trains for the configuration's `num_steps`.

    `make_batches(model, context)` gives the `tf.data.Dataset` of a worker; `strategy` is the
    `distribution_strategy`.

    Checkpoints go to `folder` and to `save`, at every multiple of `checkpoint_every` steps and at
    the end; event files to `folder`/train. Raises `Interrupted` after a SIGTERM or SIGINT, having
    saved; `WorkFailed` where the loss is not finite; `InvalidInput` where the Object Detection API
    refuses the configuration.
    """
    tf.keras.utils.set_random_seed(seed)
    steps, batch = config.train_config.num_steps, config.train_config.batch_size
    with strategy.scope(), failures.refusals():
        trainer = Trainer(config, strategy)
        batches = iter(strategy.distribute_datasets_from_function(lambda context: make_batches(trainer.model, context)))
        trainer.restore(start)
        manager = tf.train.CheckpointManager(trainer.checkpoint, _own(strategy, folder), max_to_keep=KEPT)
    writer = tf.summary.create_file_writer(_own(strategy, os.path.join(folder, "train")))
    # The public API does not tell whether there are several workers.
    several = strategy.extended._in_multi_worker_mode()  # noqa: SLF001
    clock, fed = _Clock(steps, several=several), _Fed(start.step, start.images, start.images_without_boxes)
    with strategy.scope(), writer.as_default(), _asked_to_stop() as stop:
        progress.start("Training", steps, "steps", done=fed.step)
        while fed.step < steps:
            count = min(clock.chunk, steps - fed.step, checkpoint_every - fed.step % checkpoint_every)
            sums = _run(trainer, batches, count, clock, stop=stop.is_set(), made=fed.step - start.step)
            fed = fed.after(count, batch, without_boxes=round(sums.pop(IMAGES_WITHOUT_BOXES)))
            flagged = sums.pop(STOP) > 0
            # Several workers have to stop at the same step.
            halted = flagged if several else stop.is_set()
            losses = {name: value / count for name, value in sums.items()}
            _require_finite(losses, fed.step)
            events.write(fed.step, losses, clock.steps_per_second, trainer.learning_rate())
            if fed.step % checkpoint_every == 0 or fed.step == steps or halted:
                writer.flush()
                path = manager.save(checkpoint_number=fed.step)
                if strategy.extended.should_checkpoint:
                    save(path, *fed)
            progress.advance(count, loss=losses[events.TOTAL])
            if halted and fed.step < steps:
                raise Interrupted(
                    f"stopped after step {fed.step} of {steps}, as asked; its checkpoint is saved, and the next run goes on from there"
                )
        progress.finish()
    return Trained(images=fed.images, images_without_boxes=fed.images_without_boxes)


class _Fed(NamedTuple):
    """What a training has been fed, over all its attempts."""

    step: int
    images: int
    images_without_boxes: int

    def after(self, steps: int, batch: int, *, without_boxes: int) -> _Fed:
        """Return the counts after more steps, each of `batch` images."""
        return _Fed(self.step + steps, self.images + steps * batch, self.images_without_boxes + without_boxes)


def _run(trainer: Trainer, batches: Any, count: int, clock: _Clock, *, stop: bool, made: int) -> dict[str, float]:
    """Make `count` steps, and tell the clock. Return what `Trainer.run` returns.

    `made` counts the steps that this process has made. A lost worker is reported with them.
    """
    began = time.perf_counter()
    try:
        with failures.refusals():
            sums = trainer.run(batches, count, stop=stop)
    except PeerLost as lost:
        raise PeerLost(str(lost), steps=made) from lost
    clock.took(count, time.perf_counter() - began)
    return sums


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


def _own(strategy: Any, folder: str) -> str:
    """The chief's folder; another worker, which has to save too, gets one of its own that nobody
    reads.
    """
    return folder if strategy.extended.should_checkpoint else os.path.join(folder, f"worker-{strategy.extended._task_id}")  # noqa: SLF001


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
