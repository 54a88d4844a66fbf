"""The deletion of a dataset, with and without its data."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from building import DATA_ONLY, NOW, DatasetState, condition_of, jobs, manifests, merged
from dataset_states import DELETE, RETRY

from negset_api import names
from negset_operator import reasons
from negset_operator.facts import Obstacle, Work
from negset_operator.kube.client import CONFLICT, ApiError
from negset_operator.reconcile import Reconciler
from negset_operator.world import World

KEEP = DATA_ONLY


def test_the_finalizer_comes_with_the_policy():
    assert DatasetState(DELETE).decide().finalizers == (names.FINALIZER,)
    assert DatasetState(KEEP).decide().finalizers is None


def test_the_finalizer_goes_when_the_policy_changes_and_other_peoples_stay():
    given = DatasetState(KEEP).but(finalizers=("example.org/theirs", names.FINALIZER))
    assert given.decide().finalizers == ("example.org/theirs",)


def test_with_retain_a_deleted_object_is_let_go():
    decision = DatasetState(KEEP).being_deleted().decide()
    assert decision.finalizers == ()
    assert (decision.desired_status, decision.creations) == (None, ())


def test_what_still_writes_is_stopped_before_the_data_goes():
    given = DatasetState(DELETE).being_deleted().with_child("data", Work.RUNNING)
    decision = given.decide()
    assert [deletion.name for deletion in decision.deletions] == [given.child("data")]
    assert jobs(decision) == []
    assert condition_of(decision, reasons.READY) == (
        False,
        "DeletingData",
        f"Waiting for RayJob {given.child('data')} to stop before the data is deleted.",
    )


def test_then_a_job_deletes_the_data():
    given = DatasetState(DELETE).being_deleted().with_succeeded("data")
    decision = given.decide()
    assert jobs(decision) == [given.child("delete")]
    assert decision.finalizers is None
    command = manifests(decision)["Job"]["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[:6] == ["negset", "job", "delete", "--file", "/etc/negset/dataset.yaml", "--cluster"]


def test_the_deleting_job_has_its_manifest_and_identity_even_where_they_were_collected_already():
    decision = DatasetState(DELETE).being_deleted().decide()
    assert [creation.manifest["kind"] for creation in decision.creations][:3] == ["ConfigMap", "NetworkPolicy", "ServiceAccount"]


def test_supporting_objects_that_are_collected_while_the_deleting_job_needs_them_are_created_again():
    decision = DatasetState(DELETE).being_deleted().with_child("delete", Work.STARTING).decide()
    assert [creation.manifest["kind"] for creation in decision.creations] == ["ConfigMap", "NetworkPolicy", "ServiceAccount"]


def test_when_the_data_is_gone_the_object_goes():
    decision = DatasetState(DELETE).being_deleted().with_child("delete", Work.SUCCEEDED).decide()
    assert decision.finalizers == ()


def test_the_data_that_the_deleting_job_left_is_reported_before_the_object_is_deleted():
    given = DatasetState(DELETE).being_deleted().with_child("delete", Work.SUCCEEDED)
    given.children[-1] = msgspec.structs.replace(given.children[-1], termination_message="left alone: s3://b/x")
    assert given.decide().final_event == "left alone: s3://b/x"


def test_an_object_that_never_ran_needs_no_pod_to_go():
    given = DatasetState(merged(DELETE, {"suspend": True}))
    assert given.decide().finalizers is None
    given.deleted_at = NOW
    assert (given.decide().finalizers, given.decide().creations) == (None, ())


@pytest.mark.parametrize(
    "status",
    [{"images": {"planned": 10}}, {"conditions": [{"type": "DataStored", "status": "True"}]}],
    ids=["images were counted", "the data was stored"],
)
def test_data_of_children_that_are_gone_is_still_the_objects(status):
    given = DatasetState(merged(DELETE, {"suspend": True})).but(status=status)
    assert given.decide().finalizers == (names.FINALIZER,)


LATE = NOW + timedelta(hours=1)


@pytest.mark.parametrize("work", [None, Work.STARTING, Work.RUNNING, Work.FAILED])
def test_a_deletion_ends_for_any_state_of_its_job_and_reports_the_url_of_the_data(work):
    given = DatasetState(DELETE).being_deleted().but(now=LATE)
    if work is not None:
        given.with_child("delete", work)
    decision = given.decide()
    assert decision.finalizers == ()
    assert decision.final_event == "The data was not deleted within 3600 seconds. The data is at s3://team-a/negatives/team-a/street."


def test_a_deletion_that_waits_looks_again_when_its_time_is_over():
    assert DatasetState(DELETE).being_deleted().with_child("delete", Work.RUNNING).decide().wake_after == 3600


def test_a_deletion_whose_pod_cannot_start_says_what_can_be_done():
    obstacle = Obstacle(reason="CreateContainerConfigError", message='Container delete of pod p cannot start: secret "s3" not found')
    decision = DatasetState(DELETE).being_deleted().with_child("delete", Work.STARTING, obstacle=obstacle).decide()
    assert condition_of(decision, reasons.READY)[2] == (
        'Container delete of pod p cannot start: secret "s3" not found. To keep the data and delete the object now, set spec.deletionPolicy to Retain. '
        "At 13:00 UTC the object is deleted in any case, and the data is left in place."
    )


def test_data_that_cannot_be_deleted_holds_the_object_and_says_why():
    given = DatasetState(DELETE).being_deleted().with_child("delete", Work.FAILED, message="Job d failed with exit code 1: access denied.")
    decision = given.decide()
    assert decision.finalizers is None
    message = (
        "The data could not be deleted. Job d failed with exit code 1: access denied. To keep the data and delete the object now, "
        f"set spec.deletionPolicy to Retain. At 13:00 UTC the object is deleted in any case, and the data is left in place. {RETRY}"
    )
    assert condition_of(decision, reasons.STALLED) == (True, "DeletionFailed", message)


def test_a_spec_that_cannot_be_used_does_not_lose_the_data_silently():
    decision = DatasetState(DELETE).being_deleted().with_raw(output={"url": "/tmp/x"}).decide()
    assert condition_of(decision, reasons.STALLED)[1] == "DeletionFailed"
    assert decision.finalizers is None


def test_nor_does_it_hold_the_object_without_end():
    decision = DatasetState(DELETE).being_deleted().with_raw(output={"url": "/tmp/x"}).but(now=LATE).decide()
    assert decision.finalizers == ()
    assert "was not deleted, because the spec cannot be used" in decision.final_event


class Events:
    """An API server that takes events."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}

    def create(self, _: Any, event: dict[str, Any], __: Any) -> None:
        if event["metadata"]["name"] in self.events:
            raise ApiError(CONFLICT, "AlreadyExists", "events already exists")
        self.events[event["metadata"]["name"]] = event


def test_a_deletion_that_is_retried_says_once_where_the_data_stays(monkeypatch):
    given = DatasetState(DELETE).being_deleted()
    decision, client = msgspec.structs.replace(given.decide(), final_event="The data is at s3://b/x."), Events()
    reconciler = Reconciler(client, World(), given.config, SimpleNamespace())

    def refuse(*_: Any) -> None:
        raise ApiError(CONFLICT, "Conflict", "the object has been modified")

    monkeypatch.setattr(reconciler._writer, "carry_out", refuse)
    for _ in range(2):
        with pytest.raises(ApiError):
            reconciler._carry_out(given.facts(), decision)
    assert [(event["reason"], event["message"]) for event in client.events.values()] == [(reasons.DATA_LEFT, "The data is at s3://b/x.")]
