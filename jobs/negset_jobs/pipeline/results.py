"""The report, and the results that the status of the object has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from negset_api import names
from negset_api.status import RoundStatus, Status
from negset_api.values import Outcome, Positives, Records, Report, Round
from negset_jobs.adapters.progress import Progress
from negset_jobs.formats.stored import find
from negset_jobs.pipeline.revision import Revision


def report(revision: Revision, progress: Progress) -> Report:
    """Write the report: the page and the numbers."""
    from negset_jobs.reporting.stage import report_stage

    existing = find(revision.store, names.REPORT, Report)
    return existing if existing is not None else report_stage(revision.store, revision.dataset, progress)


def status(revision: Revision) -> dict[str, Any]:
    """Return the status fields of the finished stages: image counts and each round's results.

    The counts have their zeros, because the write leaves fields that it does not name.
    """
    records, spec = find(revision.store, names.RECORDS, Records), revision.dataset.spec
    converted = spec.positives is not None and not spec.positives.tfrecords
    positives = find(revision.store, names.POSITIVES, Positives) if converted else None
    mined = (step for step in revision.steps if step.kind == "train" and step.arm == names.MINED)
    rounds = [value for step in mined if (value := find(revision.store, step.marker, Round)) is not None]
    worth = tuple(
        RoundStatus(
            round=value.number,
            false_positives_per_image=f"{value.measurement.false_positives_per_image:.3f}",
            recall=f"{value.measurement.recall:.3f}",
            average_precision=f"{value.measurement.average_precision:.3f}",
        )
        for value in rounds
    )
    newest = worth[-1].false_positives_per_image if worth else ""
    fields: dict[str, Any] = msgspec.to_builtins(Status(rounds=worth, false_positives_per_image=newest))
    if records is not None:
        fields["images"] = {**_counts(records.outcomes), "bytes": records.bytes}
    if positives is not None:
        fields["positives"] = _counts(positives.outcomes)
    return fields


def _counts(outcomes: Mapping[str, int]) -> dict[str, int]:
    """Return the fields of `ImageCounts` that the outcomes of a stage decide."""
    planned, stored = sum(outcomes.values()), outcomes.get(Outcome.STORED, 0)
    transient = sum(count for name, count in outcomes.items() if Outcome(name).transient)
    return {"planned": planned, "stored": stored, "failed": planned - stored, "transient": transient}
