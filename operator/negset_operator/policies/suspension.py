"""What stops, and goes on, when `spec.suspend` changes.

Work is kept because it lies in the bucket: shards have markers, training has checkpoints, and a pod that is told to end saves one. So a suspended child
may lose its pods, and even itself.
"""

from __future__ import annotations

from negset_api.spec import NegativeDatasetSpec
from negset_operator.facts import Child
from negset_operator.policies.steps import Phase, Progress


def active(progress: tuple[Progress, ...]) -> tuple[Child, ...]:
    """The children that are meant to work now, or would be if they were not suspended."""
    return tuple(each.child for each in progress if each.phase is Phase.ACTIVE and each.child is not None)


def to_delete(spec: NegativeDatasetSpec, progress: tuple[Progress, ...]) -> tuple[Child, ...]:
    """Under Kueue `spec.suspend` of a child is Kueue's own switch, which it would turn on again: there a child is stopped by deleting it, which also gives
    its quota back. It is made again afterwards.
    """
    return active(progress) if spec.suspend and spec.queue_name else ()


def to_switch(spec: NegativeDatasetSpec, progress: tuple[Progress, ...]) -> tuple[tuple[Child, bool], ...]:
    """The children whose `spec.suspend` must change, with the value it must have. Without a queue the switch is ours."""
    if spec.queue_name:
        return ()
    return tuple((child, spec.suspend) for child in active(progress) if child.suspended != spec.suspend)
