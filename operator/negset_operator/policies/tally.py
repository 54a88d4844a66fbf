"""What the metrics count: each failed attempt and each finished step once.

Replicas restart, and another may lead, so the API server keeps what was counted. A failed child is
labelled before it is counted: an attempt counts at most once, and not at all if the child is gone
before. A finished step counts with the write that adds it to the status' record
(`policies.evidence`). If its child is gone by then, its duration is not known and it does not
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
    """The attempts that have failed and are not counted yet.

    A Job's restarts of its pods belong to one attempt.
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
    """The steps that are done and not recorded yet, with the time from their child's start to its
    end. Earlier attempts are not part of it.
    """
    return tuple(
        Finished(step=each.step.work.kind, seconds=_seconds(each.child, facts.now))
        for each in progress
        if each.phase is Phase.DONE and each.child is not None and evidence.is_news(each.child, facts)
    )


def _seconds(child: Child, now: datetime) -> float:
    ended = child.ended or now
    return max((ended - (child.started or child.metadata.creation_timestamp or ended)).total_seconds(), 0.0)
