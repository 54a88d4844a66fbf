"""Deleting a data set: with `deletionPolicy: Delete` the data goes first, and a finalizer holds the object until it is gone."""

from __future__ import annotations

from typing import Final

from negset_api import names
from negset_api.spec import NegativeDatasetSpec
from negset_operator import naming, reasons
from negset_operator.decision import Decision, Deletion, Making
from negset_operator.facts import Facts, Failure, Fault, Work
from negset_operator.manifests import companions, job
from negset_operator.manifests.subject import Subject
from negset_operator.policies import garbage, verdict
from negset_operator.policies.making import outdated
from negset_operator.policies.steps import DELETE

STAGE: Final = "Deleting the data"
_WAY_OUT: Final = "To keep the data and let the object go, set spec.deletionPolicy to Retain."


def finalizers(facts: Facts, *, wanted: bool) -> tuple[str, ...] | None:
    """The finalizers that the object must have; None where it has them already. Other people's stay."""
    present = facts.dataset.metadata.finalizers
    if (names.FINALIZER in present) == wanted:
        return None
    return (*present, names.FINALIZER) if wanted else tuple(name for name in present if name != names.FINALIZER)


def let_go(facts: Facts) -> Decision:
    """Nothing is left for us to do: Kubernetes collects the children."""
    return Decision(outlook=None, finalizers=finalizers(facts, wanted=False))


def decide(facts: Facts, spec: NegativeDatasetSpec, subject: Subject) -> Decision:
    """Stops what still writes, then deletes the data, then lets the object go."""
    if spec.deletion_policy == "Retain" or names.FINALIZER not in facts.dataset.metadata.finalizers:
        return let_go(facts)
    writers = tuple(child for child in facts.children if child.ours and child.role != DELETE and not child.work.finished)
    if writers:
        message = f"Waiting for {', '.join(f'{child.kind} {child.name}' for child in writers)} to stop before the data is deleted."
        going = tuple(
            Deletion(kind=child.kind, name=child.name, uid=child.metadata.uid, why="the data set is being deleted")
            for child in writers
            if not child.going
        )
        lost = garbage.next_given_up(facts)
        return Decision(
            outlook=verdict.reconciling(reasons.DELETING_DATA, message, stage=STAGE),
            deletions=(*going, *garbage.given_up(facts)),
            wake_after=(lost - facts.now).total_seconds() if lost is not None else None,
        )
    return _delete_data(facts, spec, subject)


def _delete_data(facts: Facts, spec: NegativeDatasetSpec, subject: Subject) -> Decision:
    name = naming.child(facts.dataset.metadata.name, facts.run, DELETE)
    deleter = next((child for child in facts.children if child.ours and child.name == name and not child.going), None)
    if deleter is not None and deleter.work is Work.SUCCEEDED:
        return let_go(facts)
    if deleter is not None and deleter.work is Work.FAILED:
        failure = deleter.failure or Failure(fault=Fault.WORK, message=f"Job {name} failed.")
        message = f"The data could not be deleted. {failure.message} To have it tried again, delete Job {name}. {_WAY_OUT}"
        return Decision(outlook=verdict.stalled(reasons.DELETION_FAILED, message, stage=STAGE))
    folder = names.dataset_root(spec.output.url, facts.dataset.metadata.namespace, facts.dataset.metadata.name)
    # Where the object is deleted in the foreground, Kubernetes collects companions at a moment of its own, also while the job needs them.
    beside = outdated(companions.before_pods(subject), facts.companions)
    if deleter is not None and deleter.obstacle is not None:
        return Decision(outlook=verdict.reconciling(deleter.obstacle.reason, deleter.obstacle.message, stage=STAGE), makings=beside)
    outlook = verdict.reconciling(reasons.DELETING_DATA, f"Job {name} is deleting {folder}.", stage=STAGE)
    if deleter is not None:
        return Decision(outlook=outlook, makings=beside)
    return Decision(outlook=outlook, makings=(*beside, Making(manifest=job.delete(subject, name, DELETE))))


def decide_unusable(facts: Facts) -> Decision:
    """The spec cannot be used: if the data must be deleted, it does not say where the data is."""
    if names.FINALIZER not in facts.dataset.metadata.finalizers or facts.dataset.spec.get("deletionPolicy") != "Delete":
        return let_go(facts)
    problem = " ".join(f"{problem}." for problem in facts.problems)
    message = f"The data cannot be deleted, since the spec cannot be used: {problem} {_WAY_OUT}"
    return Decision(outlook=verdict.stalled(reasons.DELETION_FAILED, message, stage=STAGE))
