"""The progress of the steps → the status that people and GitOps tools read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from negset_api import names
from negset_api.spec import NegativeDatasetSpec
from negset_operator import reasons
from negset_operator.config import Patience
from negset_operator.decision import Condition, DesiredStatus
from negset_operator.facts import Facts, Work
from negset_operator.policies import evidence, failed_images, pace, retry, suspension
from negset_operator.policies.explain import Context, explain
from negset_operator.policies.steps import Phase, Progress

# The status shows the first of these phases that a step is in.
_URGENCY: Final = (
    Phase.STALLED,
    Phase.ACTIVE,
    Phase.WAITING,
    Phase.STOPPING,
    Phase.DUE,
    Phase.OVER_LIMIT,
    Phase.SUSPENDED,
    Phase.BLOCKED,
    Phase.DONE,
)


def desired_status(facts: Facts, spec: NegativeDatasetSpec, progress: tuple[Progress, ...], patience: Patience) -> DesiredStatus:
    """Return the status of a dataset that is in progress or done."""
    context = Context(
        dataset=facts.dataset.metadata.name, spec_hash=facts.spec_hash, spec=spec, patience=patience, facts=facts, steps=progress
    )
    meta = facts.dataset.metadata
    url = names.revision_root(spec.output.url, meta.namespace, meta.name, facts.revision)
    report = f"{url}/{names.REPORT_PAGE}"
    stages = tuple(_stage(kind, members, url, context) for kind, members in _by_condition(progress))
    worst = min(progress, key=_urgency)
    ready = worst.phase is Phase.DONE
    reported = Condition(
        type=reasons.REPORTED,
        status=ready,
        reason=reasons.SUCCEEDED if ready else reasons.PENDING,
        message=f"The report is at {report}." if ready else "The report is written after the last step.",
    )
    measured = evidence.numbers(facts) if ready else {}
    # A model that is trained does not get them any more.
    left = _failed_images(context) if spec.training is None else ""
    message = f"All steps completed. The report is at {report}.{_without_numbers(measured, spec)}{left}"
    done = Condition(type=reasons.READY, status=True, reason=reasons.SUCCEEDED, message=message)
    summary = (done,) if ready else _unfinished(worst, context, stopped=_stopped(spec, progress))
    return DesiredStatus(
        stage="Ready" if ready else _stage_name(worst, stopped=_stopped(spec, progress)),
        conditions=(*summary, *stages, reported),
        revision=facts.revision,
        url=url,
        report_url=report if ready else "",
        completed=evidence.record(
            facts,
            tuple(each.step.role for each in progress if each.phase is Phase.DONE),
            measured,
            trims=spec.output.revision_history_limit is not None and progress[-1].phase is Phase.ACTIVE,
        ),
        numbers={name: measured[name] for name in evidence.JOBS_NUMBERS if name in measured},
        forget_progress=evidence.revision_of_numbers(facts) != facts.revision,
        makes_progress=any(pace.makes_progress(child, progress, facts) for child in suspension.active(progress)),
    )


def _without_numbers(measured: dict[str, Any], spec: NegativeDatasetSpec) -> str:
    """Return a sentence for the message if the status lacks numbers that the jobs measured.

    A job waits only for a limited time until the API server accepts its numbers.
    """
    wanted = spec.training.hard_negative_mining.rounds if spec.training else 0
    complete = bool(measured) and max((each.get("round", 0) for each in measured.get("rounds", ())), default=0) >= wanted
    return "" if complete else " Some numbers are missing from this status. The report has all of them."


def stalled(reason: str, message: str, *, stage: str = "Stalled") -> DesiredStatus:
    """Return the status of a dataset that cannot continue until a person acts."""
    return DesiredStatus(stage=stage, conditions=_stalled(reason, message))


def reconciling(reason: str, message: str, *, stage: str) -> DesiredStatus:
    """Return the status of a dataset that is in progress, with one message."""
    return DesiredStatus(stage=stage, conditions=_reconciling(reason, message))


def blocked(before: DesiredStatus, reason: str, message: str, *, permanent: bool) -> DesiredStatus:
    """Return the status when a decision could not be carried out.

    `permanent`: a retry does not help until a person acts.
    """
    summary = _stalled(reason, message) if permanent else _reconciling(reason, message)
    rest = tuple(
        condition for condition in before.conditions if condition.type not in {reasons.READY, reasons.RECONCILING, reasons.STALLED}
    )
    stage = "Stalled" if permanent else before.stage
    return msgspec.structs.replace(before, stage=stage, conditions=(*summary, *rest), report_url="")


def _unfinished(worst: Progress, context: Context, *, stopped: bool) -> tuple[Condition, ...]:
    reason, message = explain(worst, context)
    if worst.phase is Phase.STALLED:
        return _stalled(reason, message)
    if stopped:
        text = "The dataset is suspended. Completed work is kept."
        return (Condition(type=reasons.READY, status=False, reason=reasons.SUSPENDED, message=text),)
    return _reconciling(reason, message)


def _stalled(reason: str, message: str) -> tuple[Condition, ...]:
    return (
        Condition(type=reasons.READY, status=False, reason=reason, message=message),
        Condition(type=reasons.STALLED, status=True, reason=reason, message=message),
    )


def _reconciling(reason: str, message: str) -> tuple[Condition, ...]:
    return (
        Condition(type=reasons.READY, status=False, reason=reason, message=message),
        Condition(type=reasons.RECONCILING, status=True, reason=reason, message=message),
    )


def _by_condition(progress: tuple[Progress, ...]) -> Iterable[tuple[str, tuple[Progress, ...]]]:
    kinds = dict.fromkeys(each.step.condition for each in progress)
    return (
        (kind, tuple(each for each in progress if each.step.condition == kind)) for kind in sorted(kinds, key=reasons.CONDITION_TYPES.index)
    )


def _stage(kind: str, members: tuple[Progress, ...], url: str, context: Context) -> Condition:
    worst = min(members, key=_urgency)
    if worst.phase is Phase.DONE:
        messages = {
            reasons.CHECKED: "The training configuration was checked and is valid.",
            reasons.DATA_STORED: f"The data is stored under {url}.{_failed_images(context)}",
            reasons.TRAINED: f"Training completed ({_count(len(members), 'round')}).",
            reasons.MINED: f"Hard negative mining completed ({_count(len(members), 'round')}).",
        }
        return Condition(type=kind, status=True, reason=reasons.SUCCEEDED, message=messages[kind])
    reason, message = explain(worst, context)
    return Condition(type=kind, status=False, reason=reason, message=message)


def _stopped(spec: NegativeDatasetSpec, progress: tuple[Progress, ...]) -> bool:
    """Return True if the dataset is suspended and none of its children works."""
    unsettled = (Phase.STOPPING, Phase.DUE, Phase.STALLED)
    return spec.suspend and all(
        each.phase not in unsettled and (each.phase is not Phase.ACTIVE or (each.child is not None and each.child.work is Work.SUSPENDED))
        for each in progress
    )


def _stage_name(worst: Progress, *, stopped: bool) -> str:
    if stopped:
        return "Suspended"
    if worst.phase is Phase.STALLED:
        return "Stalled"
    child = worst.child if worst.phase is Phase.ACTIVE else None
    if child is not None and child.work is Work.SUSPENDED and suspension.suspended_by_others(child):
        return "Queued"
    return worst.step.doing


def _urgency(progress: Progress) -> tuple[int, int]:
    obstacle = progress.child is not None and progress.child.obstacle is not None and progress.phase is Phase.ACTIVE
    return (_URGENCY.index(progress.phase), 0 if obstacle else 1)


def _failed_images(context: Context) -> str:
    """Return a sentence on the images that the user may request again, to follow another one."""
    text = failed_images.message(context.facts, retry.command(context.dataset))
    return f" {text}" if text else ""


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
