"""The deletion of a dataset, with and without its data."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from building import DATA_ONLY, NOW, Scene, jobs, manifests, merged, told
from scenes import DELETE, RETRY

from negset_api import names
from negset_operator import reasons
from negset_operator.facts import Obstacle, Work

KEEP = DATA_ONLY


def test_the_finalizer_comes_with_the_policy():
    assert Scene(DELETE).decide().finalizers == (names.FINALIZER,)
    assert Scene(KEEP).decide().finalizers is None


def test_the_finalizer_goes_when_the_policy_changes_and_other_peoples_stay():
    scene = Scene(KEEP).but(finalizers=("example.org/theirs", names.FINALIZER))
    assert scene.decide().finalizers == ("example.org/theirs",)


def test_with_retain_a_deleted_object_is_let_go():
    decision = Scene(KEEP).being_deleted().decide()
    assert decision.finalizers == ()
    assert (decision.desired_status, decision.creations) == (None, ())


def test_what_still_writes_is_stopped_before_the_data_goes():
    scene = Scene(DELETE).being_deleted().with_child("data", Work.RUNNING)
    decision = scene.decide()
    assert [deletion.name for deletion in decision.deletions] == [scene.child("data")]
    assert jobs(decision) == []
    assert told(decision, reasons.READY) == (
        False,
        "DeletingData",
        f"Waiting for RayJob {scene.child('data')} to stop before the data is deleted.",
    )


def test_then_a_job_deletes_the_data():
    scene = Scene(DELETE).being_deleted().with_succeeded("data")
    decision = scene.decide()
    assert jobs(decision) == [scene.child("delete")]
    assert decision.finalizers is None
    command = manifests(decision)["Job"]["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[:6] == ["negset", "job", "delete", "--file", "/etc/negset/dataset.yaml", "--cluster"]


def test_the_deleting_job_has_its_manifest_and_identity_even_where_they_were_collected_already():
    decision = Scene(DELETE).being_deleted().decide()
    assert [creation.manifest["kind"] for creation in decision.creations][:3] == ["ConfigMap", "NetworkPolicy", "ServiceAccount"]


def test_supporting_objects_that_are_collected_while_the_deleting_job_needs_them_are_made_again():
    decision = Scene(DELETE).being_deleted().with_child("delete", Work.STARTING).decide()
    assert [creation.manifest["kind"] for creation in decision.creations] == ["ConfigMap", "NetworkPolicy", "ServiceAccount"]


def test_when_the_data_is_gone_the_object_goes():
    decision = Scene(DELETE).being_deleted().with_child("delete", Work.SUCCEEDED).decide()
    assert decision.finalizers == ()


def test_what_the_deleting_job_left_alone_is_told_before_the_object_goes():
    scene = Scene(DELETE).being_deleted().with_child("delete", Work.SUCCEEDED)
    scene.children[-1] = msgspec.structs.replace(scene.children[-1], termination_message="left alone: s3://b/x")
    assert scene.decide().farewell == "left alone: s3://b/x"


def test_an_object_that_never_ran_needs_no_pod_to_go():
    scene = Scene(merged(DELETE, {"suspend": True}))
    assert scene.decide().finalizers is None
    scene.deleted_at = NOW
    assert (scene.decide().finalizers, scene.decide().creations) == (None, ())


@pytest.mark.parametrize(
    "status",
    [{"images": {"planned": 10}}, {"conditions": [{"type": "DataStored", "status": "True"}]}],
    ids=["images were counted", "the data was stored"],
)
def test_data_of_children_that_are_gone_is_still_the_objects(status):
    scene = Scene(merged(DELETE, {"suspend": True})).but(status=status)
    assert scene.decide().finalizers == (names.FINALIZER,)


LATE = NOW + timedelta(hours=1)


@pytest.mark.parametrize("work", [None, Work.STARTING, Work.RUNNING, Work.FAILED])
def test_a_deletion_ends_whatever_its_job_comes_to_and_says_where_the_data_lies(work):
    scene = Scene(DELETE).being_deleted().but(now=LATE)
    if work is not None:
        scene.with_child("delete", work)
    decision = scene.decide()
    assert decision.finalizers == ()
    assert decision.farewell == "The data was not deleted within 3600 seconds. The data is at s3://team-a/negatives/team-a/street."


def test_a_deletion_that_waits_looks_again_when_its_time_is_over():
    assert Scene(DELETE).being_deleted().with_child("delete", Work.RUNNING).decide().wake_after == 3600


def test_a_deletion_whose_pod_cannot_start_says_what_can_be_done():
    obstacle = Obstacle(reason="CreateContainerConfigError", message='Container delete of pod p cannot start: secret "s3" not found')
    decision = Scene(DELETE).being_deleted().with_child("delete", Work.STARTING, obstacle=obstacle).decide()
    assert told(decision, reasons.READY)[2] == (
        'Container delete of pod p cannot start: secret "s3" not found. To keep the data and delete the object now, set spec.deletionPolicy to Retain. '
        "At 13:00 UTC the object is deleted in any case, and the data is left in place."
    )


def test_data_that_cannot_be_deleted_holds_the_object_and_says_why():
    scene = Scene(DELETE).being_deleted().with_child("delete", Work.FAILED, message="Job d failed with exit code 1: access denied.")
    decision = scene.decide()
    assert decision.finalizers is None
    message = (
        "The data could not be deleted. Job d failed with exit code 1: access denied. To keep the data and delete the object now, "
        f"set spec.deletionPolicy to Retain. At 13:00 UTC the object is deleted in any case, and the data is left in place. {RETRY}"
    )
    assert told(decision, reasons.STALLED) == (True, "DeletionFailed", message)


def test_a_spec_that_cannot_be_used_does_not_lose_the_data_silently():
    decision = Scene(DELETE).being_deleted().with_raw(output={"url": "/tmp/x"}).decide()
    assert told(decision, reasons.STALLED)[1] == "DeletionFailed"
    assert decision.finalizers is None


def test_nor_does_it_hold_the_object_for_ever():
    decision = Scene(DELETE).being_deleted().with_raw(output={"url": "/tmp/x"}).but(now=LATE).decide()
    assert decision.finalizers == ()
    assert "was not deleted, because the spec cannot be used" in decision.farewell
