"""Compute the fingerprint of an encoded image. Pure."""

from __future__ import annotations

import hashlib
import io
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from negset_jobs.download.png import for_pillow

Bits = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.float32]

VERSION: Final = 2
"""The version of the fingerprint and of the rules in this package."""

HASH_BYTES: Final = 32
UPRIGHT_HASHES: Final = 2
"""The hashes of an image as it is stored: of the whole, and without its border."""
TURNS: Final = 8
"""The ways in which EXIF may turn or mirror an image.

Turn `t` is mirrored if `t` is odd, and then turned by `t // 2` quarters, counter-clockwise.
"""
SIDE: Final = 64
"""Side in pixels of the grey square that is hashed: the size to which ImageHash scales images."""

CROP: Final = 0.025
"""The share cut off each border for the second hash.

Measured on 80 images of COCO: the share of copies within `search.MOST_DISTANCE` of their original.
The first hash alone finds 34 % of the copies cut by 2 % a side, and 1 % of those cut by 3 %. Their
largest distances are 60 and 74. With the second hash of both images, all copies cut by 1 to 3 % are
found, with a distance of at most 24. Of those cut by 4 %, 73 % are found, and of those cut by 5 %,
5 %.
"""

LEAST_STRUCTURE: Final = 2.0
"""The minimum deviation from a smooth surface, in grey levels, for an image to have a hash.

The bits of a hash compare frequencies with their median. A wall, a gradient or a black frame has no
frequencies: its bits are zeros and ties. 60 different flat images had one common hash, and so had
60 different gradients. Their deviation is 0 to 0.3. Noisy skies and dark frames have up to 1.1, 80
images of COCO at least 17, the demo's 2,340 images at least 6.
"""

_DRAFT: Final = 128
"""The minimum size in pixels when a JPEG is decoded at a fraction of its size.

A COCO image takes 3.6 ms instead of 5.9 ms. Distances stay as small: at most 10 for a copy at 25 %
of the size. With 64, an image takes 2.4 ms, and distances are up to 18.
"""

_HASH_SIDE: Final = 16
# Neighbouring bits of a hash are correlated. The bit in row r, column r + b goes to band b. So each
# band has one bit of each row and of each column. Then two of the demo's images agree in a band
# 1.25 times as often as by chance. With rows as bands, it is 2.7 times.
_ORDER: Final = np.array([row * _HASH_SIDE + (row + band) % _HASH_SIDE for band in range(_HASH_SIDE) for row in range(_HASH_SIDE)])


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """The data to recognise copies of an image.

    `sha256` is the digest of the encoded bytes. `hashes` has `HASH_BYTES` for each hash: of the
    image, of the image without its border and, if turned hashes are wanted, of both after each
    turn. `grey` has the pixels of the square, row by row. `hashes` and `grey` are empty if the
    image has too little structure or cannot be decoded.
    """

    sha256: bytes
    hashes: bytes = b""
    grey: bytes = b""


def fingerprint(encoded: bytes, *, turns: bool) -> Fingerprint:
    """Return the fingerprint of an encoded image; if `turns`, also with the hashes of all turns.

    EXIF is ignored, as TensorFlow does. The turns find the copy that a viewer has turned.
    """
    sha256 = hashlib.sha256(encoded).digest()
    grey = _grey(encoded)
    if grey is None:
        return Fingerprint(sha256=sha256)
    whole, inner = (_shrunk(grey, border) for border in (0.0, CROP))
    if structure(np.asarray(whole, np.float32)) < LEAST_STRUCTURE:
        return Fingerprint(sha256=sha256)
    hashes = [_hash(turned(np.asarray(image), turn)) for turn in range(TURNS if turns else 1) for image in (whole, inner)]
    return Fingerprint(sha256=sha256, hashes=b"".join(hashes), grey=whole.tobytes())


def turned(square: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Return a square of pixels after one of the `TURNS`."""
    return np.rot90(square[:, ::-1] if turn % 2 else square, turn // 2)


def turned_back(turn: int) -> int:
    """Return the turn that undoes another one. A mirrored image undoes itself."""
    return turn if turn % 2 else -turn % TURNS


def structure(grey: Pixels) -> float:
    """Return the standard deviation from the best quadratic surface, in grey levels.

    A lit wall or a sky is such a surface.
    """
    pixels = grey.reshape(-1)
    return float(np.std(pixels - _SURFACES @ (_SURFACES.T @ pixels)))


def _surfaces() -> Pixels:
    """Return an orthonormal basis of the quadratic surfaces, as columns."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].reshape(2, -1)
    terms = np.stack([np.ones_like(across), across, down, across * down, across**2, down**2], axis=1)
    basis: Pixels = np.linalg.qr(terms)[0].astype(np.float32)
    return basis


_SURFACES: Final = _surfaces()


def _grey(encoded: bytes) -> Image.Image | None:
    """Return the image in grey, at least `_DRAFT` pixels a side; None if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(for_pillow(encoded))) as image:
            image.draft("L", (_DRAFT, _DRAFT))
            return image.convert("L")
    except Exception:  # noqa: BLE001  # each of Pillow's plugins raises its own kinds of errors
        return None


def _shrunk(grey: Image.Image, border: float) -> Image.Image:
    """Return the image without the share `border` of each side, as a square of `SIDE` pixels."""
    width, height = grey.size
    box = (width * border, height * border, width * (1 - border), height * (1 - border))
    return grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box)


def _hash(square: npt.NDArray[np.uint8]) -> bytes:
    import imagehash

    bits: Any = imagehash.phash(Image.fromarray(square), hash_size=_HASH_SIDE).hash
    return np.packbits(bits.reshape(-1)[_ORDER]).tobytes()
