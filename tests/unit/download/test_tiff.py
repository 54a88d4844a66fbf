"""The orientation of a TIFF."""

import io

import pytest
from PIL import Image
from tests.image_server import drawn_image

from negset_jobs.download.tiff import upright
from negset_jobs.download.verify import inspect, transcode

SIZE = (12, 8)


def tiff(orientation, **options):
    data = io.BytesIO()
    drawn_image(1, size=SIZE).save(data, "TIFF", exif={0x0112: orientation}, **options)
    return data.getvalue()


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}], ids=str)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_pixels_of_a_tiff_are_stored_as_they_are_with_its_orientation(orientation, options):
    stored = transcode(inspect(tiff(orientation, **options), 10**6))
    image = Image.open(io.BytesIO(stored.encoded))
    assert (image.size, image.getexif().get(0x0112, 1)) == (SIZE, orientation)
    assert image.tobytes() == drawn_image(1, size=SIZE).tobytes()


DAMAGED = {
    "no TIFF": b"\xff\xd8\xff",
    "only a signature": b"II*\x00",
    "a directory beyond the file": b"II*\x00\xff\xff\xff\x7f",
    "fewer entries than it says": b"II*\x00\x08\x00\x00\x00\xff\xff\x12\x01",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_what_is_damaged_is_unchanged(data):
    assert upright(data) == data
