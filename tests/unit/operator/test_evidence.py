"""Ready rests on what was done here: on children while they exist, and on the record in the status."""

from __future__ import annotations

from typing import Any

import pytest
from building import TRAINING, UID, Scene, jobs, merged, told

from negset_operator import naming, reasons, status
from negset_operator.facts import Work
from negset_operator.policies import unusable

ALL = ("check", "data", "train-1", "mine-1", "train-2")
MOVED = merged(TRAINING, {"output": {"url": "s3://team-b/negatives"}})


def recorded(steps: tuple[str, ...] = ALL, *, of: Scene | None = None, **changes: Any) -> dict[str, Any]:
    """A status with the record of these steps, done for the scene's spec."""
    scene = of or Scene(TRAINING)
    return {"completed": {"uid": UID, "revision": scene.revision, "url": scene.url(), "steps": list(steps), **changes}}


def test_what_is_done_is_recorded_with_its_uid_and_url():
    scene = Scene(TRAINING).with_succeeded("check", "data")
    outlook = scene.decide().outlook
    assert outlook.completed == recorded(("check", "data"))["completed"]
    assert status.change(outlook, {}, 3, scene.now).fields["completed"] == outlook.completed


def test_a_dataset_whose_finished_children_were_deleted_stays_ready_and_starts_nothing():
    decision = Scene(TRAINING).but(status=recorded()).decide()
    assert told(decision, reasons.READY)[:2] == (True, "Succeeded")
    assert (decision.makings, decision.switches) == ((), ())


def test_after_a_recorded_step_the_next_one_follows():
    scene = Scene(TRAINING).but(status=recorded(("check", "data")))
    assert jobs(scene.decide()) == [scene.child("train-1")]


DISBELIEVED: dict[str, dict[str, Any]] = {
    "the record of another object of that name": recorded(uid="another"),
    "the record of another place": recorded(url="s3://team-b/negatives/team-a/street/0123456789ab"),
    "the record of another revision": recorded(of=Scene(merged(TRAINING, {"training": {"steps": 7}}))),
    "a stage, conditions and URLs without a record": {
        "stage": "Ready",
        "url": Scene(TRAINING).url(),
        "conditions": [{"type": "Ready", "status": "True"}],
    },
    "a record that this version cannot read": {"completed": {"uid": 7, "steps": "all"}},
}


@pytest.mark.parametrize("stored", DISBELIEVED.values(), ids=DISBELIEVED.keys())
def test_nothing_else_is_believed(stored):
    scene = Scene(TRAINING).but(status=stored)
    decision = scene.decide()
    assert told(decision, reasons.READY)[0] is False
    assert jobs(decision) == [scene.child("check")]


def test_a_moved_output_is_not_ready_and_names_no_report():
    scene, before = Scene(MOVED).but(status=recorded()), Scene(TRAINING)
    assert scene.revision == before.revision
    scene.with_child("train-2", Work.SUCCEEDED, run=before.run, digest=before.digests["train-2"], place=naming.place(before.url()))
    decision = scene.decide()
    assert told(decision, reasons.READY)[0] is False
    assert decision.outlook.report_url == ""
    assert jobs(decision) == [scene.child("check")]


def test_the_record_of_the_place_before_stays_until_something_is_done_at_the_new_one():
    assert Scene(MOVED).but(status=recorded()).decide().outlook.completed is None
    assert Scene(MOVED).but(status=recorded()).with_succeeded("check").decide().outlook.completed["url"] == Scene(MOVED).url()


@pytest.mark.parametrize("told_url", [True, False], ids=["where the status said", "elsewhere, as far as anybody knows"])
def test_a_finished_child_of_an_earlier_run_of_0_1_0_counts_where_the_status_said_that_it_wrote(told_url):
    scene = Scene(TRAINING)
    scene.but(status={"url": scene.url() if told_url else "s3://elsewhere"})
    scene.with_child("train-2", Work.SUCCEEDED, run="0ldc0ffe", digest="", place="", generation=0)
    assert told(scene.decide(), reasons.READY)[0] is told_url


def test_a_spec_that_cannot_be_used_does_not_erase_the_record():
    scene = Scene(TRAINING).but(status=recorded()).with_raw(selection={"strategy": "Clustered"})
    fields = status.change(unusable.decide(scene.facts(), {}).outlook, scene.status, 3, scene.now).fields
    assert fields["completed"] == scene.status["completed"]
