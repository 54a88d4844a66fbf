"""Ready depends on existing children and on the record in the status."""

from __future__ import annotations

from typing import Any

import pytest
from building import DATA_ONLY, TRAINING, UID, DatasetState, condition_of, jobs, merged

from negset_operator import naming, reasons, status
from negset_operator.facts import Work
from negset_operator.policies import unusable

ALL = ("check", "data", "train-1", "mine-1", "train-2")
MOVED = merged(TRAINING, {"output": {"url": "s3://team-b/negatives"}})


def recorded(steps: tuple[str, ...] = ALL, *, of: DatasetState | None = None, **changes: Any) -> dict[str, Any]:
    """Return a status with the record of these steps, done for the given dataset's spec."""
    given = of or DatasetState(TRAINING)
    return {"completed": {"uid": UID, "revision": given.revision, "url": given.url(), "steps": list(steps), **changes}}


def test_what_is_done_is_recorded_with_its_uid_and_url():
    given = DatasetState(TRAINING).with_succeeded("check", "data")
    desired_status = given.decide().desired_status
    assert desired_status.completed == recorded(("check", "data"))["completed"]
    assert status.change(desired_status, {}, 3, given.now).fields["completed"] == desired_status.completed


def test_a_dataset_whose_finished_children_were_deleted_stays_ready_and_starts_nothing():
    decision = DatasetState(TRAINING).but(status=recorded()).decide()
    assert condition_of(decision, reasons.READY)[:2] == (True, "Succeeded")
    assert (decision.creations, decision.suspend_changes) == ((), ())


def test_after_a_recorded_step_the_next_one_follows():
    given = DatasetState(TRAINING).but(status=recorded(("check", "data")))
    assert jobs(given.decide()) == [given.child("train-1")]


DISBELIEVED: dict[str, dict[str, Any]] = {
    "the record of another object of that name": recorded(uid="another"),
    "the record of another place": recorded(url="s3://team-b/negatives/team-a/street/0123456789ab"),
    "the record of another revision": recorded(of=DatasetState(merged(TRAINING, {"training": {"steps": 7}}))),
    "a stage, conditions and URLs without a record": {
        "stage": "Ready",
        "url": DatasetState(TRAINING).url(),
        "conditions": [{"type": "Ready", "status": "True"}],
    },
    "a record that this version cannot read": {"completed": {"uid": 7, "steps": "all"}},
}


@pytest.mark.parametrize("stored", DISBELIEVED.values(), ids=DISBELIEVED.keys())
def test_nothing_else_is_believed(stored):
    given = DatasetState(TRAINING).but(status=stored)
    decision = given.decide()
    assert condition_of(decision, reasons.READY)[0] is False
    assert jobs(decision) == [given.child("check")]


def test_a_moved_output_is_not_ready_and_names_no_report():
    given, before = DatasetState(MOVED).but(status=recorded()), DatasetState(TRAINING)
    assert given.revision == before.revision
    given.with_child(
        "train-2", Work.SUCCEEDED, spec_hash=before.spec_hash, digest=before.digests["train-2"], place=naming.place(before.url())
    )
    decision = given.decide()
    assert condition_of(decision, reasons.READY)[0] is False
    assert decision.desired_status.report_url == ""
    assert jobs(decision) == [given.child("check")]


def test_the_record_of_the_place_before_stays_until_something_is_done_at_the_new_one():
    assert DatasetState(MOVED).but(status=recorded()).decide().desired_status.completed is None
    assert (
        DatasetState(MOVED).but(status=recorded()).with_succeeded("check").decide().desired_status.completed["url"]
        == DatasetState(MOVED).url()
    )


@pytest.mark.parametrize("told_url", [True, False], ids=["at the URL of the status", "elsewhere, as far as anybody knows"])
def test_a_finished_child_of_an_earlier_run_of_0_1_0_counts_where_the_status_said_that_it_wrote(told_url):
    given = DatasetState(TRAINING)
    given.but(status={"url": given.url() if told_url else "s3://elsewhere"})
    given.with_child("train-2", Work.SUCCEEDED, spec_hash="0ldc0ffe", digest="", place="", generation=0)
    assert condition_of(given.decide(), reasons.READY)[0] is told_url


