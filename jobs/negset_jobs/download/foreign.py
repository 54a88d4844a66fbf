"""Say what a file is that is no image in a format that is read, and what to do about it. Pure."""

from __future__ import annotations

import re
from typing import Final

UNKNOWN: Final = "not an image in a known format"

_CONVERT: Final = "convert it to JPEG or PNG"
_MARKS: Final = (
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", f"a HEIC image; {_CONVERT}"),
    (rb"....ftyp", "a video; extract its frames as images"),
    (rb"RIFF....AVI |\x1aE\xdf\xa3", "a video; extract its frames as images"),
    (rb"\x00\x00\x00\x0cjP  |\xffO\xffQ", f"a JPEG 2000 image; {_CONVERT}"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", f"a JPEG XL image; {_CONVERT}"),
    (rb"\x00\x00[\x01\x02]\x00", f"an icon of Windows; {_CONVERT}"),
    (rb"8BPS", f"a Photoshop document; {_CONVERT}"),
    (rb"%PDF", f"a PDF document; {_CONVERT}"),
    (rb"P[1-7]\s", f"an image in a format of Netpbm (PPM); {_CONVERT}"),
    (rb"v/1\x01|#\?RADIANCE", f"an image with a high dynamic range (EXR or HDR); {_CONVERT}"),
    (rb".{128}DICM", f"a medical image (DICOM); {_CONVERT}"),
    (rb"\x93NUMPY|PK\x03\x04.{26}[^/]*\.npy", f"an array of NumPy; {_CONVERT}"),
    (rb"\x1f\x8b", "data compressed with gzip; decompress it"),
    (rb"PK\x03\x04", "a zip archive; give the images in it as zip://NAME::URL"),
    (rb"version https?://git-lfs", "a pointer of Git LFS and not the file itself; run git lfs pull where it comes from"),
    (rb"/9j/|iVBORw0KGgo|data:image/", "an image as text (base64); decode it"),
    (rb"\x00{64}", "zero bytes, as of a file that was not copied completely; copy or download it again"),
)
_KNOWN: Final = tuple((re.compile(mark, re.DOTALL), name) for mark, name in _MARKS)


def named(data: bytes) -> str:
    """Return what a file is, with advice, from its first bytes."""
    return next((name for mark, name in _KNOWN if mark.match(data)), UNKNOWN)
