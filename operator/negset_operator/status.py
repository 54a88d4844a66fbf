"""Outlook and stored status → the patch to write, and the events to tell. Pure; the stored status is read only to see what has changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from negset_operator import reasons
from negset_operator.decision import Condition, Outlook

LONGEST_MESSAGE: Final = 32768  # metav1.Condition
LONGEST_NOTE: Final = 1024  # events

Stored = dict[str, Any]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A Kubernetes event to be told."""

    warning: bool
    reason: str
    message: str


def patch(outlook: Outlook, stored: Stored, generation: int, now: datetime) -> Stored | None:
    """A JSON merge patch of the fields that are the operator's, or None where nothing has changed.

    The conditions are replaced as a whole, so that a condition somebody else put there goes. The jobs' fields are not touched, unless they describe
    another revision.
    """
    wanted: Stored = {
        "observedGeneration": generation,
        "stage": outlook.stage,
        "revision": outlook.revision or None,
        "url": outlook.url or None,
        "reportUrl": outlook.report_url or None,
        "conditions": [_stored_condition(condition, stored, generation, now) for condition in outlook.conditions],
    }
    if outlook.completed is not None:
        wanted["completed"] = dict(outlook.completed)
    if outlook.forget_progress:
        wanted |= {"images": None, "progress": None, "rounds": None, "falsePositivesPerImage": None}
    if (stored.get("stage") or outlook.stage) != outlook.stage:
        wanted["progress"] = None  # what it tells of is over; the next stage's job writes its own
    elif outlook.moving is False and "progress" not in wanted and (stored.get("progress") or {}).get("secondsLeft") is not None:
        wanted["progress"] = {"secondsLeft": None}  # nobody knows while nothing moves; how much is done stays
    # An absent field and an empty one say the same; the API server turns one into the other where the schema has a default.
    return None if all((stored.get(field) or None) == (value or None) for field, value in wanted.items()) else wanted


def notes(outlook: Outlook, stored: Stored) -> tuple[Note, ...]:
    """One note for each change that a person may want to find later: a stage done, a new reason not to be ready, and readiness itself."""
    told = []
    for condition in outlook.conditions:
        before = _find(stored, condition.type)
        same = before.get("status") == _status(condition) and (condition.status or before.get("reason") == condition.reason)
        if condition.type in {reasons.RECONCILING, reasons.STALLED} or same:
            continue
        if condition.type == reasons.READY or condition.status:
            warning = outlook.condition(reasons.STALLED) is not None or condition.reason not in _CALM
            reason = condition.reason if condition.type == reasons.READY else condition.type
            told.append(Note(warning=warning and condition.type == reasons.READY, reason=reason, message=condition.message[:LONGEST_NOTE]))
    return tuple(told)


_CALM: Final = frozenset(
    {
        reasons.SUCCEEDED,
        reasons.PENDING,
        reasons.STARTING,
        reasons.RUNNING,
        reasons.QUEUED,
        reasons.SUSPENDED,
        reasons.SUSPENDING,
        reasons.REPLACING,
        reasons.DELETING_DATA,
    }
)


def _stored_condition(condition: Condition, stored: Stored, generation: int, now: datetime) -> Stored:
    before = _find(stored, condition.type)
    status = _status(condition)
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason,
        "message": condition.message[:LONGEST_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _find(stored: Stored, kind: str) -> Stored:
    found: Stored = next((entry for entry in stored.get("conditions") or () if entry.get("type") == kind), {})
    return found


def _status(condition: Condition) -> str:
    return "True" if condition.status else "False"
