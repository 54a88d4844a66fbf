"""What stops, and goes on, when `spec.suspend` changes.

Work is kept because it lies in the bucket: shards have markers, training has checkpoints, and a pod
that is told to end saves one. So a suspended child may lose its pods, and even itself.

`spec.suspend` of a child has several owners. Kueue sets it for every child with a queue label, and
can be told to manage children without one. So the operator marks what it suspends, and resumes
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from negset_operator.facts import Child
from negset_operator.policies.steps import Phase, Progress


def active(progress: tuple[Progress, ...]) -> tuple[Child, ...]:
    """The children that are meant to work now, or would be if they were not suspended."""
    return tuple(each.child for each in progress if each.phase is Phase.ACTIVE and each.child is not None)


def to_delete(children: Iterable[Child], *, suspend: bool) -> tuple[Child, ...]:
    """In a queue, `spec.suspend` of a child is Kueue's own switch, which it would turn on again:
    there a child is stopped by deleting it, which also gives its quota back. It is made again
    afterwards.
    """
    return tuple(child for child in children if suspend and child.queue)


def to_switch(children: Iterable[Child], *, suspend: bool) -> tuple[tuple[Child, bool], ...]:
    """The children whose `spec.suspend` must change, with the value it must have.

    One that is suspended without the mark gets the mark: negset 0.1.0 left none.
    """
    if suspend:
        return tuple((child, True) for child in children if not child.queue and not (child.suspended and child.suspended_by_us))
    return tuple((child, False) for child in children if child.suspended and child.suspended_by_us)


def held(child: Child) -> bool:
    """Whether somebody else, Kueue as a rule, keeps a child suspended."""
    return child.suspended and not child.suspended_by_us
