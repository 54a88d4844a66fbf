"""The steps of a spec, in order.

The laptop's pipeline and the operator both use this module, so both have the same steps.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from negset_api import names
from negset_api.spec import NegativeDatasetSpec, Training

Kind = Literal["check", "data", "train", "mine"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

CHECK: Final = "check"
DATA: Final = "data"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one job.

    `role` is the name of the step. `needs` are the roles of the steps that must be done first.

    Of a training step, `arm` and `round` identify the model that is trained. Of a mining step,
    `round` is the round of the arm `Mined` whose model scores the negatives. Other steps have ""
    and 0.
    """

    role: str
    kind: Kind
    needs: tuple[str, ...] = ()
    arm: str = ""
    round: int = 0

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of `negset job` that run the step."""
        number = ("--round", str(self.round)) if self.round else ()
        return (self.kind, *number, *(("--arm", self.arm) if self.kind == "train" else ()))

    @property
    def marker(self) -> str:
        """The key of the step's commit marker; empty for a step that writes no files."""
        match self.kind:
            case "train":
                return names.round_marker(self.round, self.arm)
            case "mine":
                return names.mining_marker(self.round)
            case "data":
                return names.RECORDS
            case _:
                return ""


def steps(spec: NegativeDatasetSpec) -> tuple[Step, ...]:
    """Return the steps in an order in which a single runner can do them.

    The last step needs all others, directly or not. Its job writes the report.
    """
    if spec.training is None:
        return (Step(role=DATA, kind="data"),)
    first = (Step(role=CHECK, kind="check"), Step(role=DATA, kind="data", needs=(CHECK,)))
    compared = tuple(step for arm in spec.training.comparisons for step in _arm(arm, spec.training))
    mined = _mined(spec.training)
    last = msgspec.structs.replace(mined[-1], needs=(*mined[-1].needs, *_ends(compared)))
    return (*first, *_interleaved(mined[:-1], compared), last)


def kind_of(role: str) -> Kind | None:
    """Return the kind of the step with this role; None if no step has it."""
    return next((kind for kind in KINDS if kind == role.partition("-")[0]), None)


def training_steps(spec: NegativeDatasetSpec) -> tuple[Step, ...]:
    """Return the training steps, in order."""
    return tuple(step for step in steps(spec) if step.kind == "train")


def parallel(spec: NegativeDatasetSpec) -> int:
    """Return how many training and mining steps may run at the same time."""
    return spec.training.max_parallel if spec.training else 1


def groups(spec: NegativeDatasetSpec, trainings: int) -> tuple[tuple[Step, ...], ...]:
    """Return the steps in groups that one machine does one after the other.

    A group is one step, or up to `trainings` training steps that do not need one another.
    """
    found: list[tuple[Step, ...]] = []
    for step in steps(spec):
        last = found[-1] if found else ()
        if last and len(last) < trainings and step.kind == last[0].kind == "train" and not any(_starts_from(step, each) for each in last):
            found[-1] = (*last, step)
        else:
            found.append((step,))
    return tuple(found)


def _starts_from(step: Step, other: Step) -> bool:
    """Return True if a training step starts from the weights of another.

    The last step also needs the other arms, but only because its job writes the report.
    """
    return other.role in step.needs and (step.arm == other.arm or step.arm != names.MINED)


def first_round(arm: str, training: Training) -> int:
    """Return the first round that an arm trains itself.

    `RandomNegatives` starts from round 1 of the arm `Mined`, which both share. `NoNegatives` trains
    all steps in one round, the last.
    """
    return {names.MINED: 1, names.RANDOM_NEGATIVES: 2}.get(arm, training.hard_negative_mining.rounds)


def total_steps(number: int, training: Training) -> int:
    """Return how many training steps a model of round `number` has had, the same for every arm."""
    return number * training.steps


def is_exported(number: int, arm: str, training: Training) -> bool:
    """Return True if a round's model is exported for serving.

    Only the model of the last round of the arm `Mined` is. The other models lead to it or are
    compared with it. All of them keep their checkpoints.
    """
    return arm == names.MINED and number == training.hard_negative_mining.rounds


def _mined(training: Training) -> tuple[Step, ...]:
    rounds = training.hard_negative_mining.rounds
    found = []
    for number in range(1, rounds + 1):
        found.append(_train(names.MINED, number, needs=(DATA,) if number == 1 else (_mine_role(number - 1),)))
        if number < rounds:
            found.append(Step(role=_mine_role(number), kind="mine", round=number, needs=(_train_role(names.MINED, number),)))
    return tuple(found)


def _arm(arm: str, training: Training) -> tuple[Step, ...]:
    """Return the steps of an arm of the comparison.

    A round with random negatives needs the mining, for the number of mined negatives, and the
    previous round of its arm.
    """
    if arm == names.NO_NEGATIVES:
        return (_train(arm, training.hard_negative_mining.rounds, needs=(DATA,)),)
    first = first_round(arm, training)
    return tuple(
        _train(arm, number, needs=(_mine_role(number - 1), *((_train_role(arm, number - 1),) if number > first else ())))
        for number in range(first, training.hard_negative_mining.rounds + 1)
    )


def _interleaved(mined: tuple[Step, ...], compared: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps that need only the data first, the others after the minings they need."""
    early = tuple(step for step in compared if step.needs == (DATA,))
    return (*early, *mined, *(step for step in compared if step not in early))


def _ends(compared: tuple[Step, ...]) -> tuple[str, ...]:
    """Return the role of the last step of each arm of the comparison."""
    return tuple({step.arm: step.role for step in compared}.values())


def _train(arm: str, number: int, *, needs: tuple[str, ...]) -> Step:
    return Step(role=_train_role(arm, number), kind="train", arm=arm, round=number, needs=needs)


def _train_role(arm: str, number: int) -> str:
    return {names.MINED: f"train-{number}", names.RANDOM_NEGATIVES: f"train-random-{number}"}.get(arm, "train-none")


def _mine_role(number: int) -> str:
    return f"mine-{number}"
