"""Write COCO's instances format (https://cocodataset.org/#format-data), without annotations.

It contains the images, and the licences and categories of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from negset_jobs.labels.formats import Contents, File
from negset_jobs.labels.labelled import LabelledImage


def image_files(labelled: LabelledImage, encoded: bytes) -> Iterator[File]:
    yield File(f"images/{labelled.split}/{labelled.name}", encoded)


def index_files(labelled_images: Sequence[LabelledImage], contents: Contents) -> Iterator[File]:
    """Yield `annotations/instances_<split>.json` for each split that has images.

    Readers of COCO need integer ids. If the source has others, images are numbered from 1.
    """
    numbered = any(not isinstance(labelled.image.image_id, int) for labelled in labelled_images)
    entries: dict[str, list[dict[str, Any]]] = {}
    for number, labelled in enumerate(labelled_images, 1):
        entries.setdefault(labelled.split, []).append({"id": number if numbered else labelled.image.image_id, **_entry(labelled)})
    for split, images in entries.items():
        instances = {
            "info": {"description": contents.title},
            "licenses": [{"id": item.id, "name": item.name, "url": item.url} for item in contents.licenses],
            "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in contents.categories.items()],
            "images": images,
            "annotations": [],
        }
        yield File(f"annotations/instances_{split}.json", msgspec.json.encode(instances) + b"\n")


def _entry(labelled: LabelledImage) -> dict[str, Any]:
    image = labelled.image
    return {
        "file_name": labelled.name,
        "width": labelled.width,
        "height": labelled.height,
        "license": image.license,
        "coco_url": image.url,
        "flickr_url": image.page,
    }
