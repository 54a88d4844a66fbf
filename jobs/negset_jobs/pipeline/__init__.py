"""The order of the stages: `Spec → Plan → Shards → Records → Training → Mining → Report`.

A stage is done if and only if its marker exists. Each function here looks for the marker first, so
running a finished stage again costs nothing. If it is missing, another revision of the dataset may
have made the stage from the same inputs. Then that revision's files are copied on the store's side.
"""

from __future__ import annotations

from negset_jobs.pipeline.data_stages import data, data_missing, plan
from negset_jobs.pipeline.model_stages import check, check_with_api, mine, mined, needs_api_check, train, trained
from negset_jobs.pipeline.results import report, status
from negset_jobs.pipeline.revision import Revision, alone, prepare

__all__ = [
    "Revision",
    "alone",
    "check",
    "check_with_api",
    "data",
    "data_missing",
    "mine",
    "mined",
    "needs_api_check",
    "plan",
    "prepare",
    "report",
    "status",
    "train",
    "trained",
]
