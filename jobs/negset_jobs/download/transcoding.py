"""Decode with Pillow, and make a JPEG or PNG of it, in little more memory than the decoded image.

Pillow stores a pixel in one byte (grey, palette), two (16 bits) or four (all others). Conversions
go strip by strip, and write into the image that they read: both have the same size in memory.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from negset_api.values import Outcome
from negset_jobs.download.failure import Failed

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY: Final = 95
"""The JPEG quality of images from another lossy format, with full chroma resolution.

Above it, files grow much faster than they gain quality.
"""

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
"""The formats that Pillow may try. Its other plugins would only be attack surface."""

_STRIP: Final = 1 << 20  # pixels

# EXIF 2.32, section 4.6.4: the tag, and its values
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = 1
_TURNED: Final = range(2, 9)


def opened(data: bytes, outcome: Outcome) -> Image:
    """Return the image before its pixels are decoded. Raises `Failed` with `outcome`."""
    from PIL import Image, UnidentifiedImageError

    # Pillow's own limit is global, and only warns. `inspect` compares the size with the limit of
    # the manifest before any pixel is decoded.
    Image.MAX_IMAGE_PIXELS = None
    Image.core.set_use_block_allocator(1)  # type: ignore[attr-defined]  # one piece, for `_relabelled`
    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        raise Failed(outcome, "not an image in a known format") from error
    except Exception as error:  # each plugin has its own kinds of errors
        raise Failed(outcome, "not a readable image") from error


def load(data: bytes, image_format: str, *, coarse: bool = False) -> Image:
    """Return the decoded image. With `coarse`, decode all bytes but as few pixels as possible.

    Raises `Failed` with the outcome truncated or undecodable.
    """
    image = opened(data, Outcome.UNDECODABLE)
    try:
        if coarse:
            image.draft("L", (1, 1))
        image.load()
    except Exception as error:
        outcome = Outcome.TRUNCATED if "truncated" in str(error).lower() else Outcome.UNDECODABLE
        raise Failed(outcome, f"a {image_format.upper()} that cannot be decoded", retryable=False) from error
    return image


def opaque(image: Image) -> Image:
    """Return the image in 8-bit grey, palette or RGB, on white if transparent, without metadata.

    The pixels of `image` are overwritten. Raises `Failed` if they have no colours that are known.
    """
    try:
        plain = _opaque(image)
    except Exception as error:
        raise Failed(Outcome.UNDECODABLE, f"an image in the mode {image.mode}, which has no conversion to RGB") from error
    plain.info.clear()
    return plain


def orientation_of(source: Image | bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none that viewers can read.

    `source` is an image, or the EXIF itself: to find that of a PNG, Pillow would decode it.
    """
    from PIL import Image

    with warnings.catch_warnings(action="ignore"):  # Pillow warns of a damaged EXIF
        try:
            exif = Image.Exif() if isinstance(source, bytes) else source.getexif()
            if isinstance(source, bytes):
                exif.load(source)
            value: Any = exif.get(_ORIENTATION)
        except Exception:  # noqa: BLE001 - it is foreign, and each kind of damage has its own error
            return _UPRIGHT
    return int(value) if value in _TURNED else _UPRIGHT


def encode(image: Image, *, lossless: bool, orientation: int = _UPRIGHT) -> bytes:
    """Return the image as a PNG or, if not `lossless`, as a JPEG; with its EXIF orientation."""
    from PIL import Image

    output = io.BytesIO()
    options: dict[str, Any] = {}
    if orientation != _UPRIGHT:
        options["exif"] = Image.Exif()
        options["exif"][_ORIENTATION] = orientation
    if lossless:
        image.save(output, "PNG", icc_profile=None, **options)
    else:
        image.save(output, "JPEG", quality=QUALITY, subsampling=0, **options)
    return output.getvalue()


def _opaque(image: Image) -> Image:
    if image.mode == "P":
        return _opaque_palette(image)
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.mode not in ("1", "L"):
        return _in_colour(image)
    clear = image.info.pop("transparency", None)
    grey = image.convert("L")
    if clear is None:
        return grey
    return grey.point([255 if level == (clear * 255 if image.mode == "1" else clear) else level for level in range(256)])


def _opaque_palette(image: Image) -> Image:
    """Lay the colours of the palette on white. The pixels, numbers of colours, stay as they are."""
    from PIL import Image

    mode = "RGBA" if image.palette is not None and image.palette.mode == "RGBA" else "RGB"
    colors = Image.new("P", (256, 1))
    colors.putdata(range(256))
    colors.putpalette(image.getpalette(mode) or [], mode)
    colors.info.update(image.info)
    image.putpalette(_on_white(colors).tobytes())
    return image


def _eight_bits(image: Image) -> Image:
    """Scale integers of 16 bits to 8. Pillow's own conversion clips at 255."""
    import numpy as np
    from PIL import Image

    def scaled(strip: Image.Image) -> Image.Image:
        return Image.fromarray((np.asarray(strip).clip(0, 0xFFFF).astype(np.uint32) >> 8).astype(np.uint8))

    grey = Image.new("L", image.size)
    for box in _strips(image):
        grey.paste(scaled(image.crop(box)), box)
    return grey


def _in_colour(image: Image) -> Image:
    if image.mode != "RGB" or image.has_transparency_data:
        for box in _strips(image):
            image.paste(_relabelled(_on_white(image.crop(box)), image.mode), box)
    return _relabelled(image, "RGB")


def _on_white(image: Image) -> Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = Image.new("RGBA", image.size, "white")
    layered.alpha_composite(image.convert("RGBA"))
    return layered.convert("RGB")


def _relabelled(image: Image, mode: str) -> Image:
    """Return the same memory as an image in another mode of four bytes a pixel."""
    from PIL import Image

    return Image.fromarrow(image, mode, image.size)


def _strips(image: Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes of strips that cover the image."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(image.height, top + rows)
