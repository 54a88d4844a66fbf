"""Pictures small enough to be part of a page."""

from __future__ import annotations

import base64
import io
from typing import Final

LONGEST_SIDE: Final = 200
"""Pixels; at this size a photograph takes about 8 KiB."""


def thumbnail(encoded: bytes) -> str | None:
    """The picture as a JPEG data URI, made smaller where a side is longer than `LONGEST_SIDE`; None where it cannot be decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            picture.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # lets a JPEG be decoded at a fraction of its size
            small = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
