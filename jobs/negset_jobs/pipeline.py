"""The order of the stages: `Spec → Plan → Shards → Records → Training → Mining → Report`.

A stage is done if and only if its marker exists. Each function here looks for the marker first, so
running a finished stage again costs nothing. If it is missing, another revision of the dataset may
have made the stage from the same inputs. Then that revision's files are copied on the store's side.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from negset_api import names, stages
from negset_api.errors import InvalidInput
from negset_api.revision import revision as revision_of
from negset_api.spec import NegativeDataset
from negset_api.status import RoundStatus, Status
from negset_api.validation import manifest
from negset_api.values import Copies, Labels, Mining, Outcome, Plan, Positives, Records, Report, Round, Value
from negset_api.version import version
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.formats.stored import commit, find

log = logging.getLogger(__name__)

V = TypeVar("V", bound=Value)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset at one revision: its spec, its folders, and what it may reach.

    `root` is the dataset's folder, `store` this revision's folder in it. `siblings` are the other
    folders in `root` at the start; other revisions may appear later.
    """

    dataset: NegativeDataset
    access: Access
    root: Store
    store: Store
    siblings: tuple[Store, ...]

    @property
    def steps(self) -> tuple[stages.Step, ...]:
        """The steps of the spec, in order."""
        return stages.steps(self.dataset.spec)

    @property
    def last(self) -> stages.Step:
        """The last step before the report."""
        return self.steps[-1]


def prepare(dataset: NegativeDataset, access: Access, operator_revision: str = "", *, pipeline: str = "") -> Revision:
    """Open the output, without writing to it.

    `operator_revision` is the revision that the operator computed, if any. It decides the folder,
    because jobs of another version must write where the operator expects it. `pipeline` is the
    digest of the ConfigMap's pipeline.config. Raises `InvalidInput`, or `WorkFailed` if the output
    cannot be reached.
    """
    if len(access.check_url(dataset.spec.output.url, "spec.output.url").links) > 1:
        raise InvalidInput("spec.output.url: expected the URL of a folder, got URLs joined by '::'; give the URL of the folder alone")
    metadata = dataset.metadata
    root = Store(names.dataset_root(dataset.spec.output.url, metadata.namespace, metadata.name))
    folder = revision_of(dataset.spec, pipeline)
    if operator_revision and operator_revision != folder:
        message = "the operator computed revision %s, negset %s computed %s: their versions differ; using the operator's revision"
        log.warning(message, operator_revision, version(), folder)
        folder = operator_revision
    siblings = tuple(root.child(other) for other in root.folders() if other != folder)
    return Revision(dataset=dataset, access=access, root=root, store=root.child(folder), siblings=siblings)


