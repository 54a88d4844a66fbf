"""Check the bytes of an image: format, size, completeness, and whether TensorFlow can decode it.

Pure: bytes in, a result or `Failed` out. `inspect` reads headers and markers only. `decode` reads
everything. The Object Detection API uses `tf.image.decode_image`: `transcode` makes a JPEG or PNG
of an image that it would refuse or distort.

EXIF orientation is ignored, here and by TensorFlow: sizes are those of the pixels as stored.
`orientation` decides what it means for the boxes of a positive.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed

if TYPE_CHECKING:
    from PIL.Image import Image

_BITS: Final = 8  # the maximum per channel in a stored image
TRANSCODED_QUALITY: Final = 95
"""The JPEG quality of images from another lossy format, with full chroma resolution.

Above it, files grow much faster than they gain quality.
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
    """Return format and size of the image, from headers and markers alone.

    Raises `Failed` with the outcome not_an_image, truncated, undecodable or too_large.
    """
    if data.startswith(b"\xff\xd8\xff"):
        encoded_image = _inspect_jpeg(data)
    elif data.startswith(_PNG_SIGNATURE):
        encoded_image = _inspect_png(data)
    else:
        encoded_image = _inspect_other(data)
    if encoded_image.width * encoded_image.height > max_pixels:
        raise Failed(Outcome.TOO_LARGE, f"expected at most {max_pixels} pixels, got {encoded_image.width}x{encoded_image.height}")
    return encoded_image


def decode(encoded_image: EncodedImage) -> None:
    """Decode the whole image. Raises `Failed` with the outcome truncated or undecodable.

    Every coefficient of a JPEG is decoded, because any of them can be damaged. The conversion to
    colours cannot fail. It is skipped as far as libjpeg allows (grey, at an eighth of the size).
    """
    _load(encoded_image, coarse=True)


def transcode(encoded_image: EncodedImage) -> EncodedImage:
    """Return the image as a JPEG or PNG with 8 bits in 1 or 3 channels.

    It is a PNG if the source is lossless, else a JPEG. Transparency becomes white. Raises `Failed`
    as `decode` does. With the same version of the codec, the same image gives the same bytes. Only
    an EXIF orientation is kept of the metadata.
    """
    loaded = _load(encoded_image)
    image, exif = _opaque(loaded), _orientation_only(loaded)
    output = io.BytesIO()
    lossless = encoded_image.format in _LOSSLESS or (encoded_image.format == "webp" and encoded_image.encoded[12:16] == b"VP8L")
    if lossless:
        image.save(output, "PNG", icc_profile=None, **exif)
    else:
        image.save(output, "JPEG", quality=TRANSCODED_QUALITY, subsampling=0, **exif)
    return EncodedImage(output.getvalue(), "png" if lossless else "jpeg", image.width, image.height)


# --- JPEG: ITU-T T.81, annex B --------------------------------------------------------------------

_SOS, _EOI, _TEM, _FILL = 0xDA, 0xD9, 0x01, 0xFF
_ALONE: Final = frozenset({_TEM, *range(0xD0, 0xD8)})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive, with Huffman coding: every decoder supports these.
_COMMON_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_FRAME: Final = struct.Struct(">BHHB")


def _inspect_jpeg(data: bytes) -> EncodedImage:
    """Read the segments up to the first scan.

    Within a scan, 0xFF is always followed by a stuffed zero. So the end-of-image marker is searched
    from the back. Bytes after it (padding, a second image) are kept.
    """
    frame: tuple[int, tuple[int, int, int, int]] | None = None
    at, size = 2, len(data)
    while at + 4 <= size:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > size:
            break
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
        elif marker == 0 or marker in _ALONE:
            at += 2
        elif marker == _EOI:
            raise Failed(Outcome.UNDECODABLE, "a JPEG without image data")
        elif marker == _SOS:
            return _whole_jpeg(data, at, frame)
        else:
            if marker in _FRAMES and at + 4 + _FRAME.size <= size:
                frame = marker, _FRAME.unpack_from(data, at + 4)
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise Failed(Outcome.TRUNCATED, f"a JPEG that ends within its header, after {size} bytes")


def _whole_jpeg(data: bytes, scan: int, frame: tuple[int, tuple[int, int, int, int]] | None) -> EncodedImage:
    if frame is None:
        raise Failed(Outcome.UNDECODABLE, "a JPEG whose scan comes before its frame header")
    marker, (precision, height, width, components) = frame
    if not width or not height:
        raise Failed(Outcome.UNDECODABLE, f"a JPEG of {width}x{height} pixels")
    if data.rfind(b"\xff\xd9", scan) < 0:
        raise Failed(Outcome.TRUNCATED, f"a JPEG without its end-of-image marker, after {len(data)} bytes")
    ready = marker in _COMMON_FRAMES and precision == _BITS and components in (1, 3)
    return EncodedImage(data, "jpeg", width, height, ready)


