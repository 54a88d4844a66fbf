"""Steps → the children that run them, and children → the progress of each step.

`negset_api.stages` defines which steps a spec has, and in which order.

A step is done in three cases. A child that writes to this revision has succeeded, or the status
records the step, or a later step that needs it has started. So finished children can be deleted,
and their work is not repeated. If all of this is lost, the step runs again, and ends within
seconds: its stages find their commit markers.

A child that must be built again (`policies.retry`) is treated like a child of an earlier spec. Its
name must be free before the next child is created.

After an edit, a child of the earlier spec continues if the edit changes nothing that its step
reads. If that child writes to another revision, a child of this revision follows and copies its
files.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from negset_api import names, stages
from negset_api.spec import NegativeDatasetSpec
from negset_operator import reasons
from negset_operator.config import Patience
from negset_operator.facts import Child, Facts, Failure, Fault, Work
from negset_operator.policies import evidence, relevance

DELETE: Final = "delete"

_CHILD: Final[dict[stages.Kind, str]] = {"check": "Job", "data": "RayJob", "train": "Job", "mine": "RayJob"}
_CONDITION: Final[dict[stages.Kind, str]] = {
    "check": reasons.CHECKED,
    "data": reasons.DATA_STORED,
    "train": reasons.TRAINED,
    "mine": reasons.MINED,
}

_LIMITED: Final[frozenset[stages.Kind]] = frozenset({"train", "mine"})
"""The kinds of steps that `spec.training.maxParallel` limits."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one child.

    `kind` is the child's kind. `condition` is the type of the condition that is True when the step
    is done. `doing` describes the step for people until then. `digest` is the digest of the fields
    of the spec that the step reads.
    """

    work: stages.Step
    kind: str
    condition: str
    doing: str
    digest: str

    @property
    def role(self) -> str:
        """The name of the step in labels and in the child's name."""
        return self.work.role

    @property
    def needs(self) -> tuple[str, ...]:
        """The roles of the steps that must be done before."""
        return self.work.needs


def plan(spec: NegativeDatasetSpec, digests: Mapping[str, str]) -> tuple[Step, ...]:
    """Return the steps in the order of a single runner.

    Steps that do not need one another may run at the same time. `digests` are the steps', by role.
    """
    rounds = spec.training.hard_negative_mining.rounds if spec.training else 0
    return tuple(
        Step(work=work, kind=_CHILD[work.kind], condition=_CONDITION[work.kind], doing=_doing(work, rounds), digest=digests[work.role])
        for work in stages.steps(spec)
    )


def _doing(work: stages.Step, rounds: int) -> str:
    match work.kind, work.arm:
        case "check", _:
            return "Checking the configuration"
        case "data", _:
            return "Storing the data"
        case "mine", _:
            return f"Mining after round {work.round} of {rounds}"
        case _, names.NO_NEGATIVES:
            return "Training without negatives"
        case _, names.RANDOM_NEGATIVES:
            return f"Training on random negatives, round {work.round} of {rounds}"
        case _:
            return f"Training round {work.round} of {rounds}"


