"""The conditions besides Ready: Reconciling, Stalled, and one for each stage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from building import DATA_ONLY, TRAINING, DatasetState, condition_of, merged
from dataset_states import DATA_URL, compared, nothing_but_data, training

from negset_operator import reasons
from negset_operator.facts import Fault, Work

KSTATUS: dict[str, tuple[Callable[[], DatasetState], set[str]]] = {
    "while work is in progress it reconciles": (nothing_but_data, {reasons.RECONCILING}),
    "while a retry is due later it reconciles": (lambda: nothing_but_data().with_child("data", Work.FAILED), {reasons.RECONCILING}),
    "when it is ready, neither": (lambda: nothing_but_data().with_succeeded("data"), set()),
    "when it is suspended, neither": (lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})), set()),
    "while it is being suspended it reconciles": (
        lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING),
        {reasons.RECONCILING},
    ),
    "when a person must act it is stalled": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.INPUT),
        {reasons.STALLED},
    ),
    "a wrong spec is stalled": (lambda: nothing_but_data().with_raw(output={"url": "x"}), {reasons.STALLED}),
}


@pytest.mark.parametrize(("given", "present"), KSTATUS.values(), ids=KSTATUS.keys())
def test_reconciling_and_stalled_are_present_only_while_true(given, present):
    desired_status = given().decide().desired_status
    assert {
        condition.type for condition in desired_status.conditions if condition.type in {reasons.RECONCILING, reasons.STALLED}
    } == present
    assert all(condition.status for condition in desired_status.conditions if condition.type in present)


def test_every_condition_type_is_in_the_list_in_the_order_of_its_definition():
    """The operator compares and removes only conditions of listed types."""
    defined = [name for name in vars(reasons) if name.isupper()]
    types = defined[: defined.index("CONDITION_TYPES")]
    assert tuple(getattr(reasons, name) for name in types) == reasons.CONDITION_TYPES


@pytest.mark.parametrize("scene", [*(scene for scene, _ in KSTATUS.values()), training, compared])
def test_conditions_are_written_in_the_order_of_reading(scene):
    types = [condition.type for condition in scene().decide().desired_status.conditions]
    assert types == [kind for kind in reasons.CONDITION_TYPES if kind in types]


def test_each_stage_has_a_condition_in_the_past_tense():
    given = training().with_succeeded("check", "data", "train-1")
    decision = given.decide()
    assert condition_of(decision, reasons.CHECKED) == (True, "Succeeded", "The training configuration was checked and is valid.")
    url = f"{DATA_URL}/{given.revision}"
    assert condition_of(decision, reasons.DATA_STORED) == (True, "Succeeded", f"The data is stored under {url}.")
    assert condition_of(decision, reasons.TRAINED) == (False, "Pending", "Training round 2 of 2 waits for earlier steps: mine-1.")
    assert condition_of(decision, reasons.MINED) == (
        False,
        "Starting",
        f"Mining after round 1 of 2: RayJob {given.child('mine-1')} is starting.",
    )
    assert condition_of(decision, reasons.REPORTED) == (False, "Pending", "The report is written after the last step.")
    assert decision.desired_status.url == url
    assert decision.desired_status.report_url == ""


def test_a_model_that_waits_for_its_turn_says_so():
    given = compared(1).with_succeeded("check", "data", "train-1").with_child("mine-1", Work.RUNNING)
    assert condition_of(given.decide(), reasons.TRAINED) == (
        False,
        "Pending",
        "Training without negatives waits for other steps to end: spec.training.maxParallel is 1.",
    )
    assert condition_of(given.decide(), reasons.READY)[1] == "Running"


def test_an_attempt_over_the_limit_reports_why_the_previous_one_failed():
    given = compared(1).with_succeeded("check", "data", "train-1").with_child("mine-1", Work.RUNNING)
    failed = {"fault": Fault.INTERRUPTION, "message": "The node is lost", "ended": timedelta(hours=2)}
    given.with_child("train-none", Work.FAILED, **failed)
    said = "Training without negatives waits for other steps to end: spec.training.maxParallel is 1. Previous attempt: The node is lost."
    assert condition_of(given.decide(), reasons.TRAINED) == (False, "Pending", said)


def test_all_conditions_are_true_in_the_end():
    given = compared()
    decision = given.with_succeeded(*given.roles()).decide()
    assert [(condition.type, condition.status) for condition in decision.desired_status.conditions] == [
        ("Ready", True),
        ("Checked", True),
        ("DataStored", True),
        ("Trained", True),
        ("Mined", True),
        ("Reported", True),
    ]
    assert condition_of(decision, reasons.TRAINED) == (True, "Succeeded", "Training completed (4 rounds).")
    assert condition_of(decision, reasons.MINED) == (True, "Succeeded", "Hard negative mining completed (1 round).")
    assert decision.desired_status.report_url == f"{DATA_URL}/{given.revision}/report/index.html"


def test_a_single_round_has_nothing_to_mine():
    decision = DatasetState(merged(TRAINING, {"training": {"hardNegativeMining": {"rounds": 1}}})).decide()
    assert condition_of(decision, reasons.MINED) is None


def test_without_training_there_is_no_configuration_to_check():
    assert condition_of(nothing_but_data().decide(), reasons.CHECKED) is None
