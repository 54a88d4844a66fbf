"""The writes to the status, and the events."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from building import DATA_ONLY, DatasetState

from negset_api.schema import resource_schema
from negset_operator import reasons, status
from negset_operator.facts import Fault, Work
from negset_operator.policies import verdict

README = Path(__file__).parents[3] / "charts" / "negset" / "README.md"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


OURS = {"observedGeneration", "stage", "revision", "url", "reportUrl", "completed", "runs"}
THEIRS = {"type": "Audited", "status": "True", "reason": "Nightly", "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def desired_status(work: Work | None = None, **more):
    given = DatasetState(DATA_ONLY)
    return (given.with_child("data", work, **more) if work else given).decide().desired_status


def change(look, before=None, generation=3, now=NOW):
    return status.change(look, before or {}, generation, now)


def cleared(look, before):
    found = change(look, before)
    return found.clear if found else None


def written(look, before=None, generation=3, now=NOW):
    """Return the stored status if only applies of the operator wrote its fields."""
    found = change(look, before, generation, now)
    if found is None:
        return before
    kept = {field: value for field, value in (before or {}).items() if field not in {*OURS, *(found.clear or {}), "conditions"}}
    others = [entry for entry in (before or {}).get("conditions", ()) if entry["type"] not in reasons.CONDITION_TYPES]
    return {**kept, **found.fields, "conditions": [*found.fields["conditions"], *others]}


def types(conditions):
    return [entry["type"] for entry in conditions]


def test_the_same_desired_status_is_not_written_twice():
    first = written(desired_status())
    assert change(desired_status(), first, now=NOW + timedelta(hours=1)) is None


def test_a_new_generation_is_written():
    assert change(desired_status(), written(desired_status()), 4).fields["observedGeneration"] == 4


def test_the_time_of_a_transition_changes_only_with_the_status():
    first = written(desired_status())
    later = written(desired_status(Work.RUNNING), first, now=NOW + timedelta(hours=1))
    ready = next(entry for entry in later["conditions"] if entry["type"] == "Ready")
    assert (ready["reason"], ready["lastTransitionTime"]) == ("Running", "2026-03-01T12:00:00Z")
    done = written(desired_status(Work.SUCCEEDED), later, now=NOW + timedelta(hours=2))
    ready = next(entry for entry in done["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", "2026-03-01T14:00:00Z")


def test_a_foreign_condition_is_neither_written_nor_a_reason_to_write():
    before = written(desired_status())
    before["conditions"] = [THEIRS, *reversed(before["conditions"])]
    assert change(desired_status(), before) is None
    assert "Audited" not in types(change(desired_status(Work.RUNNING), before).fields["conditions"])


def test_our_condition_that_is_missing_changed_or_not_wanted_is_a_reason_to_write():
    before = written(desired_status())
    for conditions in (
        before["conditions"][1:],
        [before["conditions"][0] | {"status": "True"}, *before["conditions"][1:]],
        [*before["conditions"], THEIRS | {"type": "Mined"}],
    ):
        assert change(desired_status(), {**before, "conditions": conditions}) is not None


def test_an_apply_has_every_field_since_what_it_leaves_out_goes():
    done = {"uid": "1", "url": "s3://x", "steps": ["data"]}
    look = msgspec.structs.replace(desired_status(Work.RUNNING), completed=None)
    fields = change(look, {"completed": done, "images": {"stored": 4}}).fields
    assert set(fields) == {*OURS - {"reportUrl"}, "conditions"}
    assert fields["completed"] == done


@pytest.mark.parametrize("kind", ["Reconciling", "Stalled", "Mined"])
def test_our_condition_that_an_apply_leaves_is_found_and_a_foreign_one_is_not(kind):
    fields = change(desired_status(Work.SUCCEEDED)).fields
    after = {**fields, "conditions": [THEIRS, *fields["conditions"]], "images": {"stored": 4}}
    assert not status.leftover(after, fields)
    assert status.leftover({**after, "conditions": [*after["conditions"], THEIRS | {"type": kind}]}, fields)


def test_each_field_of_the_status_has_one_writer_as_the_readme_says():
    everything = resource_schema()["properties"]["status"]["properties"].keys() - {"conditions"}
    assert sorted([*status._FIELDS, *status._JOBS_FIELDS]) == sorted(everything)
    rows = [line.split("|")[1:3] for line in README.read_text().splitlines() if line.startswith("|")]
    fields_of = {
        writer: {name for part, who in rows if writer in who for name in re.findall("`(\\w+)`", part)} for writer in ("operator`", "jobs`")
    }
    assert fields_of == {"operator`": set(status._FIELDS), "jobs`": set(status._JOBS_FIELDS)}
    assert all(f"`{kind}`" in README.read_text() for kind in reasons.CONDITION_TYPES)


def test_a_field_of_ours_that_outlives_an_apply_is_seen():
    fields = change(desired_status(Work.RUNNING)).fields
    assert status.leftover({**fields, "reportUrl": "s3://x"}, fields)


def test_a_merge_patch_says_the_same_as_the_apply_and_leaves_out_nothing_of_others():
    fields = change(desired_status(Work.RUNNING)).fields
    patch = status.as_merge_patch({"reportUrl": "s3://x", "conditions": [THEIRS, THEIRS | {"type": "Stalled"}]}, fields)
    assert {field: value for field, value in patch.items() if field != "conditions"} == {
        "reportUrl": None,
        "completed": None,
        **{field: value for field, value in fields.items() if field != "conditions"},
    }
    assert types(patch["conditions"]) == ["Ready", "Reconciling", "DataStored", "Reported", "Audited"]


BEFORE = {"uid": "1", "steps": ["data"], "pipeline": "0123456789ab", "numbers": {"images": {"stored": 4, "failed": 1}, "rounds": []}}
AFTER = {"uid": "1", "steps": ["data", "train-1"], "numbers": {"images": {"stored": 5}}}


def test_a_merge_patch_removes_the_fields_that_are_gone_from_the_record():
    fields = change(msgspec.structs.replace(desired_status(Work.RUNNING), completed=AFTER)).fields
    removed = {"pipeline": None, "numbers": {"images": {"stored": 5, "failed": None}, "rounds": None}}
    assert status.as_merge_patch({"completed": BEFORE}, fields)["completed"] == AFTER | removed
    assert status.as_merge_patch({}, fields)["completed"] == AFTER


@pytest.mark.parametrize(
    "more",
    [{"pipeline": "0123456789ab"}, {"numbers": {"images": {"stored": 5, "failed": 1}}}],
    ids=["a field", "a field of its numbers"],
)
def test_a_field_of_the_record_that_outlives_an_apply_is_seen(more):
    fields = change(msgspec.structs.replace(desired_status(Work.RUNNING), completed=AFTER)).fields
    assert not status.leftover(fields, fields)
    assert status.leftover({**fields, "completed": AFTER | more}, fields)


def test_the_jobs_fields_are_cleared_only_if_they_are_another_revisions():
    numbers = {"images": {"stored": 4}, "progress": {"percent": 4}, "rounds": [{"round": 1}], "falsePositivesPerImage": "0.1"}
    assert cleared(desired_status(), numbers) is None
    look = DatasetState(DATA_ONLY).but(status={"revision": "0" * 12}).decide().desired_status
    assert cleared(look, {"revision": "0" * 12, **numbers}) == dict.fromkeys(numbers)
    assert cleared(look, {"revision": "0" * 12}) is None, "nothing is asked of the API server where there is nothing"
    assert not {*numbers} & {*change(look, numbers).fields}


def test_the_progress_of_a_stage_that_is_over_is_not_shown_beside_the_next():
    before = {**written(desired_status(Work.RUNNING)), "progress": {"percent": 100, "step": 400}}
    assert cleared(desired_status(Work.SUCCEEDED), before) == {"progress": None}
    assert change(desired_status(Work.RUNNING), before) is None


def test_an_estimate_goes_when_its_job_does_not_work_and_what_is_done_stays():
    before = {**written(desired_status(Work.RUNNING)), "progress": {"percent": 30, "secondsLeft": 40}}
    failed = desired_status(Work.FAILED)
    assert cleared(failed, before) == {"progress": {"secondsLeft": None}}
    after = {**written(failed, before), "progress": {"percent": 30}}
    assert change(failed, after) is None
    assert change(desired_status(Work.RUNNING), before) is None


def test_an_estimate_goes_when_its_job_makes_no_progress():
    reported = (NOW - timedelta(minutes=5)).isoformat()
    progress = {"percent": 30, "secondsLeft": 40, "updatedAt": reported}
    silent = DatasetState(DATA_ONLY).with_child("data", Work.RUNNING, began=NOW - timedelta(minutes=50))
    silent.but(status={"progress": progress}, progress_seen_at=NOW - timedelta(minutes=5))
    stored = {"stage": "Storing the data", "progress": progress}
    assert cleared(silent.decide().desired_status, stored) == {"progress": {"secondsLeft": None}}


def test_an_empty_field_that_the_api_server_filled_in_is_no_reason_to_write():
    before = {**written(desired_status()), "reportUrl": ""}
    assert change(desired_status(), before) is None
    assert not status.leftover(before, written(desired_status()))


def condition_of(look, before):
    return [(note.reason, note.warning) for note in status.notes(look, before)]


def test_events_tell_transitions_once():
    first = written(desired_status())
    assert condition_of(desired_status(), {}) == [("Starting", False)]
    assert condition_of(desired_status(), first) == []
    running = desired_status(Work.RUNNING)
    assert condition_of(running, first) == [("Running", False)]
    done = desired_status(Work.SUCCEEDED)
    assert condition_of(done, written(running, first)) == [("Succeeded", False), ("DataStored", False), ("Reported", False)]
    assert condition_of(done, written(done, written(running, first))) == []


def test_a_problem_is_a_warning_event():
    assert condition_of(desired_status(Work.FAILED), {}) == [("Retrying", True)]
    assert condition_of(desired_status(Work.FAILED, fault=Fault.INPUT), {}) == [("InputRefused", True)]


def test_what_could_not_be_carried_out_replaces_the_summary_and_keeps_the_stages():
    before = desired_status()
    after = verdict.blocked(before, reasons.CHILD_REFUSED, "quota", permanent=False)
    assert [condition.type for condition in after.conditions] == ["Ready", "Reconciling", "DataStored", "Reported"]
    assert after.condition("Ready").message == "quota"
    assert (after.url, after.runs) == (before.url, before.runs)
    stalled = verdict.blocked(before, reasons.FOREIGN_CHILD, "theirs", permanent=True)
    assert [condition.type for condition in stalled.conditions][:2] == ["Ready", "Stalled"]
