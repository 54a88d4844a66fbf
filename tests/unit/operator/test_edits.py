"""An edit while a step runs: the step's child continues, or is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from building import TRAINING, DatasetState, jobs, merged

from negset_api import reads
from negset_api.schema import resource_schema
from negset_operator import naming, reasons
from negset_operator.facts import Fault, Work

COMPARED = merged(TRAINING, {"training": {"comparisons": ["NoNegatives", "RandomNegatives"]}})
STEPS = ("check", "data", "train-none", "train-1", "mine-1", "train-2")

# For each edit, the running steps that it stops. The others continue.
EDITS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "more Ray workers": ({"ray": {"workers": 9}}, {"data", "mine-1"}),
    "another contact: the hosts are to see it at once": ({"download": {"contact": "https://example.org"}}, {"data"}),
    "more patience with hosts": ({"download": {"attempts": 9}}, {"data"}),
    "a larger error budget, which training has too": (
        {"download": {"maxFailedPercent": 50}},
        {"data", "train-none", "train-1", "train-2"},
    ),
    "a stricter check of images": ({"download": {"verify": "Decode"}}, {"data", "train-none", "train-1", "mine-1", "train-2"}),
    "more images": ({"selection": {"count": 200}}, {"data", "train-none", "train-1", "mine-1", "train-2"}),
    "more formats": ({"output": {"formats": ["TFRecord", "YOLO"]}}, {"data", "train-none", "train-1", "mine-1", "train-2"}),
    "another bucket": ({"output": {"url": "s3://team-b/negatives"}}, set(STEPS)),
    "other credentials": ({"output": {"secretName": "other"}}, set(STEPS)),
    "another queue": ({"queueName": "team-b"}, set(STEPS)),
    "other positives": ({"positives": {"heldOutPercent": 30}}, {"data", "train-none", "train-1", "mine-1", "train-2"}),
    "another class": ({"excludeClasses": ["car"]}, set(STEPS)),
    "more training steps": ({"training": {"steps": 200}}, {"check", "train-none", "train-1", "mine-1", "train-2"}),
    "more frequent checkpoints": ({"training": {"checkpointEverySteps": 10}}, {"train-none", "train-1", "train-2"}),
    "a GPU for training": ({"training": {"gpusPerWorker": 1}}, {"check", "train-none", "train-1", "train-2"}),
    "a GPU for mining": ({"training": {"hardNegativeMining": {"gpusPerWorker": 1}}}, {"mine-1"}),
    "GPUs of another maker: training and mining ask for them, the check does not": (
        {"training": {"gpuResourceName": "amd.com/gpu"}},
        {"train-none", "train-1", "mine-1", "train-2"},
    ),
    "more hard negatives": ({"training": {"hardNegativeMining": {"hardPercent": 30}}}, {"mine-1", "train-2"}),
    "another split": ({"training": {"heldOutPercent": 30}}, {"data", "train-none", "train-1", "mine-1", "train-2"}),
    "another recall": ({"training": {"recallPercent": 90}}, {"train-none", "train-1", "mine-1", "train-2"}),
    "two trainings at the same time": ({"training": {"maxParallel": 2}}, set()),
    "fewer earlier revisions": ({"output": {"revisionHistoryLimit": 1}}, set()),
    "suspended": ({"suspend": True}, set()),
    "another deletion policy": ({"deletionPolicy": "Delete"}, set()),
}


def edited(role: str, change: dict[str, Any], work: Work = Work.RUNNING, **more: Any) -> DatasetState:
    """A dataset that was edited while the child of this step was running."""
    before, given = DatasetState(COMPARED), DatasetState(merged(COMPARED, change))
    made = {
        "spec_hash": before.spec_hash,
        "revision_label": before.revision,
        "digest": before.digests[role],
        "place": naming.place(before.url()),
    }
    return given.with_child(role, work, **{**made, "generation": 2, **more})


@pytest.mark.parametrize("role", STEPS)
@pytest.mark.parametrize(("change", "stopped"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_stops_only_what_it_changes(change, stopped, role):
    decision = edited(role, change).decide()
    assert [deletion.why for deletion in decision.deletions if deletion.kind != "ConfigMap"] == ["the spec changed"] * (role in stopped)
    child = [name for name in jobs(decision) if name.endswith(f"-{role}")]
    assert role in stopped or not child, "a child that continues is not created again"


def test_a_child_that_continues_is_reported_as_running_and_gets_the_new_generation():
    decision = edited("train-1", {"ray": {"workers": 9}}).decide()
    assert decision.desired_status.condition(reasons.READY).reason == "Running"
    assert [adoption.labels for adoption in decision.adoptions] == [{"negset.dev/generation": "3"}]


def test_what_went_on_into_an_earlier_revision_is_followed_by_a_child_that_copies_it():
    change = {"training": {"steps": 200}}
    assert "data" not in " ".join(jobs(edited("data", change).decide()))
    given = edited("data", change, Work.SUCCEEDED).with_succeeded("check")
    assert jobs(given.decide()) == [given.child("data")]


def test_a_configuration_that_was_checked_is_not_checked_again_for_another_revision():
    change = {"selection": {"count": 200}}
    given = edited("check", change, Work.SUCCEEDED)
    assert jobs(given.decide()) == [given.child("data")]
    assert given.decide().deletions == ()


def test_a_failed_step_is_tried_again_after_any_edit():
    given = edited("check", {"ray": {"workers": 9}}, Work.FAILED, fault=Fault.INPUT)
    assert jobs(given.decide()) == [given.child("check")]


def test_a_child_with_another_versions_digest_continues_until_an_edit():
    elsewhere = {"spec_hash": "0ldc0ffe", "digest": "2-0ther", "place": "0ther", "revision_label": "0" * 12}
    left = DatasetState(TRAINING).with_child("train-1", Work.RUNNING, **elsewhere, generation=3).decide()
    assert [deletion for deletion in left.deletions if deletion.kind == "Job"] == []
    assert left.desired_status.condition(reasons.TRAINED).reason == "Running"
    edited_since = DatasetState(TRAINING).with_child("train-1", Work.RUNNING, **elsewhere, generation=2).decide()
    assert [deletion.why for deletion in edited_since.deletions] == ["the spec changed"]


@pytest.mark.parametrize("work", [Work.SUCCEEDED, Work.FAILED])
def test_what_another_version_finished_elsewhere_makes_room_for_a_child_of_the_same_name(work):
    given = DatasetState(TRAINING).with_succeeded("check").with_child("data", work, place="0ther", revision_label="0" * 12)
    decision = given.decide()
    assert [deletion.name for deletion in decision.deletions] == [given.child("data")]
    assert jobs(decision) == [given.child("data")]


def test_a_child_of_0_1_0_continues_and_gets_the_labels_that_it_lacks():
    given = DatasetState(TRAINING)
    given.with_child("train-1", Work.RUNNING, digest="", place="", generation=0)
    decision = given.decide()
    assert decision.deletions == ()
    (adoption,) = decision.adoptions
    assert adoption.labels == {
        "negset.dev/generation": "3",
        "negset.dev/place": naming.place(given.url()),
        "negset.dev/step-digest": given.digests["train-1"],
    }


def test_names_and_runs_are_those_of_0_1_0_so_that_a_rollback_finds_its_children():
    assert DatasetState(COMPARED).child("train-1") == "street-aa4401aa-train-1"
    assert DatasetState(COMPARED).revision == "611cacd5a62c"


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, child in schema["properties"].items():
        yield from leaves(child, f"{path}{name}.") if "properties" in child else (f"{path}{name}",)


def test_every_field_is_read_by_a_step_or_changes_nothing_in_what_a_step_does():
    read = {path for path in leaves(resource_schema()["properties"]["spec"]) if any(reads.reads(kind, path) for kind in reads._READS)}
    assert set(leaves(resource_schema()["properties"]["spec"])) - read == naming.INDIFFERENT | reads.STOP_NOTHING


@pytest.mark.parametrize("role", STEPS)
@pytest.mark.parametrize(("change", "stopped"), EDITS.values(), ids=EDITS.keys())
def test_only_the_jobs_of_this_spec_and_those_that_an_edit_leaves_alone_may_report(change, stopped, role):
    given = edited(role, change)
    earlier = {DatasetState(COMPARED).spec_hash} if role not in stopped else set()
    assert set(given.decide().desired_status.runs) == {given.spec_hash} | earlier


def test_a_job_that_has_ended_may_not_report_and_one_that_cannot_be_compared_may():
    more = {"ray": {"workers": 9}}
    ended = edited("train-1", more, Work.SUCCEEDED)
    assert ended.decide().desired_status.runs == (ended.spec_hash,)
    not_understood = edited("train-1", more).with_raw(selection={"strategy": "Clustered"})
    assert not_understood.decide().desired_status.runs == (DatasetState(COMPARED).spec_hash,)
    wrong = edited("train-1", {"output": {"url": "/data"}})
    assert wrong.decide().desired_status.runs == (wrong.spec_hash,)
