"""Draws a chart as SVG, in a light and a dark version.

The colours are those of Okabe and Ito, which colour-blind people can tell apart
(https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, Final

import msgspec

from negset_api import names

_WIDTH: Final = 4.8  # inches; at SVG's 72 points an inch and CSS's 96 pixels an inch, 460 pixels
_HEIGHT: Final = 2.9


class Chart(msgspec.Struct, frozen=True):
    """One chart: two images as data URIs, and a description in words."""

    light: str
    dark: str
    alt: str


class Theme(msgspec.Struct, frozen=True):
    text: str
    grid: str
    neutral: str
    colours: tuple[str, ...]

    def arm(self, name: str) -> str:
        """Return the colour of an arm, the same in every chart."""
        return {names.MINED: self.colours[0], names.RANDOM_NEGATIVES: self.colours[1]}.get(name, self.neutral)


_LIGHT: Final = Theme("#333a44", "#d9dee5", "#8a93a0", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"))
_DARK: Final = Theme("#d5dae1", "#3a424d", "#8a93a0", ("#56b4e9", "#e69f00", "#2fc79b", "#e6a5c8", "#3f9be0", "#f0e442"))


def chart(paint: Callable[[Any, Theme], None], alt: str) -> Chart:
    return Chart(_render(paint, _LIGHT), _render(paint, _DARK), alt)


def _render(paint: Callable[[Any, Theme], None], theme: Theme) -> str:
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
