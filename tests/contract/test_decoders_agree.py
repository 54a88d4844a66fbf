"""What is stored can be decoded by the decoder of the Object Detection API, however it was damaged.

`tf.io.decode_image` is the judge. The images are drawn, then damaged in the ways of a network, a
disk and a careless program. A run with more of them is `NEGSET_DAMAGED=1000 pytest` on this file.
"""

import collections
import os
import random
import struct
import zlib

import pytest
from tests.image_server import drawn_image, encoded, jpeg

from negset_jobs.download.failure import Failed
from negset_jobs.download.verify import inspect, stored_form

EACH = int(os.environ.get("NEGSET_DAMAGED", "12"))
PIXELS = 1_000_000_000
SIZE = (120, 90)


def png(mode, **options):
    return encoded(drawn_image(1, size=SIZE).convert(mode), "PNG", **options)


IMAGES = {
    "baseline": jpeg(1, size=SIZE),
    "optimised": jpeg(1, size=SIZE, optimize=True, subsampling=0),
    "progressive": jpeg(1, size=SIZE, progressive=True),
    "grey": jpeg(1, size=SIZE, mode="L"),
    "CMYK": jpeg(1, size=SIZE, mode="CMYK"),
    "restart markers": jpeg(1, size=SIZE, restart_marker_blocks=3),
    "progressive with restart markers": jpeg(1, size=SIZE, progressive=True, restart_marker_rows=1),
    "PNG": png("RGB"),
    "grey PNG": png("L"),
    "black and white PNG": png("1"),
    "palette PNG": png("P"),
    "RGBA PNG": png("RGBA"),
    "transparent palette PNG": png("P", transparency=1),
}
WITH_RESTARTS = frozenset({"restart markers", "progressive with restart markers"})


def segments(data):
    """Return the places of the segments before the image data, or of the chunks."""
    is_jpeg, places = data.startswith(b"\xff\xd8"), []
    at = 2 if is_jpeg else 8
    while at + 4 <= len(data):
        length = 2 + int.from_bytes(data[at + 2 : at + 4]) if is_jpeg else 12 + int.from_bytes(data[at : at + 4])
        places.append((at, at + length))
        if is_jpeg and data[at + 1] == 0xDA:
            break
        at += length
    return places


def content_changed(data, chance):
    """Change a byte of a segment; the checksum of a chunk fits it."""
    start, end = chance.choice(segments(data))
    head, foot = (4, 0) if data.startswith(b"\xff\xd8") else (8, 4)
    changed = bytearray(data)
    if end - start > head + foot:
        changed[chance.randrange(start + head, end - foot)] = chance.randrange(256)
        if foot:
            changed[end - 4 : end] = struct.pack(">I", zlib.crc32(changed[start + 4 : end - 4]))
    return bytes(changed)


def swapped(data, chance):
    (a, b), (c, d) = sorted(chance.sample(segments(data), 2))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def removed(data, chance):
    start, end = chance.choice(segments(data))
    return data[:start] + data[end:]


def repeated(data, chance):
    start, end = chance.choice(segments(data))
    return data[:end] + data[start:end] + data[end:]


def overwritten(data, at, block):
    return data[:at] + block + data[at + len(block) :]


def flipped(data, chance, most):
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        changed[chance.randrange(most)] ^= 1 << chance.randrange(8)
    return bytes(changed)


DAMAGE = {
    "cut": lambda data, chance: data[: chance.randrange(1, len(data))],
    "cut, with an end": lambda data, chance: data[: chance.randrange(len(data) // 3, len(data) - 2)] + data[-12:],
    "a block of zeros": lambda data, chance: overwritten(data, chance.randrange(len(data)), bytes(chance.randrange(1, 600))),
    "a block of random bytes": lambda data, chance: overwritten(
        data, chance.randrange(len(data) // 3, len(data) - 64), chance.randbytes(chance.choice((16, 62)))
    ),
    "flipped bits": lambda data, chance: flipped(data, chance, len(data)),
    "flipped bits of the header": lambda data, chance: flipped(data, chance, 200),
    "a changed table": content_changed,
    "a removed segment": removed,
    "a swapped segment": swapped,
    "a repeated segment": repeated,
    "trash at the end": lambda data, chance: data + chance.randbytes(200),
    "a marker too many": lambda data, chance: overwritten(
        data, chance.randrange(2, len(data) - 2), bytes((0xFF, chance.randrange(1, 255)))
    ),
    "bytes left out": lambda data, chance: data[: (at := chance.randrange(len(data)))] + data[at + chance.randrange(1, 300) :],
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("verify", ["Structure", "Decode"])
@pytest.mark.parametrize("kind", IMAGES)
def test_what_is_stored_is_decoded_and_what_is_decoded_is_stored(kind, verify):
    """There are two exceptions, and both are damaged images.

    At a wrong marker in the data, libjpeg goes on at the next restart marker and fills the gap. And
    libpng ignores any number of rows that are too many, which would make the time unbounded.
    """
    chance, outcomes = random.Random(1), collections.Counter()
    for name, damage in DAMAGE.items():
        for _ in range(EACH):
            data = damage(IMAGES[kind], chance)
            try:
                stored, detail = stored_form(inspect(data, PIXELS), verify).encoded, ""
            except Failed as failure:
                stored, detail = b"", failure.detail
            outcomes[bool(stored)] += 1
            assert not stored or decodable(stored), f"{name}: stored, and TensorFlow refuses it"
            resumed = kind in WITH_RESTARTS and "marker" in detail
            excepted = resumed or "more rows" in detail or "pixels, got" in detail
            assert stored or excepted or not decodable(data), f"{name}: TensorFlow takes it: {detail}"
    assert min(outcomes[True], outcomes[False]) > len(DAMAGE), "some were stored and some were not"


def decodable(data):
    import tensorflow as tf

    try:
        tf.io.decode_image(data, channels=3, expand_animations=False)
    except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError):
        return False
    return True
