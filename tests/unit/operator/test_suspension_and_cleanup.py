"""Which children are suspended, resumed and deleted, and when the operator looks again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from building import DATA_ONLY, DatasetState, condition_of, jobs, manifests, merged
from dataset_states import QUEUED, nothing_but_data, training

from negset_operator import reasons
from negset_operator.facts import Fault, Work


def test_suspending_without_a_queue_sets_the_childs_own_switch():
    given = DatasetState(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING)
    (switch,) = given.decide().suspend_changes
    assert (switch.kind, switch.name, switch.suspend) == ("RayJob", given.child("data"), True)
    assert given.decide().deletions == ()


def test_resuming_clears_the_switch():
    given = nothing_but_data().with_child("data", Work.SUSPENDED)
    (switch,) = given.decide().suspend_changes
    assert switch.suspend is False


SUSPENDED_BY: dict[str, tuple[dict[str, Any], dict[str, Any], list[bool]]] = {
    "what the operator suspended it resumes": ({}, {"suspended_by_us": True}, [False]),
    "what Kueue suspends in a queue of the spec stays": ({"queueName": "team-a-gpu"}, {}, []),
    "what Kueue suspends in a queue of its own choice stays": ({}, {"queue": "default", "suspended_by_us": False}, []),
    "what Kueue suspends without a queue stays": ({}, {"suspended_by_us": False}, []),
    "a child that another client suspended gets the label if the user suspends as well": (
        {"suspend": True},
        {"suspended_by_us": False},
        [True],
    ),
    "what the operator suspended stays so while the user wants it": ({"suspend": True}, {"suspended_by_us": True}, []),
}


@pytest.mark.parametrize(("spec", "child", "suspend_changes"), SUSPENDED_BY.values(), ids=SUSPENDED_BY.keys())
def test_only_ones_own_suspension_is_undone(spec, child, suspend_changes):
    decision = DatasetState(merged(DATA_ONLY, spec)).with_child("data", Work.SUSPENDED, **child).decide()
    assert [switch.suspend for switch in decision.suspend_changes] == suspend_changes
    assert decision.deletions == ()


def test_while_kueue_holds_a_child_its_words_are_looked_up_again():
    assert DatasetState(QUEUED).with_succeeded("check").with_child("data", Work.SUSPENDED).decide().wake_after == pytest.approx(10)


def test_the_priority_class_of_the_dataset_is_that_of_its_children():
    given = DatasetState(QUEUED).but(labels={"kueue.x-k8s.io/priority-class": "urgent", "team": "a"})
    assert manifests(given.decide())["Job"]["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "urgent"
    assert "team" not in manifests(given.decide())["Job"]["metadata"]["labels"]
    given.with_succeeded("check")
    assert manifests(given.decide())["RayJob"]["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "urgent"


def test_under_kueue_a_suspended_dataset_deletes_its_unfinished_child():
    given = DatasetState(merged(QUEUED, {"suspend": True})).with_succeeded("data").with_child("train-1", Work.RUNNING)
    decision = given.decide()
    assert [deletion.name for deletion in decision.deletions] == [given.child("train-1")]
    assert decision.suspend_changes == ()


def test_in_a_queue_that_kueue_chose_a_suspended_dataset_deletes_its_child_too():
    given = DatasetState(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING, queue="default")
    assert [deletion.name for deletion in given.decide().deletions] == [given.child("data")]
    assert given.decide().suspend_changes == ()


def test_suspending_changes_neither_the_revision_nor_the_names():
    assert DatasetState(merged(DATA_ONLY, {"suspend": True})).child("data") == nothing_but_data().child("data")


def test_a_changed_spec_stops_the_children_of_the_one_before():
    given = nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe", revision_label="0" * 12)
    (deletion,) = given.decide().deletions
    assert (deletion.name, deletion.uid, deletion.why) == ("street-0ldc0ffe-data", "uid-of-street-0ldc0ffe-data", "the spec changed")


def test_a_wrong_spec_stops_what_runs_for_an_earlier_one():
    given = nothing_but_data().with_raw(output={"url": "/tmp/x"}).with_child("data", Work.RUNNING, spec_hash="0ldc0ffe")
    assert [deletion.why for deletion in given.decide().deletions] == ["the spec changed"]


def test_a_spec_that_became_wrong_without_an_edit_stops_nothing():
    given = nothing_but_data().with_child("data", Work.RUNNING).with_raw(output={"url": "/tmp/x"})
    assert condition_of(given.decide(), reasons.READY)[1] == "InvalidSpec"
    assert given.decide().deletions == ()


def test_finished_children_go_a_day_after_the_dataset_is_ready_but_for_the_last():
    given = training().with_succeeded("check", "data", "train-1", "mine-1", "train-2", ended=timedelta(hours=23))
    assert given.decide().deletions == ()
    assert given.decide().wake_after == pytest.approx(3600)
    given = training().with_succeeded("check", "data", "train-1", "mine-1", "train-2", ended=timedelta(hours=24))
    assert [deletion.name for deletion in given.decide().deletions] == [
        given.child(role) for role in ("check", "data", "train-1", "mine-1")
    ]


def test_it_stays_ready_when_only_the_last_child_is_left():
    given = training().with_succeeded("train-2", ended=timedelta(days=300))
    assert condition_of(given.decide(), reasons.READY)[:2] == (True, "Succeeded")
    assert jobs(given.decide()) == []
    assert given.decide().deletions == ()


def test_a_foreign_child_is_never_deleted():
    given = nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe", ours=False)
    assert given.decide().deletions == ()


WAKES: dict[str, tuple[Callable[[], DatasetState], float | None]] = {
    "a job that starts is checked again": (lambda: nothing_but_data().with_child("data", Work.STARTING), 10.0),
    "a running job reports by itself": (lambda: nothing_but_data().with_child("data", Work.RUNNING), None),
    "a retry wakes at its time": (lambda: nothing_but_data().with_child("data", Work.FAILED, ended=timedelta(seconds=5)), 15.0),
    "a stalled dataset sleeps": (lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.INPUT), None),
    "a wrong spec sleeps": (lambda: nothing_but_data().with_raw(output={"url": "x"}), None),
}


@pytest.mark.parametrize(("given", "seconds"), WAKES.values(), ids=WAKES.keys())
def test_wakes(given, seconds):
    assert given().decide().wake_after == seconds


def test_counters_of_another_revision_are_forgotten():
    given = nothing_but_data().but(status={"revision": "0" * 12, "images": {"stored": 5}})
    assert given.decide().desired_status.forget_progress
    assert not nothing_but_data().but(status={"revision": given.revision}).decide().desired_status.forget_progress
