"""What the EXIF of an image does to its boxes: decide how they are read, and turn the image.

Viewers and annotation tools turn an image as its EXIF says. TensorFlow does not. So boxes that a
person drew on the upright image lie beside their objects in the pixels that a training sees. Other
tools draw on the pixels as they are stored. The annotations seldom say which. The size of the image
in them proves it for the orientations 5 to 8, which exchange the sides.

An image whose boxes were drawn upright is stored turned, without the EXIF. The boxes could be
turned instead, and the bytes kept. But then a detector would learn objects that lie on their side,
which it does not meet: its users turn their images, or their cameras do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final, NamedTuple

from negset_api.values import Outcome
from negset_jobs.download import png, transcoding
from negset_jobs.download.failure import Failed
from negset_jobs.download.verify import EncodedImage

UPRIGHT: Final = "Upright"
IGNORE: Final = "Ignore"
FIELD: Final = "spec.positives.exifOrientation"

_SIDEWAYS: Final = 5  # from this orientation on, width and height are exchanged


def orientation_of(image: EncodedImage) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if the image has none, or none that is valid."""
    if b"Exif" not in image.encoded and b"eXIf" not in image.encoded:
        return 1
    if image.format == "png":
        return transcoding.orientation_of(png.exif(image.encoded))
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of a damaged EXIF
            opened = transcoding.opened(image.encoded, Outcome.UNDECODABLE)
    except Failed:
        return 1
    return transcoding.orientation_of(opened)


class Reading(NamedTuple):
    """How boxes on turned images were drawn: Upright, Ignore, or empty if unknown.

    `word` is the user's. `rest` is what the other images of the source prove; it counts where an
    image proves nothing itself.
    """

    word: str = ""
    rest: str = ""


def word_of(field: str) -> str:
    """Return `spec.positives.exifOrientation` as the word of a `Reading`; Auto is none."""
    return field if field in {UPRIGHT, IGNORE} else ""


def proved(turned: Iterable[bool]) -> str:
    """Return what the images prove whose size is a proof: Upright, Ignore, or nothing.

    `turned` is how each of them was read. Contradicting images prove nothing.
    """
    found = set(turned)
    return (UPRIGHT if found.pop() else IGNORE) if len(found) == 1 else ""


def is_proof(orientation: int, width: int, height: int) -> bool:
    """Return True if the size in the annotations proves how the boxes were drawn.

    `width` and `height` are the annotations', 0 if unknown.
    """
    return orientation >= _SIDEWAYS and width > 0 and width != height


def is_upright(image: EncodedImage, orientation: int, *, width: int, height: int, reading: Reading) -> bool:
    """Return True if the boxes were drawn on the image as its EXIF turns it.

    `width` and `height` are the annotations', 0 if unknown. Raises `Failed` if the sizes contradict
    each other or the user, or if nothing is proved.
    """
    stored = (image.width, image.height)
    seen = stored[::-1] if orientation >= _SIDEWAYS else stored
    given = (width, height) if width else None
    if orientation == 1:
        known = IGNORE
    elif is_proof(orientation, width, height) and not reading.word:
        known = IGNORE if given == stored else UPRIGHT
    else:
        known = reading.word or reading.rest
    if given is not None and given != (stored if known == IGNORE else seen):
        turned = f" (turned by EXIF: {seen[0]}x{seen[1]})" if stored != seen else ""
        detail = f"expected {width}x{height} pixels as in the annotations, got {stored[0]}x{stored[1]}{turned}"
        raise Failed(Outcome.SIZE_MISMATCH, detail)
    if not known:
        raise Failed(
            Outcome.AMBIGUOUS_ORIENTATION,
            f"its EXIF turns it (orientation {orientation}), and nothing shows whether its boxes were drawn on the turned image; set {FIELD}",
        )
    return known == UPRIGHT


def turned(image: EncodedImage, orientation: int) -> EncodedImage:
    """Return the image turned upright, without its EXIF. Raises `Failed` if it cannot be decoded.

    A PNG stays a PNG. A JPEG is compressed again, as `transcode` does.
    """
    from PIL.Image import Transpose

    lossless = image.format == "png"
    loaded = transcoding.load(png.without_metadata(image.encoded) if lossless else image.encoded, image.format)
    upright = loaded.transpose(Transpose[_TURNS[orientation]])
    upright.info = {}
    return EncodedImage(transcoding.encode(upright, lossless=lossless), image.format, upright.width, upright.height)


_TURNS: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What a viewer does for each orientation (ImageOps.exif_transpose of Pillow)."""
