"""Whether a child that runs makes progress.

Only the jobs know. They report it in the status. The operator uses two facts: that a report has
changed, and when this process saw the change. So a wrong clock on a node ends no job. A job without
reports is never ended: it cannot reach the API server, or an earlier version created it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from negset_operator.config import Patience
from negset_operator.facts import Child, Facts, Work
from negset_operator.last_report import reported_at
from negset_operator.policies import suspension
from negset_operator.policies.steps import Progress

SAY_AFTER: Final = timedelta(seconds=120)
"""How long a child may be silent before the condition reports it.

Tracing a graph and measuring a model take minutes, and a job reports nothing meanwhile.
"""


def has_reported(child: Child, facts: Facts) -> bool:
    """Return True if the jobs' last report is of this child, and not of an earlier one."""
    reported, created = reported_at(facts.dataset.status), child.metadata.creation_timestamp
    return reported is not None and created is not None and created <= reported


def silent_since(child: Child, progress: tuple[Progress, ...], facts: Facts) -> datetime | None:
    """Return since when a running child has made no progress; None if that is not known.

    The time is by the clocks of this process and of Kubernetes.
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
    reported = reported_at(facts.dataset.status)
    seen_at = facts.dataset.progress_seen_at if reported is not None and reported <= facts.now and has_reported(child, facts) else None
    # An obstacle is seen from outside, even if the job reports nothing.
    since = child.obstacle.since if child.obstacle is not None else child.began
    # If several children run at the same time, the status does not show which of them reported.
    alone = sum(each.work is Work.RUNNING for each in suspension.active(progress)) == 1
    if since is None or (child.obstacle is None and (seen_at is None or not alone)):
        return None
    return max(since, seen_at) if seen_at is not None else since


def stuck(progress: tuple[Progress, ...], facts: Facts, patience: Patience) -> tuple[Child, ...]:
    """Return the children without progress for longer than the administrator allows."""
    limit = timedelta(seconds=patience.stuck_seconds)
    silences = ((child, silent_since(child, progress, facts)) for child in suspension.active(progress))
    return tuple(child for child, since in silences if limit and since is not None and facts.now - since >= limit)


def next_check(progress: tuple[Progress, ...], facts: Facts, patience: Patience) -> datetime | None:
    """Return when the next silence must be reported, or ends a child.

    If a child is stuck now, that is in one second: the operator writes a deadline on it, and its
    own writes cause no reconcile.
    """
    if stuck(progress, facts, patience):
        return facts.now + timedelta(seconds=1)
    waits = (SAY_AFTER, timedelta(seconds=patience.stuck_seconds))
    silences = (silent_since(child, progress, facts) for child in suspension.active(progress))
    return min((at for since in silences if since is not None for wait in waits if (at := since + wait) > facts.now), default=None)


def makes_progress(child: Child, progress: tuple[Progress, ...], facts: Facts) -> bool:
    """Return True if a child runs and is neither blocked by an obstacle nor silent for too long."""
    return child.work is Work.RUNNING and child.obstacle is None and not message(child, progress, facts)


def message(child: Child, progress: tuple[Progress, ...], facts: Facts) -> str:
    """Return a sentence with the time since which there is no progress.

    It is empty if there is progress, or if the silence is shorter than `SAY_AFTER`.
    """
    since = silent_since(child, progress, facts)
    if since is None or child.obstacle is not None or facts.now - since < SAY_AFTER:
        return ""
    # After a restart, this process saw the report later than the job wrote it. The job's own time
    # is better.
    reported = reported_at(facts.dataset.status)
    if reported is not None and child.began is not None:
        since = min(since, max(reported, child.began))
    return f"No progress since {since:%H:%M} UTC."
