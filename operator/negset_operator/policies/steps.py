"""Steps → the children that do them, and children → how far each step is.

Which steps a spec has, and in which order, is `negset_api.stages`' business.

A step is done if a child of this revision did it, or if a later step that needs it was started: that is how finished children can be cleaned up without doing
their work again. Were the evidence lost altogether, the step would run again, for nothing but seconds: its stages find their commit markers.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Final

import msgspec

from negset_api import names, stages
from negset_api.spec import NegativeDatasetSpec
from negset_operator import reasons
from negset_operator.config import Patience
from negset_operator.facts import Child, Facts, Failure, Fault, Work

DELETE: Final = "delete"

_CHILD: Final[dict[stages.Kind, str]] = {"check": "Job", "data": "RayJob", "train": "Job", "mine": "RayJob"}
_CONDITION: Final[dict[stages.Kind, str]] = {
    "check": reasons.CHECKED,
    "data": reasons.DATA_STORED,
    "train": reasons.TRAINED,
    "mine": reasons.MINED,
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One child's worth of work.

    `kind` is the child's, `condition` tells how the step ended, `doing` is what people read until then.
    """

    work: stages.Step
    kind: str
    condition: str
    doing: str

    @property
    def role(self) -> str:
        """Names the step in labels and in the child's name."""
        return self.work.role

    @property
    def needs(self) -> tuple[str, ...]:
        """The roles of the steps that must be done before."""
        return self.work.needs


def plan(spec: NegativeDatasetSpec) -> tuple[Step, ...]:
    """The steps in the order of a single runner; what does not need one another may run at the same time."""
    rounds = spec.training.hard_negative_mining.rounds if spec.training else 0
    return tuple(
        Step(work=work, kind=_CHILD[work.kind], condition=_CONDITION[work.kind], doing=_doing(work, rounds)) for work in stages.steps(spec)
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
    STOPPING = "stopping"  # a child of an earlier spec still works on the same files
    DUE = "due"  # make the child now
    WAITING = "waiting"  # a retry, later
    ACTIVE = "active"
    STALLED = "stalled"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step and how far it is. `child` is the newest one; `attempt` the number of the next one to make, where the phase is DUE."""

    step: Step
    phase: Phase
    child: Child | None = None
    attempt: int = 1
    retry_at: datetime | None = None
    failure: Failure | None = None
    failures: int = 0


def follow(facts: Facts, spec: NegativeDatasetSpec, patience: Patience) -> tuple[Progress, ...]:
    """Each step of the plan with its progress, in order."""
    steps = plan(spec)
    mine = [child for child in facts.children if child.ours and child.revision == facts.revision]
    done = _done(steps, mine)
    return tuple(_progress(step, done, mine, facts=facts, spec=spec, patience=patience) for step in steps)


def _done(steps: tuple[Step, ...], children: list[Child]) -> frozenset[str]:
    done = {child.role for child in children if child.work is Work.SUCCEEDED}
    started = {child.role for child in children}
    for step in reversed(steps):  # what a later step needs comes before it, so that one pass from the end reaches everything
        if step.role in started | done:
            done.update(step.needs)
    return frozenset(done)


def _progress(
    step: Step, done: frozenset[str], children: list[Child], *, facts: Facts, spec: NegativeDatasetSpec, patience: Patience
) -> Progress:
    tried = [child for child in children if child.role == step.role]
    if step.role in done:
        return Progress(step=step, phase=Phase.DONE, child=next((child for child in tried if child.work is Work.SUCCEEDED), None))
    current = [child for child in tried if child.run == facts.run and not child.going]
    others = [child for child in tried if child not in current]
    if any(not child.work.finished or child.going for child in others):
        return Progress(step=step, phase=Phase.STOPPING, child=next(iter(others)))
    newest = max(current, key=attempt_of, default=None)
    if newest is not None and newest.work is not Work.FAILED:
        return Progress(step=step, phase=Phase.ACTIVE, child=newest)
    if not set(step.needs) <= done:
        return Progress(step=step, phase=Phase.BLOCKED)
    if newest is not None:
        return _after_failure(step, current, newest, facts.now, patience, suspended=spec.suspend)
    return Progress(step=step, phase=Phase.HELD if spec.suspend else Phase.DUE)


def _after_failure(step: Step, tried: list[Child], newest: Child, now: datetime, patience: Patience, *, suspended: bool) -> Progress:
    failure = newest.failure or Failure(fault=Fault.WORK, message=f"{newest.kind} {newest.name} failed.")
    failures = sum(1 for child in tried if child.failure is not None and child.failure.fault is Fault.WORK)
    # A Job restarts its own pods, with its own backoff: when it fails, that is used up.
    limit = patience.attempts if step.kind == "RayJob" else 1
    attempt = attempt_of(newest) + 1
    if failure.fault in {Fault.INPUT, Fault.REFUSED} or (failure.fault is Fault.WORK and failures >= limit):
        return Progress(step=step, phase=Phase.STALLED, child=newest, failure=failure, failures=failures)
    if suspended:
        return Progress(step=step, phase=Phase.HELD, child=newest)
    retry_at = (newest.ended or newest.metadata.creation_timestamp or now) + backoff(len(tried), patience)
    phase = Phase.WAITING if now < retry_at else Phase.DUE
    return Progress(step=step, phase=phase, child=newest, attempt=attempt, retry_at=retry_at, failure=failure, failures=failures)


def backoff(failed: int, patience: Patience) -> timedelta:
    """How long to wait after the `failed`-th attempt: doubling, up to the limit."""
    doublings = min(failed - 1, 16)  # 2^16 times any first pause is beyond every limit
    return timedelta(seconds=min(patience.retry_seconds * 2**doublings, patience.retry_limit_seconds))


def attempt_of(child: Child) -> int:
    """Which attempt a child is: the number at the end of its name, 1 where there is none."""
    _, marker, number = child.name.rpartition("-a")
    return int(number) if marker and number.isdigit() else 1
