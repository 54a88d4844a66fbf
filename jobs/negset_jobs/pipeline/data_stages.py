"""The stages before training: plan, positives, negatives, labels and the search for copies."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import msgspec

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.validation import manifest
from negset_api.values import Copies, Labels, Plan, Positives, Records
from negset_jobs.adapters.progress import Progress
from negset_jobs.formats.stored import commit, find
from negset_jobs.pipeline.reuse import reuse
from negset_jobs.pipeline.revision import Revision

log = logging.getLogger(__name__)


def plan(revision: Revision) -> Plan:
    """Select the images.

    Nothing is written before the selection succeeds, so a wrong class or file creates no folder.
    """
    from negset_jobs.selection import annotated
    from negset_jobs.selection.stage import plan_with_objects

    existing = find(revision.store, names.PLAN, Plan)
    if existing is not None:
        return existing
    value, objects = plan_with_objects(revision.dataset, revision.access)
    revision.store.create(names.SPEC, msgspec.json.format(msgspec.json.encode(manifest(revision.dataset)), indent=2) + b"\n")
    if objects:
        revision.store.create(names.HELD_OUT_OBJECTS, annotated.encode(objects))
    return commit(revision.store, names.PLAN, value)


def data_missing(revision: Revision) -> bool:
    """Return True if any stage before training is not done, or must request images again."""
    wanted = {
        names.RECORDS: True,
        names.POSITIVES: revision.dataset.spec.positives is not None,
        names.LABELS: _wants_labels(revision.dataset),
        names.COPIES: revision.dataset.spec.training is not None,
    }
    if any(needed and not revision.store.exists(marker) for marker, needed in wanted.items()):
        return True
    return _records_may_improve(revision) or _positives_may_improve(revision)


def data(revision: Revision, progress: Progress) -> None:
    """Run all stages before training. Call it in a `work.session`, so that they share workers.

    They are the positives (if there are any), the negatives, their labels and, with training, the
    search for copies. The positives come first: they have the most user errors, which should show
    before the long download and not after it.
    """
    from negset_jobs.download.stage import record_stage
    from negset_jobs.labels.stage import labels_input_digest, labels_stage
    from negset_jobs.positives.stage import positives_stage

    chosen = plan(revision)
    # Written even if it exists: its time says when this revision was last the present one
    # (`revisions.trim`).
    revision.store.write(names.owner(revision.dataset.metadata.uid), b"")
    if revision.dataset.spec.positives is not None:
        positives = find(revision.store, names.POSITIVES, Positives)
        if positives is None or _positives_may_improve(revision):
            positives_stage(revision.store, revision.dataset, revision.access, revision.siblings, progress, positives)
    records = find(revision.store, names.RECORDS, Records)
    if records is None or _records_may_improve(revision):
        records = record_stage(revision.store, chosen, revision.dataset, revision.access, revision.siblings, progress, records)
    if _wants_labels(revision.dataset) and find(revision.store, names.LABELS, Labels) is None:
        input_digest = labels_input_digest(revision.dataset, chosen, records)
        if reuse(revision, names.LABELS, input_digest, Labels, folders=(names.LABELS_FOLDER,)) is None:
            labels_stage(revision.store, revision.dataset, chosen, records, progress)
    if revision.dataset.spec.training is not None:
        _copies(revision, records, progress)


def _records_may_improve(revision: Revision) -> bool:
    """Return True if the negatives are stored, but failed images must be requested again."""
    records = find(revision.store, names.RECORDS, Records)
    return records is not None and _may_improve(revision, records.outcomes)


def _positives_may_improve(revision: Revision) -> bool:
    """Return True if the same holds for the positives. TFRecords are not images of a server."""
    positives, spec = find(revision.store, names.POSITIVES, Positives), revision.dataset.spec.positives
    return positives is not None and spec is not None and not spec.tfrecords and _may_improve(revision, positives.outcomes)


def _may_improve(revision: Revision, outcomes: Mapping[str, int]) -> bool:
    """Return True if a stage with these outcomes must request its failed images again.

    The data that a model was trained on does not change under it: then the answer is False.
    """
    from negset_jobs.download.stage import may_improve

    if not may_improve(outcomes, revision.dataset.spec):
        return False
    if not revision.store.keys(names.TRAINING_FOLDER):
        return True
    log.info("images that could not be stored are not requested again: a model was trained on the others already")
    return False


def _copies(revision: Revision, records: Records, progress: Progress) -> None:
    from negset_jobs.copies.stage import complete_reused, copies_input_digest, copies_stage

    positives = find(revision.store, names.POSITIVES, Positives)
    if positives is None or find(revision.store, names.COPIES, Copies) is not None:
        return
    input_digest = copies_input_digest(records, positives)
    complete = partial(complete_reused, revision.store)
    if reuse(revision, names.COPIES, input_digest, Copies, files=(names.COPIES_TABLE,), complete=complete) is None:
        copies_stage(revision.store, revision.dataset, records, positives, progress)


def _wants_labels(dataset: NegativeDataset) -> bool:
    return set(dataset.spec.output.formats) != {"TFRecord"}
