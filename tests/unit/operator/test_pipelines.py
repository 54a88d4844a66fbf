"""The ConfigMap with the user's pipeline.config: its content counts like the spec.

A child is not stopped because the ConfigMap cannot be read.
"""

from __future__ import annotations

from typing import Any

import pytest
from building import TRAINING, UID, DatasetState, condition_of, jobs, merged

from negset_operator import pipelines, reasons
from negset_operator.facts import Fault, Pipeline, Work

OWN = merged(TRAINING, {"training": {"pipelineConfig": {"preset": None, "configMap": "det"}}})
CONTENT = b"model { }"
BEFORE, NOW = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
FIELD = "spec.training.pipelineConfig.configMap"
GONE = f"{FIELD}: expected the ConfigMap det"
ALL = ("check", "data", "train-1", "mine-1", "train-2")


def own(digest: str = NOW, problem: str = "", spec: dict[str, Any] = OWN) -> DatasetState:
    return DatasetState(spec).but(pipeline=Pipeline(content=b"" if problem else CONTENT, digest=digest, problem=problem))


def edited(role: str, work: Work = Work.RUNNING, **more: Any) -> DatasetState:
    """A dataset whose ConfigMap alone was edited while the child of this step was running."""
    before, given = own(BEFORE), own()
    made = {
        "spec_hash": before.spec_hash,
        "revision_label": before.revision,
        "digest": before.digests[role],
        "generation": 3,
        "pipeline": BEFORE,
    }
    return given.with_child(role, work, **{**made, **more})


def recorded(given: DatasetState, digest: str) -> dict[str, Any]:
    return {"completed": {"uid": UID, "revision": given.revision, "url": given.url(), "steps": list(ALL), "pipeline": digest}}


# --- an edit of the ConfigMap -------------------------------------------------------------------

EDITS = {"check": True, "data": False, "train-1": True, "mine-1": True, "train-2": True}


@pytest.mark.parametrize(("role", "stopped"), EDITS.items())
def test_other_content_stops_the_steps_that_it_changes_and_no_download(role, stopped):
    decision = edited(role).decide()
    assert [deletion.why for deletion in decision.deletions] == ["the spec changed"] * stopped


def test_after_an_edit_everything_that_read_it_is_built_again_in_another_revision():
    given = own().but(status=recorded(own(BEFORE), BEFORE))
    decision = given.decide()
    assert jobs(decision) == [given.child("check")]
    assert decision.desired_status.revision != own(BEFORE).revision
    assert condition_of(decision, reasons.READY)[0] is False


def test_a_step_that_failed_is_tried_again_after_an_edit():
    given = edited("check", Work.FAILED, fault=Fault.INPUT)
    assert jobs(given.decide()) == [given.child("check")]


def test_a_child_of_an_earlier_version_continues_and_gets_the_digest_of_the_config_map():
    decision = edited("train-1", pipeline="", digest="1-0ther").decide()
    assert decision.deletions == ()
    assert [adoption.labels for adoption in decision.adoptions] == [{"negset.dev/pipeline": NOW}]


def test_a_download_that_continues_after_an_edit_gets_the_digest_too():
    assert [adoption.labels for adoption in edited("data").decide().adoptions] == [{"negset.dev/pipeline": NOW}]


def test_a_check_that_a_wrong_spec_leaves_alone_may_still_report():
    wrong = merged(OWN, {"source": {"coco": {"annotations": "/data/instances.json"}}})
    before, given = own(), own(spec=wrong)
    given.with_child("check", Work.RUNNING, spec_hash=before.spec_hash, digest=before.digests["check"], generation=2)
    decision = given.decide()
    assert condition_of(decision, reasons.READY)[1] == "InvalidSpec"
    assert decision.deletions == ()
    assert set(decision.desired_status.runs) == {before.spec_hash, given.spec_hash}


# --- a ConfigMap that cannot be read ------------------------------------------------------------


