"""Thumbnails of images."""

import base64
import io

from PIL import Image

from negset_jobs.reporting import thumbnails


def test_a_large_image_becomes_small_and_a_small_one_stays(facts):
    def size(encoded):
        with Image.open(io.BytesIO(base64.b64decode(thumbnails.thumbnail(encoded).partition(",")[2]))) as encoded_image:
            return encoded_image.size

    stream = io.BytesIO()
    Image.new("L", (3000, 1500)).save(stream, "PNG")
    assert size(stream.getvalue()) == (200, 100)
    assert size(facts.encoded_images["1"].encoded) == (144, 128)
