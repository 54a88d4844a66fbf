"""How the learning rate changes when the spec changes the steps or the batch size. Pure."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any, Final

log = logging.getLogger(__name__)

_ADAPTIVE: Final = ("adam_optimizer", "rms_prop_optimizer")
_RATES: Final = {
    "constant_learning_rate": ("learning_rate",),
    "exponential_decay_learning_rate": (
        "initial_learning_rate",
        "burnin_learning_rate",
        "min_learning_rate",
    ),
    "manual_step_learning_rate": ("initial_learning_rate",),
    "cosine_decay_learning_rate": ("learning_rate_base", "warmup_learning_rate"),
}
"""The fields of each kind of schedule that are learning rates. The first is the peak rate."""


def scale_for_batch(train: Any, before: int, after: int) -> None:
    """Scale the learning rates of `train_config` in place to another batch size.

    A batch k times as large averages k times as many gradients, so the step may be longer. With
    plain or momentum SGD, the factor is k (Goyal et al. 2017, arXiv:1706.02677). Adam and RMSProp
    divide by the gradient's own size, so their factor is the square root of k (Malladi et al. 2022,
    arXiv:2205.10287). All rates of a schedule are scaled by the same factor. So its shape stays,
    and a warm-up never starts above its end, which the API refuses.
    """
    kind = train.optimizer.WhichOneof("optimizer")
    if kind is None or before < 1 or after < 1 or before == after:
        return
    ratio = after / before
    factor = math.sqrt(ratio) if kind in _ADAPTIVE else ratio
    fields = list(_rates(getattr(train.optimizer, kind).learning_rate))
    if not fields:
        return
    message, name = fields[0]
    old = getattr(message, name)
    for holder, field in fields:
        setattr(holder, field, getattr(holder, field) * factor)
    log.warning(
        "spec.training.batchSize changes the batch from %d to %d images; the learning rate (%s) is scaled from %.3g to %.3g (factor %.3g: %s)",
        before,
        after,
        name,
        old,
        getattr(message, name),
        factor,
        f"the square root of the batch's growth, for {kind}" if kind in _ADAPTIVE else f"the batch's growth, for {kind}",
    )


def scale_for_steps(train: Any, steps: int) -> None:
    """Stretch or shrink the schedule in place, warm-up included, so that it ends with `steps`."""
    kind = train.optimizer.WhichOneof("optimizer")
    if kind is None:
        return
    rate = getattr(train.optimizer, kind).learning_rate
    match rate.WhichOneof("learning_rate"):
        case "cosine_decay_learning_rate":
            schedule = rate.cosine_decay_learning_rate
            factor = steps / max(schedule.total_steps, 1)
            schedule.total_steps = steps
            # The API refuses a warm-up longer than the schedule (utils/learning_schedules.py,
            # cosine_decay_with_warmup).
            schedule.warmup_steps = min(int(schedule.warmup_steps * factor), steps - 1)
            schedule.hold_base_rate_steps = int(schedule.hold_base_rate_steps * factor)
        case "exponential_decay_learning_rate" if train.num_steps:
            schedule = rate.exponential_decay_learning_rate
            schedule.decay_steps = max(1, schedule.decay_steps * steps // train.num_steps)
            schedule.burnin_steps = schedule.burnin_steps * steps // train.num_steps
        case "manual_step_learning_rate" if train.num_steps:
            previous = 0
            for entry in rate.manual_step_learning_rate.schedule:
                entry.step = previous = max(previous + 1, entry.step * steps // train.num_steps)
        case _:
            pass


def _rates(rate: Any) -> Iterator[tuple[Any, str]]:
    """Yield the message and the name of the field of every learning rate of a schedule."""
    kind = rate.WhichOneof("learning_rate")
    if kind is None:
        return
    schedule = getattr(rate, kind)
    yield from ((schedule, field) for field in _RATES[kind])
    if kind == "manual_step_learning_rate":
        yield from ((entry, "learning_rate") for entry in schedule.schedule)
