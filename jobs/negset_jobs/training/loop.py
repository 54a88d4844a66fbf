"""The training loop, made of the parts of object_detection/model_lib_v2.py.

The API's own `train_loop` is not used: see jobs/README.md.
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

# The loss curve has at least this many points, if the training has as many steps.
_CHUNKS: Final = 50
_MOST_STEPS: Final = 100  # steps between two looks at the clock, the signals and the losses
_CHUNK_SECONDS: Final = 2.0  # about the longest time until a request to stop is seen


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """The images fed to a training over all its attempts, and those of them without boxes.

    `unreadable` are the records that were skipped.
    """

    images: int
    images_without_boxes: int
    unreadable: Unreadable = Unreadable()


Save = Callable[[str, int, int, int], None]
"""Receives a checkpoint: local prefix, step, images and images without boxes fed until then."""


def distribution_strategy() -> Any:
    """Return the strategy by which steps are spread over workers or GPUs.

    It spreads them over the workers of `TF_CONFIG`, else over the GPUs of this machine, else not.
    Must be called before anything else of TensorFlow.
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
    """Train for the configuration's `num_steps`.

    `make_batches(model, context)` returns the `tf.data.Dataset` of a worker. `strategy` is the
    `distribution_strategy`.

    Checkpoints go to `folder` and to `save`, at every multiple of `checkpoint_every` steps and at
    the end. Event files go to `folder`/train. After a SIGTERM or SIGINT, saves a checkpoint and
    raises `Interrupted`. Raises `WorkFailed` if the loss is not finite, and `InvalidInput` if the
    Object Detection API refuses the configuration.
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
            # Several workers must stop at the same step.
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
                    f"stopped after step {fed.step} of {steps} on request; the checkpoint is saved, and the next run resumes from it"
                )
        progress.finish()
    return Trained(images=fed.images, images_without_boxes=fed.images_without_boxes)


class _Fed(NamedTuple):
    """What was fed to a training, over all its attempts."""

    step: int
    images: int
    images_without_boxes: int

    def after(self, steps: int, batch: int, *, without_boxes: int) -> _Fed:
        """Return the counts after more steps, each with `batch` images."""
        return _Fed(self.step + steps, self.images + steps * batch, self.images_without_boxes + without_boxes)


def _run(trainer: Trainer, batches: Any, count: int, clock: _Clock, *, stop: bool, made: int) -> dict[str, float]:
    """Make `count` steps and tell the clock. Returns what `Trainer.run` returns.

    `made` counts the steps of this process. If a worker is lost, the error carries it.
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
    """Decides how many steps to make before the next look at the signals and the losses."""

    def __init__(self, steps: int, *, several: bool) -> None:
        # Workers must make the same chunks to stop at the same step, and their clocks differ.
        self._most = max(1, min(_MOST_STEPS // 10 if several else _MOST_STEPS, steps // _CHUNKS))
        self._fixed = several
        self.chunk = self._most if several else 1
        self.steps_per_second = 0.0

    def took(self, count: int, seconds: float) -> None:
        """Receive the steps and the time of the last chunk.

        The very first chunk includes the tracing of the graph, so the second is short too.
        """
        self.steps_per_second = count / seconds
        if not self._fixed:
            self.chunk = max(1, min(self._most, math.ceil(_CHUNK_SECONDS * self.steps_per_second)))


def _own(strategy: Any, folder: str) -> str:
    """Return the folder of the chief, or a worker's own folder.

    The other workers must save too, but their files are not read.
    """
    return folder if strategy.extended.should_checkpoint else os.path.join(folder, f"worker-{strategy.extended._task_id}")  # noqa: SLF001


def _require_finite(losses: dict[str, float], step: int) -> None:
    if not all(map(math.isfinite, losses.values())):
        raise WorkFailed(
            f"the loss is not finite at step {step}; lower the learning rate in train_config.optimizer, set train_config.gradient_clipping_by_norm "
            "(10.0 is a common value), or raise spec.training.batchSize"
        )


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM or SIGINT sets while the block runs.

    Handlers can be installed in the main thread only. In another thread the event stays unset.
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
