"""The command that runs one step, as the operator's jobs do."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence

from negset_api import extras, stages, validation
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset
from negset_jobs import children, pipeline, revisions
from negset_jobs.adapters import address_guard, console
from negset_jobs.adapters.kubernetes_status import StatusProgress, StatusWriter, write_termination_message
from negset_jobs.commands import distributed_stages, manifest_file, needs, output, reach


def job(options: argparse.Namespace) -> int:
    children.end_with_parent()
    document = manifest_file.document(options.file)
    dataset = manifest_file.admitted(document)
    access = reach.of_dataset(reach.access(options), dataset.spec)
    extras.require(f"negset job {options.stage}", needs.of_job(options.stage, cluster=options.cluster))
    with address_guard.enforced(access):
        operator_revision, digest = validation.annotated_revision(document), validation.annotated_pipeline(document)
        _job(pipeline.prepare(dataset, access, operator_revision, pipeline=digest), options, validation.annotated_spec_hash(document))
    return 0


def _job(revision: pipeline.Revision, options: argparse.Namespace, spec_hash: str) -> None:
    if options.stage == "delete":
        _report_kept(revisions.delete(revision))
        return
    if options.stage == "check":  # writes no status: its pod has no token
        pipeline.check(revision)
        pipeline.check_with_api(revision)
        return
    step = _step(revision, options)
    writer = _status_writer(revision.dataset, options, spec_hash)
    progress = console.for_stream() if writer is None else StatusProgress(writer.write, console.for_stream())
    match step.kind:
        case "data":
            with pipeline.alone(revision, output.say):  # of the steps, `negset run` starts only the others as jobs
                distributed_stages.data(revision, progress)
        case "train":
            pipeline.train(revision, step, progress)
        case "mine":
            distributed_stages.mine(revision, step.round, progress)
    # On a laptop, `negset run` writes the report after its last child process.
    ends = options.cluster and step == revision.last and _is_chief()
    if ends:
        pipeline.report(revision, progress)
    if writer is not None:
        writer.write_last(pipeline.status(revision), final=ends)
    if ends and (summary := revisions.trim(revision)):
        output.say(summary)


def _report_kept(kept: Sequence[str]) -> None:
    """Write what a deletion has kept to the log and, for the operator, to the pod's status."""
    if kept:
        message = f"kept these revisions, which this object does not own alone: {', '.join(kept)}"
        output.say(message)
        write_termination_message(message)


def _step(revision: pipeline.Revision, options: argparse.Namespace) -> stages.Step:
    """Return the step that the command line names.

    Raises `InvalidInput` if the manifest does not have this step.
    """
    wanted = (options.stage, options.round, options.arm if options.stage == "train" else "")
    for step in revision.steps:
        if (step.kind, step.round, step.arm) == wanted:
            return step
    known = ", ".join(f"`{' '.join(step.command)}`" for step in revision.steps)
    raise InvalidInput(f"job: expected one of this dataset's steps ({known}), got {' '.join(map(str, filter(None, wanted)))}")


def _status_writer(dataset: NegativeDataset, options: argparse.Namespace, spec_hash: str) -> StatusWriter | None:
    """Return the writer of the object's status on a cluster.

    If there are several training pods, one of them writes it.
    """
    return StatusWriter(dataset.metadata, spec_hash) if options.cluster and _is_chief() else None


def _is_chief() -> bool:
    """Return True if this process is the first of the training's workers, or the only one.

    See https://www.tensorflow.org/guide/distributed_training#TF_CONFIG.
    """
    return bool(json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0) == 0)
