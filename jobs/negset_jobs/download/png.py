"""Check a PNG: W3C Portable Network Graphics (third edition), as libpng reads it.

`inspect` reads the chunks. `decompress` reads the pixels as far as libpng can refuse them: the
compressed stream, its length, and the filter of each row. Both refuse what TensorFlow refuses.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed
from negset_jobs.download.header import BITS, Header

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_CHUNK: Final = struct.Struct(">I4s")
_IHDR: Final = struct.Struct(">IIBBBBB")
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_DEPTHS: Final = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGB_ALPHA: (8, 16)}
_CHANNELS: Final = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
_CRITICAL: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_KEPT: Final = _CRITICAL | {b"tRNS"}
_LONGEST_SIDE: Final = 1_000_000  # libpng's own limit
_MOST_COLORS: Final = 256
_FILTERS: Final = 4

_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: left, top, and the distances of columns and rows of each pass."""

_PIECE: Final = 1 << 16  # compressed bytes at a time: zlib copies what it has not used
_BLOCK: Final = 1 << 18  # decompressed bytes at a time


class _Chunk(NamedTuple):
    kind: bytes
    at: int  # of its content
    end: int


class _Image(NamedTuple):
    width: int
    height: int
    depth: int
    color: int
    interlaced: int


def inspect(data: bytes) -> Header:
    """Return the header of a PNG after checking its chunks and the checksums of those that count.

    Images with sixteen bits per channel or transparency are not ready: TensorFlow drops the alpha
    channel and shows the arbitrary colour below it. Raises `Failed` with the outcome truncated or
    undecodable.
    """
    image: _Image | None = None
    seen: set[bytes] = set()
    for chunk in _chunks(data):
        if image is None:
            image = _header(data, chunk)
        else:
            _check(data, chunk, seen, image)
        seen.add(chunk.kind)
    assert image is not None
    _require(b"IDAT" in seen, "without image data")
    ready = image.depth <= BITS and image.color in (_GREY, _RGB, _PALETTE) and b"tRNS" not in seen
    return Header(image.width, image.height, 1 if image.color in (_GREY, _GREY_ALPHA) else 3, ready)