def test_a_spec_that_cannot_be_used_does_not_erase_the_record():
    given = DatasetState(TRAINING).but(status=recorded()).with_raw(selection={"strategy": "Clustered"})
    fields = status.change(unusable.decide(given.facts(), {}).desired_status, given.status, 3, given.now).fields
    assert fields["completed"] == given.status["completed"]


def test_the_record_has_no_field_that_is_not_known():
    stored = recorded(("check",), pipeline="0123456789ab", numbers={"revision": "0" * 12})
    completed = DatasetState(TRAINING).with_succeeded("check").but(status=stored).decide().desired_status.completed
    assert completed == recorded(("check",))["completed"]


def test_numbers_of_another_revision_go_also_after_a_spec_that_could_not_be_used():
    done = {**recorded(), "images": {"stored": 9}, "falsePositivesPerImage": "0.010"}
    wrong = DatasetState(merged(TRAINING, {"output": {"url": "/data"}})).but(status={**done, "revision": DatasetState(TRAINING).revision})
    assert wrong.decide().desired_status.revision == "", "what is stored then names no revision"
    assert DatasetState(TRAINING).but(status=done).decide().desired_status.forget_progress is False
    assert DatasetState(merged(TRAINING, {"training": {"steps": 7}})).but(status=done).decide().desired_status.forget_progress is True


WORTH = {
    "images": {"planned": 100, "stored": 99, "failed": 1},
    "rounds": [{"round": 1, "recall": "0.800"}, {"round": 2, "recall": "0.810"}],
    "falsePositivesPerImage": "0.010",
}


def written(given: DatasetState) -> dict[str, Any]:
    """Return the status after the operator's write."""
    change = status.change(given.decide().desired_status, given.status, 3, given.now)
    if change is None:
        return given.status
    cleared = {**given.status, **(change.clear or {})}
    jobs_fields = {name: value for name, value in cleared.items() if value is not None and name in {*WORTH, "progress"}}
    return {**jobs_fields, **change.fields}


def worth(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: stored[name] for name in WORTH if name in stored}


def test_an_edit_that_is_taken_back_has_its_numbers_again():
    before, after = DatasetState(TRAINING), DatasetState(merged(TRAINING, {"training": {"steps": 7}}))
    ready = written(before.but(status={**recorded(), **WORTH, "revision": before.revision}))
    assert worth(ready) == WORTH
    assert ready["completed"]["numbers"] == {"revision": before.revision, **WORTH}
    edited = written(after.but(status=ready))
    assert worth(edited) == {}
    counting = {**edited, "images": {"planned": 100, "stored": 7}}
    back = written(DatasetState(TRAINING).but(status=counting))
    assert worth(back) == WORTH
    assert condition_of(DatasetState(TRAINING).but(status=back).decide(), reasons.READY)[2].endswith("report/index.html.")
    assert status.change(DatasetState(TRAINING).but(status=back).decide().desired_status, back, 3, before.now) is None, (
        "nothing is written again"
    )


@pytest.mark.parametrize("change", [{"uid": "another"}, {"numbers": {"revision": "0" * 12, **WORTH}}], ids=["uid", "revision"])
def test_numbers_of_another_object_or_revision_are_not_used(change):
    record = recorded()["completed"] | {"numbers": {"revision": DatasetState(TRAINING).revision, **WORTH}} | change
    given = DatasetState(TRAINING).with_succeeded(*ALL).but(status={"completed": record})
    decision = given.decide()
    assert (dict(decision.desired_status.numbers), decision.desired_status.completed.get("numbers")) == ({}, None)
    assert "Some numbers are missing" in condition_of(decision, reasons.READY)[2]


@pytest.mark.parametrize("limit", [None, 0, 1])
def test_a_revision_that_the_last_job_of_another_may_remove_is_not_believed_to_be_there(limit):
    spec = merged(DATA_ONLY, {"output": {"revisionHistoryLimit": limit}} if limit is not None else {})
    first, second = DatasetState(spec), DatasetState(merged(spec, {"selection": {"count": 7}}))
    ready = recorded(("data",), of=first)
    at_work = second.with_child("data", Work.RUNNING).but(status=ready).decide().desired_status.completed
    back = DatasetState(spec).but(status={"completed": at_work} if at_work else ready).decide()
    assert condition_of(back, reasons.READY)[0] is (limit is None)
    assert (jobs(back) == [first.child("data")]) is (limit is not None)
