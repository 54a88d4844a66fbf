"""What has to be made: the children that are due, and what they need beside them, in the order in which it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from negset_api import stages
from negset_operator import naming
from negset_operator.decision import Making
from negset_operator.facts import Companion, Facts
from negset_operator.manifests import companions, job, ray_job
from negset_operator.manifests.subject import Object, Subject, sealed, stamp_of
from negset_operator.policies import suspension
from negset_operator.policies.steps import DELETE, Phase, Progress, Step

BUILDERS: Final[dict[stages.Kind, Callable[[Subject, str, stages.Step], Object]]] = {
    "check": job.check,
    "data": ray_job.data,
    "train": job.train,
    "mine": ray_job.mine,
}


def makings(facts: Facts, subject: Subject, progress: tuple[Progress, ...]) -> tuple[Making, ...]:
    """First the children that are due, with what their pods need; when they are there, the rest. Nothing, where no child works: what stands beside them may go with them.

    If other datasets wait, the child is made first, and what its pods need at the next reconcile:
    of many datasets applied at once, each then has its child soon. No pod exists before the service
    account, which is made last: until then KubeRay and the Job controller are refused and retry.
    """
    due = tuple(each for each in progress if each.phase is Phase.DUE)
    if due:
        before = () if facts.crowded else outdated(companions.before_pods(subject), facts.companions)
        return (*before, *(making for each in due for making in _child(each, subject)))
    active = suspension.active(progress)
    if not active:
        return ()
    together = {each.step.role for each in progress if _in_company(subject, each.step)}
    services = tuple(companions.headless_service(subject, child.name, child.role) for child in active if child.role in together)
    # A child that goes on after an edit has the manifest that it was made with.
    own = any(child.run == subject.run for child in active)
    needed_by_pods = tuple(each for each in companions.before_pods(subject) if own or each["kind"] != "ConfigMap")
    return outdated((*needed_by_pods, *companions.before_reports(subject), *services), facts.companions)


def build(subject: Subject, name: str, step: stages.Step) -> Object:
    """The child of this name for a step."""
    return sealed(BUILDERS[step.kind](subject, name, step))


def build_deleter(subject: Subject, name: str) -> Object:
    """The Job of this name that deletes the data."""
    return sealed(job.delete(subject, name, DELETE))


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
    child = Making(manifest=build(subject, name, step.work))
    if _in_company(subject, step):
        return Making(manifest=companions.headless_service(subject, name, step.role)), child
    return (child,)


def _in_company(subject: Subject, step: Step) -> bool:
    """Whether several pods do the step together, and so must find each other."""
    training = subject.spec.training
    return step.work.kind == "train" and training is not None and training.workers > 1