def alone(revision: Revision, say: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
    """Keep other commands on this machine from the revision for the block, if it is a local folder.

    Two at once would remove each other's incomplete files. In a store, each file appears whole, and
    the first marker counts.
    """
    return revision.store.alone(lambda: say(f"waiting for another negset command, which works on {revision.store.url}"))


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


def check(revision: Revision) -> None:
    """Check that the configuration can train, before the first download. Takes a moment.

    Raises `InvalidInput`.
    """
    if revision.dataset.spec.training is not None:
        from negset_jobs.training.config import check

        check(revision.dataset.spec, revision.access)


def needs_api_check(revision: Revision) -> bool:
    """Return True if the configuration or the initial checkpoint is the user's own.

    Such a configuration must be checked with the Object Detection API.
    """
    training = revision.dataset.spec.training
    return training is not None and (training.pipeline_config.preset is None or bool(training.fine_tune_checkpoint))


def check_with_api(revision: Revision) -> None:
    """Check the configuration with the Object Detection API. Raises `InvalidInput`.

    Imports TensorFlow, so it needs a process of its own.
    """
    if needs_api_check(revision):
        from negset_jobs.training.check import check

        spec = revision.dataset.spec
        assert spec.training is not None
        check(spec.training, revision.access, (spec.positives and spec.positives.classes) or spec.exclude_classes)


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
    search for held-out images that are copies. The positives come first: they have the most user
    errors, which should show before the long download and not after it.
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
        if _reuse(revision, names.LABELS, (names.LABELS_FOLDER,), input_digest, Labels) is None:
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
    from negset_jobs.copies.stage import copies_input_digest, copies_stage

    positives = find(revision.store, names.POSITIVES, Positives)
    if positives is None or find(revision.store, names.COPIES, Copies) is not None:
        return
    if _reuse(revision, names.COPIES, (names.COPIES_TABLE,), copies_input_digest(records, positives), Copies) is None:
        copies_stage(revision.store, revision.dataset, records, positives, progress)


def train(revision: Revision, step: stages.Step, progress: Progress) -> Round:
    """Run one training round. Imports TensorFlow, so it needs a process of its own."""
    from negset_jobs.training.stage import train_round

    existing = trained(revision, step)
    return existing if existing is not None else train_round(revision.store, revision.dataset, step, revision.access, progress)


def trained(revision: Revision, step: stages.Step) -> Round | None:
    """Return the round if it is done, here or, from the same inputs, in another revision.

    Does not import TensorFlow.
    """
    from negset_jobs.training.task import round_input_digest

    existing = find(revision.store, step.marker, Round)
    if existing is not None or not revision.siblings:
        return existing
    folders = tuple(
        name(step.round, step.arm)
        for name in (names.round_config, names.round_checkpoints, names.round_events, names.round_saved_model, names.round_detections)
    )
    training = revision.dataset.spec.training
    exported = training is not None and stages.is_exported(step.round, step.arm, training)
    input_digest = round_input_digest(revision.store, revision.dataset, step, revision.access)
    # With fewer rounds, a former intermediate round is now the last one. Its model was not exported
    # then.
    return _reuse(revision, step.marker, folders, input_digest, Round, usable=lambda found: bool(found.saved_model) or not exported)


def mine(revision: Revision, number: int, progress: Progress) -> Mining:
    """Score the negatives with the model of a round."""
    from negset_jobs.mining.stage import mine_round

    existing = mined(revision, number)
    return existing if existing is not None else mine_round(revision.store, revision.dataset, number, progress)


def mined(revision: Revision, number: int) -> Mining | None:
    """Return the mining after a round if it is done, here or in another revision.

    The other revision must have made it from the same inputs.
    """
    from negset_jobs.mining.stage import mining_input_digest

    marker = names.mining_marker(number)
    existing = find(revision.store, marker, Mining)
    if existing is not None or not revision.siblings:
        return existing
    folders = (names.mining_hard(number), names.mining_random(number), names.mining_negatives(number), names.mining_scores(number))
    return _reuse(revision, marker, folders, mining_input_digest(revision.store, revision.dataset, number), Mining)


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


def _reuse(
    revision: Revision,
    marker: str,
    folders: Sequence[str],
    input_digest: str,
    kind: type[V],
    *,
    usable: Callable[[V], bool] = lambda _: True,
) -> V | None:
    """Copy a stage of another revision that was made from the same inputs and is `usable`.

    Every object of its folders is copied, then the marker. The other revision may be removed during
    the copy (`revisions.trim`). Its markers are removed first: if its marker still exists after the
    copy, the copy is complete.
    """
    for sibling in revision.siblings:
        value = find(sibling, marker, kind)
        if value is None or getattr(value, "input_digest", None) != input_digest or not usable(value):
            continue
        keys = [key for folder in folders for key in sibling.keys(folder)]
        with contextlib.suppress(MissingObject):
            for key in keys:
                revision.store.copy(sibling, key)
        if find(sibling, marker, kind) is None:
            log.info("%s was removed while %s was copied from it; dropped the copy", sibling.url, marker)
            revision.store.remove(keys)
            continue
        commit(revision.store, marker, value)
        log.info("copied %s from %s: it was made from the same inputs", marker, sibling.url)
        return value
    return None


def _wants_labels(dataset: NegativeDataset) -> bool:
    return set(dataset.spec.output.formats) != {"TFRecord"}
