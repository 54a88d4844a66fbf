"""The charts of rates, precision and training."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from negset_api import names
from negset_api.values import LossPoint, Round
from negset_jobs.reporting import wording
from negset_jobs.reporting.evaluation import Evaluation, Judged
from negset_jobs.reporting.plotting import Chart, Theme, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTHED: Final = 40  # with more points, a running median is drawn over them
_MOST_LONG_TICKS: Final = 4
_SHORT: Final = {names.RANDOM_NEGATIVES: "Random\nnegatives", names.NO_NEGATIVES: "No\nnegatives"}
_PALE: Final = 0.45

LEARNING_RATE: Final = "learning rate"


class Line(NamedTuple):
    """The logged points of one arm, over all steps of its model.

    `starts` are the steps at which its rounds start, except the first.
    """

    arm: str
    points: tuple[LossPoint, ...]
    starts: tuple[int, ...]


def false_positives(evaluation: Evaluation) -> Chart:
    """Draw the false positives per image as bars with their intervals.

    The rounds come first, then the other arms.
    """
    models = _models(evaluation)

    def paint(axes: Axes, theme: Theme) -> None:
        values = [each.model.rate for each in models]
        reach = [
            [max(0.0, value - each.interval[0]) for value, each in zip(values, models, strict=True)],
            [max(0.0, each.interval[1] - value) for value, each in zip(values, models, strict=True)],
        ]
        bars = _bars(axes, theme, evaluation, values)
        axes.errorbar(range(len(models)), values, yerr=reach, fmt="none", ecolor=theme.text, elinewidth=1, capsize=4)
        highest = [each.interval[1] for each in models]
        for bar, value, top in zip(bars, values, highest, strict=True):
            axes.annotate(
                wording.rate(value),
                (bar.get_x() + bar.get_width() / 2, max(value, top)),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                color=theme.text,
            )
        axes.set_ylabel("False positives per image")
        axes.set_ylim(0, max([*values, *highest, 0.001]) * 1.18)

    described = (f"{_name(each)} {wording.rate(each.model.rate)} ({wording.interval(each.interval, wording.rate)})" for each in models)
    return chart(paint, f"Bar chart of false positives per held-out negative, with 95 % intervals: {', '.join(described)}.")


def average_precision(evaluation: Evaluation) -> Chart:
    """Draw average precision over IoU 0.50 to 0.95 (COCO), and at IoU 0.50, side by side."""
    models = _models(evaluation)
    measured = [each.model.round.measurement for each in models]

    def paint(axes: Axes, theme: Theme) -> None:
        for offset, colour, label, values in (
            (-0.2, theme.colours[0], "AP, IoU 0.50 to 0.95", [max(0.0, each.average_precision) for each in measured]),
            (0.2, theme.colours[2], "AP at IoU 0.50", [max(0.0, each.average_precision_50) for each in measured]),
        ):
            bars = axes.bar([index + offset for index in range(len(models))], values, width=0.36, color=colour, label=label)
            axes.bar_label(bars, [f"{value:.2f}" for value in values], color=theme.text, padding=3, fontsize=9)
        axes.set_xticks(range(len(models)), _ticks(models))
        axes.grid(visible=False)
        axes.set_ylabel("Average precision")
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)

    described = (f"{_name(each)} {wording.precision(each.model.round.measurement.average_precision)}" for each in models)
    return chart(paint, f"Bar chart of average precision on held-out positives: {', '.join(described)}.")


def lines(rounds: Sequence[Round]) -> tuple[Line, ...]:
    """Return the logged points by arm, in the order in which the arms first appear.

    The steps of a later round continue those of the earlier rounds.
    """
    found: dict[str, list[Round]] = {}
    for each in rounds:
        if each.losses:
            found.setdefault(each.arm, []).append(each)
    return tuple(
        Line(
            arm,
            tuple(_later(point, each.total_steps - each.steps) for each in members for point in each.losses),
            tuple(each.total_steps - each.steps for each in members[1:]),
        )
        for arm, members in found.items()
    )


def logged(curves: Sequence[Line], part: str) -> Chart:
    """Draw one logged value by step, a line per arm, dotted where a round starts.

    The value is the "classification", "localization" or "total" loss, or the learning rate.
    """
    rate = part == LEARNING_RATE

    def paint(axes: Axes, theme: Theme) -> None:
        for line in curves:
            steps, values = [point.step for point in line.points], _values(line, part)
            colour = theme.arm(line.arm)
            # The arms share their schedule. The first line is broad, so the others show on it.
            width = 1.8 if not rate else 3.6 - 1.2 * min(2, list(curves).index(line))
            if len(values) > _SMOOTHED and not rate:
                axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
                values = running_median(values, len(values) // 20)
            label = wording.capital(wording.ARMS[line.arm])
            axes.plot(steps, values, color=colour, linewidth=width, label=label, marker="o" if len(values) == 1 else None)
        for start in sorted({start for line in curves for start in line.starts}):
            axes.axvline(start, color=theme.neutral, linewidth=1, linestyle=":")
        axes.set_xlabel("Training step")
        axes.set_ylabel("Learning rate" if rate else f"{part.capitalize()} loss")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.legend(loc="upper right")

    what = part if rate else f"{part} loss"
    described = (f"{wording.ARMS[line.arm]} ends at {line.points[-1].step:,} steps with {_values(line, part)[-1]:.3g}" for line in curves)
    return chart(paint, f"Line chart of the {what} by training step: {', '.join(described)}.")


def running_median(values: Sequence[float], reach: int) -> list[float]:
    """Return the median of each value and `reach` neighbours on either side, fewer at the ends."""
    return [statistics.median(values[max(0, index - reach) : index + reach + 1]) for index in range(len(values))]


def _models(evaluation: Evaluation) -> tuple[Judged, ...]:
    return (*evaluation.rounds, *evaluation.arms[1:])


def _bars(axes: Axes, theme: Theme, evaluation: Evaluation, values: Sequence[float]) -> Any:
    """Draw bars in the colours of the arms; earlier rounds are pale."""
    models = _models(evaluation)
    bars = axes.bar(range(len(models)), values, width=0.6, color=[theme.arm(each.model.round.arm) for each in models])
    for bar in list(bars)[: len(evaluation.rounds) - 1]:
        bar.set_alpha(_PALE)
    axes.set_xticks(range(len(models)), _ticks(models))
    axes.grid(visible=False)
    return bars


def _name(each: Judged) -> str:
    return wording.model_name(each.model.round.arm, each.number if each.model.round.arm == names.MINED else 0)


def _ticks(models: Sequence[Judged]) -> list[str]:
    """Return the labels below the bars; only the number of a round if there are many."""
    rounds = sum(each.model.round.arm == names.MINED for each in models)
    return [
        _SHORT.get(each.model.round.arm) or (f"Round {each.number}" if rounds <= _MOST_LONG_TICKS else str(each.number)) for each in models
    ]


def _later(point: LossPoint, steps: int) -> LossPoint:
    return LossPoint(
        step=point.step + steps,
        total=point.total,
        classification=point.classification,
        localization=point.localization,
        learning_rate=point.learning_rate,
    )


def _values(line: Line, part: str) -> list[float]:
    return [getattr(point, part.replace(" ", "_")) for point in line.points]
