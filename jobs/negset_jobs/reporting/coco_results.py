"""The held-out images and the detections of each arm, in COCO's formats.

Pure. Any tool can read them (https://cocodataset.org/#format-results).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from negset_api.values import ImageId
from negset_jobs.reporting.evidence import Columns, Evidence
from negset_jobs.training.measuring import pixels

Ids = tuple[int, ...]


class HeldOutImage(msgspec.Struct, frozen=True):
    """A held-out image: its id in the source, its file name, and its size in pixels."""

    image_id: ImageId
    file_name: str
    width: int
    height: int


def images(model: Evidence, negatives: Mapping[str, HeldOutImage]) -> tuple[HeldOutImage, ...]:
    """Return the held-out images in the order of the evidence, the positives first.

    The keys of `negatives` are ids as text.
    """
    positives = (HeldOutImage(truth.image_id, truth.image_id, truth.width, truth.height) for truth in model.truths)
    return (*positives, *(negatives[name] for name in model.negative_ids))


def numbered(held_out: Sequence[HeldOutImage]) -> Ids:
    """Return the integer id of each image, because COCO's ids are integers.

    It is the image's own id, if that is an integer and no earlier image has it. Otherwise it is the
    next free number above all of these. Positives and negatives may come from two sources that both
    have an image 17, and Pascal VOC has file names.
    """
    own = [_integer(image.image_id) for image in held_out]
    following = itertools.count(max([0, *(number for number in own if number is not None)]) + 1)
    taken: set[int] = set()
    ids = []
    for number in own:
        chosen = number if number is not None and number not in taken else next(following)
        taken.add(chosen)
        ids.append(chosen)
    return tuple(ids)


def instances(model: Evidence, held_out: Sequence[HeldOutImage], ids: Ids) -> bytes:
    """Return the held-out images in COCO's instances format.

    Negatives have no annotation. A difficult object becomes a crowd region, so COCO ignores it.
    """
    positives = len(model.truths)
    entries = [
        {
            "id": number,
            "source_id": str(image.image_id),
            "file_name": image.file_name,
            "width": image.width,
            "height": image.height,
            "negative": index >= positives,
        }
        for index, (number, image) in enumerate(zip(ids, held_out, strict=True))
    ]
    labels = {name: index for index, name in enumerate(model.classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for number, truth in zip(ids[:positives], model.truths, strict=True):
        for box in truth.objects:
            x, y, width, height = (round(value, 2) for value in pixels(box, truth))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels[box.class_name],
                    "bbox": [x, y, width, height],
                    "area": round(width * height, 2),
                    "iscrowd": int(box.crowd or box.difficult),
                }
            )
    categories = [{"id": index, "name": name} for name, index in labels.items()]
    return msgspec.json.encode({"info": {}, "licenses": [], "images": entries, "annotations": annotations, "categories": categories})


def results(model: Evidence, held_out: Sequence[HeldOutImage], ids: Ids) -> bytes:
    """Return every detection of a model in COCO's results format, one entry per line."""
    positives = len(model.truths)
    entries = itertools.chain(
        _entries(model.positives, held_out[:positives], ids[:positives]), _entries(model.negatives, held_out[positives:], ids[positives:])
    )
    # Entries have only numbers, so no value contains an end of line.
    lines = msgspec.json.Encoder().encode_lines(entries).rstrip(b"\n").replace(b"\n", b",\n")
    return b"[\n" + lines + b"\n]\n"


class _Entry(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: list[float]
    score: float


def _entries(columns: Columns, held_out: Sequence[HeldOutImage], ids: Ids) -> Iterable[_Entry]:
    sizes = np.array([(image.height, image.width) for image in held_out], np.float64).reshape(-1, 2)[columns.images]
    corners = columns.boxes.astype(np.float64) * np.tile(sizes, 2)
    boxes = np.column_stack([corners[:, 1], corners[:, 0], corners[:, 3] - corners[:, 1], corners[:, 2] - corners[:, 0]])
    scores = columns.scores.astype(np.float64)
    rows = (columns.images.tolist(), columns.labels.tolist(), boxes.round(2).tolist(), scores.round(5).tolist())
    return (_Entry(ids[image], label + 1, box, score) for image, label, box, score in zip(*rows, strict=True))


def _integer(image_id: ImageId) -> int | None:
    """Return the id as an integer, if its text is that of an integer. `007` is a file name."""
    text = str(image_id)
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and str(int(text)) == text else None
