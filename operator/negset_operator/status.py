"""Desired status and stored status → the write and the events.

This is pure. The stored status is only read to find the changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from negset_operator import reasons
from negset_operator.decision import Condition, DesiredStatus

LONGEST_MESSAGE: Final = 32768  # metav1.Condition
LONGEST_NOTE: Final = 1024  # events

_FIELDS: Final = ("observedGeneration", "stage", "revision", "url", "reportUrl", "completed", "runs")
"""The operator's fields, besides its conditions."""
_JOBS_FIELDS: Final = ("images", "positives", "progress", "rounds", "falsePositivesPerImage")

Stored = dict[str, Any]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A Kubernetes event to record."""

    warning: bool
    reason: str
    message: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A write to the status. `fields` are all of the operator's fields, for server-side apply.

    `clear` is a merge patch of the jobs' fields, to be written first; None if they stay.
    """

    fields: Stored
    clear: Stored | None = None


def change(desired_status: DesiredStatus, stored: Stored, generation: int, now: datetime) -> Change | None:
    """Return the write, or None if the stored status is the same.

    The jobs' fields are cleared only if they are of another revision or stage. Conditions of other
    types are not compared.
    """
    fields = _fields(desired_status, stored, generation, now)
    clear = _clear(desired_status, stored)
    same = _by_type(stored, own=True) == _by_type(fields, own=True) and not any(_differs(stored, fields, field) for field in _FIELDS)
    return None if same and clear is None else Change(fields=fields, clear=clear)


def leftover(stored: Stored, fields: Stored) -> bool:
    """Return True if an apply has left a field or condition of the operator that is not wanted.

    It stays if another field manager owns it as well, or if 0.1.0 wrote it by merge patch. That
    holds for the fields inside `completed`, too.
    """
    return (
        any(stored.get(field) and field not in fields for field in _FIELDS)
        or _has_more(stored.get("completed") or {}, fields.get("completed") or {})
        or not _by_type(stored, own=True).keys() <= _by_type(fields).keys()
    )


def as_merge_patch(stored: Stored, fields: Stored) -> Stored:
    """Return the merge patch that has the effect of an apply of `fields` by every field manager."""
    others = [entry for kind, entry in _by_type(stored).items() if kind not in reasons.CONDITION_TYPES]
    patch = {**dict.fromkeys(_FIELDS), **fields, "conditions": [*fields["conditions"], *others]}
    if fields.get("completed"):
        patch["completed"] = _replacing(stored.get("completed") or {}, fields["completed"])
    return patch


def notes(desired_status: DesiredStatus, stored: Stored) -> tuple[Note, ...]:
    """Return one event for each important change.

    These are a completed stage, a new reason for not being ready, and readiness itself.
    """
    found = []
    for condition in desired_status.conditions:
        before = _find(stored, condition.type)
        same = before.get("status") == _status(condition) and (condition.status or before.get("reason") == condition.reason)
        if condition.type in {reasons.RECONCILING, reasons.STALLED} or same:
            continue
        if condition.type == reasons.READY or condition.status:
            warning = desired_status.condition(reasons.STALLED) is not None or condition.reason not in _EXPECTED
            reason = condition.reason if condition.type == reasons.READY else condition.type
            found.append(Note(warning=warning and condition.type == reasons.READY, reason=reason, message=condition.message[:LONGEST_NOTE]))
    return tuple(found)


_EXPECTED: Final = frozenset(
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


def _fields(desired_status: DesiredStatus, stored: Stored, generation: int, now: datetime) -> Stored:
    fields: Stored = {
        "observedGeneration": generation,
        "stage": desired_status.stage,
        "revision": desired_status.revision,
        "url": desired_status.url,
        "reportUrl": desired_status.report_url,
        # An apply removes what it leaves out.
        "completed": stored.get("completed") if desired_status.completed is None else dict(desired_status.completed),
        "runs": list(desired_status.runs),
    }
    conditions = [_stored_condition(condition, stored, generation, now) for condition in desired_status.conditions]
    return {**{field: value for field, value in fields.items() if value}, "conditions": conditions}


def _clear(desired_status: DesiredStatus, stored: Stored) -> Stored | None:
    """Return a merge patch of the jobs' fields, or None if nothing changes.

    It clears the fields of another revision, the progress of a stage that is over, and the estimate
    of a job that makes no progress. It writes the fields that the record has and the status lacks.
    """
    present = [field for field in _JOBS_FIELDS if stored.get(field)]
    gone = present if desired_status.forget_progress else []
    lost = any(field in gone or field not in present for field in desired_status.numbers)
    if gone or lost:
        return {**dict.fromkeys(gone), **desired_status.numbers}
    if (stored.get("stage") or desired_status.stage) != desired_status.stage and "progress" in present:
        return {"progress": None}  # the next stage's job writes its own
    if desired_status.makes_progress is False and (stored.get("progress") or {}).get("secondsLeft") is not None:
        # Without progress there is no estimate. The completed share stays.
        return {"progress": {"secondsLeft": None}}
    return None


def _differs(stored: Stored, fields: Stored, field: str) -> bool:
    # An absent field and an empty one are equal.
    return (stored.get(field) or None) != fields.get(field)


def _has_more(stored: Stored, wanted: Stored) -> bool:
    """Return True if `stored` has a field, at any depth, that `wanted` lacks."""
    return any(
        name not in wanted or (isinstance(value, dict) and isinstance(wanted[name], dict) and _has_more(value, wanted[name]))
        for name, value in stored.items()
    )


def _replacing(stored: Stored, wanted: Stored) -> Stored:
    """Return the merge patch that makes `stored` equal to `wanted`: null removes a field."""
    patch: Stored = dict.fromkeys(stored.keys() - wanted.keys())
    for name, value in wanted.items():
        before = stored.get(name)
        patch[name] = _replacing(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return patch


def _by_type(stored: Stored, *, own: bool = False) -> dict[str, Stored]:
    conditions = ((entry.get("type", ""), entry) for entry in stored.get("conditions") or ())
    return {kind: entry for kind, entry in conditions if not own or kind in reasons.CONDITION_TYPES}


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
    return _by_type(stored).get(kind, {})


def _status(condition: Condition) -> str:
    return "True" if condition.status else "False"
