"""What nobody needs any more: children of earlier specs, and finished children some time after the data set is ready."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from negset_operator.facts import Child, Companion, Facts, Work
from negset_operator.policies.steps import Phase, Progress


def superseded(facts: Facts) -> tuple[Child, ...]:
    """Children that work for a spec that is no longer wanted. What an earlier run of the same revision has done stays: it is done for this one, too."""
    return tuple(
        child
        for child in facts.children
        if child.ours and child.run != facts.run and not (child.revision == facts.revision and child.work is Work.SUCCEEDED)
    )


def outlived(progress: tuple[Progress, ...], children: Iterable[Child], now: datetime, keep: timedelta) -> tuple[Child, ...]:
    """Finished children of a data set that has been ready for `keep`. The last step's child stays: it is the evidence that all is done."""
    ready = ready_since(progress)
    if ready is None or now - ready < keep:
        return ()
    last = progress[-1].child
    return tuple(child for child in children if child.ours and child.work.finished and child is not last)


def ready_since(progress: tuple[Progress, ...]) -> datetime | None:
    """When the last step ended; None while anything is left to do."""
    last = progress[-1].child
    if last is None or any(each.phase is not Phase.DONE for each in progress):
        return None
    return last.ended


def unused(companions: Iterable[Companion], wanted: frozenset[tuple[str, str]], children: Iterable[Child]) -> tuple[Companion, ...]:
    """Companions that neither this spec nor any child that still exists needs."""
    runs = {child.run for child in children if child.ours}
    return tuple(
        companion
        for companion in companions
        if companion.ours and (companion.kind, companion.name) not in wanted and not (companion.run and companion.run in runs)
    )
