"""The child that is created next, for all kinds of facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from building import DATA_ONLY, TRAINING, DatasetState, jobs, merged
from dataset_states import COMPARED, compared, nothing_but_data, training

from negset_api import names
from negset_operator.facts import Fault, Work

NEXT: dict[str, tuple[Callable[[], DatasetState], list[str]]] = {
    "a new dataset gets its data job": (nothing_but_data, ["data"]),
    "while the data job runs nothing is made": (lambda: nothing_but_data().with_child("data", Work.RUNNING), []),
    "a data job that no controller has touched yet is not created twice": (
        lambda: nothing_but_data().with_child("data", Work.NOT_PICKED_UP),
        [],
    ),
    "before anything is downloaded the configuration is checked": (training, ["check"]),
    "while it is checked nothing is downloaded": (lambda: training().with_child("check", Work.RUNNING), []),
    "a checked configuration gets its data": (lambda: training().with_succeeded("check"), ["data"]),
    "a configuration that cannot be trained gets none": (
        lambda: training().with_child("check", Work.FAILED, fault=Fault.INPUT, ended=timedelta(hours=2)),
        [],
    ),
    "data that was stored before there was a check needs none": (lambda: training().with_succeeded("data"), ["train-1"]),
    "after the data comes the first round": (lambda: training().with_succeeded("check", "data"), ["train-1"]),
    "where two may run, what trains without negatives trains beside the first round": (
        lambda: compared().with_succeeded("check", "data"),
        ["train-none", "train-1"],
    ),
    "unless asked for, one model is trained at a time": (lambda: DatasetState(COMPARED).with_succeeded("check", "data"), ["train-none"]),
    "the next step follows the completed one": (
        lambda: compared(1).with_succeeded("check", "data", "train-none"),
        ["train-1"],
    ),
    "nothing trains beside another training": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.RUNNING),
        [],
    ),
    "nor beside a mining": (
        lambda: compared(1).with_succeeded("check", "data", "train-1").with_child("mine-1", Work.RUNNING),
        [],
    ),
    "nor beside one that waits in a queue": (
        lambda: compared(1, queueName="q").with_succeeded("check", "data").with_child("train-1", Work.SUSPENDED),
        [],
    ),
    "nor beside one that is being stopped": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.RUNNING, terminating=True),
        [],
    ),
    "a third that may run is none that needs what is not done": (
        lambda: compared(8).with_succeeded("check", "data"),
        ["train-none", "train-1"],
    ),
    "what comes first waits for its next attempt, and what comes after it waits with it": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.FAILED, fault=Fault.INTERRUPTION),
        [],
    ),
    "what comes after it begins where two may run": (
        lambda: compared().with_succeeded("check", "data").with_child("train-none", Work.FAILED, fault=Fault.INTERRUPTION),
        ["train-1"],
    ),
    "what comes first begins before the next attempt of what comes after it": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-1", Work.FAILED, fault=Fault.INTERRUPTION),
        ["train-none"],
    ),
    "the next attempt waits for the training that has begun": (
        lambda: (
            compared(1)
            .with_succeeded("check", "data")
            .with_child("train-none", Work.FAILED, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("train-1", Work.RUNNING)
        ),
        [],
    ),
    "what is stalled holds up nothing that does not need it": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.FAILED, fault=Fault.INPUT),
        ["train-1"],
    ),
    "two run although one may, since the limit was lowered: neither is stopped and nothing begins": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.RUNNING).with_child("train-1", Work.RUNNING),
        [],
    ),
    "mining follows the first round while another model still trains without negatives": (
        lambda: compared().with_succeeded("data", "train-1").with_child("train-none", Work.RUNNING),
        ["mine-1"],
    ),
    "as many random negatives are trained on when mining has counted them": (
        lambda: compared().with_succeeded("data", "train-none", "train-1", "mine-1"),
        ["train-random-2"],
    ),
    "the last round waits for every model that its report compares with": (
        lambda: compared().with_succeeded("data", "train-1", "mine-1", "train-random-2").with_child("train-none", Work.RUNNING),
        [],
    ),
    "the last round follows them": (
        lambda: compared().with_succeeded("data", "train-none", "train-1", "mine-1", "train-random-2"),
        ["train-2"],
    ),
    "mining follows a round": (lambda: training().with_succeeded("data", "train-1"), ["mine-1"]),
    "the next round follows mining": (lambda: training().with_succeeded("data", "train-1", "mine-1"), ["train-2"]),
    "nothing follows the last round": (lambda: training().with_succeeded("data", "train-1", "mine-1", "train-2"), []),
    "a single round trains without negatives first": (
        lambda: DatasetState(
            merged(TRAINING, {"training": {"comparisons": ["NoNegatives"], "hardNegativeMining": {"rounds": 1}}})
        ).with_succeeded("data"),
        ["train-none"],
    ),
    "a finished child that was cleaned up is not made again once a later step has begun": (
        lambda: training().with_child("mine-1", Work.RUNNING),
        [],
    ),
    "a child of that name that is not ours counts for nothing": (
        lambda: nothing_but_data().with_child("data", Work.SUCCEEDED, ours=False),
        ["data"],
    ),
    "what an earlier run of the same revision has done is done": (
        lambda: training().with_child("data", Work.SUCCEEDED, spec_hash="0ldc0ffe"),
        ["train-1"],
    ),
    "what another revision has done is not": (
        lambda: training().with_child("data", Work.SUCCEEDED, spec_hash="0ldc0ffe", revision_label="0" * 12),
        ["check"],
    ),
    "a child of an earlier run that still writes the same files is waited for": (
        lambda: training().with_succeeded("check").with_child("data", Work.RUNNING, spec_hash="0ldc0ffe"),
        [],
    ),
    "a child of another revision is not waited for: it writes elsewhere": (
        lambda: nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe", revision_label="0" * 12),
        ["data"],
    ),
    "a child that is being deleted is waited for": (lambda: nothing_but_data().with_child("data", Work.RUNNING, terminating=True), []),
    "a suspended dataset begins nothing": (lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})), []),
    "a dataset that is suspended between two steps begins nothing": (
        lambda: DatasetState(merged(TRAINING, {"suspend": True})).with_succeeded("data"),
        [],
    ),
    "a failed attempt is followed by a second, after its pause": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, ended=timedelta(seconds=20)),
        ["data-a2"],
    ),
    "not before": (lambda: nothing_but_data().with_child("data", Work.FAILED, ended=timedelta(seconds=19)), []),
    "the pause doubles": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED, ended=timedelta(seconds=100))
            .with_child("data", Work.FAILED, attempt=2, ended=timedelta(seconds=39))
        ),
        [],
    ),
    "a third attempt follows a second": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED, ended=timedelta(seconds=100))
            .with_child("data", Work.FAILED, attempt=2, ended=timedelta(seconds=40))
        ),
        ["data-a3"],
    ),
    "an interruption counts for nothing, however often": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("data", Work.FAILED, attempt=2, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("data", Work.FAILED, attempt=3, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("data", Work.FAILED, attempt=4, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
        ),
        ["data-a5"],
    ),
    "an input that is wrong is not tried again": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.INPUT, ended=timedelta(hours=2)),
        [],
    ),
    "a training that used up its retries is not tried again": (
        lambda: training().with_succeeded("data").with_child("train-1", Work.FAILED, ended=timedelta(hours=2)),
        [],
    ),
    "a failure of an earlier spec does not hold back this one": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, spec_hash="0ldc0ffe", fault=Fault.INPUT),
        ["data"],
    ),
}


@pytest.mark.parametrize(("given", "roles"), NEXT.values(), ids=NEXT.keys())
def test_next_child(given, roles):
    built = given()
    assert jobs(built.decide()) == [f"street-{built.spec_hash}-{role}" for role in roles]


def test_each_child_says_in_a_label_which_attempt_it_is():
    first, third = nothing_but_data(), nothing_but_data().with_child("data", Work.FAILED, attempt=2, ended=timedelta(seconds=40))
    deleting = nothing_but_data().with_raw(deletionPolicy="Delete").being_deleted()
    said = [given.decide().creations[-1].manifest["metadata"]["labels"][names.LABEL_ATTEMPT] for given in (first, third, deleting)]
    assert said == ["1", "3", "1"]
