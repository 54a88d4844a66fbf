"""Steps → the children that do them, and children → how far each step is.

Which steps a spec has, and in which order, is `negset_api.stages`' business.

A step is done if a child that writes to this revision did it, if the status records it, or if a
later step that needs it was started: that is how finished children can be deleted without doing
their work again. Were the evidence lost altogether, the step would run again, for nothing but
seconds: its stages find their commit markers.

A child that is to be made anew (`policies.retry`) is out of date like one of an earlier spec; its
name must be free before the next one is made.

After an edit, a child of the earlier spec goes on if the edit changes nothing that its step reads.
If it writes to another revision, a child of this revision follows and copies what it left.
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
"""The kinds of which `spec.training.maxParallel` may run at the same time."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One child's worth of work.

    `kind` is the child's, `condition` tells how the step ended, `doing` is what people read until
    then. `digest` is of what the step reads of the spec.
    """

    work: stages.Step
    kind: str
    condition: str
    doing: str
    digest: str

    @property
    def role(self) -> str:
        """Names the step in labels and in the child's name."""
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
    """How far a step is. This is computed anew from the children each time and stored nowhere."""

    DONE = "done"
    BLOCKED = "blocked"  # something it needs is not done
    HELD = "held"  # suspended before it began
    # A child of an earlier spec still works on the same files, or one that is to be made anew is
    # still there.
    STOPPING = "stopping"
    DUE = "due"  # make the child now
    # Due, or to go on after a suspension, but spec.training.maxParallel steps run or come before
    # it.
    TURN = "turn"
    WAITING = "waiting"  # a retry, later
    ACTIVE = "active"
    STALLED = "stalled"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step and how far it is.

    `child` is the newest one; `attempt` the number of the next one to make, where the phase is DUE;
    `failure` is the last attempt's, also while the next one works.
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
    return _in_turn(each, stages.parallel(spec) - _ending(steps, facts))


def _ending(steps: tuple[Step, ...], facts: Facts) -> int:
    """How many trainings and minings are being stopped that the spec has no more."""
    roles = {step.role for step in steps}
    others = (child for child in facts.children if child.ours and child.role not in roles and not child.work.finished)
    return sum(stages.kind_of(child.role) in _LIMITED for child in others)


def _in_turn(progress: tuple[Progress, ...], limit: int) -> tuple[Progress, ...]:
    """The same, with at most `limit` trainings and minings running, due, or about to go on after a
    suspension.

    A step that runs or is being stopped keeps its place until it ends, even beyond the limit. The
    remaining places go to suspended steps, then to the first steps in order. A step that waits for
    its next attempt keeps its place, so that the order stays; a stalled step takes none.
    """
    limited = [each for each in progress if each.step.work.kind in _LIMITED]
    asleep = [each for each in limited if each.phase is Phase.ACTIVE and _asleep(each.child)]
    places = limit - sum(each.phase in {Phase.ACTIVE, Phase.STOPPING} for each in limited if each not in asleep)
    in_line = [*asleep, *(each for each in limited if each.phase in {Phase.WAITING, Phase.DUE})]
    beyond = [each for each in in_line[max(places, 0) :] if each.phase is not Phase.WAITING]
    return tuple(msgspec.structs.replace(each, phase=Phase.TURN) if each in beyond else each for each in progress)


def _asleep(child: Child | None) -> bool:
    """Whether the operator has suspended a child, and nothing of it runs any more."""
    return child is not None and child.work is Work.SUSPENDED and child.suspended_by_us


def _done(steps: tuple[Step, ...], facts: Facts) -> frozenset[str]:
    by_role = {step.role: step for step in steps}
    mine = [child for child in facts.children if child.ours]
    done = {child.role for child in mine if child.work is Work.SUCCEEDED and counts(child, by_role.get(child.role), facts)}
    done |= evidence.recorded(facts)
    started = {child.role for child in mine if relevance.here(child, facts)}
    # What a later step needs comes before it, so that one pass from the end reaches everything.
    for step in reversed(steps):
        if step.role in started | done:
            done.update(step.needs)
    return frozenset(done)


