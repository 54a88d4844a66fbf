"""Check the structure of a JPEG: ITU-T T.81, annex B, as libjpeg reads it.

libjpeg ends with an error only at what stands in markers and tables. Damaged data between them give
wrong pixels and a warning. So this check refuses what libjpeg, and with it TensorFlow, refuses
(jdmarker.c, jdinput.c, jdhuff.c, jdphuff.c and jdsample.c of libjpeg-turbo), without decoding.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from negset_api.values import Outcome
from negset_jobs.download import jpeg_tables
from negset_jobs.download.failure import Failed
from negset_jobs.download.header import BITS, DECODED, Header
from negset_jobs.download.jpeg_tables import COEFFICIENTS, require, undecodable

SIGNATURE: Final = b"\xff\xd8\xff"

MOST_SCANS: Final = 64
"""The maximum number of scans in a JPEG.

libjpeg's progressive files have 10, and those of other encoders up to about 20. Each scan costs the
time of a whole image: 154 kB in 1,000 scans took 5 CPU seconds.
"""

_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
# Within image data, 0xFF is followed by a stuffed zero. Restart markers and TEM carry nothing.
_AFTER_DATA: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")

_DHT, _DAC, _SOI, _EOI, _SOS, _DQT, _DNL, _DRI, _TEM, _COM = 0xC4, 0xCC, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0x01, 0xFE
_ALONE: Final = frozenset({_TEM, *range(0xD0, 0xD8)})
_SKIPPED: Final = frozenset({_DNL, _COM, *range(0xE0, 0xF0)})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_SEGMENTS: Final = _SKIPPED | _FRAMES | {_DHT, _DAC, _SOS, _DQT, _DRI}
_HUFFMAN: Final = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive: every decoder has them
_ARITHMETIC: Final = frozenset({0xC9, 0xCA})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})

_LENGTH: Final = struct.Struct(">H")
_RESTART: Final = struct.Struct(">H")
_FRAME: Final = struct.Struct(">BHHB")
_MOST_COMPONENTS: Final = 4  # in a scan
_MOST_BLOCKS: Final = 10  # in the unit of an interleaved scan
_MOST_FACTOR: Final = 4
_LONGEST_SIDE: Final = 65_500
_MOST_SHIFT: Final = 13  # bits that successive approximation may leave out


def inspect(data: bytes) -> Header:
    """Return the header of a JPEG after checking its structure up to the end of the image.

    Bytes after it (padding, a second image) are allowed. Raises `Failed` with the outcome truncated
    or undecodable.
    """
    reader = _Reader()
    at, pattern = 2, _MARKER
    while (found := pattern.search(data, at)) is not None:
        at, pattern = found.end(), _MARKER
        marker = data[at - 1]
        if marker in _ALONE:
            continue
        if marker == _EOI:
            return reader.header()
        require(marker in _SEGMENTS, "with an unknown marker" if marker != _SOI else "that begins again before its end")
        length = int.from_bytes(data[at : at + 2])
        if at + max(_LENGTH.size, length) > len(data):
            break
        if marker not in _SKIPPED:
            require(length >= _LENGTH.size, "with a segment of no length")
            reader.segment(marker, data[at + 2 : at + length])
        at += max(_LENGTH.size, length)
        if reader.rare:
            return _rare(data, at, reader)
        if marker == _SOS:
            pattern = _AFTER_DATA
    raise reader.truncated(data)


def _rare(data: bytes, at: int, reader: _Reader) -> Header:
    """Return the header of a kind of JPEG that is always transcoded. Decoding checks the rest."""
    if data.rfind(b"\xff\xd9", at) < 0:
        raise reader.truncated(data)
    return reader.header()


class _Component(NamedTuple):
    id: int
    across: int  # sampling factors
    down: int
    table: int


class _Frame(NamedTuple):
    marker: int
    precision: int
    height: int
    width: int
    components: tuple[_Component, ...]


class _Reader:
    """The tables and the frame of a JPEG, segment by segment.

    `rare` becomes True at a frame that is neither Huffman nor arithmetic coding with eight bits.
    """

    def __init__(self) -> None:
        self.rare = False
        self._frame: _Frame | None = None
        self._quantisation: set[int] = set()
        self._quantised: set[int] = set()  # indices of components whose table is known
        self._huffman: dict[tuple[int, int], bool] = {}  # as `jpeg_tables.huffman` returns them
        self._scans = 0
        self._several = False

    def header(self) -> Header:
        """Return the header. Raises `Failed` if there was no frame or no image data."""
        frame = self._frame
        if frame is None or not (self._scans or self.rare):
            raise undecodable("without image data")
        count = len(frame.components)
        ready = frame.marker in _HUFFMAN and frame.precision == BITS and count in (1, 3)
        # Of a progressive JPEG, libjpeg keeps every coefficient, two bytes each. Checking one makes
        # next to no pixels, transcoding makes all.
        memory = (2 * count if frame.marker in _PROGRESSIVE else 0) + (0 if ready else DECODED)
        return Header(frame.width, frame.height, 1 if count == 1 else 3, ready, memory)

    def truncated(self, data: bytes) -> Failed:
        where = "without its end-of-image marker" if self._scans else "that ends within its header"
        return Failed(Outcome.TRUNCATED, f"a JPEG {where}, after {len(data)} bytes")

    def segment(self, marker: int, content: bytes) -> None:
        """Read one segment. Raises `Failed` if a decoder would refuse it."""
        if marker in _FRAMES:
            self._read_frame(marker, content)
        elif marker == _SOS:
            self._read_scan(content)
        elif marker == _DHT:
            self._huffman |= jpeg_tables.huffman(content)
        elif marker == _DQT:
            self._quantisation |= jpeg_tables.quantisation(content)
        elif marker == _DAC:
            jpeg_tables.check_conditioning(content)
        else:
            require(len(content) == _RESTART.size, "whose restart interval has a wrong length")

    def _read_frame(self, marker: int, content: bytes) -> None:
        require(self._frame is None, "with two frame headers")
        require(len(content) >= _FRAME.size, "whose frame header is too short")
        precision, height, width, count = _FRAME.unpack_from(content)
        require(bool(width and height), f"of {width}x{height} pixels")
        require(bool(count) and len(content) == _FRAME.size + 3 * count, "whose frame header has a wrong length")
        components = (
            _Component(content[at], content[at + 1] >> 4, content[at + 1] & 15, content[at + 2])
            for at in range(_FRAME.size, len(content), 3)
        )
        self._frame = _Frame(marker, precision, height, width, tuple(components))
        self.rare = marker not in _HUFFMAN | _ARITHMETIC or precision != BITS

    def _read_scan(self, content: bytes) -> None:
        frame = self._frame
        if frame is None:
            raise undecodable("whose scan comes before its frame header")
        count = content[0] if content else 0
        require(0 < count <= _MOST_COMPONENTS and len(content) == 4 + 2 * count, "whose scan header has a wrong length")
        chosen = self._components(frame, content[1 : 1 + 2 * count : 2])
        if not self._scans:
            self._begin(frame, count)
        self._scans += 1
        require(self._scans <= MOST_SCANS, f"of more than {MOST_SCANS} scans")
        require(self._several or self._scans == 1, "with another scan after its last")
        blocks = sum(frame.components[index].across * frame.components[index].down for index in chosen)
        require(count == 1 or blocks <= _MOST_BLOCKS, "whose scan interleaves too many blocks")
        for index in chosen:
            require(index in self._quantised or frame.components[index].table in self._quantisation, "without a quantisation table")
        self._quantised.update(chosen)
        self._check_codes(frame, content[2 : 2 + 2 * count : 2], *content[-3:])

    def _components(self, frame: _Frame, ids: bytes) -> list[int]:
        """Return the indices of a scan's components, found as libjpeg does.

        It begins each search one component later. So if all components have one id, which a few
        encoders write, the scan takes them in their order.
        """
        chosen: list[int] = []
        for position, wanted in enumerate(ids):
            index = next((at for at in range(position, len(frame.components)) if frame.components[at].id == wanted), -1)
            require(index >= 0 and index not in chosen, "whose scan refers to a component that does not exist")
            chosen.append(index)
        return chosen

    def _begin(self, frame: _Frame, count: int) -> None:
        """Check the frame. A decoder does so at the first scan."""
        require(max(frame.width, frame.height) <= _LONGEST_SIDE, f"with a side of more than {_LONGEST_SIDE} pixels")
        factors = [factor for component in frame.components for factor in (component.across, component.down)]
        require(all(0 < factor <= _MOST_FACTOR for factor in factors), "whose sampling factors do not exist")
        across, down = max(factors[::2]), max(factors[1::2])
        require(
            all(across % component.across == 0 and down % component.down == 0 for component in frame.components),
            "whose sampling factors are fractions of each other",
        )
        self._several = count < len(frame.components) or frame.marker in _PROGRESSIVE
        if frame.marker not in _PROGRESSIVE:
            # Frames of a video have no tables: those of annex K.3 are meant.
            for kind, number in ((0, 0), (0, 1), (1, 0), (1, 1)):
                self._huffman.setdefault((kind, number), True)

    def _check_codes(self, frame: _Frame, selectors: bytes, first: int, last: int, bits: int) -> None:
        """Check that the tables of a scan exist, and that a progressive scan is possible."""
        progressive = frame.marker in _PROGRESSIVE
        if progressive:
            high, low = divmod(bits, 16)
            band = last == 0 if first == 0 else first <= last < COEFFICIENTS and len(selectors) == 1
            require(band and low <= _MOST_SHIFT and high in (0, low + 1), "with an impossible progressive scan")
        if frame.marker in _ARITHMETIC:
            return
        needs_dc = not progressive or (first == 0 and not bits >> 4)
        needs_ac = not progressive or first > 0
        for selector in selectors:
            dc, ac = divmod(selector, 16)
            fine = (not needs_dc or self._huffman.get((0, dc))) and (not needs_ac or self._huffman.get((1, ac)))
            require(bool(fine), "whose scan has no usable Huffman table")
