"""The results of each model, with the effect of chance on them.

Pure. They are computed once, for the page and for the numbers.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from negset_api import names
from negset_api.values import ClassNumbers, Interval
from negset_jobs.reporting import intervals
from negset_jobs.reporting.evidence import HIT, Evidence
from negset_jobs.reporting.facts import Facts
from negset_jobs.reporting.overlap import lies_on
from negset_jobs.reporting.precision import difference_interval as precision_difference

_SEED: Final = 20_240_131  # any value; a fixed one gives the same report each time


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one model.

    `interval` is of its rate of false positives. The other intervals are of the last round's value
    minus this model's; the last round has none.
    """

    model: Evidence
    interval: Interval
    difference: Interval | None = None
    change: Interval | None = None
    precision_difference: Interval | None = None
    lies_on: dict[str, int] = {}
    classes: tuple[ClassNumbers, ...] = ()

    @property
    def number(self) -> int:
        return self.model.round.number


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The results of every model.

    `rounds` are those of the arm `Mined`, in order. `arms` are the last round of each arm, `Mined`
    first.
    """

    rounds: tuple[Judged, ...] = ()
    arms: tuple[Judged, ...] = ()


def evaluate(facts: Facts) -> Evaluation:
    """Evaluate every model whose detections are known.

    All were measured on the same images, so they are compared image by image.
    """
    if not facts.evidence:
        return Evaluation()
    models = facts.evidence
    last = max(index for index, model in enumerate(models) if model.round.arm == names.MINED)
    draws = intervals.draw(models, recall=models[last].round.measurement.wanted_recall, seed=_SEED)
    judged = tuple(_judge(facts, draws, index, last) for index in range(len(models)))
    return Evaluation(rounds=judged[: last + 1], arms=judged[last:])


def _judge(facts: Facts, draws: intervals.Draws, index: int, last: int) -> Judged:
    models = facts.evidence
    compared = index != last
    return Judged(
        model=models[index],
        interval=intervals.rate_interval(draws, index),
        difference=intervals.difference_interval(draws, last, index) if compared else None,
        change=intervals.change_interval(draws, last, index) if compared else None,
        precision_difference=precision_difference(models[last].precision, models[index].precision) if compared else None,
        lies_on=lies_on(models[index], facts.annotated) if facts.annotated else {},
        classes=by_class(models[index]),
    )


def by_class(model: Evidence) -> tuple[ClassNumbers, ...]:
    """Return the numbers of each class at the model's threshold, in the order of the label map."""
    size = len(model.classes)
    positions = {name: index for index, name in enumerate(model.classes)}
    objects = np.bincount([positions[box.class_name] for truth in model.truths for box in truth.counted], minlength=size)
    found = (model.verdicts == HIT) & (model.positives.scores >= model.threshold)
    hits = np.bincount(model.positives.labels[found], minlength=size)
    fired = np.bincount(model.negatives.labels[model.firing], minlength=size)
    return tuple(
        ClassNumbers(
            name=name,
            objects=int(objects[index]),
            recall=float(hits[index] / max(1, objects[index])),
            average_precision_50=model.precision.by_class_50.get(name, 0.0),
            false_positives=int(fired[index]),
        )
        for index, name in enumerate(model.classes)
    )