def test_before_anything_is_created_the_condition_names_the_field_and_it_is_read_again():
    decision = own(digest="", problem=GONE).decide()
    assert condition_of(decision, reasons.READY) == (False, "PipelineConfigUnavailable", f"{GONE}.")
    assert decision.desired_status.condition(reasons.STALLED) is None, "it may come any moment"
    assert (decision.creations, decision.wake_after) == ((), 10)
    assert (decision.desired_status.revision, decision.desired_status.url) == ("", ""), "they are not known"


@pytest.mark.parametrize("wrong", [{}, {"positives": {"labelMap": "/local"}}], ids=["a spec", "a spec that cannot be used"])
def test_a_child_that_is_not_stopped_still_reports(wrong):
    given = own(NOW, GONE).with_child("train-1", Work.RUNNING, spec_hash="c0ffee00", pipeline=NOW, revision_label="0" * 12)
    decision = given.with_raw(**wrong).decide()
    assert [deletion for deletion in decision.deletions if deletion.kind == "Job"] == []
    assert "c0ffee00" in decision.desired_status.runs


def test_a_training_that_an_unusable_spec_does_not_stop_still_reports():
    given = own().with_child("train-1", Work.RUNNING, generation=2)
    before = given.spec_hash
    decision = given.with_raw(selection={"excludeImagesOf": ["/local"]}, ray={"workers": 9}).decide()
    assert decision.desired_status.condition(reasons.STALLED) is not None
    kept = not [deletion for deletion in decision.deletions if deletion.kind == "Job"]
    assert (before in decision.desired_status.runs) is kept


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("known", [NOW, ""])
def test_what_runs_is_left_alone(role, known):
    given = own(known, GONE).with_child(role, Work.RUNNING, spec_hash="c0ffee00", pipeline=NOW, revision_label="0" * 12)
    decision = given.decide()
    assert (decision.deletions, decision.creations) == ((), ())
    assert condition_of(decision, reasons.READY)[1] == "PipelineConfigUnavailable"


def test_the_next_step_waits_for_it():
    given = own(NOW, GONE).with_succeeded("check", "data", "train-1")
    assert jobs(given.decide()) == []
    given.pipeline = Pipeline(content=CONTENT, digest=NOW)
    assert jobs(given.decide()) == [given.child("mine-1")]


def test_suspending_works_without_it():
    given = own(NOW, GONE).with_child("train-1", Work.RUNNING).with_raw(suspend=True)
    assert [(switch.name, switch.suspend) for switch in given.decide().suspend_changes] == [(given.child("train-1"), True)]
    stopped = own(NOW, GONE).with_child("train-1", Work.SUSPENDED).with_succeeded("check", "data").with_raw(suspend=True)
    assert condition_of(stopped.decide(), reasons.READY)[1] == "Suspended"


def test_a_dataset_that_is_done_stays_ready_without_it():
    given = own(NOW, GONE)
    decision = given.but(status=recorded(given, NOW)).decide()
    assert condition_of(decision, reasons.READY)[:2] == (True, "Succeeded")
    assert (decision.creations, decision.desired_status.completed) == ((), recorded(given, NOW)["completed"])


def test_an_edited_spec_is_not_ready_without_it():
    decision = own(NOW, GONE, merged(OWN, {"training": {"steps": 7}})).but(status=recorded(own(NOW), NOW)).decide()
    assert condition_of(decision, reasons.READY)[:2] == (False, "PipelineConfigUnavailable")


def test_the_data_can_be_deleted_without_it():
    given = own(NOW).but(pipeline=Pipeline(digest=NOW)).with_raw(deletionPolicy="Delete").being_deleted()
    assert jobs(given.decide()) == [given.child("delete")]


def test_a_record_loses_the_digest_with_the_config_map():
    given = DatasetState(TRAINING).with_succeeded("check").but(status=recorded(own(), NOW))
    assert "pipeline" not in given.decide().desired_status.completed


# --- what counts --------------------------------------------------------------------------------


def counted(given: DatasetState, found: Pipeline) -> Pipeline:
    facts = given.facts()
    asked = []
    result = pipelines.of(facts.dataset, facts.spec, facts.children, lambda *where: asked.append(where) or found)
    assert asked in ([], [("team-a", "det")])
    return result


