"""The parts of a page: sections of blocks.

The template knows how each kind of block looks, and knows nothing about negset. Every text here may
be foreign (file names, class names, licences); the template escapes it. Every link has passed
`link`.
"""

from __future__ import annotations

import urllib.parse
from typing import ClassVar, Literal

import msgspec

from negset_jobs.reporting.plotting import Chart

Mood = Literal["good", "bad", "neutral"]


class Link(msgspec.Struct, frozen=True):
    """A text with a link."""

    text: str
    url: str


Cell = str | Link


def link(text: str, url: str) -> Cell:
    """Return a link to a web page; only the text for other kinds of URLs, such as `javascript:`."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return text
    return Link(text, url) if parts.scheme in {"http", "https"} and parts.netloc else text


class Paragraph(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "paragraph"
    text: str


class Note(msgspec.Struct, frozen=True):
    """A sentence that readers must not miss."""

    kind: ClassVar[str] = "note"
    text: str
    mood: Mood = "neutral"


class Table(msgspec.Struct, frozen=True):
    """Rows of cells below column heads.

    The first column names the row. The columns in `numbers` are aligned to the right.
    """

    kind: ClassVar[str] = "table"
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()


class Bar(msgspec.Struct, frozen=True):
    """One bar. `percent` is its length relative to the longest possible bar."""

    label: str
    value: str
    percent: float


class Bars(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "bars"
    caption: str
    bars: tuple[Bar, ...]


class Charts(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "charts"
    charts: tuple[tuple[str, Chart], ...]
    """Caption and chart."""


class Mark(msgspec.Struct, frozen=True):
    """A box on an image, in percent of its width and height."""

    left: float
    top: float
    width: float
    height: float
    label: str


class Card(msgspec.Struct, frozen=True):
    """One image with its text.

    `source` is a data URI. `width` and `height` are the true size in pixels. `lines` are the text
    below the image.
    """

    source: str
    alt: str
    width: int
    height: int
    title: str
    lines: tuple[Cell, ...] = ()
    marks: tuple[Mark, ...] = ()


class Gallery(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "gallery"
    cards: tuple[Card, ...]


class Code(msgspec.Struct, frozen=True):
    """Text to read or copy; folded behind its caption if `folded`."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str
    folded: bool = False


class Heading(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "heading"
    text: str


Block = Paragraph | Note | Table | Bars | Charts | Gallery | Code | Heading


class Section(msgspec.Struct, frozen=True):
    """`key` is the section's anchor."""

    key: str
    title: str
    blocks: tuple[Block, ...]


class Tile(msgspec.Struct, frozen=True):
    """A number at the top of the page."""

    value: str
    label: str


class Page(msgspec.Struct, frozen=True):
    title: str
    subtitle: str
    headline: str
    mood: Mood
    details: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    footer: str
