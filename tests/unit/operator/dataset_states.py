"""Datasets in the states that several tests of the decision start from."""

from __future__ import annotations

from typing import Any

from building import DATA_ONLY, TRAINING, DatasetState, merged

COMPARED = merged(TRAINING, {"training": {"comparisons": ["NoNegatives", "RandomNegatives"]}})
DELETE = merged(DATA_ONLY, {"deletionPolicy": "Delete"})
QUEUED = merged(TRAINING, {"queueName": "team-a-gpu"})
RETRY = 'To retry: kubectl annotate negativedataset street negset.dev/retry="$(date)" --overwrite'
DATA_URL = "s3://team-a/negatives/team-a/street"
STORED = {"images": {"planned": 100, "stored": 100, "failed": 0}}


def nothing_but_data() -> DatasetState:
    return DatasetState(DATA_ONLY)


def training() -> DatasetState:
    return DatasetState(TRAINING)


def compared(limit: int = 2, **fields: Any) -> DatasetState:
    return DatasetState(merged(COMPARED, {"training": {"maxParallel": limit}, **fields}))
