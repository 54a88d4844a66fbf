"""The first directory of a TIFF (TIFF 6.0, section 2), and the orientation in it."""

from __future__ import annotations

import struct
from typing import Final

# By signature: byte order, and the formats of the directory's place, the number of its entries,
# and an entry: tag, type, number of values, and the values or their place.
_KINDS: Final = {
    b"II*\x00": ("<", 4, "I", "H", "HHI4s"),
    b"MM\x00*": (">", 4, "I", "H", "HHI4s"),
    b"II+\x00": ("<", 8, "Q", "Q", "HHQ8s"),
    b"MM\x00+": (">", 8, "Q", "Q", "HHQ8s"),
}
"""TIFF and BigTIFF."""

_ORIENTATION: Final = 274
_SHORT: Final = 3


def upright(data: bytes) -> bytes:
    """Return a TIFF whose orientation is 1: Pillow turns others while it loads them.

    What is no TIFF, or damaged, is returned unchanged.
    """
    if data[:4] not in _KINDS:
        return data
    order, place, offset, number, entry = _KINDS[data[:4]]
    changed, layout = bytearray(data), struct.Struct(order + entry)
    try:
        (at,) = struct.unpack_from(order + offset, data, place)
        (count,) = struct.unpack_from(order + number, data, at)
        start = at + struct.calcsize(order + number)
        for position in range(start, min(start + count * layout.size, len(data)), layout.size):
            tag, *_, values = layout.unpack_from(data, position)
            if tag == _ORIENTATION:
                layout.pack_into(changed, position, tag, _SHORT, 1, struct.pack(order + "H", 1).ljust(len(values), b"\0"))
    except struct.error:
        return data
    return bytes(changed)
