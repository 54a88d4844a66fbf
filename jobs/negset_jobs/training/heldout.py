"""The pictures held out, as their records have them. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from negset_api.values import Box
from negset_jobs.records.example import decode_example
from negset_jobs.records.framing import read_records
from negset_jobs.store import Store
from negset_jobs.training.measuring import Truth


def pictures(store: Store, keys: Sequence[str]) -> Iterator[tuple[Truth, bytes]]:
    """Each picture of the files with these keys, in order: what is known of it, and its encoded bytes."""
    for key in keys:
        with store.reading(key) as stream:
            for _, payload in read_records(stream):
                features = decode_example(payload)
                yield _truth(features), features["image/encoded"][0]


def _truth(features: dict[str, list[Any]]) -> Truth:
    corners = (features.get(f"image/object/bbox/{side}", []) for side in ("ymin", "xmin", "ymax", "xmax"))
    classes = [name.decode() for name in features.get("image/object/class/text", [])]
    boxes = list(zip(*corners, strict=True))
    crowd = features.get("image/object/is_crowd") or [0] * len(boxes)
    difficult = features.get("image/object/difficult") or [0] * len(boxes)
    return Truth(
        image_id=features["image/source_id"][0].decode(),
        width=features["image/width"][0],
        height=features["image/height"][0],
        objects=tuple(
            Box(ymin=box[0], xmin=box[1], ymax=box[2], xmax=box[3], class_name=name, crowd=bool(is_crowd), difficult=bool(is_difficult))
            for box, name, is_crowd, is_difficult in zip(boxes, classes, crowd, difficult, strict=True)
        ),
    )
