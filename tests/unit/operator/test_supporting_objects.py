"""When supporting objects are created, updated and deleted."""

from __future__ import annotations

import msgspec
import pytest
from building import DATA_ONLY, TRAINING, DatasetState, created, merged
from dataset_states import nothing_but_data

from negset_api import names
from negset_operator.decision import Creation, without_deferrable
from negset_operator.facts import SupportingObject, Work


def supporting_objects_of(given: DatasetState) -> list[SupportingObject]:
    """Return the supporting objects of a dataset's decision, as if they had been created."""
    return [as_made(creation) for creation in given.decide().creations if creation.manifest["kind"] not in {"RayJob", "Job"}]


def all_supporting_objects() -> list[SupportingObject]:
    """Return all supporting objects of a running data job."""
    return supporting_objects_of(nothing_but_data().with_child("data", Work.RUNNING))


def as_made(creation: Creation) -> SupportingObject:
    meta = creation.manifest["metadata"]
    return SupportingObject(
        kind=creation.manifest["kind"],
        name=meta["name"],
        uid=f"uid-of-{creation.manifest['kind']}",
        applied=meta["annotations"][names.ANNOTATION_APPLIED],
        ours=True,
        spec_hash=meta["labels"].get(names.LABEL_SPEC_HASH, ""),
    )


def test_what_pods_need_is_created_before_the_job_and_what_reports_need_follows():
    given = nothing_but_data()
    kinds = [creation.manifest["kind"] for creation in given.decide().creations]
    assert kinds == ["ConfigMap", "NetworkPolicy", "ServiceAccount", "RayJob"]
    given.supporting_objects = supporting_objects_of(given)
    given.with_child("data", Work.NOT_PICKED_UP)
    assert [creation.manifest["kind"] for creation in given.decide().creations] == ["Role", "RoleBinding"]


@pytest.mark.parametrize(("spec", "role", "kind"), [(DATA_ONLY, "data", "RayJob"), (TRAINING, "check", "Job")], ids=["data", "check"])
def test_where_others_wait_the_first_child_comes_first_and_the_account_without_which_it_gets_no_pods_last(spec, role, kind):
    given = DatasetState(spec)
    assert [creation.manifest["kind"] for creation in without_deferrable(given.decide()).creations] == [kind]
    given.with_child(role, Work.NOT_PICKED_UP)
    kinds = [creation.manifest["kind"] for creation in without_deferrable(given.decide()).creations]
    assert kinds == ["ConfigMap", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding"]


def test_supporting_objects_that_are_there_are_left_alone():
    given = nothing_but_data().with_child("data", Work.RUNNING)
    given.supporting_objects = all_supporting_objects()
    assert created(given.decide()) == []


def test_a_deleted_supporting_object_is_created_again_while_a_child_works():
    given = nothing_but_data().with_child("data", Work.RUNNING)
    given.supporting_objects = [supporting_object for supporting_object in all_supporting_objects() if supporting_object.kind != "Role"]
    assert [creation.manifest["kind"] for creation in given.decide().creations] == ["Role"]


def test_supporting_objects_of_a_finished_dataset_are_not_created_again():
    assert created(nothing_but_data().with_succeeded("data").decide()) == []


def test_a_supporting_object_that_the_administrator_changed_is_updated():
    given = nothing_but_data().with_child("data", Work.RUNNING)
    given.supporting_objects = all_supporting_objects()
    networks = type(given.config.networks)(stores=("10.0.0.0/8",))
    (creation,) = given.configured(networks=networks).decide().creations
    assert (creation.manifest["kind"], creation.update) == ("NetworkPolicy", True)


def test_the_manifest_of_an_earlier_run_goes_when_no_child_needs_it():
    given = nothing_but_data().with_child("data", Work.RUNNING)
    old = SupportingObject(kind="ConfigMap", name="street-0ldc0ffe", uid="old", applied="", ours=True, spec_hash="0ldc0ffe")
    given.supporting_objects = [*all_supporting_objects(), old]
    assert [deletion.name for deletion in given.decide().deletions] == ["street-0ldc0ffe"]
    given.with_child("train-9", Work.SUCCEEDED, spec_hash="0ldc0ffe", terminating=True)
    assert [deletion.name for deletion in given.decide().deletions] == []


def test_a_foreign_supporting_object_is_never_deleted():
    given = nothing_but_data()
    given.supporting_objects = [
        SupportingObject(kind="ConfigMap", name="street-0ldc0ffe", uid="x", applied="", ours=False, spec_hash="0ldc0ffe")
    ]
    assert given.decide().deletions == ()


def test_workers_that_train_together_get_a_service_before_their_job():
    given = DatasetState(merged(TRAINING, {"training": {"workers": 3}})).with_succeeded("data")
    kinds = [creation.manifest["kind"] for creation in given.decide().creations]
    assert kinds.index("Service") < kinds.index("Job")
    assert created(given.decide(), "Service") == [given.child("train-1")]
    assert created(given.with_child("train-1", Work.RUNNING).decide(), "Service") == [given.child("train-1")]


def test_the_check_is_one_pod_and_needs_no_service():
    given = DatasetState(merged(TRAINING, {"training": {"workers": 3}}))
    assert created(given.decide(), "Service") == []
    assert created(given.with_child("check", Work.RUNNING).decide(), "Service") == []


def test_a_changed_supporting_object_is_corrected_while_a_child_works():
    given = nothing_but_data().with_child("data", Work.RUNNING)
    changed = {"Role", "ConfigMap"}  # the ConfigMap is immutable
    given.supporting_objects = [msgspec.structs.replace(each, edited=each.kind in changed) for each in all_supporting_objects()]
    assert [(creation.manifest["kind"], creation.update) for creation in given.decide().creations] == [("Role", True)]
