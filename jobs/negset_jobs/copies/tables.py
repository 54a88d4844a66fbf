"""Fingerprints and pairs of copies as Parquet tables."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from negset_jobs.copies.find import Hashed, Image, Pair, Seen
from negset_jobs.copies.fingerprint import HASH_BYTES, SIDE, Fingerprint
from negset_jobs.copies.pixels import Pixels

_EXACT: Final = {False: "near", True: "exact"}


def encode_fingerprints(images: Sequence[tuple[str, Fingerprint]]) -> bytes:
    """Return a table with a row per image of a records file, in its order."""
    import pyarrow as pa

    ids, found = [image_id for image_id, _ in images], [each for _, each in images]
    return _encoded(
        {
            "image_id": pa.array(ids, pa.string()),
            "sha256": pa.array([each.sha256 for each in found], pa.binary()),
            "hashes": pa.array([each.hashes for each in found], pa.binary()),
            "grey": pa.array([each.grey for each in found], pa.binary()),
        }
    )


def decode_hashes(data: bytes) -> Hashed:
    """Return the digests and hashes of such a table."""
    table = _decoded(data, ["sha256", "hashes"])
    hashes = table["hashes"].to_pylist()
    rows = [row for row, each in enumerate(hashes) if each]
    words = np.frombuffer(b"".join(hashes), np.uint64)
    return Hashed(
        sha256=table["sha256"].to_pylist(),
        rows=np.array(rows, np.int32),
        hashes=words.reshape(len(rows), -1, HASH_BYTES // words.itemsize) if rows else np.empty((0, 0, 4), np.uint64),
    )


def decode_ids(data: bytes) -> list[str]:
    """Return the ids of the images of such a table."""
    ids: list[str] = _decoded(data, ["image_id"])["image_id"].to_pylist()
    return ids


def decode_seen(data: bytes, rows: Sequence[int]) -> list[Seen]:
    """Return the images in these rows of such a table."""
    table = _decoded(data, ["image_id", "grey"]).take(list(rows))
    return [
        Seen(image_id, _pixels(grey) if grey else None)
        for image_id, grey in zip(table["image_id"].to_pylist(), table["grey"].to_pylist(), strict=True)
    ]


def encode_pairs(pairs: Sequence[Pair]) -> bytes:
    """Return `copies.parquet`: a row per pair of an image and its copy.

    Columns: `held_out_id`, `held_out_kind` (`negative` or `positive`), `other_id`, `other_kind`,
    `copy` (`exact` or `near`), `distance` (of 256 bits), `held_out_records`, `other_records`,
    `negative_id`, `negative_records`. The columns `records` are the keys of the TFRecord files that
    hold the images. `negative_id` is the negative of a negative and a positive; the `held_out`
    columns are null if the pair excludes no held-out image.
    """
    import pyarrow as pa

    held_out, negatives = [each.image if each.held_out else None for each in pairs], [each.negative for each in pairs]
    return _encoded(
        {
            "held_out_id": pa.array([each and each.image_id for each in held_out], pa.string()),
            "held_out_kind": pa.array([each and each.kind for each in held_out], pa.string()),
            "other_id": pa.array([each.other.image_id for each in pairs], pa.string()),
            "other_kind": pa.array([each.other.kind for each in pairs], pa.string()),
            "copy": pa.array([_EXACT[each.exact] for each in pairs], pa.string()),
            "distance": pa.array([each.distance for each in pairs], pa.int32()),
            "held_out_records": pa.array([each and each.records for each in held_out], pa.string()),
            "other_records": pa.array([each.other.records for each in pairs], pa.string()),
            "negative_id": pa.array([each and each.image_id for each in negatives], pa.string()),
            "negative_records": pa.array([each and each.records for each in negatives], pa.string()),
        }
    )


def decode_pairs(data: bytes) -> list[Pair]:
    """Return the pairs of such a table. One of an earlier version has no columns for negatives."""
    return [
        Pair(
            image=_image(row, "held_out" if row["held_out_id"] is not None else "negative"),
            other=_image(row, "other"),
            exact=row["copy"] == _EXACT[True],
            distance=row["distance"],
            held_out=row["held_out_id"] is not None,
        )
        for row in _decoded(data, None).to_pylist()
    ]


def _image(row: Mapping[str, Any], role: str) -> Image:
    positive = row.get(f"{role}_kind") == "positive"
    return Image(image_id=row[f"{role}_id"], positive=positive, records=row[f"{role}_records"])


def _pixels(grey: bytes) -> Pixels:
    return np.frombuffer(grey, np.uint8).reshape(SIDE, SIDE).astype(np.float32)


def _encoded(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream, compression="zstd")
    return stream.getvalue()


def _decoded(data: bytes, columns: list[str] | None) -> Any:
    from pyarrow import parquet

    return parquet.read_table(io.BytesIO(data), columns=columns)
