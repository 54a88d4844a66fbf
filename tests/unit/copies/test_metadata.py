"""Metadata that TensorFlow skips and Pillow refuses: the image is compared and shown."""

import io
import struct
import zlib

import pytest
from PIL import Image
from tests.image_server import drawn_image, encoded
from tests.unit.copies.copying import copies_among

from negset_jobs.reporting.thumbnails import beside, thumbnail

PLAIN = encoded(drawn_image(3, size=(160, 120)), "PNG")
LONG = zlib.compress(bytes(2 << 20))
METADATA = {"zTXt": b"a\0\0" + LONG, "iTXt": b"a\0\1\0\0\0" + LONG, "iCCP": b"a\0\0" + LONG}


def with_chunk(kind, content):
    """The plain image with a chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return PLAIN[:33] + chunk + PLAIN[33:]


@pytest.mark.parametrize("kind", METADATA)
def test_a_png_with_much_metadata_is_compared_and_shown_as_the_one_without(kind):
    bomb = with_chunk(kind.encode(), METADATA[kind])
    with pytest.raises(ValueError, match="too large"), Image.open(io.BytesIO(bomb)) as image:
        image.load()
    assert copies_among([bomb], [PLAIN]) == [{0}]
    assert thumbnail(bomb) == thumbnail(PLAIN)
    assert beside(bomb, PLAIN)
