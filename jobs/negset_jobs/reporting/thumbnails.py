"""Images small enough for a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Final

from negset_jobs.download.png import for_pillow

if TYPE_CHECKING:
    from PIL import Image

LONGEST_SIDE: Final = 200
"""Pixels; at this size a photograph takes about 8 KiB."""


def thumbnail(encoded: bytes) -> str | None:
    """Return the image as a JPEG data URI, with no side longer than `LONGEST_SIDE`.

    None if it cannot be decoded.
    """
    small = _small(encoded)
    return None if small is None else _uri(small)


def beside(first: bytes, second: bytes) -> tuple[str, int, int] | None:
    """Two images side by side as a JPEG data URI, with its width and height.

    None if one of them cannot be decoded.
    """
    from PIL import Image

    left, right = _small(first), _small(second)
    if left is None or right is None:
        return None
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return _uri(both), both.width, both.height


def _small(encoded: bytes) -> Image.Image | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(for_pillow(encoded))) as image:
            # A JPEG is then decoded at a fraction of its size.
            image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            small = image.convert("RGB")
    except Exception:  # noqa: BLE001  # each of Pillow's plugins raises its own kinds of errors
        return None
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return small


def _uri(small: Image.Image) -> str:
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
