"""What nobody needs any more: children of earlier specs, and finished children some time after the
dataset is ready.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from negset_operator.decision import Deletion
from negset_operator.facts import Child, Facts, Fault, PodOnLostNode, SupportingObject, Work
from negset_operator.policies import relevance
from negset_operator.policies.steps import Phase, Progress, Step, counts, stands

_NOBODYS: Final = frozenset({Fault.UNAVAILABLE, Fault.INTERRUPTION})
_LOST_AFTER: Final = timedelta(seconds=20)
"""A node that answers needs a moment to say that a pod has ended."""


def superseded(facts: Facts, steps: tuple[Step, ...]) -> tuple[Child, ...]:
    """Children that work for a spec that is no longer wanted.

    What was done for an earlier spec stays if it is done for this one, too.
    """
    by_role = {step.role: step for step in steps}
    return tuple(child for child in facts.children if child.ours and not _of_use(child, by_role, facts))


def _of_use(child: Child, steps: dict[str, Step], facts: Facts) -> bool:
    step = steps.get(child.role)
    match child.work:
        case Work.SUCCEEDED:
            return counts(child, step, facts)
        case Work.FAILED:
            return stands(child, facts)
        case _:
            return relevance.wanted(child, step.digest if step else "", facts)


def followed(children: Iterable[Child]) -> tuple[Child, ...]:
    """Attempts that failed by nobody's fault and that a later one follows.

    Those that failed by their own are counted, and stay.
    """
    latest: dict[tuple[str, str], int] = {}
    failed = [child for child in children if child.ours and child.work is Work.FAILED]
    for child in failed:
        latest[child.role, child.spec_hash] = max(child.attempt, latest.get((child.role, child.spec_hash), 0))
    return tuple(
        child
        for child in failed
        if child.failure is not None and child.failure.fault in _NOBODYS and child.attempt < latest[child.role, child.spec_hash]
    )


def outlived(progress: tuple[Progress, ...], children: Iterable[Child], now: datetime, keep: timedelta) -> tuple[Child, ...]:
    """Finished children of a dataset that has been ready for `keep`.

    The last step's child stays: an earlier version of the operator has no other evidence.
    """
    ready = ready_since(progress)
    if ready is None or now - ready < keep:
        return ()
    last = progress[-1].child
    return tuple(child for child in children if child.ours and child.work.finished and child is not last)


def given_up(facts: Facts) -> tuple[Deletion, ...]:
    """Pods of Ray clusters that a lost node holds for good.

    KubeRay makes no other in the place of one that is still on its way out.

    A node that is only cut off may go on writing meanwhile; with shards that does no harm, since
    only one attempt's marker counts. A training pod stays: two of them would write the same
    checkpoints.
    """
    return tuple(
        Deletion(kind="Pod", name=pod.name, uid=pod.uid, why=f"its node {pod.node} does not answer", at_once=True)
        for pod in _stranded(facts)
        if facts.now >= given_up_at(pod)
    )


def next_given_up(facts: Facts) -> datetime | None:
    """When the next such pod counts as lost, if one will."""
    return min((at for pod in _stranded(facts) if (at := given_up_at(pod)) > facts.now), default=None)


def given_up_at(pod: PodOnLostNode) -> datetime:
    """When a pod counts as lost with its node."""
    return pod.until + _LOST_AFTER


def ready_since(progress: tuple[Progress, ...]) -> datetime | None:
    """When the last step ended whose child is still there; None while anything is left to do."""
    if any(each.phase is not Phase.DONE for each in progress):
        return None
    return max((each.child.ended for each in progress if each.child is not None and each.child.ended is not None), default=None)


def unused(
    supporting_objects: Iterable[SupportingObject], wanted: frozenset[tuple[str, str]], children: Iterable[Child]
) -> tuple[SupportingObject, ...]:
    """Companions that neither this spec nor any child that still exists needs."""
    spec_hashes = {child.spec_hash for child in children if child.ours}
    return tuple(
        supporting_object
        for supporting_object in supporting_objects
        if supporting_object.ours
        and (supporting_object.kind, supporting_object.name) not in wanted
        and not (supporting_object.spec_hash and supporting_object.spec_hash in spec_hashes)
    )


def _stranded(facts: Facts) -> Iterable[PodOnLostNode]:
    return (pod for child in facts.children if child.ours and child.kind == "RayJob" for pod in child.pods_on_lost_nodes)