def decompress(data: bytes) -> None:
    """Read the pixels of a PNG that `inspect` has accepted, in bounded memory.

    Raises `Failed` with the outcome undecodable.
    """
    chunks = list(_chunks(data))
    image = _header(data, chunks[0])
    pixels = _Inflater(data, chunks)
    bits = image.depth * _CHANNELS[image.color]
    size = 0
    for width, height in _sizes(image):
        row = 1 + (width * bits + 7) // 8
        most = max(1, _BLOCK // row)
        for start in range(0, height, most):
            block = pixels.read(row * min(most, height - start))
            _require(max(block[::row]) <= _FILTERS, "with a filter that does not exist")
        size += row * height
    pixels.finish(size)


def without_metadata(data: bytes) -> bytes:
    """Return the PNG with only the chunks that the pixels need. Others may be bombs."""
    kept = (data[chunk.at - _CHUNK.size : chunk.end + 4] for chunk in _chunks(data) if chunk.kind in _KEPT)
    return SIGNATURE + b"".join(kept)


def for_pillow(data: bytes) -> bytes:
    """Return an image's bytes as Pillow may open them: a PNG without its metadata.

    Pillow refuses a PNG with a compressed text or profile of more than 1 MiB, which libpng skips.
    Raises `Failed` if a PNG has no end chunk.
    """
    return without_metadata(data) if data.startswith(SIGNATURE) else data


def exif(data: bytes) -> bytes:
    """Return the EXIF of a PNG; nothing if it has none, or a longer one than a JPEG can have."""
    return next((data[chunk.at : chunk.end] for chunk in _chunks(data) if chunk.kind == b"eXIf" and chunk.end - chunk.at < 1 << 16), b"")


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks up to the end chunk. Raises `Failed` if it is missing."""
    at = len(SIGNATURE)
    while at + _CHUNK.size + 4 <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        _require(kind.isalpha() and length < 1 << 31, f"with something else than a chunk at byte {at}")
        content, end = at + _CHUNK.size, at + _CHUNK.size + length
        if end + 4 > len(data):
            break
        yield _Chunk(kind, content, end)
        if kind == b"IEND":
            return
        at = end + 4
    raise Failed(Outcome.TRUNCATED, f"a PNG without its end chunk, after {len(data)} bytes")


def _header(data: bytes, chunk: _Chunk) -> _Image:
    _require(chunk.kind == b"IHDR" and chunk.end - chunk.at == _IHDR.size, "that does not begin with its header")
    _check_sum(data, chunk)
    width, height, depth, color, compression, filtering, interlaced = _IHDR.unpack_from(data, chunk.at)
    _require(bool(width and height), f"of {width}x{height} pixels")
    _require(depth in _DEPTHS.get(color, ()), f"of colour type {color} with {depth} bits, which do not exist together")
    _require(compression == filtering == 0 and interlaced <= 1, "with an unknown compression, filter or interlacing")
    if max(width, height) > _LONGEST_SIDE:
        raise Failed(Outcome.TOO_LARGE, f"expected sides of at most {_LONGEST_SIDE} pixels, got {width}x{height}")
    return _Image(width, height, depth, color, interlaced)


def _check(data: bytes, chunk: _Chunk, seen: set[bytes], image: _Image) -> None:
    kind, length = chunk.kind, chunk.end - chunk.at
    if kind not in _KEPT:
        _require(bool(kind[0] & 0x20), "with an unknown chunk that every reader must know")
        return
    _check_sum(data, chunk)
    _require(kind != b"IHDR", "with two headers")
    if kind == b"PLTE":
        _require(kind not in seen, "with two palettes")
        fits = 0 < length <= 3 * _MOST_COLORS and length % 3 == 0
        _require(image.color != _PALETTE or fits, "whose palette has a wrong length")
    elif kind == b"IDAT":
        _require(image.color != _PALETTE or b"PLTE" in seen, "without its palette")


def _check_sum(data: bytes, chunk: _Chunk) -> None:
    expected = int.from_bytes(data[chunk.end : chunk.end + 4])
    if zlib.crc32(memoryview(data)[chunk.at - 4 : chunk.end]) != expected:
        raise _undecodable(f"whose chunk at byte {chunk.at - _CHUNK.size} does not match its checksum")


def _sizes(image: _Image) -> Iterator[tuple[int, int]]:
    """Yield width and height of each pass over the pixels."""
    if not image.interlaced:
        yield image.width, image.height
        return
    for left, top, across, down in _PASSES:
        width, height = (image.width - left + across - 1) // across, (image.height - top + down - 1) // down
        if width > 0 and height > 0:
            yield width, height


class _Inflater:
    """Decompresses the image data: the content of the first run of IDAT chunks."""

    def __init__(self, data: bytes, chunks: list[_Chunk]) -> None:
        self._pieces = _pieces(data, chunks)
        self._zlib = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises `Failed` if there are fewer."""
        parts = []
        while size:
            part = self._next(size)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def finish(self, most: int) -> None:
        """Read what follows the pixels, at most `most` bytes. Raises `Failed` if it has no end.

        libpng reads it too. It warns of damage there, and of rows that are too many.
        """
        while not self._zlib.eof:
            waiting = self._zlib.unconsumed_tail or next(self._pieces, b"")
            _require(bool(waiting), "whose image data has no end")
            _require(most > 0, "with more rows than its header says")
            try:
                most -= len(self._zlib.decompress(waiting, min(most, _BLOCK)))
            except zlib.error:
                return

    def _next(self, most: int) -> bytes:
        waiting = self._zlib.unconsumed_tail or next(self._pieces, b"")
        try:
            part = self._zlib.decompress(waiting, most)
        except zlib.error as error:
            raise _undecodable("whose image data cannot be decompressed") from error
        # Without new bytes, zlib may still have some of the last ones to give.
        _require(bool(part or waiting), "with fewer rows than its header says")
        return part


def _pieces(data: bytes, chunks: list[_Chunk]) -> Iterator[bytes]:
    begun = False
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            begun = True
            for at in range(chunk.at, chunk.end, _PIECE):
                yield data[at : min(at + _PIECE, chunk.end)]
        elif begun:
            return


def _require(fine: bool, what: str) -> None:
    if not fine:
        raise _undecodable(what)


def _undecodable(what: str) -> Failed:
    return Failed(Outcome.UNDECODABLE, f"a PNG {what}")
