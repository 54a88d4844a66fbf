"""What has to be made: the children that are due, and what they need beside them, in the order in which it is needed."""

from __future__ import annotations

from negset_operator import naming
from negset_operator.decision import Making
from negset_operator.facts import Child, Companion, Facts
from negset_operator.manifests import companions, job, ray_job
from negset_operator.manifests.subject import Object, Subject, stamp_of
from negset_operator.policies import suspension
from negset_operator.policies.steps import Phase, Progress


def makings(facts: Facts, subject: Subject, progress: tuple[Progress, ...]) -> tuple[Making, ...]:
    """First the children that are due, with what their pods need; when they are there, the rest. Nothing, where no child works: what stands beside them may go with them.

    Where other data sets wait, a RayJob comes first and what its pods need at the next reconcile, so that of many that are applied at once each has its child soon.
    No pod is made before the service account, the last of them.
    """
    due = tuple(each for each in progress if each.phase is Phase.DUE)
    active = suspension.active(progress)
    if due:
        later = facts.crowded and all(each.step.kind == "RayJob" for each in due)
        before = () if later else outdated(companions.before_pods(subject), facts.companions)
        return (*before, *(making for each in due for making in _child(each, subject)))
    if not active:
        return ()
    services = tuple(companions.headless_service(subject, child.name, child.role) for child in active if _in_company(subject, child))
    return outdated((*companions.before_pods(subject), *companions.before_reports(subject), *services), facts.companions)


def needed(subject: Subject, progress: tuple[Progress, ...]) -> frozenset[tuple[str, str]]:
    """Kind and name of every companion that must not be cleaned up."""
    services = frozenset(("Service", child.name) for child in suspension.active(progress))
    return companions.keys(subject) | services


def outdated(wanted: tuple[Object, ...], present: tuple[Companion, ...]) -> tuple[Making, ...]:
    """The companions that are missing, and those that are ours and differ from what is wanted now: the administrator changed the configuration, or somebody the object."""
    known = {(companion.kind, companion.name): companion for companion in present if companion.ours and not companion.going}
    result = []
    for manifest in wanted:
        companion = known.get((manifest["kind"], manifest["metadata"]["name"]))
        if companion is None:
            result.append(Making(manifest=manifest))
        elif (companion.edited or companion.applied != stamp_of(manifest)) and not manifest.get("immutable"):
            result.append(Making(manifest=manifest, update=True))
    return tuple(result)


def _child(progress: Progress, subject: Subject) -> tuple[Making, ...]:
    """The child of a step that is due, after what it needs for itself."""
    step = progress.step
    name = naming.child(subject.name, subject.run, step.role, progress.attempt)
    if step.kind == "RayJob":
        number = step.round
        return (
            Making(manifest=ray_job.data(subject, name, step.role) if number is None else ray_job.mine(subject, name, step.role, number)),
        )
    assert step.round is not None
    manifest = Making(manifest=job.train(subject, name, step.role, step.round))
    training = subject.spec.training
    if training is not None and training.workers > 1:
        return Making(manifest=companions.headless_service(subject, name, step.role)), manifest
    return (manifest,)


def _in_company(subject: Subject, child: Child) -> bool:
    training = subject.spec.training
    return child.kind == "Job" and training is not None and training.workers > 1
