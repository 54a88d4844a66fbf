"""The order of the steps, which is the same on a laptop and in the operator."""

import msgspec
import pytest

from negset_api import names, stages
from negset_api.spec import NegativeDatasetSpec


def spec(**training):
    fields = {
        "source": {"coco": {"annotations": "a.json"}},
        "excludeClasses": ["person"],
        "selection": {"count": 10},
        "output": {"url": "out"},
    }
    if training:
        fields |= {
            "positives": {"tfrecords": ["p"]},
            "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-320"}, "steps": 10, **training},
        }
    return msgspec.convert(fields, NegativeDatasetSpec)


CASES = {
    "without training there is only data": ({}, ["data"]),
    "one round has nothing to mine": ({"hardNegativeMining": {"rounds": 1}}, ["check", "data", "train-1"]),
    "rounds and minings alternate": (
        {"hardNegativeMining": {"rounds": 3}},
        ["check", "data", "train-1", "mine-1", "train-2", "mine-2", "train-3"],
    ),
    "training without negatives needs the data alone and comes early": (
        {"comparisons": ["NoNegatives"]},
        ["check", "data", "train-none", "train-1", "mine-1", "train-2"],
    ),
    "random negatives have a round for every mining, and the mined round is last": (
        {"comparisons": ["RandomNegatives", "NoNegatives"], "hardNegativeMining": {"rounds": 3}},
        ["check", "data", "train-none", "train-1", "mine-1", "train-2", "mine-2", "train-random-2", "train-random-3", "train-3"],
    ),
}


@pytest.mark.parametrize(("training", "roles"), CASES.values(), ids=CASES)
def test_order(training, roles):
    steps = stages.steps(spec(**training))
    assert [step.role for step in steps] == roles
    for index, step in enumerate(steps):
        assert set(step.needs) <= set(roles[:index]), "what a step needs comes before it"


GROUPS = {
    "one model at a time": (1, 2, ["check", "data", "train-none", "train-1", "mine-1", "train-random-2", "train-2"]),
    "what starts from the same data, and what starts after the same mining": (
        2,
        2,
        ["check", "data", "train-none train-1", "mine-1", "train-random-2 train-2"],
    ),
    "no model before the one whose weights it starts from": (
        9,
        3,
        ["check", "data", "train-none train-1", "mine-1", "train-2", "mine-2", "train-random-2", "train-random-3 train-3"],
    ),
}


@pytest.mark.parametrize(("trainings", "rounds", "expected"), GROUPS.values(), ids=GROUPS)
def test_models_that_are_trained_at_the_same_time(trainings, rounds, expected):
    wanted = spec(comparisons=["RandomNegatives", "NoNegatives"], hardNegativeMining={"rounds": rounds})
    groups = stages.groups(wanted, trainings)
    assert [" ".join(step.role for step in group) for group in groups] == expected
    assert [step for group in groups for step in group] == list(stages.steps(wanted))


@pytest.mark.parametrize("training", [case[0] for case in CASES.values()], ids=CASES)
def test_everything_is_done_before_the_last_step_is(training):
    steps = {step.role: step for step in stages.steps(spec(**training))}
    waiting, needed = [list(steps)[-1]], set()
    while waiting:
        role = waiting.pop()
        needed.add(role)
        waiting += steps[role].needs
    assert needed == set(steps)


def test_random_negatives_wait_for_the_mining_that_counts_them_and_for_their_own_round_before():
    steps = {step.role: step for step in stages.steps(spec(comparisons=["RandomNegatives"], hardNegativeMining={"rounds": 3}))}
    assert steps["train-random-2"].needs == ("mine-1",)
    assert steps["train-random-3"].needs == ("mine-2", "train-random-2")
    assert steps["train-3"].needs == ("mine-2", "train-random-3")


def test_every_arm_ends_with_the_same_number_of_steps():
    wanted = spec(comparisons=["RandomNegatives", "NoNegatives"], hardNegativeMining={"rounds": 3})
    last = {step.arm: step.round for step in stages.training_steps(wanted)}
    totals = {arm: stages.total_steps(number, wanted.training) for arm, number in last.items()}
    assert totals == {names.MINED: 30, names.RANDOM_NEGATIVES: 30, names.NO_NEGATIVES: 30}


def test_a_step_knows_its_command_line_and_its_marker():
    steps = {step.role: step for step in stages.steps(spec(comparisons=["RandomNegatives"]))}
    assert steps["train-random-2"].command == ("train", "--round", "2", "--arm", "RandomNegatives")
    assert steps["train-random-2"].marker == "training/random-negatives/round-2/round.json"
    assert (steps["mine-1"].command, steps["mine-1"].marker) == (("mine", "--round", "1"), "training/round-1/mining.json")
    assert (steps["check"].command, steps["check"].marker) == (("check",), "")


def test_the_model_of_the_last_mined_round_alone_is_exported():
    wanted = spec(comparisons=["RandomNegatives", "NoNegatives"], hardNegativeMining={"rounds": 3})
    exported = [step.role for step in stages.training_steps(wanted) if stages.is_exported(step.round, step.arm, wanted.training)]
    assert exported == ["train-3"]