# --- PNG: W3C Portable Network Graphics (third edition), section 5 --------------------------------

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK: Final = struct.Struct(">I4s")
_IHDR: Final = struct.Struct(">IIBBBBB")
_GREY, _RGB, _PALETTE = 0, 2, 3


def _inspect_png(data: bytes) -> EncodedImage:
    """Read the chunks and verify their checksums.

    Images with sixteen bits per channel or transparency need `transcode`: TensorFlow drops the
    alpha channel and shows the arbitrary colour below it.
    """
    header: tuple[int, ...] | None = None
    transparent = pixels = False
    at, view = len(_PNG_SIGNATURE), memoryview(data)
    while at + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise Failed(Outcome.UNDECODABLE, f"a PNG whose chunk at byte {at} does not match its checksum")
        if header is None:
            if kind != b"IHDR" or length != _IHDR.size:
                raise Failed(Outcome.UNDECODABLE, "a PNG that does not begin with its header")
            header = _IHDR.unpack_from(data, at + 8)
        transparent |= kind == b"tRNS"
        pixels |= kind == b"IDAT"
        if kind == b"IEND":
            return _whole_png(data, header, pixels=pixels, transparent=transparent)
        at = end + 4
    raise Failed(Outcome.TRUNCATED, f"a PNG without its end chunk, after {len(data)} bytes")


def _whole_png(data: bytes, header: tuple[int, ...], *, pixels: bool, transparent: bool) -> EncodedImage:
    width, height, depth, color, *_ = header
    if not pixels or not width or not height:
        raise Failed(Outcome.UNDECODABLE, f"a PNG of {width}x{height} pixels {'with' if pixels else 'without'} image data")
    ready = depth <= _BITS and color in (_GREY, _RGB, _PALETTE) and not transparent
    return EncodedImage(data, "png", width, height, ready)


# --- Other formats, and the pixels of all formats, with Pillow ------------------------------------

_LOSSLESS: Final = frozenset({"png", "gif", "bmp", "tiff"})
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
"""The formats that Pillow may try. Its other plugins would only be attack surface."""


def _inspect_other(data: bytes) -> EncodedImage:
    if not data:
        raise Failed(Outcome.NOT_AN_IMAGE, "an empty file")
    if data.lstrip()[:1] in (b"<", b"{"):
        raise Failed(Outcome.NOT_AN_IMAGE, "a text document (HTML, XML or JSON) instead of an image")
    image = _open(data, Outcome.NOT_AN_IMAGE)
    return EncodedImage(data, str(image.format).lower(), image.width, image.height, ready=False)


def _open(data: bytes, outcome: Outcome) -> Image:
    from PIL import Image, UnidentifiedImageError

    # Pillow's own limit is global, and only warns. `inspect` compares the size with the limit of
    # the manifest before any pixel is decoded.
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        raise Failed(outcome, "not an image in a known format") from error
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, KeyError, struct.error, EOFError) as error:
        raise Failed(outcome, "not a readable image") from error


def _load(encoded_image: EncodedImage, *, coarse: bool = False) -> Image:
    """Return the decoded image. With `coarse`, decode all bytes but as few pixels as possible."""
    image = _open(encoded_image.encoded, Outcome.UNDECODABLE)
    try:
        if coarse:
            image.draft("L", (1, 1))
        image.load()
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, KeyError, struct.error, EOFError, MemoryError) as error:
        outcome = Outcome.TRUNCATED if "truncated" in str(error) else Outcome.UNDECODABLE
        raise Failed(outcome, f"a {encoded_image.format.upper()} that cannot be decoded", retryable=False) from error
    return image


_ORIENTATION: Final = 0x0112
_TURNED: Final = range(2, 9)


def exif_orientation(image: Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none that viewers can read."""
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of a damaged EXIF
        try:
            value: Any = image.getexif().get(_ORIENTATION)
        except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error):
            return 1
    return int(value) if value in _TURNED else 1


def _orientation_only(image: Image) -> dict[str, Any]:
    """Return the options to save an image with its EXIF orientation, if it is turned at all."""
    from PIL import Image

    orientation = exif_orientation(image)
    if orientation == 1:
        return {}
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return {"exif": exif}


def _opaque(image: Image) -> Image:
    """Return the image in 8-bit grey or RGB, on white if transparent, without metadata."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        import numpy as np

        # Pillow's own conversion clips at 255. It does not scale 16 bits to 8.
        return Image.fromarray((np.asarray(image).clip(0, 0xFFFF).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layered = Image.new("RGBA", image.size, "white")
        layered.alpha_composite(image.convert("RGBA"))
        return layered.convert("RGB")
    plain = image.convert("L" if image.mode in ("1", "L") else "RGB")
    plain.info.clear()
    return plain
