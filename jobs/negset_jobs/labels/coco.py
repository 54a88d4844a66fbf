"""COCO's instances format (https://cocodataset.org/#format-data): pictures, the source's licences and categories, and no annotation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from negset_jobs.labels.formats import Contents, File
from negset_jobs.labels.pictures import Picture


def picture_files(picture: Picture, encoded: bytes) -> Iterator[File]:
    yield File(f"images/{picture.subset}/{picture.name}", encoded)


def index_files(pictures: Sequence[Picture], contents: Contents) -> Iterator[File]:
    """`annotations/instances_<subset>.json` for each subset that has pictures. COCO's readers want integer ids: where the source has others, they are numbered from 1."""
    numbered = any(not isinstance(picture.image.image_id, int) for picture in pictures)
    entries: dict[str, list[dict[str, Any]]] = {}
    for number, picture in enumerate(pictures, 1):
        entries.setdefault(picture.subset, []).append({"id": number if numbered else picture.image.image_id, **_entry(picture)})
    for subset, images in entries.items():
        instances = {
            "info": {"description": contents.title},
            "licenses": [{"id": item.id, "name": item.name, "url": item.url} for item in contents.licenses],
            "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in contents.categories.items()],
            "images": images,
            "annotations": [],
        }
        yield File(f"annotations/instances_{subset}.json", msgspec.json.encode(instances) + b"\n")


def _entry(picture: Picture) -> dict[str, Any]:
    image = picture.image
    return {
        "file_name": picture.name,
        "width": picture.width,
        "height": picture.height,
        "license": image.license,
        "coco_url": image.url,
        "flickr_url": image.page,
    }
