"""Which children are built again without an edit of the spec.

| child | it is built again if |
|---|---|
| failed | the user requested a retry, or the operator would build it differently now |
| cannot start | the operator would build it differently now |
| has stored the data | the user requested a retry, and images failed (`policies.failed_images`) |
| runs, or has succeeded at another step | never |

The user requests a retry with a new value of the annotation `negset.dev/retry`. The operator builds
a child differently after a change of its configuration or version. A child without the labels was
created by an earlier version: only the annotation retries it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from negset_api import names, stages
from negset_operator.facts import Child, Facts, Work
from negset_operator.manifests.subject import Subject, built_digest
from negset_operator.policies import failed_images
from negset_operator.policies.creation import build, build_deleter
from negset_operator.policies.steps import DELETE

WHY: Final = "it is built again"


def advice(dataset: str) -> str:
    """Return the command that retries a failed step, as a sentence."""
    return f"To retry: {command(dataset)}"


def command(dataset: str) -> str:
    """Return the command that requests a retry. It needs only the right to edit the object."""
    return f'kubectl annotate {names.SINGULAR} {dataset} {names.ANNOTATION_RETRY}="$(date)" --overwrite'


def with_obsolete_marked(facts: Facts, subject: Subject) -> Facts:
    """Return the facts with `obsolete` set on each child that must be built again.

    `data_again` is set if the data step is to run again, also if its child was deleted.
    """
    again = failed_images.requested(facts)
    marked = tuple(
        msgspec.structs.replace(child, obsolete=True)
        if _obsolete(child, subject) or (again and failed_images.has_stored(child, facts))
        else child
        for child in facts.children
    )
    return msgspec.structs.replace(facts, children=marked, data_again=again)


def _obsolete(child: Child, subject: Subject) -> bool:
    if not child.ours or not (child.work is Work.FAILED or _stuck(child)):
        return False
    # Removing the annotation is no request.
    requested = child.work is Work.FAILED and bool(subject.retry) and child.retry != subject.retry
    return requested or (bool(child.built) and child.built != _built_now(child, subject))


def _stuck(child: Child) -> bool:
    """Return True if an obstacle keeps a child from starting and none of its pods works.

    The pods of a RayJob are idle until the RayJob runs.
    """
    return child.work in {Work.NOT_PICKED_UP, Work.STARTING} and child.obstacle is not None and not child.busy


def _built_now(child: Child, subject: Subject) -> str:
    """Return the label `built` that a child of this name would get now.

    If the spec no longer has the step, it is the child's own label.
    """
    if child.role == DELETE:
        return built_digest(build_deleter(subject, child.name))
    step = next((step for step in stages.steps(subject.spec) if step.role == child.role), None)
    return built_digest(build(subject, child.name, step, child.attempt)) if step is not None else child.built
