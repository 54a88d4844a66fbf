"""Facts → decision, without input or output.

`decide` checks in this order:

1. Can the spec be used? If not: `policies.unusable`, or `ending.decide_unusable` if the object is
   being deleted.
2. Must a child be built again? `policies.retry` marks it as obsolete.
3. Is the object being deleted? If so: `policies.ending`.
4. What is the progress of each step? `policies.steps` returns it. `_advance` calls one policy for
   each part of the decision: status, finalizers, deletions, adoptions, suspension, limits,
   creations.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from negset_api import names, reads
from negset_api.spec import NegativeDatasetSpec
from negset_operator import naming, reasons
from negset_operator.config import Config, Patience
from negset_operator.decision import Decision, Deletion, Limit, SetSuspend, deletion
from negset_operator.facts import Facts, SupportingObject, Work
from negset_operator.manifests.subject import Subject
from negset_operator.policies import counting, creation, ending, garbage, pace, relevance, retry, suspension, unusable, verdict
from negset_operator.policies.steps import Phase, Progress, follow

RECHECK_SECONDS: Final = 10.0
"""Seconds until a child that has not started is checked again.

Only events show why a Job has no pods, and events are not watched.
"""


def decide(facts: Facts, config: Config) -> Decision:
    """Return what must be done for one dataset, given everything that is known about it."""
    deleting = facts.dataset.metadata.deletion_timestamp is not None
    if facts.spec is None or facts.problems:
        digests = reads.digests(facts.spec, facts.pipeline.counts) if facts.spec else {}
        decision = ending.decide_unusable(facts, config.patience) if deleting else unusable.decide(facts, digests)
        return _with_runs(decision, facts, digests)
    spec, subject = facts.spec, subject_of(facts, facts.spec, config)
    marked = retry.with_obsolete_marked(facts, subject)
    decision = ending.decide(marked, spec, subject) if deleting else _advance(marked, spec, subject)
    return _with_runs(decision, marked, subject.digests)


def _with_runs(decision: Decision, facts: Facts, digests: dict[str, str]) -> Decision:
    """Return the decision with the runs whose jobs may write to the status."""
    if decision.desired_status is None:
        return decision
    desired_status = msgspec.structs.replace(decision.desired_status, runs=relevance.reporting_runs(facts, digests))
    return msgspec.structs.replace(decision, desired_status=desired_status)


def subject_of(facts: Facts, spec: NegativeDatasetSpec, config: Config) -> Subject:
    """Return what the builders need to know about a dataset.

    The run's ConfigMap is immutable, so the manifest leaves out the fields that may change during a
    run.
    """
    meta = facts.dataset.metadata
    return Subject(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        priority=meta.labels.get(names.LABEL_PRIORITY, ""),
        spec=spec,
        manifest={field: value for field, value in facts.dataset.spec.items() if field not in naming.INDIFFERENT},
        revision=facts.revision,
        spec_hash=facts.spec_hash,
        config=config,
        generation=meta.generation,
        place=naming.place(facts.url),
        digests=reads.digests(spec, facts.pipeline.counts),
        retry=naming.retry(meta.annotations.retry),
        pipeline=facts.pipeline,
    )


def _advance(facts: Facts, spec: NegativeDatasetSpec, subject: Subject) -> Decision:
    patience = subject.config.patience
    progress = follow(facts, spec, patience, subject.digests)
    keep = timedelta(seconds=patience.keep_finished_seconds)
    active = suspension.active(progress)
    # If the pipeline.config cannot be read, it is not known whether it changed, so nothing stops.
    superseded = garbage.superseded(facts, tuple(each.step for each in progress)) if not facts.pipeline.problem else ()
    to_delete = (
        (tuple(child for child in superseded if not child.obsolete), "the spec changed"),
        (tuple(child for child in superseded if child.obsolete), retry.WHY),
        (suspension.to_delete(active, suspend=spec.suspend), "the dataset is suspended"),
        (garbage.earlier_attempts(facts.children), "a later attempt exists"),
        (garbage.expired(progress, facts.children, facts.now, keep), "the dataset is ready"),
    )
    roles = (*(child.role for child in facts.children if child.ours), *(each.step.role for each in progress if each.phase is Phase.DUE))
    unused = garbage.unused(facts.supporting_objects, creation.needed(subject, progress), facts.children)
    decision = Decision(
        desired_status=verdict.desired_status(facts, spec, progress, patience),
        finalizers=ending.finalizers(facts, wanted=spec.deletion_policy == "Delete" and ending.writes(facts, roles)),
        deletions=(
            *(deletion(child, why) for children, why in to_delete for child in children if not child.terminating),
            *(_supporting_deletion(supporting_object) for supporting_object in unused if not supporting_object.terminating),
            *garbage.force_deletions(facts),
        ),
        adoptions=relevance.adoptions(facts, subject.digests),
        suspend_changes=tuple(
            SetSuspend(kind=child.kind, name=child.name, suspend=suspend)
            for child, suspend in suspension.to_switch(active, suspend=spec.suspend)
        ),
        limits=tuple(
            Limit(kind=child.kind, name=child.name, uid=child.metadata.uid, why=f"no progress for {patience.stuck_seconds} seconds")
            for child in pace.stuck(progress, facts, patience)
        ),
        creations=creation.creations(facts, subject, progress),
        wake_after=_wake_after(progress, facts, keep, patience),
        failed=counting.failed(facts),
        finished=counting.finished(facts, progress),
    )
    return _without_creations(decision, facts) if facts.pipeline.problem else decision


def _without_creations(decision: Decision, facts: Facts) -> Decision:
    """Return the decision while the pipeline.config cannot be read: it creates nothing.

    The status has the problem, unless the dataset is done or the user has suspended it.
    """
    desired_status = decision.desired_status
    ready = desired_status.condition(reasons.READY) if desired_status else None
    if desired_status is None or ready is None or ready.status or ready.reason == reasons.SUSPENDED:
        return msgspec.structs.replace(decision, creations=())
    desired_status = verdict.blocked(desired_status, reasons.PIPELINE_CONFIG_UNAVAILABLE, f"{facts.pipeline.problem}.", permanent=False)
    if not facts.pipeline.digest:  # then the revision is not known either
        desired_status = msgspec.structs.replace(desired_status, revision="", url="")
    wake_after = min(decision.wake_after if decision.wake_after is not None else RECHECK_SECONDS, RECHECK_SECONDS)
    return msgspec.structs.replace(decision, desired_status=desired_status, creations=(), wake_after=wake_after)


def _wake_after(progress: tuple[Progress, ...], facts: Facts, keep: timedelta, patience: Patience) -> float | None:
    """Return the seconds until the next reconcile if no watch reports a change before.

    The first of these decides: a retry, the deletion of finished children, the forced deletion of a
    pod, the report of a silent child. A child that has not started is checked again as well.
    """
    now = facts.now
    moments = [each.retry_at for each in progress if each.phase is Phase.WAITING and each.retry_at is not None]
    ready = garbage.ready_since(progress)
    if ready is not None and now < ready + keep:
        moments.append(ready + keep)
    if (forced := garbage.next_force_deletion(facts)) is not None:
        moments.append(forced)
    if (silence := pace.next_check(progress, facts, patience)) is not None:
        moments.append(silence)
    # Kueue's Workloads are not watched either.
    unwatched = any(
        child.work in {Work.NOT_PICKED_UP, Work.STARTING} or suspension.suspended_by_others(child) for child in suspension.active(progress)
    )
    waits = [max((moment - now).total_seconds(), 0.0) for moment in moments] + ([RECHECK_SECONDS] if unwatched else [])
    return min(waits, default=None)


def _supporting_deletion(supporting_object: SupportingObject) -> Deletion:
    return Deletion(kind=supporting_object.kind, name=supporting_object.name, uid=supporting_object.uid, why="no child needs it")
