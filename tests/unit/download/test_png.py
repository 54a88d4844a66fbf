"""The chunks and pixels of a PNG: what libpng refuses is refused, what it takes is taken."""

import io
import struct
import zlib

import pytest
from PIL import Image
from tests.image_server import drawn_image, encoded

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed
from negset_jobs.download.png import SIGNATURE, decompress, inspect, without_metadata

SIZE = (40, 30)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(depth: int = 8, color: int = 2, *, width: int = 40, height: int = 30, rest: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, *rest))


ROW = 1 + 3 * 40
END = chunk(b"IEND", b"")
PALETTE = chunk(b"PLTE", bytes(range(48)))


def pixels(rows: int = 30, row: int = ROW, first: int = 0) -> bytes:
    return zlib.compress((bytes((first,)) + bytes(row - 1)) * rows)


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + END


def data(content: bytes) -> bytes:
    return chunk(b"IDAT", content)


def damaged(whole: bytes) -> bytes:
    """Return the chunk with a checksum that does not match."""
    return whole[:-1] + bytes((whole[-1] ^ 1,))


CUT = zlib.compressobj()
WITHOUT_END = CUT.compress(bytes(ROW * 30)) + CUT.flush(zlib.Z_SYNC_FLUSH)

REFUSED = {
    "three bits of grey": (png(header(3, 0), data(pixels())), "colour type 0 with 3 bits"),
    "sixteen bits of a palette": (png(header(16, 3), PALETTE, data(pixels())), "colour type 3 with 16 bits"),
    "a colour type that does not exist": (png(header(8, 5), data(pixels())), "colour type 5"),
    "an unknown compression": (png(header(rest=(1, 0, 0)), data(pixels())), "unknown compression"),
    "an unknown interlacing": (png(header(rest=(0, 0, 2)), data(pixels())), "unknown compression"),
    "no palette": (png(header(8, 3), data(pixels(row=41))), "without its palette"),
    "a palette after the pixels": (png(header(8, 3), data(pixels(row=41)), PALETTE), "without its palette"),
    "an empty palette": (png(header(8, 3), chunk(b"PLTE", b""), data(pixels(row=41))), "palette has a wrong length"),
    "a palette of half a colour": (png(header(8, 3), chunk(b"PLTE", bytes(4)), data(pixels(row=41))), "palette has a wrong length"),
    "a palette of 257 colours": (png(header(8, 3), chunk(b"PLTE", bytes(771)), data(pixels(row=41))), "palette has a wrong length"),
    "two palettes": (png(header(8, 3), PALETTE, PALETTE, data(pixels(row=41))), "two palettes"),
    "two headers": (png(header(), header(), data(pixels())), "two headers"),
    "a chunk that every reader must know": (png(header(), chunk(b"ABCD", b""), data(pixels())), "unknown chunk"),
    "a chunk whose name has no letters": (png(header(), chunk(b"a1cd", b""), data(pixels())), "something else than a chunk"),
    "pixels that do not match their checksum": (png(header(), damaged(data(pixels()))), "checksum"),
    "a palette that does not match its checksum": (png(header(8, 3), damaged(PALETTE), data(pixels(row=41))), "checksum"),
    "no pixels": (png(header()), "without image data"),
    "too few rows": (png(header(), data(pixels(29))), "fewer rows"),
    "too few rows of an interlaced image": (png(header(rest=(0, 0, 1)), data(pixels())), "fewer rows|filter"),
    "pixels in two places": (png(header(), data(pixels()[:20]), chunk(b"tEXt", b"a\0b"), data(pixels()[20:])), "fewer rows"),
    "a filter that does not exist": (png(header(), data(pixels(first=5))), "filter that does not exist"),
    "no deflate stream": (png(header(), data(b"no deflate stream")), "cannot be decompressed"),
    "an end of the stream that does not match": (png(header(), data(pixels()[:-1] + b"?")), "cannot be decompressed"),
    "a stream without its end": (png(header(), data(WITHOUT_END)), "has no end"),
    "a stream that goes on and has no end": (png(header(), data(pixels(40)[:-6])), "has no end"),
    "many more rows than the header says": (png(header(), data(pixels(100))), "more rows"),
}


def read(content):
    inspect(content)
    decompress(content)


@pytest.mark.parametrize("name", REFUSED)
def test_what_libpng_refuses_is_undecodable(name):
    content, detail = REFUSED[name]
    with pytest.raises(Failed, match=detail) as raised:
        read(content)
    assert raised.value.outcome is Outcome.UNDECODABLE


TAKEN = {
    "pixels in many chunks": png(header(), *(data(pixels()[at : at + 7]) for at in range(0, len(pixels()), 7))),
    "an empty chunk of pixels": png(header(), data(b""), data(pixels())),
    "damage after the last row": png(header(), data(pixels(31)[:-1] + b"?")),
    "more rows than the header says": png(header(), data(pixels(31))),
    "metadata that does not match its checksum": png(header(), damaged(chunk(b"tEXt", b"a\0b")), data(pixels())),
    "metadata that libpng warns of": png(header(), chunk(b"gAMA", b""), chunk(b"iCCP", b"?"), data(pixels())),
    "metadata after the pixels": png(header(), data(pixels()), chunk(b"tIME", bytes(7))),
    "a palette of an image in colour": png(header(), PALETTE, data(pixels())),
    "trash after the end": png(header(), data(pixels())) + b"trash",
    "one bit": png(header(1, 0), data(pixels(row=6))),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_libpng_takes_is_taken(name):
    decompress(TAKEN[name])
    assert inspect(TAKEN[name])[:2] == SIZE


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (5, 3), (8, 8), (40, 30), (1, 40)])
@pytest.mark.parametrize(("depth", "color", "channels"), [(1, 0, 1), (4, 3, 1), (8, 2, 3), (16, 6, 4)])
def test_an_interlaced_image_has_as_many_bytes_as_its_passes(size, depth, color, channels):
    width, height = size
    content = b""
    for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        columns, rows = len(range(left, width, across)), len(range(top, height, down))
        content += bytes(1 + (columns * depth * channels + 7) // 8) * rows if columns else b""
    whole = (header(depth, color, width=width, height=height, rest=(0, 0, 1)), PALETTE)
    decompress(png(*whole, data(zlib.compress(content))))
    assert Image.open(io.BytesIO(png(*whole, data(zlib.compress(content))))).load() is not None
    with pytest.raises(Failed, match="fewer rows"):
        decompress(png(*whole, data(zlib.compress(content[:-1]))))


def test_without_metadata_the_pixels_are_the_same_and_no_bomb_is_left():
    bomb = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 20)))
    whole = encoded(drawn_image(1, size=SIZE).convert("RGBA"), "PNG")
    kept = without_metadata(whole[:33] + bomb + chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20))) + whole[33:])
    assert len(kept) <= len(whole)
    assert Image.open(io.BytesIO(kept)).tobytes() == Image.open(io.BytesIO(whole)).tobytes()
