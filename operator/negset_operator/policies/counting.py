"""What the metrics count: each failed attempt and each finished step once.

Replicas restart, and the leader changes. So the API server stores what was counted. A failed child
is labelled before it is counted: an attempt counts at most once, and never if the child is deleted
first. A finished step counts with the write that adds it to the status' record
(`policies.evidence`). If its child is deleted by then, its duration is unknown, and it does not
count.
"""

from __future__ import annotations

from datetime import datetime

from negset_api import stages
from negset_operator.decision import Failed, Finished
from negset_operator.facts import Child, Facts
from negset_operator.policies import evidence
from negset_operator.policies.steps import Phase, Progress


def failed(facts: Facts) -> tuple[Failed, ...]:
    """Return the failed attempts that are not counted yet.

    Pods that a Job restarts belong to one attempt.
    """
    return tuple(
        Failed(
            kind=child.kind,
            name=child.name,
            uid=child.metadata.uid,
            version=child.metadata.resource_version,
            step=step,
            fault=child.failure.fault,
        )
        for child in facts.children
        if child.ours and child.failure is not None and not child.counted and (step := stages.kind_of(child.role)) is not None
    )


def finished(facts: Facts, progress: tuple[Progress, ...]) -> tuple[Finished, ...]:
    """Return the steps that are done and not recorded yet, with their duration.

    The duration is from the start to the end of the child, without earlier attempts.
    """
    return tuple(
        Finished(step=each.step.work.kind, seconds=_seconds(each.child, facts.now))
        for each in progress
        if each.phase is Phase.DONE and each.child is not None and evidence.is_unrecorded(each.child, facts)
    )


def _seconds(child: Child, now: datetime) -> float:
    ended = child.ended or now
    return max((ended - (child.started or child.metadata.creation_timestamp or ended)).total_seconds(), 0.0)
