"""Which objects to create: the children that are due and their supporting objects, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from negset_api import stages
from negset_operator import naming
from negset_operator.decision import Creation
from negset_operator.facts import Facts, SupportingObject
from negset_operator.manifests import job, ray_job, supporting_objects
from negset_operator.manifests.subject import Object, Subject, applied_digest, with_child_labels
from negset_operator.policies import suspension
from negset_operator.policies.steps import DELETE, Phase, Progress, Step

BUILDERS: Final[dict[stages.Kind, Callable[[Subject, str, stages.Step], Object]]] = {
    "check": job.check,
    "data": ray_job.data,
    "train": job.train,
    "mine": ray_job.mine,
}


def creations(facts: Facts, subject: Subject, progress: tuple[Progress, ...]) -> tuple[Creation, ...]:
    """Return the objects to create or update, in order.

    If children are due, these are the children and what their pods need. Otherwise they are the
    other supporting objects of the active children. If no child is active, nothing is returned:
    supporting objects may be garbage-collected with their children.

    What the pods need is deferrable: no pod can exist before its ServiceAccount, which is created
    last. Until then, the API server rejects the pods, and KubeRay and the Job controller retry.
    """
    due = tuple(each for each in progress if each.phase is Phase.DUE)
    if due:
        before = outdated(supporting_objects.before_pods(subject), facts.supporting_objects)
        return (
            *(msgspec.structs.replace(creation, deferrable=True) for creation in before),
            *(creation for each in due for creation in _child(each, subject)),
        )
    active = suspension.active(progress)
    if not active:
        return ()
    distributed = {each.step.role for each in progress if _has_several_pods(subject, each.step)}
    services = tuple(supporting_objects.headless_service(subject, child.name, child.role) for child in active if child.role in distributed)
    # A child that continues after an edit uses the ConfigMap that it was created with.
    own = any(child.spec_hash == subject.spec_hash for child in active)
    needed_by_pods = tuple(each for each in supporting_objects.before_pods(subject) if own or each["kind"] != "ConfigMap")
    return outdated((*needed_by_pods, *supporting_objects.before_reports(subject), *services), facts.supporting_objects)


def build(subject: Subject, name: str, step: stages.Step, attempt: int) -> Object:
    """Return the child of this name for an attempt at a step."""
    return with_child_labels(BUILDERS[step.kind](subject, name, step), attempt)


def build_deleter(subject: Subject, name: str) -> Object:
    """Return the Job of this name that deletes the data."""
    return with_child_labels(job.delete(subject, name, DELETE), attempt=1)


def needed(subject: Subject, progress: tuple[Progress, ...]) -> frozenset[tuple[str, str]]:
    """Return kind and name of every supporting object that must not be deleted."""
    services = frozenset(("Service", child.name) for child in suspension.active(progress))
    return supporting_objects.keys(subject) | services


def outdated(wanted: tuple[Object, ...], present: tuple[SupportingObject, ...]) -> tuple[Creation, ...]:
    """Return the supporting objects to create, and those of ours to update.

    An object is updated if the configuration or the object was changed.
    """
    known = {
        (supporting_object.kind, supporting_object.name): supporting_object
        for supporting_object in present
        if supporting_object.ours and not supporting_object.terminating
    }
    result = []
    for manifest in wanted:
        supporting_object = known.get((manifest["kind"], manifest["metadata"]["name"]))
        if supporting_object is None:
            result.append(Creation(manifest=manifest))
        elif (supporting_object.edited or supporting_object.applied != applied_digest(manifest)) and not manifest.get("immutable"):
            result.append(Creation(manifest=manifest, update=True))
    return tuple(result)


def _child(progress: Progress, subject: Subject) -> tuple[Creation, ...]:
    """Return the creation of a child that is due, after that of its own Service."""
    step = progress.step
    name = naming.child(subject.name, subject.spec_hash, step.role, progress.attempt)
    child = Creation(manifest=build(subject, name, step.work, progress.attempt))
    if _has_several_pods(subject, step):
        return Creation(manifest=supporting_objects.headless_service(subject, name, step.role)), child
    return (child,)


def _has_several_pods(subject: Subject, step: Step) -> bool:
    """Return True if several pods train together, and so need a Service to find each other."""
    training = subject.spec.training
    return step.work.kind == "train" and training is not None and training.workers > 1
