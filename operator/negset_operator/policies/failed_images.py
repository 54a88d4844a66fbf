"""Images that a completed data step could not store, and the user's request for them.

A data step may succeed although some images failed. If their errors were transient, or if the spec
now allows fewer failures, a new value of the annotation `negset.dev/retry` runs the step again. Its
job requests only the failed images.

It does so only before the first training: the data that a model is trained on must not change. The
job checks that as well (`negset_jobs.pipeline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from negset_api import stages
from negset_operator import naming
from negset_operator.facts import Child, Facts, Work
from negset_operator.policies import evidence, relevance

_KINDS: Final = {"images": "negatives", "positives": "positives"}
"""Fields of the status with counts, and what they count."""


def requested(facts: Facts) -> bool:
    """Return True if the data step must run again, because the user requested its failed images."""
    annotation, answered = naming.retry(facts.dataset.metadata.annotations.retry), _answered(facts)
    if not annotation or not answered or annotation in answered or _training_began(facts):
        return False
    return any(_may_improve(_counts(facts, field), facts) for field in _KINDS)


def has_stored(child: Child, facts: Facts) -> bool:
    """Return True if a child has stored the data of the current spec."""
    return child.ours and child.role == stages.DATA and child.work is Work.SUCCEEDED and relevance.writes_here(child, facts)


def message(facts: Facts, command: str) -> str:
    """Return how many images failed because of transient errors, and what to do about it.

    It is empty if there are none. `command` is the user's request.
    """
    counts = {kind: counted for field, kind in _KINDS.items() if (counted := _counts(facts, field)).get("transient")}
    if not counts:
        return ""
    which = " and ".join(f"{counted['transient']:,} of {counted.get('planned', 0):,} {kind}" for kind, counted in counts.items())
    advice = (
        "A model is trained without them, so they are not requested again."
        if _training_began(facts)
        else f"To request them again: {command}"
    )
    return f"{which} could not be stored because of transient errors. {advice}"


def _answered(facts: Facts) -> frozenset[str]:
    """Return the requests that the data answers, "" for none; nothing if the data is not stored."""
    stored = {child.retry for child in facts.children if has_stored(child, facts)}
    recorded = {evidence.answered(facts)} if stages.DATA in evidence.recorded(facts) else set()
    return frozenset(stored | recorded)


def _may_improve(counts: Mapping[str, int], facts: Facts) -> bool:
    """Return True if a failure was transient, or if the spec now allows fewer failures."""
    allowed = facts.spec.download.max_failed_percent if facts.spec else 100
    return counts.get("transient", 0) > 0 or counts.get("failed", 0) * 100 > allowed * counts.get("planned", 0)


def _counts(facts: Facts, field: str) -> Mapping[str, Any]:
    return evidence.numbers(facts).get(field) or {}


def _training_began(facts: Facts) -> bool:
    """Return True if a training is recorded as done, or if there is a job for one."""
    children = (child.role for child in facts.children if child.ours and relevance.writes_here(child, facts))
    return any(stages.kind_of(role) == "train" for role in (*children, *evidence.recorded(facts)))
