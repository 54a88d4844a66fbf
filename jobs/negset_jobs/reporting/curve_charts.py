"""The charts of detections by score: the results of a model at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from negset_jobs.reporting import curves, wording
from negset_jobs.reporting.evaluation import Judged
from negset_jobs.reporting.plotting import Chart, Theme, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND_COLUMNS: Final = 2
# Beyond, detections with very low scores only lengthen the curve.
_LARGEST_RATE: Final = 3.0


def froc(arms: Sequence[Judged]) -> Chart:
    """Draw false positives per held-out negative against recall, a curve per arm.

    The dots are the thresholds at which the arms are compared.
    """
    drawn = [(each, curves.froc(each.model)) for each in arms]
    # A logarithmic axis has no 0, so half a false positive stands for none.
    least = 0.5 / max(1, len(arms[0].model.negative_ids))
    reach = max([10 * least, *(min(_LARGEST_RATE, 4 * each.model.rate) for each in arms)])

    def paint(axes: Axes, theme: Theme) -> None:
        for each, curve in drawn:
            measured, colour = each.model.round.measurement, theme.arm(each.model.round.arm)
            axes.plot(
                np.maximum(curve.x, least),
                curve.y,
                color=colour,
                linewidth=1.8,
                label=wording.capital(_spoken(each)),
                drawstyle="steps-post",
            )
            axes.plot([max(each.model.rate, least)], [measured.recall], color=colour, marker="o", markersize=6)
        axes.axhline(arms[0].model.round.measurement.wanted_recall, color=theme.neutral, linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_xlim(least * 0.9, reach)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("False positives per held-out negative")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylabel("Recall")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.15 if len(arms) <= _LEGEND_COLUMNS else 1.24), ncols=_LEGEND_COLUMNS)

    described = (f"{_spoken(each)} {wording.rate(each.model.rate)} at recall {each.model.round.measurement.recall:.2f}" for each in arms)
    return chart(paint, f"Line chart of recall against false positives per held-out negative (FROC): {', '.join(described)}.")


def precision_recall(arms: Sequence[Judged]) -> Chart:
    """Draw precision against recall on the held-out positives at IoU 0.50, a curve per arm."""
    drawn = [(each, curves.precision_recall(each.model)) for each in arms]

    def paint(axes: Axes, theme: Theme) -> None:
        for each, curve in drawn:
            axes.plot(curve.x, curve.y, color=theme.arm(each.model.round.arm), linewidth=1.8, label=wording.capital(_spoken(each)))
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("Recall")
        axes.set_ylabel("Precision")
        axes.legend(loc="lower left")

    described = (f"{_spoken(each)} AP at IoU 0.50 {wording.precision(each.model.round.measurement.average_precision_50)}" for each in arms)
    return chart(paint, f"Line chart of precision against recall on held-out positives: {', '.join(described)}.")


def scores(judged: Judged) -> Chart:
    """Draw the distribution of scores.

    It shows the detections that find an object, and the best detection on each negative. The line
    is the threshold.
    """
    counted = curves.histogram(judged.model)
    threshold = judged.model.threshold

    def paint(axes: Axes, theme: Theme) -> None:
        edges = np.linspace(0, 1, curves.BINS + 1)
        for values, colour, label in (
            (counted.negatives, theme.colours[1], "best on each negative"),
            (counted.matches, theme.colours[2], "finds an object"),
        ):
            axes.stairs(values, edges, fill=True, color=colour, alpha=0.45)
            axes.stairs(values, edges, color=colour, linewidth=1.4, label=label)
        axes.axvline(threshold, color=theme.text, linewidth=1, linestyle="--", label=f"threshold {threshold:.2f}")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        axes.set_yticks(
            [tick for tick in (0, 1, 10, 100, 1000, 10_000, 100_000) if tick <= 3 * max(1, *counted.matches, *counted.negatives)]
        )
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlim(0, 1)
        axes.set_xlabel("Score")
        axes.set_ylabel("Detections")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.24), ncols=2)

    above = int((judged.model.firing).sum())
    return chart(
        paint,
        f"Histograms of scores, {_spoken(judged)}: {counted.matches.sum():,} detections that find an object, and the best detection on each of {counted.negatives.sum():,} negatives; "
        f"{above:,} detections on negatives are at or above the threshold of {threshold:.2f}.",
    )


def _spoken(judged: Judged) -> str:
    return wording.ARMS[judged.model.round.arm]