class Phase(enum.Enum):
    """The progress of a step. It is computed at each reconcile, and never stored."""

    DONE = "done"
    BLOCKED = "blocked"  # A step that it needs is not done.
    SUSPENDED = "suspended"  # The dataset was suspended before the step started.
    # A child of an earlier spec still writes the same files, or a child that must be built again
    # still exists.
    STOPPING = "stopping"
    DUE = "due"  # The child must be created now.
    # It is due or resumes, but spec.training.maxParallel other steps run or come first.
    OVER_LIMIT = "over limit"
    WAITING = "waiting"  # It waits for the time of its next attempt.
    ACTIVE = "active"
    STALLED = "stalled"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step and its progress.

    `child` is the newest one. `attempt` is the number of the next child if the phase is DUE.
    `failure` is that of the last failed attempt, also while the next attempt works. `failures` is
    how many attempts failed by the job's own fault.
    """

    step: Step
    phase: Phase
    child: Child | None = None
    attempt: int = 1
    retry_at: datetime | None = None
    failure: Failure | None = None
    failures: int = 0


def follow(facts: Facts, spec: NegativeDatasetSpec, patience: Patience, digests: Mapping[str, str]) -> tuple[Progress, ...]:
    """Return the progress of each step of the plan, in order.

    `digests` are the steps', by role.
    """
    steps = plan(spec, digests)
    done = _done(steps, facts)
    each = tuple(_progress(step, done, facts=facts, spec=spec, patience=patience) for step in steps)
    if spec.suspend:  # then nothing begins
        return each
    return _within_limit(each, stages.parallel(spec) - _ending(steps, facts))


def _ending(steps: tuple[Step, ...], facts: Facts) -> int:
    """Return how many trainings and minings still run that the spec no longer has."""
    roles = {step.role for step in steps}
    others = (child for child in facts.children if child.ours and child.role not in roles and not child.work.finished)
    return sum(stages.kind_of(child.role) in _LIMITED for child in others)


def _within_limit(progress: tuple[Progress, ...], limit: int) -> tuple[Progress, ...]:
    """Limit the trainings and minings that run, are due, or resume to `limit`.

    A step that runs or is being stopped keeps its slot until it ends, even beyond the limit. The
    remaining slots go to suspended steps, then to the first steps in order. A step that waits for
    its next attempt keeps its slot, so that the order stays. A stalled step has no slot. Each other
    step that is due or resumes gets the phase OVER_LIMIT.
    """
    limited = [each for each in progress if each.step.work.kind in _LIMITED]
    suspended = [each for each in limited if each.phase is Phase.ACTIVE and _is_suspended_by_us(each.child)]
    slots = limit - sum(each.phase in {Phase.ACTIVE, Phase.STOPPING} for each in limited if each not in suspended)
    in_line = [*suspended, *(each for each in limited if each.phase in {Phase.WAITING, Phase.DUE})]
    beyond = [each for each in in_line[max(slots, 0) :] if each.phase is not Phase.WAITING]
    return tuple(msgspec.structs.replace(each, phase=Phase.OVER_LIMIT) if each in beyond else each for each in progress)


def _is_suspended_by_us(child: Child | None) -> bool:
    """Return True if the operator has suspended a child and none of its pods runs."""
    return child is not None and child.work is Work.SUSPENDED and child.suspended_by_us


def _done(steps: tuple[Step, ...], facts: Facts) -> frozenset[str]:
    by_role = {step.role: step for step in steps}
    mine = [child for child in facts.children if child.ours]
    done = {child.role for child in mine if child.work is Work.SUCCEEDED and success_counts(child, by_role.get(child.role), facts)}
    done |= evidence.recorded(facts)
    started = {child.role for child in mine if relevance.writes_here(child, facts)}
    # Each step comes after the steps that it needs, so one pass from the end is enough.
    for step in reversed(steps):
        if step.role in started | done:
            done.update(step.needs)
    return frozenset(done)


def success_counts(child: Child, step: Step | None, facts: Facts) -> bool:
    """Return True if the work of a child that succeeded is done for the current spec.

    That is so if the child wrote to the current revision and need not be built again. A step that
    leaves no files also counts if it read the same fields of the spec.
    """
    if child.obsolete:
        return False
    if relevance.writes_here(child, facts):
        return True
    return step is not None and not step.work.marker and child.digest == step.digest


def failure_counts(failed: Child, facts: Facts) -> bool:
    """Return True if a failure is of the current spec and the child need not be built again."""
    return not failed.obsolete and failed.spec_hash == facts.spec_hash and relevance.writes_here(failed, facts)


def _progress(step: Step, done: frozenset[str], *, facts: Facts, spec: NegativeDatasetSpec, patience: Patience) -> Progress:
    tried = [child for child in facts.children if child.ours and child.role == step.role]
    if step.role in done:
        child = next((child for child in tried if child.work is Work.SUCCEEDED and success_counts(child, step, facts)), None)
        return Progress(step=step, phase=Phase.DONE, child=child)
    current = [child for child in tried if not child.terminating and _current(child, step, facts)]
    others = (child for child in tried if child not in current and relevance.writes_here(child, facts))
    leaving = next((child for child in others if child.terminating or child.obsolete or not child.work.finished), None)
    if leaving is not None:
        return Progress(step=step, phase=Phase.STOPPING, child=leaving)
    newest = max(current, key=lambda child: (not child.work.finished, child.attempt), default=None)
    if newest is not None and newest.work is not Work.FAILED:
        return Progress(step=step, phase=Phase.ACTIVE, child=newest, failure=_last_failure(current))
    if not set(step.needs) <= done:
        return Progress(step=step, phase=Phase.BLOCKED)
    if newest is not None:
        return _after_failure(step, current, newest, facts.now, patience, suspended=spec.suspend)
    return Progress(step=step, phase=Phase.SUSPENDED if spec.suspend else Phase.DUE)


def _current(child: Child, step: Step, facts: Facts) -> bool:
    """Return True if a child does its step for the current spec.

    A failure counts until the spec changes: any edit retries a failed step.
    """
    return failure_counts(child, facts) if child.work.finished else relevance.wanted(child, step.digest, facts)


def _last_failure(tried: list[Child]) -> Failure | None:
    """Return the failure of the last failed attempt."""
    failed = [child for child in tried if child.work is Work.FAILED]
    return max(failed, key=lambda child: child.attempt).failure if failed else None


def _after_failure(step: Step, tried: list[Child], newest: Child, now: datetime, patience: Patience, *, suspended: bool) -> Progress:
    failure = newest.failure or Failure(fault=Fault.WORK, message=f"{newest.kind} {newest.name} failed.")
    failures = sum(1 for child in tried if child.failure is not None and child.failure.fault is Fault.WORK)
    # A Job restarts its pods with its own backoff. When it fails, its retries are used up.
    limit = patience.attempts if step.kind == "RayJob" else 1
    attempt = newest.attempt + 1
    used_up = (failure.fault is Fault.WORK and failures >= limit) or attempt > patience.most_attempts
    if failure.fault in {Fault.INPUT, Fault.REFUSED} or used_up:
        return Progress(step=step, phase=Phase.STALLED, child=newest, failure=failure, failures=failures)
    if suspended:
        return Progress(step=step, phase=Phase.SUSPENDED, child=newest)
    retry_at = (newest.ended or newest.metadata.creation_timestamp or now) + backoff(newest.attempt, patience)
    phase = Phase.WAITING if now < retry_at else Phase.DUE
    return Progress(step=step, phase=phase, child=newest, attempt=attempt, retry_at=retry_at, failure=failure, failures=failures)


def backoff(failed: int, patience: Patience) -> timedelta:
    """Return the pause after failed attempt number `failed`. It doubles up to the limit."""
    doublings = min(failed - 1, 16)  # 2^16 times any first pause exceeds every limit
    return timedelta(seconds=min(patience.retry_seconds * 2**doublings, patience.retry_limit_seconds))
