"""Memory is bounded by the size of an image, whatever its file claims or contains.

Each image is checked in a process of its own, which prints by how much its peak grew.
"""

import io
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from negset_jobs.download.verify import MEMORY

SIDE = 4000
PIXELS = SIDE * SIDE
SLACK = 24 << 20  # strips, codecs and the file itself

CHILD = """
import sys, zlib, numpy
from PIL import Image
from negset_jobs.download.failure import Failed
from negset_jobs.download.verify import inspect, stored_form

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) << 10

Image.init()
data = open(sys.argv[1], "rb").read()
before = peak()
try:
    outcome = stored_form(inspect(data, int(sys.argv[2])), "Decode").format
except Failed as failure:
    outcome = failure.outcome
print(outcome, peak() - before)
"""


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth, color, channels, *more, interlaced=0):
    rows = bytes(1 + (SIDE * depth * channels + 7) // 8) * SIDE
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, depth, color, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(6)) if color == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + header + palette + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def file(mode, kind, **options):
    stream = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(stream, kind, **options)
    return stream.getvalue()


BOMB = zlib.compress(bytes(200 << 20), 9)

IMAGES = {
    "a palette with a transparent colour": (lambda: png(1, 3, 1, chunk(b"tRNS", bytes(2))), 2),
    "16 bits in four channels": (lambda: png(16, 6, 4), 5),
    "grey with 16 bits": (lambda: png(16, 0, 1), 5),
    "a transparent colour": (lambda: png(8, 2, 3, chunk(b"tRNS", bytes(6))), 5),
    "a PNG that is kept": (lambda: png(8, 2, 3), 1),
    "metadata that is a bomb": (lambda: png(8, 6, 4, chunk(b"iCCP", b"x\0\0" + BOMB), chunk(b"zTXt", b"x\0\0" + BOMB)), 5),
    "a JPEG that is kept": (lambda: file("RGB", "JPEG"), 1),
    "a CMYK JPEG": (lambda: file("CMYK", "JPEG"), 5),
    "a progressive JPEG": (lambda: file("RGB", "JPEG", progressive=True, subsampling=0), 6),
    "a BMP": (lambda: file("RGB", "BMP"), 5),
    "a GIF": (lambda: file("RGB", "GIF"), 2),
    "a compressed TIFF": (lambda: file("CMYK", "TIFF", compression="tiff_lzw"), 5),
}


def run(folder, data, max_pixels):
    path = folder / "image"
    path.write_bytes(data)
    done = subprocess.run([sys.executable, "-c", CHILD, str(path), str(max_pixels)], capture_output=True, check=True, text=True)
    outcome, grown = done.stdout.split()
    return outcome, int(grown)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("name", IMAGES)
def test_the_peak_is_a_small_multiple_of_the_pixels(name, tmp_path):
    make, most = IMAGES[name]
    assert most <= MEMORY
    outcome, grown = run(tmp_path, make(), PIXELS)
    assert outcome in ("jpeg", "png")
    assert grown < most * PIXELS + SLACK, f"{grown / PIXELS:.1f} bytes a pixel"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("kind", "options", "needed"), [("WEBP", {}, 16), ("AVIF", {"speed": 10}, 12), ("JPEG", {"progressive": True, "subsampling": 0}, 14)]
)
def test_a_decoder_that_needs_more_gets_fewer_pixels(kind, options, needed, tmp_path):
    data = file("CMYK" if kind == "JPEG" else "RGB", kind, **options)
    limit = PIXELS * needed // MEMORY
    outcome, grown = run(tmp_path, data, limit)
    assert outcome == "jpeg"
    assert grown < MEMORY * limit + SLACK, f"{grown / PIXELS:.1f} bytes a pixel"
    outcome, grown = run(tmp_path, data, limit - 100)
    assert (outcome, grown < SLACK) == ("too_large", True)
