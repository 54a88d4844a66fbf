"""The values that stages write: `Spec → Plan → Shards → Records → Training → Mining → Report`.

Each is frozen, is stored as one JSON file under the revision, and is the commit marker of the stage
that wrote it. A stage reads only the values before it. `input_digest` is the digest of everything
that decided a stage's bytes. A later revision with the same digest copies the stage instead of
running it again.
"""

from negset_api.values.data import (
    Box,
    Copies,
    CopyCounts,
    ImageResult,
    Labels,
    License,
    Outcome,
    Plan,
    PlannedImage,
    Positives,
    Records,
    ShardPlan,
    ShardResult,
)
from negset_api.values.model import Detection, LossPoint, Measurement, Mining, Round, ScoredImage
from negset_api.values.report import ClassNumbers, Comparison, Interval, Report, ReportMining, ReportRound
from negset_api.values.value import ImageId, T, Value, decode, digest, encode

__all__ = [
    "Box",
    "ClassNumbers",
    "Comparison",
    "Copies",
    "CopyCounts",
    "Detection",
    "ImageId",
    "ImageResult",
    "Interval",
    "Labels",
    "License",
    "LossPoint",
    "Measurement",
    "Mining",
    "Outcome",
    "Plan",
    "PlannedImage",
    "Positives",
    "Records",
    "Report",
    "ReportMining",
    "ReportRound",
    "Round",
    "ScoredImage",
    "ShardPlan",
    "ShardResult",
    "T",
    "Value",
    "decode",
    "digest",
    "encode",
]
