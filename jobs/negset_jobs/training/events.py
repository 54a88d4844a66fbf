"""The loss curve, read back from the event files that TensorBoard shows, so that it is whole after a training was resumed."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from tensorflow.core.util import event_pb2

from negset_api.values import LossPoint

CLASSIFICATION, LOCALIZATION, TOTAL = "classification", "localization", "total"
_TAG: Final = "Loss/negset/"
MOST_POINTS: Final = 500


def write(step: int, losses: dict[str, float], steps_per_second: float, learning_rate: float) -> None:
    """Writes one point to the default summary writer."""
    for name, value in losses.items():
        tf.summary.scalar(_TAG + name, value, step=step)
    tf.summary.scalar("steps_per_sec", steps_per_second, step=step)
    tf.summary.scalar("learning_rate", learning_rate, step=step)


def losses(folder: str, most: int = MOST_POINTS) -> tuple[LossPoint, ...]:
    """The curve in the event files of `folder`, in the order of the steps: at most `most` points, evenly chosen, the last among them.

    Where a training was lost after its last checkpoint, the steps made twice count as they were the second time.
    """
    curve: dict[int, dict[str, float]] = {}
    for path in sorted(glob.glob(f"{glob.escape(folder)}/*tfevents*")):
        points = _points(path)
        if points:
            first = min(points)
            curve = {step: values for step, values in curve.items() if step < first} | points
    steps = sorted(curve)
    if len(steps) > most:
        steps = [steps[(index * (len(steps) - 1)) // (most - 1)] for index in range(most)]
    return tuple(
        LossPoint(step=s, total=curve[s][TOTAL], classification=curve[s][CLASSIFICATION], localization=curve[s][LOCALIZATION])
        for s in steps
    )


def _points(path: str) -> dict[int, dict[str, float]]:
    points: dict[int, dict[str, float]] = {}
    for event in _events(path):
        for value in event.summary.value:
            if value.tag.startswith(_TAG):
                points.setdefault(event.step, {})[value.tag.removeprefix(_TAG)] = float(tf.make_ndarray(value.tensor))
    return {step: values for step, values in points.items() if values.keys() >= {TOTAL, CLASSIFICATION, LOCALIZATION}}


def _events(path: str) -> Iterator[Any]:
    """The file's events; a last one that was cut off by a sudden end is left out."""
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield event_pb2.Event.FromString(record)
    except tf.errors.DataLossError:
        return