MISSING = Pipeline(problem=GONE)
COUNTS: dict[str, tuple[DatasetState, Pipeline, Pipeline]] = {
    "what the ConfigMap holds": (own(), Pipeline(content=CONTENT, digest=NOW), Pipeline(content=CONTENT, digest=NOW)),
    "nothing, where the spec names none": (DatasetState(TRAINING), MISSING, Pipeline()),
    "without it what the newest child was made with": (
        own().with_child("train-1", Work.RUNNING, pipeline=BEFORE).but(status=recorded(own(NOW), NOW)),
        MISSING,
        Pipeline(digest=BEFORE, problem=GONE),
    ),
    "without children what is recorded": (own().but(status=recorded(own(NOW), NOW)), MISSING, Pipeline(digest=NOW, problem=GONE)),
    "a record of another object does not count": (
        own().but(status={"completed": {"uid": "another", "pipeline": NOW}}),
        MISSING,
        Pipeline(problem=GONE),
    ),
    "of an object that is being deleted what it was, unread": (
        own().but(status=recorded(own(NOW), NOW)).being_deleted(),
        MISSING,
        Pipeline(digest=NOW),
    ),
}


@pytest.mark.parametrize(("given", "found", "counts"), COUNTS.values(), ids=COUNTS)
def test_what_counts_is(given, found, counts):
    assert counted(given, found) == counts


# --- an upgrade from a version that left the content out of the revision ------------------------


def before_upgrade(**changes: Any) -> dict[str, Any]:
    """Return the status of a dataset that such a version has completed."""
    completed = {name: value for name, value in recorded(own(digest=""), "")["completed"].items() if name != "pipeline"}
    return {"completed": completed | changes}


def upgraded(status: dict[str, Any], held: str = NOW, problem: str = "", **edit: Any) -> DatasetState:
    given = own().with_raw(**edit).but(status=status)
    return given.but(pipeline=counted(given, Pipeline(content=CONTENT, digest=held, problem=problem)))


def test_what_an_earlier_version_completed_stays_ready_and_records_what_the_config_map_holds():
    decision = upgraded(before_upgrade()).decide()
    assert condition_of(decision, reasons.READY)[:2] == (True, "Succeeded")
    assert decision.creations == ()
    assert decision.desired_status.completed == before_upgrade(pipeline=NOW)["completed"]
    again = upgraded({"completed": decision.desired_status.completed})
    assert condition_of(again.decide(), reasons.READY)[0] is True
    assert (
        condition_of(upgraded({"completed": decision.desired_status.completed}, held="", problem=GONE).decide(), reasons.READY)[0] is True
    )


CHANGES = {
    "other content than at the upgrade": (before_upgrade(pipeline=BEFORE), {}),
    "an edit of the spec": (before_upgrade(), {"training": {"steps": 7}}),
    "a step that is left to do": (before_upgrade(steps=["check", "data"]), {}),
    "another object of that name": (before_upgrade(uid="another"), {}),
}


@pytest.mark.parametrize(("status", "edit"), CHANGES.values(), ids=CHANGES)
def test_after_the_upgrade_the_content_counts_with(status, edit):
    given = upgraded(status, **edit)
    decision = given.decide()
    assert jobs(decision) == [given.child("check")]
    assert decision.desired_status.revision == own().with_raw(**edit).revision != own(digest="").with_raw(**edit).revision


def test_a_training_of_an_earlier_version_continues_after_the_upgrade_and_is_copied():
    earlier = own(digest="")
    made = {
        "spec_hash": earlier.spec_hash,
        "revision_label": earlier.revision,
        "generation": 3,
        "digest": earlier.digests["train-1"],
        "pipeline": "",
    }
    running = own().with_child("train-1", Work.RUNNING, **made).decide()
    assert running.deletions == ()
    ended = own().with_succeeded("check", "data").with_child("train-1", Work.SUCCEEDED, **made)
    assert jobs(ended.decide()) == [ended.child("train-1")]
