"""manifest.parquet: the outcome of every planned image, for people and their tools."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from negset_api.values import ImageId, ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult

_NEAR: Final = ("near_copy_of", "near_copy_kind")

_SUSPICIOUS: Final = 3
"""The copies of one image that show more than a picture that was published twice."""


class Copied(NamedTuple):
    """The first image with its bytes in plan order, and how many images have them."""

    image_id: ImageId
    images: int


def most_copied(shards: Sequence[ShardPlan], results: Sequence[ShardResult]) -> Copied | None:
    """Return the image whose bytes most stored images have; None if no bytes are suspicious.

    Some servers send one image, with status 200, in place of every image that they no longer have.
    """
    planned = (image.image_id for shard in shards for image in shard.images)
    ended = (image for result in results for image in result.results)
    stored = [(image.sha256, image_id) for image_id, image in zip(planned, ended, strict=True) if image.outcome is Outcome.STORED]
    counts = Counter(digest for digest, _ in stored)
    digest, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return Copied(next(image_id for other, image_id in stored if other == digest), count) if count >= _SUSPICIOUS else None


def encode_manifest(shards: Sequence[ShardPlan], results: Sequence[ShardResult]) -> bytes:
    """Return manifest.parquet: one row per planned image, in plan order.

    `proof` says why the image is negative: a value of `spec.selection.minimumProof`. `copy_of` is
    the id of the first image in the plan with the same bytes, if that is another. The same rows
    give the same bytes. Ids are numbers, or text if any id is text. The columns `subset` and
    `scene` are the split and the stratum: readers of earlier versions use these names. The columns
    of `with_near_copies` are null.
    """
    import pyarrow as pa

    rows = [
        _row(image, ended, shard.split, result.file)
        for shard, result in zip(shards, results, strict=True)
        for image, ended in zip(shard.images, result.results, strict=True)
    ]
    numbered = all(isinstance(row["image_id"], int) for row in rows)
    if not numbered:
        rows = [{**row, "image_id": str(row["image_id"])} for row in rows]
    first: dict[object, object] = {}
    for row in rows:
        original = first.setdefault(row["sha256"] or row["image_id"], row["image_id"])
        row["copy_of"] = None if original == row["image_id"] else original
    ids = pa.int64() if numbered else pa.string()
    schema = pa.schema(
        [
            ("image_id", ids),
            ("url", pa.string()),
            ("outcome", pa.string()),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("license", pa.int64()),
            ("shard", pa.string()),
            ("reason", pa.string()),
            ("file_name", pa.string()),
            ("subset", pa.string()),
            ("scene", pa.string()),
            ("detail", pa.string()),
            ("page", pa.string()),
            ("copy_of", ids),
            ("proof", pa.string()),
            *((name, pa.string()) for name in _NEAR),
        ]
    )
    return _encoded(pa.Table.from_pylist(rows, schema=schema))


def with_near_copies(manifest: bytes, near: Mapping[str, tuple[str, str]]) -> bytes:
    """Return the manifest with these near copies, in the place of those that it has.

    `near` has the id and the kind (`negative` or `positive`) of the image that another one looks
    like, by the other one's id. They are the last columns, `near_copy_of` and `near_copy_kind`.
    `near_copy_of` is always text, because ids of positives may be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(manifest))
    found = [near.get(str(image_id), (None, None)) for image_id in table["image_id"].to_pylist()]
    table = table.drop_columns([name for name in _NEAR if name in table.column_names])
    for index, name in enumerate(_NEAR):
        table = table.append_column(name, pa.array([each[index] for each in found], pa.string()))
    return _encoded(table)


def _encoded(table: Any) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _row(image: PlannedImage, ended: ImageResult, split: str, file: str) -> dict[str, object]:
    return {
        "image_id": image.image_id,
        "url": image.url,
        "outcome": ended.outcome.value,
        "sha256": ended.sha256,
        "bytes": ended.bytes,
        "width": ended.width,
        "height": ended.height,
        "license": image.license,
        "shard": file if ended.outcome is Outcome.STORED else "",
        "reason": image.reason,
        "file_name": image.file_name,
        "subset": split,
        "scene": image.stratum,
        "detail": ended.detail,
        "page": image.page,
        "proof": image.proof,
    }
