"""Deleting a dataset.

With `deletionPolicy: Delete`, a finalizer keeps the object until its data is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from negset_api import names, stages
from negset_api.spec import NegativeDatasetSpec
from negset_operator import naming, reasons
from negset_operator.config import Patience
from negset_operator.decision import Creation, Decision, deletion
from negset_operator.facts import Facts, Failure, Fault, Work
from negset_operator.manifests import supporting_objects
from negset_operator.manifests.subject import Subject
from negset_operator.policies import garbage, retry, verdict
from negset_operator.policies.creation import build_deleter, outdated
from negset_operator.policies.steps import DELETE

STAGE: Final = "Deleting the data"
_WRITES_NOTHING: Final = frozenset({stages.CHECK, DELETE})
_RETAIN_ADVICE: Final = "To keep the data and delete the object now, set spec.deletionPolicy to Retain."


def finalizers(facts: Facts, *, wanted: bool) -> tuple[str, ...] | None:
    """Return the finalizers that the object must have, or None if it has them already.

    The finalizers of others stay.
    """
    present = facts.dataset.metadata.finalizers
    if (names.FINALIZER in present) == wanted:
        return None
    return (*present, names.FINALIZER) if wanted else tuple(name for name in present if name != names.FINALIZER)


def remove_finalizer(facts: Facts, final_event: str = "") -> Decision:
    """Remove the finalizer, so that Kubernetes deletes the object and its children.

    `final_event` is the message of the last event: which data stays.
    """
    return Decision(desired_status=None, finalizers=finalizers(facts, wanted=False), final_event=final_event)


def abandon(facts: Facts) -> Decision:
    """Remove the finalizer without deleting the data: the terminating namespace accepts no pod."""
    return remove_finalizer(facts, f"The namespace is being deleted and accepts no new pods, so the data was not deleted. {_left(facts)}")


def writes(facts: Facts, roles: Iterable[str]) -> bool:
    """Return True if there may be data in the bucket.

    That is so if a child that writes exists or is being created, or if the status shows stored
    data. It is also so if the object has the finalizer. An object that never ran is deleted without
    a pod.
    """
    stored = facts.dataset.status
    data_stored = any(
        entry.get("type") == reasons.DATA_STORED and entry.get("status") == "True" for entry in stored.get("conditions") or ()
    )
    has_finalizer = names.FINALIZER in facts.dataset.metadata.finalizers
    return has_finalizer or data_stored or bool(stored.get("images")) or any(role not in _WRITES_NOTHING for role in roles)


def decide(facts: Facts, spec: NegativeDatasetSpec, subject: Subject) -> Decision:
    """Stop the children that write, then delete the data, then remove the finalizer."""
    if spec.deletion_policy == "Retain" or names.FINALIZER not in facts.dataset.metadata.finalizers:
        return remove_finalizer(facts)
    until = _deadline(facts, subject.config.patience)
    if facts.now >= until:
        return remove_finalizer(
            facts, f"The data was not deleted within {subject.config.patience.deletion_seconds} seconds. {_left(facts)}"
        )
    decision = _delete(facts, spec, subject)
    waits = (decision.wake_after, (until - facts.now).total_seconds())
    return msgspec.structs.replace(decision, wake_after=min(seconds for seconds in waits if seconds is not None))


def decide_unusable(facts: Facts, patience: Patience) -> Decision:
    """Delete a dataset whose spec cannot be used.

    The URL of the data is not known from such a spec. If the data must be deleted, the object stays
    until the deadline, so that the owner can correct the spec.
    """
    if names.FINALIZER not in facts.dataset.metadata.finalizers or facts.dataset.spec.get("deletionPolicy") != "Delete":
        return remove_finalizer(facts)
    until, problem = _deadline(facts, patience), " ".join(f"{problem}." for problem in facts.problems)
    if facts.now >= until:
        return remove_finalizer(facts, f"The data was not deleted, because the spec cannot be used: {problem} {_left(facts)}")
    message = f"The data cannot be deleted, because the spec cannot be used: {problem} {_RETAIN_ADVICE} {_bound(until)}"
    desired_status = verdict.stalled(reasons.DELETION_FAILED, message, stage=STAGE)
    return Decision(desired_status=desired_status, wake_after=(until - facts.now).total_seconds())


def _deadline(facts: Facts, patience: Patience) -> datetime:
    since = facts.dataset.metadata.deletion_timestamp or facts.now
    return since + timedelta(seconds=patience.deletion_seconds)


def _bound(until: datetime) -> str:
    return f"At {until:%H:%M} UTC the object is deleted in any case, and the data is left in place."


def _left(facts: Facts) -> str:
    meta, output = facts.dataset.metadata, facts.dataset.spec.get("output") or {}
    if not output.get("url"):
        return "The URL of the data is not known, because the spec has no output.url."
    return f"The data is at {names.dataset_root(output['url'], meta.namespace, meta.name)}."


def _delete(facts: Facts, spec: NegativeDatasetSpec, subject: Subject) -> Decision:
    writers = tuple(child for child in facts.children if child.ours and child.role != DELETE and not child.work.finished)
    if writers:
        message = f"Waiting for {', '.join(f'{child.kind} {child.name}' for child in writers)} to stop before the data is deleted."
        deletions = tuple(deletion(child, "the dataset is being deleted") for child in writers if not child.terminating)
        lost = garbage.next_force_deletion(facts)
        return Decision(
            desired_status=verdict.reconciling(reasons.DELETING_DATA, message, stage=STAGE),
            deletions=(*deletions, *garbage.force_deletions(facts)),
            wake_after=(lost - facts.now).total_seconds() if lost is not None else None,
        )
    return _delete_data(facts, spec, subject)


def _delete_data(facts: Facts, spec: NegativeDatasetSpec, subject: Subject) -> Decision:
    name = naming.child(facts.dataset.metadata.name, facts.spec_hash, DELETE)
    deleter = next((child for child in facts.children if child.ours and child.name == name and not child.terminating), None)
    until = _deadline(facts, subject.config.patience)
    if deleter is not None and deleter.work is Work.SUCCEEDED:
        return remove_finalizer(facts, deleter.termination_message)
    if deleter is not None and deleter.obsolete:
        desired_status = verdict.reconciling(reasons.DELETING_DATA, f"Job {name} is being replaced.", stage=STAGE)
        return Decision(desired_status=desired_status, deletions=(deletion(deleter, retry.WHY),))
    if deleter is not None and deleter.work is Work.FAILED:
        failure = deleter.failure or Failure(fault=Fault.WORK, message=f"Job {name} failed.")
        message = f"The data could not be deleted. {failure.message.rstrip('.')}. {_RETAIN_ADVICE} {_bound(until)} {retry.advice(facts.dataset.metadata.name)}"
        return Decision(desired_status=verdict.stalled(reasons.DELETION_FAILED, message, stage=STAGE))
    folder = names.dataset_root(spec.output.url, facts.dataset.metadata.namespace, facts.dataset.metadata.name)
    # If the object is deleted in the foreground, Kubernetes may delete the supporting objects while
    # the job still needs them.
    missing = outdated(supporting_objects.before_pods(subject), facts.supporting_objects)
    if deleter is not None and deleter.obstacle is not None:
        message = f"{deleter.obstacle.message.rstrip('.')}. {_RETAIN_ADVICE} {_bound(until)}"
        return Decision(desired_status=verdict.reconciling(deleter.obstacle.reason, message, stage=STAGE), creations=missing)
    desired_status = verdict.reconciling(reasons.DELETING_DATA, f"Job {name} is deleting {folder}.", stage=STAGE)
    if deleter is not None:
        return Decision(desired_status=desired_status, creations=missing)
    return Decision(desired_status=desired_status, creations=(*missing, Creation(manifest=build_deleter(subject, name))))
