"""Check the structure of a JPEG: ITU-T T.81, annex B, as libjpeg reads it.

libjpeg ends with an error only at what stands in markers and tables. Damaged data between them give
wrong pixels and a warning. So this check refuses what libjpeg, and with it TensorFlow, refuses
(jdmarker.c, jdinput.c, jdhuff.c, jdphuff.c and jdsample.c of libjpeg-turbo), without decoding.
"""

from __future__ import annotations

import re
from typing import Final

from negset_api.values import Outcome
from negset_jobs.download import jpeg_tables
from negset_jobs.download.failure import Failed
from negset_jobs.download.header import DECODED, Header
from negset_jobs.download.jpeg_frame import FRAMES, Frame, Scan, read_frame, read_scan
from negset_jobs.download.jpeg_tables import require, undecodable

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
_SEGMENTS: Final = _SKIPPED | FRAMES | {_DHT, _DAC, _SOS, _DQT, _DRI}
_LENGTH: Final = 2  # bytes
_RESTART: Final = 2  # bytes


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
        if marker not in _SEGMENTS:
            raise undecodable("with an unknown marker" if marker != _SOI else "that begins again before its end")
        length = int.from_bytes(data[at : at + 2])
        if at + max(_LENGTH, length) > len(data):
            break
        if marker not in _SKIPPED:
            require(length >= _LENGTH, "with a segment of no length")
            reader.segment(marker, data[at + 2 : at + length])
        at += max(_LENGTH, length)
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


class _Reader:
    """The frame, the tables and the scans of a JPEG, segment by segment."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._quantisation: set[int] = set()
        self._quantised: set[int] = set()  # indices of components whose table is known
        self._huffman: dict[tuple[int, int], bool] = {}  # as `jpeg_tables.huffman` returns them
        self._scans = 0
        self._several = False

    @property
    def rare(self) -> bool:
        return self._frame is not None and self._frame.rare

    def header(self) -> Header:
        """Return the header. Raises `Failed` if there was no frame or no image data."""
        frame = self._frame
        if frame is None or not (self._scans or self.rare):
            raise undecodable("without image data")
        count = len(frame.components)
        ready = frame.huffman and count in (1, 3)
        # Of a progressive JPEG, libjpeg keeps every coefficient, two bytes each. Checking one makes
        # next to no pixels, transcoding makes all.
        memory = (2 * count if frame.progressive else 0) + (0 if ready else DECODED)
        return Header(frame.width, frame.height, 1 if count == 1 else 3, ready, memory)

    def truncated(self, data: bytes) -> Failed:
        where = "without its end-of-image marker" if self._scans else "that ends within its header"
        return Failed(Outcome.TRUNCATED, f"a JPEG {where}, after {len(data)} bytes")

    def segment(self, marker: int, content: bytes) -> None:
        """Read one segment. Raises `Failed` if a decoder would refuse it."""
        if marker == _DHT:
            self._huffman.update(jpeg_tables.huffman(content))
        elif marker == _DQT:
            self._quantisation |= jpeg_tables.quantisation(content)
        elif marker == _SOS:
            self._read_scan(content)
        elif marker in FRAMES:
            require(self._frame is None, "with two frame headers")
            self._frame = read_frame(marker, content)
        elif marker == _DAC:
            jpeg_tables.check_conditioning(content)
        else:
            require(len(content) == _RESTART, "whose restart interval has a wrong length")

    def _read_scan(self, content: bytes) -> None:
        frame = self._frame
        if frame is None:
            raise undecodable("whose scan comes before its frame header")
        scan = read_scan(frame, content)
        if not self._scans:
            self._begin(frame, scan)
        self._scans += 1
        require(self._scans <= MOST_SCANS, "of more scans than any encoder writes")
        require(self._several or self._scans == 1, "with another scan after its last")
        known = (index in self._quantised or table in self._quantisation for index, table in zip(*scan[:2], strict=True))
        require(all(known), "without a quantisation table")
        self._quantised.update(scan.components)
        require(all(self._huffman.get(table) for table in scan.huffman), "whose scan has no usable Huffman table")

    def _begin(self, frame: Frame, scan: Scan) -> None:
        self._several = frame.progressive or len(scan.components) < len(frame.components)
        if not frame.progressive:
            # Frames of a video have no tables: those of annex K.3 are meant.
            self._huffman = {(0, 0): True, (0, 1): True, (1, 0): True, (1, 1): True, **self._huffman}
