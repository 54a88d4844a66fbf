"""Failed steps are retried if the owner asks, or after a change of the configuration.

Running children continue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from building import DATA_ONLY, TRAINING, DatasetState, condition_of, jobs, merged

from negset_api import names, stages
from negset_operator import reasons
from negset_operator.config import Config, Images, Networks, Patience, Pods, Resources
from negset_operator.decide import subject_of
from negset_operator.facts import Fault, Obstacle, Work
from negset_operator.manifests.subject import built_digest
from negset_operator.policies.creation import build, build_deleter

TYPO = Config(images=Images(jobs="negset/jobs:0.1.O", trainer="negset/trainer:0.1.O"))
NO_IMAGE = Obstacle(reason="ImagePullBackOff", message="Container ray-head of pod p cannot start: ImagePullBackOff")
DELETE = {**DATA_ONLY, "deletionPolicy": "Delete"}
TWO_WORKERS = merged(TRAINING, {"training": {"workers": 2}})


def seal(given: DatasetState, role: str, config: Config | None = None, *, attempt: int = 1) -> str:
    """Return the label `built` of a child that was created with this configuration.

    By default, it is the given's.
    """
    facts = given.facts()
    assert facts.spec is not None
    subject, name = subject_of(facts, facts.spec, config or given.config), given.child(role, attempt)
    if role == "delete":
        return built_digest(build_deleter(subject, name))
    return built_digest(build(subject, name, next(step for step in stages.steps(facts.spec) if step.role == role), attempt))


def built_again(given: DatasetState) -> list[str]:
    return [each.name for each in given.decide().deletions if each.why == "it is built again"]


# --- the annotation -----------------------------------------------------------------------------


def failed(role: str, *faults: Fault, spec: dict[str, Any] = DATA_ONLY, retry: str = "") -> DatasetState:
    given = DatasetState(spec)
    for attempt, fault in enumerate(faults, start=1):
        given.with_child(role, Work.FAILED, attempt=attempt, fault=fault, retry=retry)
    return given


FAILED: dict[str, tuple[str, Callable[[], DatasetState]]] = {
    "an input that is wrong": ("data", lambda: failed("data", Fault.INPUT)),
    "a job that its controller refuses": ("data", lambda: failed("data", Fault.REFUSED)),
    "attempts that are used up": ("data", lambda: failed("data", Fault.WORK, Fault.WORK, Fault.WORK)),
    "a pause before the next attempt": ("data", lambda: failed("data", Fault.WORK)),
    "a store that has been away for nine hours": ("data", lambda: failed("data", *[Fault.UNAVAILABLE] * 60)),
    "a configuration that cannot be trained": ("check", lambda: failed("check", Fault.INPUT, spec=TRAINING)),
    "a failure after the retry before": ("data", lambda: failed("data", Fault.INPUT, retry="yesterday")),
}


@pytest.mark.parametrize(("role", "given"), FAILED.values(), ids=FAILED.keys())
def test_the_annotation_has_every_failure_tried_again_from_the_first_attempt(role, given):
    asked = given().but(retry="today")
    everything = [child.name for child in asked.children]
    assert sorted(built_again(asked)) == sorted(everything)
    assert jobs(asked.decide()) == [], "the name is not free yet"
    ready = condition_of(asked.decide(), reasons.READY)
    assert ready is not None
    assert ready[1] == "Replacing"
    assert ready[2].endswith(f"{asked.child(role)} is being replaced.")
    asked.children.clear()
    assert jobs(asked.decide()) == [asked.child(role)]


def test_a_child_created_for_a_retry_has_its_label_and_fails_only_once():
    given = DatasetState(DATA_ONLY).but(retry="today")
    labels = given.decide().creations[-1].manifest["metadata"]["labels"]
    assert len(labels[names.LABEL_RETRY]) == 12
    assert names.LABEL_RETRY not in DatasetState(DATA_ONLY).decide().creations[-1].manifest["metadata"]["labels"]
    given.with_child("data", Work.FAILED, fault=Fault.INPUT, retry="today")
    assert (built_again(given), jobs(given.decide())) == ([], [])
    assert condition_of(given.decide(), reasons.STALLED)[1] == "InputRefused"


def test_taking_the_annotation_away_asks_for_nothing():
    assert built_again(failed("data", Fault.INPUT, retry="today")) == []


@pytest.mark.parametrize("work", [Work.NOT_PICKED_UP, Work.STARTING, Work.RUNNING, Work.SUSPENDED, Work.SUCCEEDED])
def test_the_annotation_leaves_alone_what_has_not_failed(work):
    given = DatasetState(TRAINING).with_succeeded("check").with_child("data", work).but(retry="today")
    assert given.decide().deletions == ()


def test_a_retry_keeps_what_earlier_steps_have_done():
    given = DatasetState(TRAINING).with_succeeded("check", "data").with_child("train-1", Work.FAILED).but(retry="today")
    assert built_again(given) == [given.child("train-1")]
    given.children.pop()
    assert jobs(given.decide()) == [given.child("train-1")]


def test_a_suspended_dataset_gives_up_its_failure_and_begins_nothing():
    given = failed("data", Fault.INPUT, spec=merged(DATA_ONLY, {"suspend": True})).but(retry="today")
    assert built_again(given) == [given.child("data")]
    given.children.clear()
    assert jobs(given.decide()) == []
    assert condition_of(given.decide(), reasons.READY)[1] == "Suspended"


def test_a_foreign_job_is_not_changed():
    assert built_again(DatasetState(DATA_ONLY).with_child("data", Work.FAILED, ours=False).but(retry="today")) == []


def test_a_deletion_that_failed_is_tried_again_as_well():
    given = (
        DatasetState(DELETE).being_deleted().with_child("delete", Work.FAILED, message="Job d failed: access denied.").but(retry="today")
    )
    assert built_again(given) == [given.child("delete")]
    assert given.decide().finalizers is None
    given.children.clear()
    assert jobs(given.decide()) == [given.child("delete")]


# --- the administrator's configuration ----------------------------------------------------------

MENDED: dict[str, tuple[dict[str, Any], str, dict[str, Any], bool]] = {
    "a job whose image cannot be had": (DATA_ONLY, "data", {"work": Work.STARTING, "obstacle": NO_IMAGE}, True),
    "a job that no controller has touched": (DATA_ONLY, "data", {"work": Work.NOT_PICKED_UP, "obstacle": NO_IMAGE}, True),
    "a training whose image cannot be had": (TRAINING, "train-1", {"work": Work.STARTING, "obstacle": NO_IMAGE}, True),
    "a job that failed": (DATA_ONLY, "data", {"work": Work.FAILED}, True),
    "a job whose input was wrong": (DATA_ONLY, "data", {"work": Work.FAILED, "fault": Fault.INPUT}, True),
    "a job that starts as it should": (DATA_ONLY, "data", {"work": Work.STARTING}, False),
    "a job that runs": (DATA_ONLY, "data", {"work": Work.RUNNING, "obstacle": NO_IMAGE}, False),
    "a job that waits in a queue": (DATA_ONLY, "data", {"work": Work.SUSPENDED, "queue": "team-a"}, False),
    "a job that is done": (DATA_ONLY, "data", {"work": Work.SUCCEEDED}, False),
    "a training of which one worker runs": (TWO_WORKERS, "train-1", {"work": Work.STARTING, "obstacle": NO_IMAGE, "busy": True}, False),
}


def made_under(config: Config | None, spec: dict[str, Any], role: str, child: dict[str, Any]) -> DatasetState:
    given = DatasetState(spec)
    if role.startswith("train"):
        given.with_succeeded("check", "data")
    return given.with_child(role, built=seal(given, role, config), **child)


@pytest.mark.parametrize(("spec", "role", "child", "again"), MENDED.values(), ids=MENDED.keys())
def test_another_configuration_builds_again_what_failed_or_cannot_start(spec, role, child, again):
    given = made_under(TYPO, spec, role, child)
    assert built_again(given) == ([given.child(role)] if again else [])
    if again:
        given.children.pop()
        assert jobs(given.decide()) == [given.child(role)]


@pytest.mark.parametrize(("spec", "role", "child", "again"), MENDED.values(), ids=MENDED.keys())
def test_the_same_configuration_builds_nothing_again(spec, role, child, again):
    assert built_again(made_under(None, spec, role, child)) == []


BIGGER = Resources(requests={"cpu": "4", "memory": "8Gi"}, limits={"cpu": "4", "memory": "8Gi"})
SETTINGS: dict[str, tuple[Config, bool]] = {
    "an image": (Config(images=Images(jobs="negset/jobs:0.1.1")), True),
    "the workers' memory": (Config(pods=Pods(data_worker=BIGGER)), True),
    "a store's network": (Config(networks=Networks(stores=("10.0.0.0/8",))), True),
    "Ray's version": (Config(ray_version="2.61.0"), True),
    "the trainer's memory, which no data job has": (Config(pods=Pods(trainer=BIGGER)), False),
    "the API server's address, which moves by itself": (Config(networks=Networks(api_server=("192.0.2.1/32",))), False),
    "the pause between attempts": (Config(patience=Patience(retry_seconds=60)), False),
    "the number of the operator's threads": (Config(workers=2), False),
}


@pytest.mark.parametrize(("config", "again"), SETTINGS.values(), ids=SETTINGS.keys())
def test_what_of_the_configuration_has_a_failed_data_job_tried_again(config, again):
    given = made_under(None, DATA_ONLY, "data", {"work": Work.FAILED, "fault": Fault.INPUT})
    assert bool(built_again(given.but(config=config))) == again


@pytest.mark.parametrize("change", [{"labels": {names.LABEL_PRIORITY: "urgent"}}, {"raw": {"deletionPolicy": "Delete"}}], ids=str)
def test_what_changes_no_child_has_nothing_tried_again(change):
    given = made_under(None, DATA_ONLY, "data", {"work": Work.FAILED, "fault": Fault.INPUT})
    given.with_raw(**change["raw"]) if "raw" in change else given.but(**change)
    assert built_again(given) == []


def test_every_attempt_is_compared_with_one_of_its_own_number():
    given = DatasetState(DATA_ONLY)
    for attempt in (1, 2, 3):
        given.with_child("data", Work.FAILED, attempt=attempt, built=seal(given, "data", attempt=attempt))
    assert built_again(given) == []
    assert condition_of(given.decide(), reasons.READY)[1] == "AttemptsExhausted"


@pytest.mark.parametrize("work", [Work.FAILED, Work.STARTING])
def test_the_child_of_an_earlier_version_of_the_operator_is_left_alone(work):
    assert built_again(DatasetState(DATA_ONLY).with_child("data", work, fault=Fault.INPUT, obstacle=NO_IMAGE)) == []


def test_a_child_that_continues_after_an_edit_and_cannot_start_is_built_again_too():
    given = DatasetState(DATA_ONLY)
    given.with_child("data", Work.STARTING, spec_hash="0ldc0ffe", digest=given.digests["data"], obstacle=NO_IMAGE, built="0f-the-typo")
    assert built_again(given) == ["street-0ldc0ffe-data"]


@pytest.mark.parametrize("child", [{"work": Work.STARTING, "obstacle": NO_IMAGE}, {"work": Work.FAILED}], ids=["cannot start", "failed"])
def test_a_deletion_continues_with_another_configuration(child):
    given = DatasetState(DELETE).being_deleted()
    given.with_child("delete", built=seal(given, "delete", TYPO), **child)
    assert built_again(given) == [given.child("delete")]
    given.children[0] = msgspec.structs.replace(given.children[0], built=seal(given, "delete"))
    assert built_again(given) == []
