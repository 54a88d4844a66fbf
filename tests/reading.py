"""Read records back, for tests."""

from __future__ import annotations

from negset_jobs.formats.tf_example import decode_example


def as_image(payload: bytes) -> tuple[str, bytes]:
    """Return a record's id and encoded image."""
    features = decode_example(payload)
    return features["image/source_id"][0].decode(), features["image/encoded"][0]
