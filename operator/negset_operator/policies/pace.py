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
    return told is not None and made is not None and made <= told <= facts.now


def silent_since(child: Child, progress: tuple[Progress, ...], facts: Facts) -> datetime | None:
    """Since when a child that runs has made no progress, by this process's clock and Kubernetes'. None if nobody can tell."""
    watched = child.work is Work.RUNNING and not child.suspended and not child.going and not child.stranded and child.deadline is None
    if not watched:
        return None
    seen = facts.dataset.news_at if has_news(child, facts) else None
    if child.obstacle is not None:
        return max((at for at in (child.obstacle.since, seen) if at is not None), default=None) if child.obstacle.since else None
    # Of several children that work at the same time, the status does not say whose news it has.
    alone = suspension.active(progress) == (child,)
    return max(seen, child.began) if seen is not None and child.began is not None and alone else None


def stuck(progress: tuple[Progress, ...], facts: Facts, patience: Patience) -> tuple[Child, ...]:
    """The children that have made no progress for longer than the administrator allows."""
    limit = timedelta(seconds=patience.stuck_seconds)
    silences = ((child, silent_since(child, progress, facts)) for child in suspension.active(progress))
    return tuple(child for child, since in silences if limit and since is not None and facts.now - since >= limit)


def next_look(progress: tuple[Progress, ...], facts: Facts, patience: Patience) -> datetime | None:
    """When silence has to be told next, or ends a child."""
    waits = (SAY_AFTER, timedelta(seconds=patience.stuck_seconds))
    silences = (silent_since(child, progress, facts) for child in suspension.active(progress))
    return min((at for since in silences if since is not None for wait in waits if (at := since + wait) > facts.now), default=None)


def words(child: Child, progress: tuple[Progress, ...], facts: Facts) -> str:
    """The sentence that says since when there is no progress; empty as long as that is nothing to speak of."""
    since = silent_since(child, progress, facts)
    if since is None or child.obstacle is not None or facts.now - since < SAY_AFTER:
        return ""
    # What the job says is older, and better, than what this process has seen since it began.
    told = told_at(facts.dataset.status)
    if told is not None and child.began is not None:
        since = min(since, max(told, child.began))
    return f"No progress since {since:%H:%M} UTC."
