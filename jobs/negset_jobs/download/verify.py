"""Check the bytes of an image: format, size, completeness, and whether TensorFlow can decode it.

Pure: bytes in, a result or `Failed` out. `inspect` reads headers, markers and tables only.
`stored_form` reads what the manifest asks for. The Object Detection API uses
`tf.image.decode_image`: what it would refuse or distort is made a JPEG or PNG, or has failed.

EXIF orientation is ignored, here and by TensorFlow: sizes are those of the pixels as stored.
`orientation` decides what it means for the boxes of a positive.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from negset_api.values import Outcome
from negset_jobs.download import jpeg, other_formats, png, tiff, transcoding
from negset_jobs.download.failure import Failed
from negset_jobs.download.header import Header

Verify = Literal["Structure", "Decode"]

_MOST_PIXELS: Final = ((1 << 29) - 1) // 3
"""TensorFlow decodes images of less than 2^29 values (jpeg_mem.cc, decode_image_op.cc)."""

MEMORY: Final = 8
"""The bytes of memory for each pixel of `maxImageMegapixels` that one image may take.

Formats that need more for a pixel may have fewer pixels.
"""


class EncodedImage(msgspec.Struct, frozen=True, gc=False):
    """An encoded image.

    `format` is `jpeg`, `png` or, before transcoding, another. `ready` is True if it can be stored
    unchanged. Sizes are in pixels.
    """

    encoded: bytes
    format: str
    width: int
    height: int
    ready: bool = True


def inspect(data: bytes, max_pixels: int) -> EncodedImage:
    """Return format and size of the image, from headers, markers and tables alone.

    Raises `Failed` with the outcome not_an_image, truncated, undecodable or too_large.
    """
    image_format, header = _header(data)
    most = min(max_pixels * MEMORY // max(MEMORY, header.memory), _MOST_PIXELS)
    if header.width * header.height > most:
        raise Failed(Outcome.TOO_LARGE, f"expected at most {most} pixels, got {header.width}x{header.height}")
    return EncodedImage(data, image_format, header.width, header.height, header.ready)


def channels(data: bytes) -> int:
    """Return the colour channels of a stored image: 1 or 3. Raises `Failed` if it is damaged."""
    return _header(data)[1].channels


def needs_work(image: EncodedImage, verify: Verify) -> bool:
    """Return True if `stored_form` takes long enough for a thread of its own."""
    return not image.ready or verify == "Decode" or image.format == "png"


def stored_form(image: EncodedImage, verify: Verify) -> EncodedImage:
    """Return the image as it is stored, checked as the manifest asks.

    The pixels of a PNG are always decompressed: that is quick, and the checksums of its chunks do
    not cover what an encoder has left out. Raises `Failed`.
    """
    if not image.ready:
        return transcode(image)
    if verify == "Decode" or image.format == "png":
        decode(image)
    return image


def decode(image: EncodedImage) -> None:
    """Decode the whole image. Raises `Failed` with the outcome truncated or undecodable.

    Every coefficient of a JPEG is decoded, because any of them can be damaged. The conversion to
    colours cannot fail. It is skipped as far as libjpeg allows (grey, at an eighth of the size).
    """
    if image.format == "png":
        png.decompress(image.encoded)
    else:
        transcoding.load(image.encoded, image.format, coarse=True)


def transcode(image: EncodedImage) -> EncodedImage:
    """Return the image as a JPEG or PNG with 8 bits in 1 or 3 channels.

    It is a PNG if the source is lossless, else a JPEG. Transparency becomes white. Raises `Failed`
    as `decode` does. With the same version of the codec, the same image gives the same bytes. Only
    an EXIF orientation is kept of the metadata.
    """
    lossless = image.format in other_formats.LOSSLESS or (image.format == "webp" and other_formats.is_lossless_webp(image.encoded))
    orientation, data = _without_orientation(image)
    loaded = transcoding.load(data, image.format)
    pixels = transcoding.opaque(loaded)
    encoded = transcoding.encode(pixels, lossless=lossless, orientation=orientation)
    return EncodedImage(encoded, "png" if lossless else "jpeg", pixels.width, pixels.height)


def _without_orientation(image: EncodedImage) -> tuple[int, bytes]:
    """Return the EXIF orientation, and data that Pillow does not turn while it loads them."""
    if image.format == "png":
        return transcoding.orientation_of(png.exif(image.encoded)), png.without_metadata(image.encoded)
    orientation = transcoding.orientation_of(transcoding.opened(image.encoded, Outcome.UNDECODABLE))
    return orientation, tiff.upright(image.encoded) if image.format == "tiff" else image.encoded


def _header(data: bytes) -> tuple[str, Header]:
    if data.startswith(jpeg.SIGNATURE):
        return "jpeg", jpeg.inspect(data)
    if data.startswith(png.SIGNATURE):
        return "png", png.inspect(data)
    return other_formats.inspect(data)
