"""Why a step is not done: a reason for programs, and a message for people."""

from __future__ import annotations

from typing import Final

import msgspec

from negset_api import stages
from negset_api.spec import NegativeDatasetSpec
from negset_operator import naming, reasons
from negset_operator.config import Patience
from negset_operator.facts import Child, Facts, Fault, Work
from negset_operator.policies import garbage, pace, retry, stored_message, suspension
from negset_operator.policies.steps import Phase, Progress

_STALLED_REASON: Final = {Fault.INPUT: reasons.INPUT_REFUSED, Fault.REFUSED: reasons.CHILD_REFUSED}


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What the messages mention besides the step."""

    dataset: str
    spec_hash: str
    spec: NegativeDatasetSpec
    patience: Patience
    facts: Facts
    steps: tuple[Progress, ...]


def explain(progress: Progress, context: Context) -> tuple[str, str]:
    """Return the reason and the message for one step that is not done."""
    step = progress.step
    match progress.phase:
        case Phase.STALLED | Phase.WAITING:
            return _explain_failure(progress, context)
        case Phase.ACTIVE:
            return _explain_active(progress, context)
        case Phase.STOPPING:
            return _explain_stopping(progress, context)
        case Phase.SUSPENDED:
            return reasons.SUSPENDED, f"{step.doing} has not started: the dataset is suspended."
        case Phase.OVER_LIMIT | Phase.BLOCKED:
            return reasons.PENDING, _explain_pending(progress, context)
        case _:
            name = naming.child(context.dataset, context.spec_hash, step.role, progress.attempt)
            return reasons.STARTING, f"{step.doing}: {step.kind} {name} is starting."


def _explain_pending(progress: Progress, context: Context) -> str:
    if progress.phase is Phase.BLOCKED:
        return f"{progress.step.doing} waits for earlier steps: {', '.join(progress.step.needs)}."
    waits = f"{progress.step.doing} waits for other steps to end: spec.training.maxParallel is {stages.parallel(context.spec)}."
    return f"{waits} Previous attempt: {_sentence(progress.failure.message)}" if progress.failure else waits


def _explain_stopping(progress: Progress, context: Context) -> tuple[str, str]:
    assert progress.child is not None
    who = f"{progress.child.kind} {progress.child.name}"
    if progress.child.obsolete:
        return reasons.REPLACING, f"{progress.step.doing}: {who} is being replaced."
    if progress.child.spec_hash != context.spec_hash:
        return reasons.REPLACING, f"The spec changed. {who}, which was created for the previous spec, is being stopped."
    reason = reasons.SUSPENDING if context.spec.suspend else reasons.REPLACING
    return reason, f"{progress.step.doing}: {who} is being stopped."


def _explain_failure(progress: Progress, context: Context) -> tuple[str, str]:
    failure, child = progress.failure, progress.child
    assert failure is not None
    assert child is not None
    message = _sentence(stored_message.of(failure, child, context.facts.dataset.status.get("conditions") or ()))
    if progress.phase is Phase.WAITING:
        assert progress.retry_at is not None
        counted = f" {progress.failures} of {context.patience.attempts} attempts have failed." if progress.failures else ""
        return reasons.RETRYING, f"{message}{counted} The next attempt is at {progress.retry_at:%Y-%m-%dT%H:%M:%SZ}."
    if failure.fault in _STALLED_REASON:
        return _STALLED_REASON[failure.fault], f"{message} {retry.advice(context.dataset)}"
    attempts = child.attempt if failure.fault in {Fault.UNAVAILABLE, Fault.INTERRUPTION} else progress.failures
    tried = f" All {attempts} attempts have failed." if attempts > 1 else ""
    return reasons.ATTEMPTS_EXHAUSTED, f"{message}{tried} {retry.advice(context.dataset)}"


def _explain_active(progress: Progress, context: Context) -> tuple[str, str]:
    step, child = progress.step, progress.child
    assert child is not None
    who = f"{step.doing}: {child.kind} {child.name}"
    if context.spec.suspend:
        if child.work is Work.SUSPENDED:
            return reasons.SUSPENDED, f"{who} is suspended."
        return reasons.SUSPENDING, f"{who} is being stopped."
    if (problem := _problem(child, who)) is not None:
        return problem
    if suspension.suspended_by_others(child):
        return _explain_suspended_by_others(child, who)
    reason, doing = (reasons.RUNNING, "running") if child.work is Work.RUNNING else (reasons.STARTING, "starting")
    details = (pace.message(child, context.steps, context.facts), _last_failure(progress, child, context.facts))
    return reason, " ".join((f"{who} is {doing}.", *(text for text in details if text)))


def _problem(child: Child, who: str) -> tuple[str, str] | None:
    """Return what is known to keep a child from its work, if anything."""
    if child.pods_on_lost_nodes:
        return reasons.NODE_LOST, _explain_lost_node(child)
    if child.overdue:
        return reasons.NO_PROGRESS, f"{who} made no progress and is being stopped. Another attempt follows."
    if child.obstacle is not None:
        return child.obstacle.reason, child.obstacle.message
    return None


def _last_failure(progress: Progress, child: Child, facts: Facts) -> str:
    """Return why the previous pod or attempt failed, until there is progress again."""
    if child.last_failure:
        return child.last_failure
    if progress.failure is None or pace.has_reported(child, facts):
        return ""
    return f"Previous attempt: {_sentence(progress.failure.message)}"


def _explain_suspended_by_others(child: Child, who: str) -> tuple[str, str]:
    if child.work is Work.RUNNING:
        by = f"Kueue (LocalQueue {child.queue})" if child.queue else "another client, not by this operator,"
        return reasons.SUSPENDING, f"{who} was suspended by {by} and is being stopped."
    if child.queue:
        reported = f" Kueue reports: {_sentence(child.queue_message)}" if child.queue_message else ""
        return reasons.QUEUED, f"{who} waits for Kueue to admit it to LocalQueue {child.queue}.{reported}"
    advice = (
        "If Kueue manages jobs without a queue name here, set spec.queueName. Otherwise, resume the job with the client that suspended it."
    )
    return reasons.QUEUED, f"{who} was suspended by another client, not by this operator. {advice}"


def _explain_lost_node(child: Child) -> str:
    pod = child.pods_on_lost_nodes[0]
    lost = f"Node {pod.node} does not answer. Pod {pod.name} of {child.kind} {child.name} is on it."
    if child.kind == "RayJob":
        return f"{lost} The pod is deleted by force at {garbage.lost_at(pod):%H:%M:%S} UTC and replaced."
    return f"{lost} A new pod starts when the node is back or is removed (kubectl delete node {pod.node}): two pods must not write the same checkpoints."


def _sentence(text: str) -> str:
    """Return the text with a full stop at its end, so that another sentence can follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
