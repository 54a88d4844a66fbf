"""A model's detections on the held-out images, as one Parquet table.

The report makes its curves, intervals and counts from it. Imports no TensorFlow.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import msgspec

from negset_api.values import Box, Detection, ScoredImage
from negset_jobs.training.measuring import Truth


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """The held-out images with a model's detections, best first.

    `positives` are in the order of `truths`. Every detection on one of `negatives` is a false
    positive.
    """

    truths: tuple[Truth, ...]
    positives: tuple[ScoredImage, ...]
    negatives: tuple[ScoredImage, ...]


def encode(held_out: HeldOut) -> bytes:
    """Encode a row per image, the positives first.

    Boxes are flattened to ymin, xmin, ymax, xmax (normalised) for each. `width` and `height` of a
    negative are 0.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = [_row(image, truth) for truth, image in zip(held_out.truths, held_out.positives, strict=True)]
    rows += [_row(image, None) for image in held_out.negatives]
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=_schema()), stream, compression="zstd")
    return stream.getvalue()


def decode(data: bytes) -> HeldOut:
    """Decode what `encode` returned.

    Scores and corners have float32's precision, as the models' own have.
    """
    from pyarrow import parquet

    rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    positives = [row for row in rows if row["positive"]]
    return HeldOut(
        truths=tuple(map(_truth, positives)),
        positives=tuple(map(_scored, positives)),
        negatives=tuple(_scored(row) for row in rows if not row["positive"]),
    )


def _schema() -> Any:
    import pyarrow as pa

    texts, numbers, flags = pa.list_(pa.string()), pa.list_(pa.float32()), pa.list_(pa.bool_())
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("positive", pa.bool_()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("scores", numbers),
            ("classes", texts),
            ("boxes", numbers),
            ("object_classes", texts),
            ("object_boxes", numbers),
            ("object_crowd", flags),
            ("object_difficult", flags),
        ]
    )


def _row(image: ScoredImage, truth: Truth | None) -> dict[str, Any]:
    objects = truth.objects if truth is not None else ()
    return {
        "image_id": image.image_id,
        "positive": truth is not None,
        "width": truth.width if truth is not None else 0,
        "height": truth.height if truth is not None else 0,
        "scores": [found.score for found in image.detections],
        "classes": [found.class_name for found in image.detections],
        "boxes": _corners(image.detections),
        "object_classes": [box.class_name for box in objects],
        "object_boxes": _corners(objects),
        "object_crowd": [box.crowd for box in objects],
        "object_difficult": [box.difficult for box in objects],
    }


def _corners(boxes: Sequence[Box] | Sequence[Detection]) -> list[float]:
    return [corner for box in boxes for corner in (box.ymin, box.xmin, box.ymax, box.xmax)]


def _quads(corners: list[float]) -> list[tuple[float, ...]]:
    return [tuple(corners[start : start + 4]) for start in range(0, len(corners), 4)]


def _scored(row: dict[str, Any]) -> ScoredImage:
    found = zip(row["scores"], row["classes"], _quads(row["boxes"]), strict=True)
    return ScoredImage(
        image_id=row["image_id"],
        detections=tuple(
            Detection(ymin=box[0], xmin=box[1], ymax=box[2], xmax=box[3], score=score, class_name=name) for score, name, box in found
        ),
    )


def _truth(row: dict[str, Any]) -> Truth:
    objects = zip(row["object_classes"], _quads(row["object_boxes"]), row["object_crowd"], row["object_difficult"], strict=True)
    return Truth(
        image_id=row["image_id"],
        width=row["width"],
        height=row["height"],
        objects=tuple(
            Box(ymin=box[0], xmin=box[1], ymax=box[2], xmax=box[3], class_name=name, crowd=crowd, difficult=difficult)
            for name, box, crowd, difficult in objects
        ),
    )
