"""Charts as SVG, each in a light and a dark version. Colours are Okabe and Ito's, which colour-blind people tell apart (https://jfly.uni-koeln.de/color/)."""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from negset_api.values import LossPoint, ReportRound
from negset_jobs.reporting import wording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH: Final = 4.8  # inches; at SVG's 72 points an inch and CSS's 96 pixels an inch, 460 pixels
_HEIGHT: Final = 2.9
_SMOOTHED: Final = 40  # with more points than this, a running median says more than they do


class Chart(msgspec.Struct, frozen=True):
    """One chart: two images as data URIs, and in words what is to be seen."""

    light: str
    dark: str
    alt: str


class _Theme(msgspec.Struct, frozen=True):
    text: str
    grid: str
    neutral: str
    colours: tuple[str, ...]


_LIGHT: Final = _Theme("#333a44", "#d9dee5", "#8a93a0", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"))
_DARK: Final = _Theme("#d5dae1", "#3a424d", "#8a93a0", ("#56b4e9", "#e69f00", "#2fc79b", "#e6a5c8", "#3f9be0", "#f0e442"))


def false_positives(rounds: Sequence[ReportRound]) -> Chart:
    """False positives per picture by round, as bars; the baseline in grey."""

    def paint(axes: Axes, theme: _Theme) -> None:
        values = [each.false_positives_per_image for each in rounds]
        colours = [theme.neutral if each.round == 0 else theme.colours[0] for each in rounds]
        bars = axes.bar(_ticks(rounds), values, width=0.6, color=colours)
        axes.bar_label(bars, [wording.rate(value) for value in values], color=theme.text, padding=3)
        axes.grid(visible=False)
        axes.set_ylabel("False positives per picture")
        axes.set_ylim(0, max([*values, 0.01]) * 1.18)

    told = (f"{_name(each)} {wording.rate(each.false_positives_per_image)}" for each in rounds)
    return _chart(paint, f"Bar chart of false positives per held-out negative picture: {', '.join(told)}.")


def average_precision(rounds: Sequence[ReportRound]) -> Chart:
    """Average precision by round: COCO's over IoU 0.50 to 0.95 and that at IoU 0.50, side by side."""

    def paint(axes: Axes, theme: _Theme) -> None:
        for offset, colour, label, values in (
            (-0.2, theme.colours[0], "AP, IoU 0.50 to 0.95", [max(0.0, each.average_precision) for each in rounds]),
            (0.2, theme.colours[2], "AP at IoU 0.50", [max(0.0, each.average_precision_50) for each in rounds]),
        ):
            bars = axes.bar([index + offset for index in range(len(rounds))], values, width=0.36, color=colour, label=label)
            axes.bar_label(bars, [f"{value:.2f}" for value in values], color=theme.text, padding=3, fontsize=9)
        axes.set_xticks(range(len(rounds)), _ticks(rounds))
        axes.grid(visible=False)
        axes.set_ylabel("Average precision")
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)

    told = (f"{_name(each)} {wording.precision(each.average_precision)}" for each in rounds)
    return _chart(paint, f"Bar chart of average precision on held-out positives: {', '.join(told)}.")


def losses(curves: Sequence[tuple[int, Sequence[LossPoint]]], part: str) -> Chart:
    """One kind of loss ("classification", "localization" or "total") by step, a line per round. `curves` pairs round numbers with their points."""

    def paint(axes: Axes, theme: _Theme) -> None:
        for number, points in curves:
            steps, values = [point.step for point in points], [getattr(point, part) for point in points]
            colour = theme.neutral if number == 0 else theme.colours[(number - 1) % len(theme.colours)]
            label = "baseline" if number == 0 else f"round {number}"
            if len(points) > _SMOOTHED:
                axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
                values = running_median(values, len(points) // 20)
            axes.plot(steps, values, color=colour, linewidth=1.8, label=label, marker="o" if len(points) == 1 else None)
        axes.set_xlabel("Training step")
        axes.set_ylabel(f"{part.capitalize()} loss")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.legend(loc="upper right")

    told = (
        f"{'the baseline' if number == 0 else f'round {number}'} ends at {points[-1].step:,} steps with {getattr(points[-1], part):.3g}"
        for number, points in curves
    )
    return _chart(paint, f"Line chart of the {part} loss by training step: {', '.join(told)}.")


def running_median(values: Sequence[float], reach: int) -> list[float]:
    """The median of each value and `reach` neighbours on either side, fewer at the ends."""
    return [statistics.median(values[max(0, index - reach) : index + reach + 1]) for index in range(len(values))]


def _name(each: ReportRound) -> str:
    return "baseline" if each.round == 0 else f"round {each.round}"


def _ticks(rounds: Sequence[ReportRound]) -> list[str]:
    return [_name(each).capitalize() if len(rounds) <= 5 or each.round == 0 else str(each.round) for each in rounds]  # noqa: PLR2004 - more do not fit


def _chart(paint: Callable[[Any, _Theme], None], alt: str) -> Chart:
    return Chart(_render(paint, _LIGHT), _render(paint, _DARK), alt)


def _render(paint: Callable[[Any, _Theme], None], theme: _Theme) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "negset",  # the same chart is the same bytes
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.edgecolor": theme.grid,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "grid.color": theme.grid,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 9,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        paint(figure.add_subplot(), theme)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
