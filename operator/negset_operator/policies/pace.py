"""Whether a child that runs makes progress.

Only the jobs know, and they tell it in the status. Of their word no more counts than that it has
changed, and when this process saw that: a clock that is wrong on a node ends no job. A job that
tells nothing (the API server is out of its reach, or it is of an earlier version) is never ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from negset_operator.config import Patience
from negset_operator.facts import Child, Facts, Work
from negset_operator.news import told_at
from negset_operator.policies import suspension
from negset_operator.policies.steps import Progress

SAY_AFTER: Final = timedelta(seconds=120)
"""A graph is traced, and a model is measured, within minutes."""


def has_news(child: Child, facts: Facts) -> bool:
    """Whether the jobs' last news are of this child, and not of an earlier one."""
    told, made = told_at(facts.dataset.status), child.metadata.creation_timestamp
    return told is not None and made is not None and made <= told


def silent_since(child: Child, progress: tuple[Progress, ...], facts: Facts) -> datetime | None:
    """Since when a child that runs has made no progress, by this process's clock and Kubernetes'.

    None if nobody can tell.
    """
    watched = (
        child.work is Work.RUNNING
        and not child.suspended
        and not child.terminating
        and not child.pods_on_lost_nodes
        and child.deadline is None
    )
    if not watched or facts.spec is None or facts.spec.suspend:
        return None
    told = told_at(facts.dataset.status)
    seen = facts.dataset.news_at if told is not None and told <= facts.now and has_news(child, facts) else None
    # An obstacle is seen from outside, whether the job tells anything or not.
    since = child.obstacle.since if child.obstacle is not None else child.began
    # Of several children that run at the same time, the status does not say whose news it has.
    alone = sum(each.work is Work.RUNNING for each in suspension.active(progress)) == 1
    if since is None or (child.obstacle is None and (seen is None or not alone)):
        return None
    return max(since, seen) if seen is not None else since


def stuck(progress: tuple[Progress, ...], facts: Facts, patience: Patience) -> tuple[Child, ...]:
    """The children that have made no progress for longer than the administrator allows."""
    limit = timedelta(seconds=patience.stuck_seconds)
    silences = ((child, silent_since(child, progress, facts)) for child in suspension.active(progress))
    return tuple(child for child, since in silences if limit and since is not None and facts.now - since >= limit)


def next_look(progress: tuple[Progress, ...], facts: Facts, patience: Patience) -> datetime | None:
    """When silence has to be told next, or ends a child.

    What the operator has just written itself is no news, so that it looks again at once.
    """
    if stuck(progress, facts, patience):
        return facts.now + timedelta(seconds=1)
    waits = (SAY_AFTER, timedelta(seconds=patience.stuck_seconds))
    silences = (silent_since(child, progress, facts) for child in suspension.active(progress))
    return min((at for since in silences if since is not None for wait in waits if (at := since + wait) > facts.now), default=None)


def moves(child: Child, progress: tuple[Progress, ...], facts: Facts) -> bool:
    """Whether a child is at work, for all that can be seen."""
    return child.work is Work.RUNNING and child.obstacle is None and not words(child, progress, facts)


def words(child: Child, progress: tuple[Progress, ...], facts: Facts) -> str:
    """The sentence that says since when there is no progress; empty as long as that is nothing to
    speak of.
    """
    since = silent_since(child, progress, facts)
    if since is None or child.obstacle is not None or facts.now - since < SAY_AFTER:
        return ""
    # What the job says is older, and better, than what this process has seen since it began.
    told = told_at(facts.dataset.status)
    if told is not None and child.began is not None:
        since = min(since, max(told, child.began))
    return f"No progress since {since:%H:%M} UTC."
