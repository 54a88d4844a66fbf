"""What the header of an image says, and the limits that hold for every format."""

from __future__ import annotations

from typing import Final, NamedTuple

BITS: Final = 8
"""The bits per channel of a stored image."""

DECODED: Final = 6
"""The bytes of memory that Pillow takes for a pixel: those of the decoder and of the image.

Measured on images of 49 megapixels. A TIFF with 32 bits takes 5.3, the others up to 4.4.
"""


class Header(NamedTuple):
    """Size in pixels, number of colour channels, and whether the image can be stored unchanged.

    An alpha channel is not counted. A palette has three colour channels. `memory` is the bytes per
    pixel that the image needs at most while it is decoded or transcoded.
    """

    width: int
    height: int
    channels: int
    ready: bool
    memory: int = DECODED
