"""Write the Pascal VOC format: one .xml file without <object> for each image.

Source: The PASCAL Visual Object Classes Challenge 2012 Development Kit.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import Final

from negset_jobs.labels.formats import Contents, File
from negset_jobs.labels.labelled import LabelledImage

_UNPRINTABLE: Final = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2) cannot represent."""


def image_files(labelled: LabelledImage, encoded: bytes) -> Iterator[File]:
    yield File(f"JPEGImages/{labelled.name}", encoded)
    yield File(f"Annotations/{labelled.stem}.xml", _annotation(labelled))


# VOC has no field for the classes and licences of `contents`.
def index_files(labelled_images: Sequence[LabelledImage], contents: Contents) -> Iterator[File]:  # noqa: ARG001
    """Yield `ImageSets/Main/train.txt` and, if images are held out, `val.txt`.

    They have one name without extension per line. There is no `trainval.txt`: readers such as
    Datumaro treat every list there as a split, and would count each image twice.
    """
    for split in ("train", "val"):
        members = [labelled.stem for labelled in labelled_images if labelled.split == split]
        if members:
            yield File(f"ImageSets/Main/{split}.txt", "".join(f"{stem}\n" for stem in members).encode())


def _annotation(labelled: LabelledImage) -> bytes:
    root = ET.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", labelled.name)
    _add(ET.SubElement(root, "source"), "image", _UNPRINTABLE.sub("", labelled.image.page or labelled.image.url))
    size = ET.SubElement(root, "size")
    for side, value in (("width", labelled.width), ("height", labelled.height), ("depth", labelled.channels)):
        _add(size, side, str(value))
    _add(root, "segmented", "0")
    ET.indent(root, "\t")
    return bytes(ET.tostring(root, encoding="utf-8")) + b"\n"


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
