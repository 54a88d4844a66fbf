"""What is written into the status, and what is told as events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from building import DATA_ONLY, Scene

from negset_operator import reasons, status
from negset_operator.facts import Fault, Work
from negset_operator.policies import verdict

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def outlook(work: Work | None = None, **more):
    scene = Scene(DATA_ONLY)
    return (scene.with_child("data", work, **more) if work else scene).decide().outlook


def written(look, before=None, generation=3, now=NOW):
    patch = status.patch(look, before or {}, generation, now)
    return {**(before or {}), **patch} if patch is not None else before


def test_the_same_outlook_is_not_written_twice():
    first = written(outlook())
    assert status.patch(outlook(), first, 3, NOW + timedelta(hours=1)) is None


def test_a_new_generation_is_written():
    assert status.patch(outlook(), written(outlook()), 4, NOW)["observedGeneration"] == 4


def test_the_time_of_a_transition_changes_only_with_the_status():
    first = written(outlook())
    later = written(outlook(Work.RUNNING), first, now=NOW + timedelta(hours=1))
    ready = next(entry for entry in later["conditions"] if entry["type"] == "Ready")
    assert (ready["reason"], ready["lastTransitionTime"]) == ("Running", "2026-03-01T12:00:00Z")
    done = written(outlook(Work.SUCCEEDED), later, now=NOW + timedelta(hours=2))
    ready = next(entry for entry in done["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", "2026-03-01T14:00:00Z")


def test_conditions_of_strangers_go():
    before = written(outlook())
    before["conditions"] = [*before["conditions"], {"type": "MadeUp", "status": "True"}]
    assert "MadeUp" not in {entry["type"] for entry in status.patch(outlook(), before, 3, NOW)["conditions"]}


def test_the_jobs_fields_are_not_in_the_patch_unless_they_are_another_revisions():
    assert not {"images", "progress", "rounds"} & set(status.patch(outlook(), {}, 3, NOW))
    look = Scene(DATA_ONLY).but(status={"revision": "0" * 12}).decide().outlook
    patch = status.patch(look, {"revision": "0" * 12, "images": {"stored": 4}}, 3, NOW)
    assert {field: patch[field] for field in ("images", "progress", "rounds", "falsePositivesPerImage")} == dict.fromkeys(
        ("images", "progress", "rounds", "falsePositivesPerImage")
    )


def test_the_progress_of_a_stage_that_is_over_is_not_shown_beside_the_next():
    before = {**written(outlook(Work.RUNNING)), "progress": {"percent": 100, "step": 400}}
    assert status.patch(outlook(Work.SUCCEEDED), before, 3, NOW)["progress"] is None
    assert status.patch(outlook(Work.RUNNING), before, 3, NOW) is None


def test_an_estimate_goes_when_its_job_does_not_work_and_what_is_done_stays():
    before = {**written(outlook(Work.RUNNING)), "progress": {"percent": 30, "secondsLeft": 40}}
    failed = outlook(Work.FAILED)
    assert status.patch(failed, before, 3, NOW)["progress"] == {"secondsLeft": None}
    after = {**written(failed, before), "progress": {"percent": 30}}
    assert status.patch(failed, after, 3, NOW) is None
    assert status.patch(outlook(Work.RUNNING), before, 3, NOW) is None


def test_an_estimate_goes_when_its_job_makes_no_progress():
    told = (NOW - timedelta(minutes=5)).isoformat()
    progress = {"percent": 30, "secondsLeft": 40, "updatedAt": told}
    silent = Scene(DATA_ONLY).with_child("data", Work.RUNNING, began=NOW - timedelta(minutes=50))
    silent.but(status={"progress": progress}, news_at=NOW - timedelta(minutes=5))
    assert status.patch(silent.decide().outlook, {"stage": "Storing the data", "progress": progress}, 3, NOW)["progress"] == {
        "secondsLeft": None
    }


def test_an_empty_field_that_the_api_server_filled_in_is_no_reason_to_write():
    before = {**written(outlook()), "reportUrl": ""}
    assert status.patch(outlook(), before, 3, NOW) is None


def told(look, before):
    return [(note.reason, note.warning) for note in status.notes(look, before)]


def test_events_tell_transitions_once():
    first = written(outlook())
    assert told(outlook(), {}) == [("Starting", False)]
    assert told(outlook(), first) == []
    running = outlook(Work.RUNNING)
    assert told(running, first) == [("Running", False)]
    done = outlook(Work.SUCCEEDED)
    assert told(done, written(running, first)) == [("Succeeded", False), ("DataStored", False), ("Reported", False)]
    assert told(done, written(done, written(running, first))) == []


def test_trouble_is_told_as_a_warning():
    assert told(outlook(Work.FAILED), {}) == [("Retrying", True)]
    assert told(outlook(Work.FAILED, fault=Fault.INPUT), {}) == [("InputRefused", True)]


def test_what_could_not_be_carried_out_replaces_the_summary_and_keeps_the_stages():
    before = outlook()
    after = verdict.blocked(before, reasons.CHILD_REFUSED, "quota", for_good=False)
    assert [condition.type for condition in after.conditions] == ["Ready", "Reconciling", "DataStored", "Reported"]
    assert after.condition("Ready").message == "quota"
    stalled = verdict.blocked(before, reasons.FOREIGN_CHILD, "theirs", for_good=True)
    assert [condition.type for condition in stalled.conditions][:2] == ["Ready", "Stalled"]
