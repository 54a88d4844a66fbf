"""The other annotated objects on the held-out negatives, as a small file.

The report uses it to say which objects false positives lie on, without reading the annotations
again.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from negset_api.values import Box, ImageId
from negset_jobs.formats.coco import Annotations
from negset_jobs.formats.coco_ids import key_of, keys_of

Objects = dict[str, tuple[Box, ...]]
"""The normalised annotated boxes by image id, which is text.

Images without boxes are included.
"""


def objects_on(wanted: Sequence[ImageId], annotations: Annotations) -> Objects:
    """Return the boxes on the wanted images; empty if the file has no boxes at all.

    A box without an area, or on an image of unknown size, is skipped: nothing can lie on it.
    """
    found: dict[ImageId, list[Box]] = {number: [] for number in wanted}
    if not found or np.isnan(annotations.boxes).all():
        return {}
    sizes = {image.id: (image.width or 0, image.height or 0) for image in annotations.images if image.id in found}
    ids = {key_of(number): number for number in wanted}
    class_names = {category.id: category.name for category in annotations.categories}
    rows = np.flatnonzero(np.isin(annotations.image_ids, keys_of(wanted)))
    columns = (annotations.image_ids[rows].tolist(), annotations.category_ids[rows].tolist(), annotations.boxes[rows].tolist())
    for key, category, (x, y, width, height) in zip(*columns, strict=True):
        image = ids[key]
        right, bottom = sizes[image]
        if right > 0 and bottom > 0 and width > 0 and height > 0 and math.isfinite(x + y + width + height):
            box = Box(
                ymin=y / bottom, xmin=x / right, ymax=(y + height) / bottom, xmax=(x + width) / right, class_name=class_names[category]
            )
            found[image].append(box)
    return {str(image): tuple(boxes) for image, boxes in found.items()}


def encode(objects: Objects) -> bytes:
    """Return a Parquet table with a row per image. Boxes are flattened: ymin, xmin, ymax, xmax."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("image_id", pa.string()), ("classes", pa.list_(pa.string())), ("boxes", pa.list_(pa.float32()))])
    rows = [
        {
            "image_id": name,
            "classes": [box.class_name for box in boxes],
            "boxes": [side for box in boxes for side in (box.ymin, box.xmin, box.ymax, box.xmax)],
        }
        for name, boxes in objects.items()
    ]
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), stream, compression="zstd")
    return stream.getvalue()


def decode(data: bytes) -> Objects:
    """Return the objects of such a table, with corners in float32 precision."""
    from pyarrow import parquet

    found: Objects = {}
    for row in parquet.read_table(io.BytesIO(data)).to_pylist():
        sides = iter(row["boxes"])
        quads = zip(sides, sides, sides, sides, row["classes"], strict=True)
        found[row["image_id"]] = tuple(
            Box(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax, class_name=name) for ymin, xmin, ymax, xmax, name in quads
        )
    return found
