"""What is no longer needed: children of earlier specs, failed attempts, and finished children.

Finished children are deleted some time after the dataset is ready.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from negset_operator.decision import Deletion
from negset_operator.facts import Child, Facts, Fault, PodOnLostNode, SupportingObject, Work
from negset_operator.policies import relevance
from negset_operator.policies.steps import Phase, Progress, Step, failure_counts, success_counts

_NO_FAULT_OF_THE_JOB: Final = frozenset({Fault.UNAVAILABLE, Fault.INTERRUPTION})
_LOST_AFTER: Final = timedelta(seconds=20)
"""How long a node that answers may take to report the end of a pod."""


def superseded(facts: Facts, steps: tuple[Step, ...]) -> tuple[Child, ...]:
    """Return the children of earlier specs that are of no use for this one."""
    by_role = {step.role: step for step in steps}
    return tuple(child for child in facts.children if child.ours and not _is_useful(child, by_role, facts))


def _is_useful(child: Child, steps: dict[str, Step], facts: Facts) -> bool:
    step = steps.get(child.role)
    match child.work:
        case Work.SUCCEEDED:
            return success_counts(child, step, facts)
        case Work.FAILED:
            return failure_counts(child, facts)
        case _:
            return relevance.wanted(child, step.digest if step else "", facts)


def earlier_attempts(children: Iterable[Child]) -> tuple[Child, ...]:
    """Return the failed attempts that a later attempt follows and that are no fault of the job.

    Attempts that failed by the job's own fault stay, because they are counted.
    """
    latest: dict[tuple[str, str], int] = {}
    failed = [child for child in children if child.ours and child.work is Work.FAILED]
    for child in failed:
        latest[child.role, child.spec_hash] = max(child.attempt, latest.get((child.role, child.spec_hash), 0))
    return tuple(
        child
        for child in failed
        if child.failure is not None and child.failure.fault in _NO_FAULT_OF_THE_JOB and child.attempt < latest[child.role, child.spec_hash]
    )


def expired(progress: tuple[Progress, ...], children: Iterable[Child], now: datetime, keep: timedelta) -> tuple[Child, ...]:
    """Return the finished children of a dataset that has been ready for `keep`.

    The last step's child stays: an earlier version of the operator needs it to see that the dataset
    is done.
    """
    ready = ready_since(progress)
    if ready is None or now - ready < keep:
        return ()
    last = progress[-1].child
    return tuple(child for child in children if child.ours and child.work.finished and child is not last)


def force_deletions(facts: Facts) -> tuple[Deletion, ...]:
    """Return the deletions of Ray pods whose node is lost.

    KubeRay does not replace a pod that is still terminating, so the pod is deleted by force.

    A pod on a disconnected node may continue to write. With shards that does no harm, because only
    one attempt's marker counts. A training pod stays: two of them would write the same checkpoints.
    """
    return tuple(
        Deletion(kind="Pod", name=pod.name, uid=pod.uid, why=f"its node {pod.node} does not answer", at_once=True)
        for pod in _ray_pods_on_lost_nodes(facts)
        if facts.now >= lost_at(pod)
    )


def next_force_deletion(facts: Facts) -> datetime | None:
    """Return when the next pod on a lost node is deleted by force, if there is one."""
    return min((at for pod in _ray_pods_on_lost_nodes(facts) if (at := lost_at(pod)) > facts.now), default=None)


def lost_at(pod: PodOnLostNode) -> datetime:
    """Return when a pod counts as lost with its node."""
    return pod.until + _LOST_AFTER


def ready_since(progress: tuple[Progress, ...]) -> datetime | None:
    """Return the end of the latest child that still exists; None if a step is not done."""
    if any(each.phase is not Phase.DONE for each in progress):
        return None
    return max((each.child.ended for each in progress if each.child is not None and each.child.ended is not None), default=None)


def unused(
    supporting_objects: Iterable[SupportingObject], wanted: frozenset[tuple[str, str]], children: Iterable[Child]
) -> tuple[SupportingObject, ...]:
    """Return the supporting objects that neither this spec nor an existing child needs."""
    spec_hashes = {child.spec_hash for child in children if child.ours}
    return tuple(
        supporting_object
        for supporting_object in supporting_objects
        if supporting_object.ours
        and (supporting_object.kind, supporting_object.name) not in wanted
        and not (supporting_object.spec_hash and supporting_object.spec_hash in spec_hashes)
    )


def _ray_pods_on_lost_nodes(facts: Facts) -> Iterable[PodOnLostNode]:
    return (pod for child in facts.children if child.ours and child.kind == "RayJob" for pod in child.pods_on_lost_nodes)
