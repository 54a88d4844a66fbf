"""The table of scores: one row per scored negative."""

from __future__ import annotations

import io
from collections.abc import Sequence

from negset_api.values import ScoredImage
from negset_jobs.mining.decide import Decision


def score_table(pool: Sequence[ScoredImage], trained_on: Sequence[ScoredImage], decision: Decision, threshold: float) -> bytes:
    """Return a Parquet file, ordered by score, best first, and by id if scores are equal.

    The same scores give the same bytes.

    Columns: `image_id` (string), `score` (the best detection's, 0 if there is none), `detections`
    (how many reach the threshold), `fooled`, `trained_on`, `hard`, `review`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    known = {image.image_id for image in trained_on}
    rows = sorted((*pool, *trained_on), key=lambda image: (-image.score, image.image_id))
    hard = {image.image_id for image in decision.hard}
    review = {image.image_id for image in decision.review}
    counts = [sum(found.score >= threshold for found in image.detections) for image in rows]
    table = pa.table(
        {
            "image_id": pa.array([image.image_id for image in rows], pa.string()),
            "score": pa.array([image.score for image in rows], pa.float64()),
            "detections": pa.array(counts, pa.int32()),
            "fooled": pa.array([count > 0 for count in counts], pa.bool_()),
            "trained_on": pa.array([image.image_id in known for image in rows], pa.bool_()),
            "hard": pa.array([image.image_id in hard for image in rows], pa.bool_()),
            "review": pa.array([image.image_id in review for image in rows], pa.bool_()),
        }
    )
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()
