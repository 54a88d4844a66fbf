"""Which children stop or continue when `spec.suspend` changes.

Completed work is in the bucket: shards have markers, training has checkpoints, and a terminating
training pod saves one. So a suspended child may lose its pods, and may even be deleted.

`spec.suspend` of a child has several owners. Kueue sets it on every child with a queue label. It
can be configured to manage children without one. So the operator labels the children that it
suspends, and resumes no others.
"""

from __future__ import annotations

from collections.abc import Iterable

from negset_operator.facts import Child
from negset_operator.policies.steps import Phase, Progress


def active(progress: tuple[Progress, ...]) -> tuple[Child, ...]:
    """Return the children that work now, or would work if they were not suspended."""
    return tuple(each.child for each in progress if each.phase is Phase.ACTIVE and each.child is not None)


def to_delete(children: Iterable[Child], *, suspend: bool) -> tuple[Child, ...]:
    """Return the children that must be deleted to suspend them: those in a Kueue queue.

    `spec.suspend` of such a child belongs to Kueue, which would resume it. Deleting the child also
    returns its quota. The child is created again when the dataset resumes.
    """
    return tuple(child for child in children if suspend and child.queue)


def to_switch(children: Iterable[Child], *, suspend: bool) -> tuple[tuple[Child, bool], ...]:
    """Return the children whose `spec.suspend` must be written, with its value.

    A suspended child without the label is included, to get the label: negset 0.1.0 set none.
    """
    if suspend:
        return tuple((child, True) for child in children if not child.queue and not (child.suspended and child.suspended_by_us))
    return tuple((child, False) for child in children if child.suspended and child.suspended_by_us)


def suspended_by_others(child: Child) -> bool:
    """Return True if another client, usually Kueue, keeps a child suspended."""
    return child.suspended and not child.suspended_by_us
