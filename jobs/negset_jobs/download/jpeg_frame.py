"""Check the frame and the scans of a JPEG: ITU-T T.81, annexes B.2.2 and B.2.3, as libjpeg does.

The files of one camera or web site have the same frames and scans. So the results are kept.
"""

from __future__ import annotations

import functools
import struct
from typing import Final, NamedTuple

from negset_jobs.download.header import BITS
from negset_jobs.download.jpeg_tables import COEFFICIENTS, require

FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers of frames."""

_HUFFMAN: Final = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive: every decoder has them
_ARITHMETIC: Final = frozenset({0xC9, 0xCA})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})

_LAYOUT: Final = struct.Struct(">BHHB")
_MOST_COMPONENTS: Final = 4  # in a scan
_MOST_BLOCKS: Final = 10  # in the unit of an interleaved scan
_MOST_FACTOR: Final = 4
_LONGEST_SIDE: Final = 65_500
_MOST_SHIFT: Final = 13  # bits that successive approximation may leave out


class Component(NamedTuple):
    """A component: its id, its sampling factors, and the number of its quantisation table."""

    id: int
    across: int
    down: int
    table: int


class Frame(NamedTuple):
    """A frame. `rare` is True if it is neither Huffman nor arithmetic coding with eight bits."""

    huffman: bool
    progressive: bool
    rare: bool
    height: int
    width: int
    components: tuple[Component, ...]


class Scan(NamedTuple):
    """What a scan needs: components, by their index, and tables.

    `quantisation` has the number of each component's table. `huffman` has class and number of each
    table.
    """

    components: tuple[int, ...]
    quantisation: tuple[int, ...]
    huffman: tuple[tuple[int, int], ...]


@functools.lru_cache(1024)
def read_frame(marker: int, content: bytes) -> Frame:
    """Return the frame in a segment. Raises `Failed` if its lengths are wrong."""
    require(len(content) >= _LAYOUT.size, "whose frame header is too short")
    precision, height, width, count = _LAYOUT.unpack_from(content)
    require(bool(width and height), f"of {width}x{height} pixels")
    require(bool(count) and len(content) == _LAYOUT.size + 3 * count, "whose frame header has a wrong length")
    return Frame(
        huffman=marker in _HUFFMAN and precision == BITS,
        progressive=marker in _PROGRESSIVE,
        rare=marker not in _HUFFMAN | _ARITHMETIC or precision != BITS,
        height=height,
        width=width,
        components=tuple(
            Component(content[at], content[at + 1] >> 4, content[at + 1] & 15, content[at + 2])
            for at in range(_LAYOUT.size, len(content), 3)
        ),
    )


@functools.lru_cache(1024)
def read_scan(frame: Frame, content: bytes) -> Scan:
    """Return what a scan of the frame needs. Raises `Failed` if a decoder would refuse it."""
    count = content[0] if content else 0
    require(0 < count <= _MOST_COMPONENTS and len(content) == 4 + 2 * count, "whose scan header has a wrong length")
    _check_sizes(frame)
    components = _components(frame, content[1 : 1 + 2 * count : 2])
    blocks = sum(frame.components[index].across * frame.components[index].down for index in components)
    require(count == 1 or blocks <= _MOST_BLOCKS, "whose scan interleaves too many blocks")
    return Scan(
        components=components,
        quantisation=tuple(frame.components[index].table for index in components),
        huffman=_tables(frame, content[2 : 2 + 2 * count : 2], *content[-3:]),
    )


def _check_sizes(frame: Frame) -> None:
    require(max(frame.width, frame.height) <= _LONGEST_SIDE, f"with a side of more than {_LONGEST_SIDE} pixels")
    factors = [factor for component in frame.components for factor in (component.across, component.down)]
    require(all(0 < factor <= _MOST_FACTOR for factor in factors), "whose sampling factors do not exist")
    across, down = max(factors[::2]), max(factors[1::2])
    whole = all(across % component.across == 0 and down % component.down == 0 for component in frame.components)
    require(whole, "whose sampling factors are fractions of each other")


def _components(frame: Frame, ids: bytes) -> tuple[int, ...]:
    """Return the indices of a scan's components, found as libjpeg does.

    It begins each search one component later. So if all components have one id, which a few
    encoders write, the scan takes them in their order.
    """
    chosen: list[int] = []
    for position, wanted in enumerate(ids):
        index = next((at for at in range(position, len(frame.components)) if frame.components[at].id == wanted), -1)
        require(index >= 0 and index not in chosen, "whose scan refers to a component that does not exist")
        chosen.append(index)
    return tuple(chosen)


def _tables(frame: Frame, selectors: bytes, first: int, last: int, bits: int) -> tuple[tuple[int, int], ...]:
    """Return the Huffman tables of a scan. Raises `Failed` if a progressive scan is impossible."""
    if frame.progressive:
        high, low = divmod(bits, 16)
        band = last == 0 if first == 0 else first <= last < COEFFICIENTS and len(selectors) == 1
        require(band and low <= _MOST_SHIFT and high in (0, low + 1), "with an impossible progressive scan")
    if not frame.huffman:
        return ()
    dc = not frame.progressive or (first == 0 and not bits >> 4)
    ac = not frame.progressive or first > 0
    pairs = [divmod(selector, 16) for selector in selectors]
    return (*((0, number) for number, _ in pairs if dc), *((1, number) for _, number in pairs if ac))
