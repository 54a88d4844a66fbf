"""Which children are made anew, although nobody edited the spec.

A failed one: the user asked for a retry (the annotation `negset.dev/retry` has a new value), or it
would be built differently now (another configuration, or another version of the operator). One
that cannot start: it would be built differently now. A child that runs or has succeeded is left
alone. A child without the labels was made by an earlier version, which only the annotation retries.
"""

from __future__ import annotations

from typing import Final

import msgspec

from negset_api import names, stages
from negset_operator.facts import Child, Facts, Work
from negset_operator.manifests.subject import Subject, seal_of
from negset_operator.policies.creation import build, build_deleter
from negset_operator.policies.steps import DELETE

WHY: Final = "it is made anew"


def advice(dataset: str) -> str:
    """What the owner of a dataset can do about a failure, which needs no right but to edit the
    object.
    """
    return f'To retry: kubectl annotate {names.SINGULAR} {dataset} {names.ANNOTATION_RETRY}="$(date)" --overwrite'


def judged(facts: Facts, subject: Subject) -> Facts:
    """The facts, in which the children that are to be made anew are marked."""
    marked = tuple(msgspec.structs.replace(child, obsolete=True) if _obsolete(child, subject) else child for child in facts.children)
    return msgspec.structs.replace(facts, children=marked)


def _obsolete(child: Child, subject: Subject) -> bool:
    if not child.ours or not (child.work is Work.FAILED or _stuck(child)):
        return False
    # Without the annotation nothing is asked for, whatever it was before.
    asked = child.work is Work.FAILED and bool(subject.retry) and child.retry != subject.retry
    return asked or (bool(child.built) and child.built != _built_now(child, subject))


def _stuck(child: Child) -> bool:
    """Whether something keeps a child from starting, and nothing of it works.

    Until a RayJob runs, the pods that it has are idle.
    """
    return child.work in {Work.NOT_PICKED_UP, Work.STARTING} and child.obstacle is not None and not child.busy


def _built_now(child: Child, subject: Subject) -> str:
    """What the label of a child of this name would be now; the child's own if the spec has no such
    step any more.
    """
    if child.role == DELETE:
        return seal_of(build_deleter(subject, child.name))
    step = next((step for step in stages.steps(subject.spec) if step.role == child.role), None)
    return seal_of(build(subject, child.name, step, child.attempt)) if step is not None else child.built
