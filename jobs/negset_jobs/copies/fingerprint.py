"""One encoded image → what it is recognised by. Pure."""

from __future__ import annotations

import hashlib
import io
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Bits = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.float32]

VERSION: Final = 1
"""Counts the changes of what an image is recognised by, and of the rules in this package."""

HASH_BYTES: Final = 32
SIDE: Final = 64
"""Pixels of the grey square that is hashed, the size that ImageHash makes of any image."""

CROP: Final = 0.025
"""The share cut off each border for the second hash.

Measured on 80 images of COCO, as the share of copies within `search.MOST_DISTANCE` of their
original: of those cut by 2 % a side the first hash alone finds 34 %, of 3 % one in a hundred (the
largest distances are 60 and 74). With the second hash of either side, all of those cut by 1 to 3 %
are found, at 24 at most, 73 % at 4 % and 5 % at 5 %.
"""

LEAST_STRUCTURE: Final = 2.0
"""Grey levels of deviation from a smooth surface below which an image has no hash.

The bits of a hash compare frequencies with their median. Where there are none, as on a wall, in a
gradient or in a black frame, the bits are zeros and ties: 60 different flat images and 60 different
gradients all had one hash each. Their deviation is 0 to 0.3, that of noisy skies and dark
frames up to 1.1; of 80 images of COCO at least 17, of the demo's 2,340 at least 6.
"""

_DRAFT: Final = 128
"""Pixels to which a JPEG may be decoded at a fraction of its size.

A COCO image takes 3.6 ms instead of 5.9 ms, and distances stay as small: at most 10 for a copy at
25 % of the size. With 64, which takes 2.4 ms, they are up to 18.
"""

_HASH_SIDE: Final = 16
# Bits beside each other in a hash say similar things. Row r, column r + b goes to band b, so that
# each of the search's bands has one bit of each row and of each column. Two of the demo's images
# then agree in a band 1.25 times as often as chance, by rows it is 2.7 times.
_ORDER: Final = np.array([row * _HASH_SIDE + (row + band) % _HASH_SIDE for band in range(_HASH_SIDE) for row in range(_HASH_SIDE)])


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is recognised by.

    `sha256` is of the encoded bytes. `hashes` are `HASH_BYTES` each, one after the other: of the
    image and of it without its border; then, where mirrored hashes were asked for, of both
    mirrored. `grey` are the pixels of the square, row by row. Both are empty where the image has
    too little structure or cannot be decoded.
    """

    sha256: bytes
    hashes: bytes = b""
    grey: bytes = b""


def fingerprint(encoded: bytes, *, mirrored: bool) -> Fingerprint:
    """The fingerprint of an encoded image, with the hashes of its mirror image where asked for."""
    sha256 = hashlib.sha256(encoded).digest()
    grey = _grey(encoded)
    if grey is None:
        return Fingerprint(sha256=sha256)
    whole, inner = (_shrunk(grey, border) for border in (0.0, CROP))
    if structure(np.asarray(whole, np.float32)) < LEAST_STRUCTURE:
        return Fingerprint(sha256=sha256)
    hashed = [whole, inner]
    if mirrored:
        hashed += [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in hashed]
    return Fingerprint(sha256=sha256, hashes=b"".join(map(_hash, hashed)), grey=whole.tobytes())


def structure(grey: Pixels) -> float:
    """How far the pixels lie from the quadratic surface that fits them best, in grey levels.

    The standard deviation. A lit wall or a sky is such a surface.
    """
    pixels = grey.reshape(-1)
    return float(np.std(pixels - _SURFACES @ (_SURFACES.T @ pixels)))


def _surfaces() -> Pixels:
    """An orthonormal basis of the quadratic surfaces, a column each."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].reshape(2, -1)
    terms = np.stack([np.ones_like(across), across, down, across * down, across**2, down**2], axis=1)
    basis: Pixels = np.linalg.qr(terms)[0].astype(np.float32)
    return basis


_SURFACES: Final = _surfaces()


def _grey(encoded: bytes) -> Image.Image | None:
    """The image in grey, of `_DRAFT` pixels a side or more; None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.draft("L", (_DRAFT, _DRAFT))
            return image.convert("L")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _shrunk(grey: Image.Image, border: float) -> Image.Image:
    """The image without the share `border` of each side, as a square of `SIDE` pixels."""
    width, height = grey.size
    box = (width * border, height * border, width * (1 - border), height * (1 - border))
    return grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box)


def _hash(image: Image.Image) -> bytes:
    import imagehash

    bits: Any = imagehash.phash(image, hash_size=_HASH_SIDE).hash
    return np.packbits(bits.reshape(-1)[_ORDER]).tobytes()