def counts(child: Child, step: Step | None, facts: Facts) -> bool:
    """Whether what a child has done is done for the spec as it is now: its files lie here, or its
    step leaves no files and read the same.
    """
    if relevance.here(child, facts):
        return True
    return step is not None and not step.work.marker and child.digest == step.digest


def stands(failed: Child, facts: Facts) -> bool:
    """Whether a failure is one of the spec as it is now, and nothing has happened since that may
    mend it.
    """
    return not failed.obsolete and failed.spec_hash == facts.spec_hash and relevance.here(failed, facts)


def _progress(step: Step, done: frozenset[str], *, facts: Facts, spec: NegativeDatasetSpec, patience: Patience) -> Progress:
    tried = [child for child in facts.children if child.ours and child.role == step.role]
    if step.role in done:
        child = next((child for child in tried if child.work is Work.SUCCEEDED and counts(child, step, facts)), None)
        return Progress(step=step, phase=Phase.DONE, child=child)
    current = [child for child in tried if not child.terminating and _current(child, step, facts)]
    others = (child for child in tried if child not in current and relevance.here(child, facts))
    leaving = next((child for child in others if child.terminating or child.obsolete or not child.work.finished), None)
    if leaving is not None:
        return Progress(step=step, phase=Phase.STOPPING, child=leaving)
    newest = max(current, key=lambda child: (not child.work.finished, child.attempt), default=None)
    if newest is not None and newest.work is not Work.FAILED:
        return Progress(step=step, phase=Phase.ACTIVE, child=newest, failure=_before(current))
    if not set(step.needs) <= done:
        return Progress(step=step, phase=Phase.BLOCKED)
    if newest is not None:
        return _after_failure(step, current, newest, facts.now, patience, suspended=spec.suspend)
    return Progress(step=step, phase=Phase.HELD if spec.suspend else Phase.DUE)


def _current(child: Child, step: Step, facts: Facts) -> bool:
    """Whether a child does its step for the spec as it is now.

    A failure counts until the spec changes: any edit has a failed step tried again.
    """
    return stands(child, facts) if child.work.finished else relevance.wanted(child, step.digest, facts)


def _before(tried: list[Child]) -> Failure | None:
    """Why the last attempt failed that has."""
    failed = [child for child in tried if child.work is Work.FAILED]
    return max(failed, key=lambda child: child.attempt).failure if failed else None


def _after_failure(step: Step, tried: list[Child], newest: Child, now: datetime, patience: Patience, *, suspended: bool) -> Progress:
    failure = newest.failure or Failure(fault=Fault.WORK, message=f"{newest.kind} {newest.name} failed.")
    failures = sum(1 for child in tried if child.failure is not None and child.failure.fault is Fault.WORK)
    # A Job restarts its own pods, with its own backoff: when it fails, that is used up.
    limit = patience.attempts if step.kind == "RayJob" else 1
    attempt = newest.attempt + 1
    used_up = (failure.fault is Fault.WORK and failures >= limit) or attempt > patience.most_attempts
    if failure.fault in {Fault.INPUT, Fault.REFUSED} or used_up:
        return Progress(step=step, phase=Phase.STALLED, child=newest, failure=failure, failures=failures)
    if suspended:
        return Progress(step=step, phase=Phase.HELD, child=newest)
    retry_at = (newest.ended or newest.metadata.creation_timestamp or now) + backoff(newest.attempt, patience)
    phase = Phase.WAITING if now < retry_at else Phase.DUE
    return Progress(step=step, phase=phase, child=newest, attempt=attempt, retry_at=retry_at, failure=failure, failures=failures)


def backoff(failed: int, patience: Patience) -> timedelta:
    """How long to wait after the `failed`-th attempt: doubling, up to the limit."""
    doublings = min(failed - 1, 16)  # 2^16 times any first pause is beyond every limit
    return timedelta(seconds=min(patience.retry_seconds * 2**doublings, patience.retry_limit_seconds))
