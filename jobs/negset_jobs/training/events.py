"""The loss curve, read from the event files that TensorBoard shows.

They hold the whole curve, even after a training was resumed.
"""

from __future__ import annotations

import glob
import statistics
from collections.abc import Iterator
from typing import Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from tensorflow.core.framework import summary_pb2
from tensorflow.core.util import event_pb2

from negset_api.values import LossPoint

CLASSIFICATION, LOCALIZATION, TOTAL = "classification", "localization", "total"
_SPEED: Final = "steps_per_sec"
_LEARNING_RATE: Final = "learning_rate"
# The tags are those of the API's own loop.
_TAGS: Final = {TOTAL: "Loss/total_loss", CLASSIFICATION: "Loss/classification_loss", LOCALIZATION: "Loss/localization_loss"}
MOST_POINTS: Final = 500
# `tf.summary.scalar` marks its points like this, but it needs the package tensorboard.
_SCALAR: Final = summary_pb2.SummaryMetadata(
    plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars"), data_class=summary_pb2.DATA_CLASS_SCALAR
)


def write(step: int, losses: dict[str, float], steps_per_second: float, learning_rate: float) -> None:
    """Write one point to the default summary writer."""
    points = {_TAGS[name]: value for name, value in losses.items()} | {_SPEED: steps_per_second, _LEARNING_RATE: learning_rate}
    for tag, value in points.items():
        tf.summary.write(tag, tf.constant(value, tf.float32), step, _SCALAR)


def losses(folder: str, most: int = MOST_POINTS) -> tuple[LossPoint, ...]:
    """Return the curve in the event files of `folder`, in the order of the steps.

    It has at most `most` points, evenly chosen, the last included. Steps that were repeated after
    an interruption count as in the later attempt.
    """
    curve: dict[int, dict[str, float]] = {}
    for path in _files(folder):
        points = _points(path)
        if points:
            first = min(points)
            curve = {step: values for step, values in curve.items() if step < first} | points
    steps = sorted(curve)
    if len(steps) > most:
        steps = [steps[(index * (len(steps) - 1)) // (most - 1)] for index in range(most)]
    return tuple(
        LossPoint(
            step=step,
            total=curve[step][TOTAL],
            classification=curve[step][CLASSIFICATION],
            localization=curve[step][LOCALIZATION],
            learning_rate=curve[step].get(_LEARNING_RATE, 0.0),
        )
        for step in steps
    )


def steps_per_second(folder: str) -> float:
    """Return the median over the event files of `folder`; 0 if there are none.

    The first chunk of steps, in which the graph is traced, does not move a median.
    """
    speeds = [value for path in _files(folder) for _, tag, value in _scalars(path) if tag == _SPEED]
    return statistics.median(speeds) if speeds else 0.0


def _files(folder: str) -> list[str]:
    """Return the event files in the order of the attempts: their names begin with the time."""
    return sorted(glob.glob(f"{glob.escape(folder)}/*tfevents*"))


def _points(path: str) -> dict[int, dict[str, float]]:
    names = {tag: name for name, tag in _TAGS.items()} | {_LEARNING_RATE: _LEARNING_RATE}
    points: dict[int, dict[str, float]] = {}
    for step, tag, value in _scalars(path):
        if tag in names:
            points.setdefault(step, {})[names[tag]] = value
    return {step: values for step, values in points.items() if values.keys() >= _TAGS.keys()}


def _scalars(path: str) -> Iterator[tuple[int, str, float]]:
    """Yield step, tag and value of each scalar in the file.

    A truncated last event is skipped.
    """
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                yield event.step, value.tag, float(tf.make_ndarray(value.tensor))
    except tf.errors.DataLossError:
        return
