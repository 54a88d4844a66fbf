"""Read the headers of formats that are always transcoded, and tell a cut file from a damaged one.

Pillow reads the headers. It takes some cut files for damaged or foreign ones, and the outcome
truncated is retried. So the lengths that the formats write into their files are compared first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from negset_api.values import Outcome
from negset_jobs.download import foreign, transcoding
from negset_jobs.download.failure import Failed
from negset_jobs.download.header import DECODED, Header

if TYPE_CHECKING:
    from PIL.Image import Image

LOSSLESS: Final = frozenset({"png", "gif", "bmp", "tiff"})

_MEMORY: Final = {"webp": 16, "avif": 12}
"""The bytes per pixel of formats whose decoders need more than `DECODED`."""

_LARGEST_TILE: Final = 1 << 24
"""The maximum size of a tile of a TIFF, in pixels: a small image could have one of gigabytes."""

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF 6.0, section 15
_BOX: Final = 8  # the bytes of a box's header
_TIFF_HEADER: Final = 8
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_TIFF: Final[dict[bytes, Literal["little", "big"]]] = {b"II*\x00": "little", b"MM\x00*": "big"}


def inspect(data: bytes) -> tuple[str, Header]:
    """Return format and header of an image that is neither JPEG nor PNG.

    Raises `Failed` with the outcome not_an_image, truncated or too_large.
    """
    if not data:
        raise Failed(Outcome.NOT_AN_IMAGE, "an empty file")
    if data.lstrip()[:1] in (b"<", b"{"):
        raise Failed(Outcome.NOT_AN_IMAGE, "a text document (HTML, XML or JSON) instead of an image")
    if _is_cut(data):
        raise Failed(Outcome.TRUNCATED, f"an image that is longer than the {len(data)} bytes of its file")
    # A GIF or TIFF without the end of its header has no length to compare.
    begun = data.startswith((b"GIF87a", b"GIF89a", *_TIFF))
    try:
        image = transcoding.opened(data, Outcome.TRUNCATED if begun else Outcome.NOT_AN_IMAGE)
    except Failed as failure:
        if failure.outcome is not Outcome.NOT_AN_IMAGE:
            raise
        raise Failed(Outcome.NOT_AN_IMAGE, foreign.named(data)) from failure
    name = str(image.format).lower()
    if name == "tiff" and _tile(image) > _LARGEST_TILE:
        raise Failed(Outcome.TOO_LARGE, f"expected tiles of at most {_LARGEST_TILE} pixels, got {_tile(image)}")
    return name, Header(image.width, image.height, 3, ready=False, memory=_MEMORY.get(name, DECODED))


def _tile(image: Image) -> int:
    """Return the pixels of a tile of a TIFF; 0 if it has none."""
    tags: dict[int, int] = getattr(image, "tag_v2", {})
    try:
        return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))
    except Exception as error:  # Pillow reads a tag when it is asked for
        raise Failed(Outcome.UNDECODABLE, "a TIFF whose tags cannot be read") from error


def is_lossless_webp(data: bytes) -> bool:
    return data[12:16] == b"VP8L"


def _is_cut(data: bytes) -> bool:
    """Return True if the file is shorter than its own lengths say."""
    if data.startswith(b"RIFF") and data[8:12] in (b"WEBP", b""):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data[4:8] == b"ftyp":
        return _is_cut_avif(data)
    if order := _TIFF.get(data[:4]):
        return _is_cut_tiff(data, order)
    return False


def _is_cut_avif(data: bytes) -> bool:
    """Walk the boxes of ISO/IEC 14496-12 (4.2). An AVIF has its pixels in one called mdat."""
    at = 0
    kinds: set[bytes] = set()
    while at + _BOX <= len(data):
        size = int.from_bytes(data[at : at + 4])
        kinds.add(data[at + 4 : at + 8])
        if size == 0:
            return False  # up to the end of the file
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < _BOX:
            return False
        at += size
    brands = {data[start : start + 4] for start in range(8, min(len(data), int.from_bytes(data[:4])), 4)}
    return at != len(data) or (bool(brands & _AVIF_BRANDS) and not {b"meta", b"mdat"} <= kinds)


def _is_cut_tiff(data: bytes, order: Literal["little", "big"]) -> bool:
    """Look for the first directory (TIFF 6.0, section 2). Writers put it at the end."""
    if len(data) < _TIFF_HEADER:
        return True
    at = int.from_bytes(data[4:8], order)
    return at + 2 > len(data) or at + 2 + 12 * int.from_bytes(data[at : at + 2], order) > len(data)
