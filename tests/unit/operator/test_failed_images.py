"""A new value of the annotation requests again what a completed data step could not store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import DATA_ONLY, TRAINING, UID, DatasetState, condition_of, jobs, merged

from negset_operator import naming, reasons, status
from negset_operator.facts import Fault, Work

LOST = {"images": {"planned": 3000, "stored": 2988, "failed": 12, "transient": 12}}
LOST_FOR_GOOD = {"images": {"planned": 3000, "stored": 2988, "failed": 12, "transient": 0}}
LOST_POSITIVES = {
    "images": {"planned": 3000, "stored": 3000, "failed": 0, "transient": 0},
    "positives": {"planned": 1500, "stored": 1499, "failed": 1, "transient": 1},
}
NOTHING_LOST = {"images": {"planned": 3000, "stored": 3000, "failed": 0, "transient": 0}}
SUSPENDED = merged(TRAINING, {"suspend": True})
BECAUSE = "stored because of transient errors"
COMMAND = 'kubectl annotate negativedataset street negset.dev/retry="$(date)" --overwrite'


def stored(counts: dict[str, Any] = LOST, *, spec: dict[str, Any] = DATA_ONLY, retry: str = "", asked: str = "today") -> DatasetState:
    """Return a dataset whose data step has succeeded, under the request `retry`, and is recorded.

    The annotation is `asked` now.
    """
    given = DatasetState(spec)
    if "training" in spec:
        given.with_succeeded("check")
    given.with_child("data", Work.SUCCEEDED, retry=retry).but(retry=asked)
    return recorded(given.but(status=counts), retry=retry)


def recorded(given: DatasetState, *steps: str, retry: str = "") -> DatasetState:
    found = steps or tuple(child.role for child in given.children)
    completed = {"uid": UID, "revision": given.revision, "url": given.url(), "steps": list(found), "retry": naming.retry(retry)}
    return given.but(status={**given.status, "revision": given.revision, "completed": completed})


def without_children(given: DatasetState) -> DatasetState:
    given.children.clear()
    return given


def again(given: DatasetState) -> bool:
    """Return True if the data step is done again: its child is deleted, or another is created."""
    decision = given.decide()
    replaced = any(each.name.endswith("-data") and each.why == "it is built again" for each in decision.deletions)
    assert not (replaced and jobs(decision)), "the name is not free yet"
    return replaced or given.child("data") in jobs(decision)


REQUESTS: dict[str, tuple[Callable[[], DatasetState], bool]] = {
    "a new request, and images that were lost to transient errors": (stored, True),
    "one that differs from the request before": (lambda: stored(retry="yesterday"), True),
    "the same request": (lambda: stored(retry="today"), False),
    "no request": (lambda: stored(asked=""), False),
    "a request that was taken away": (lambda: stored(retry="yesterday", asked=""), False),
    "failures that are permanent": (lambda: stored(LOST_FOR_GOOD), False),
    "permanent failures, more than the spec now allows": (
        lambda: stored(LOST_FOR_GOOD, spec=merged(DATA_ONLY, {"download": {"maxFailedPercent": 0}})),
        True,
    ),
    "no failures": (lambda: stored(NOTHING_LOST), False),
    "failures whose kind an earlier version did not count": (
        lambda: stored({"images": {"planned": 100, "stored": 99, "failed": 1}}),
        False,
    ),
    "numbers that were never written": (lambda: stored({}), False),
    "numbers of another revision": (
        lambda: (given := stored()).but(status={**given.status, "revision": "0" * 12}),
        False,
    ),
    "a child that was deleted since": (lambda: without_children(stored()), True),
    "a child that was deleted since, and the same request": (lambda: without_children(stored(retry="today")), False),
    "data that is not recorded yet": (lambda: DatasetState(DATA_ONLY).with_succeeded("data").but(retry="today", status=LOST), True),
    "data of an earlier spec that counts for this one": (
        lambda: DatasetState(DATA_ONLY).with_child("data", Work.SUCCEEDED, spec_hash="0ldc0ffe").but(retry="today", status=LOST),
        True,
    ),
    "a suspended dataset before its training": (lambda: stored(spec=SUSPENDED), True),
    "positives that were lost before the training": (lambda: stored(LOST_POSITIVES, spec=SUSPENDED), True),
    "a training that is about to begin": (lambda: stored(spec=TRAINING), True),
    "a training that runs": (lambda: stored(spec=TRAINING).with_child("train-1", Work.RUNNING), False),
    "a training that waits": (lambda: stored(spec=TRAINING).with_child("train-1", Work.SUSPENDED), False),
    "a training that failed": (lambda: stored(spec=TRAINING).with_child("train-1", Work.FAILED), False),
    "a training that is recorded": (lambda: recorded(without_children(stored(spec=TRAINING)), "check", "data", "train-1"), False),
}


@pytest.mark.parametrize(("given", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_the_data_is_stored_again_on_request_if_that_may_help_and_nothing_was_trained(given, expected):
    assert again(given()) is expected


def step(given: DatasetState) -> DatasetState:
    """Let the API server have the operator's write to the status."""
    change = status.change(given.decide().desired_status, given.status, 3, given.now)
    if change is not None:
        jobs_fields = {name: value for name, value in given.status.items() if name in status._JOBS_FIELDS}
        given.but(status={**jobs_fields, **change.fields})
    return given


def test_a_request_runs_the_data_step_once_and_the_dataset_is_ready_again_after_it():
    given = step(stored())
    assert condition_of(given.decide(), reasons.READY)[1:] == (
        "Replacing",
        f"Storing the data: RayJob {given.child('data')} is being replaced.",
    )
    assert given.status["completed"]["steps"] == [], "the record is gone before the job is created"
    given.children.clear()
    (creation,) = [each for each in given.decide().creations if each.manifest["kind"] == "RayJob"]
    assert creation.manifest["metadata"]["labels"]["negset.dev/retry"] == naming.retry("today")
    # The job has written that none is left, and still runs.
    given.with_child("data", Work.RUNNING, retry="today").but(status={**given.status, **NOTHING_LOST})
    assert condition_of(step(given).decide(), reasons.READY)[1] == "Running"
    given.children.clear()
    step(given.with_child("data", Work.SUCCEEDED, retry="today"))
    assert condition_of(given.decide(), reasons.READY)[:2] == (True, "Succeeded")
    assert (given.status["completed"]["steps"], given.status["completed"]["retry"]) == (["data"], naming.retry("today"))
    assert not again(given)
    assert not again(without_children(given)), "the record has the request that was answered"


def test_what_is_still_lost_after_a_request_waits_for_another_one():
    given = step(stored(retry="today"))
    assert not again(given)
    assert again(given.but(retry="tomorrow"))


def test_a_request_that_could_not_help_is_answered_although_nothing_runs():
    given = step(stored(NOTHING_LOST))
    assert given.status["completed"]["retry"] == naming.retry("today")


def test_a_request_for_a_failed_training_is_not_one_for_its_data_later():
    given = step(stored(spec=TRAINING).with_child("train-1", Work.FAILED))
    given.children = [child for child in given.children if child.role != "train-1"]
    assert jobs(given.decide()) == [given.child("train-1")]
    assert not again(given)


def test_a_request_that_fails_is_a_failure_of_the_data_step():
    given = step(stored())
    given.children.clear()
    step(given.with_child("data", Work.FAILED, fault=Fault.INPUT, retry="today"))
    assert condition_of(given.decide(), reasons.STALLED)[1] == "InputRefused"
    assert jobs(given.decide()) == []


def test_a_training_waits_for_the_data_that_is_requested_again():
    given = stored(spec=TRAINING)
    assert jobs(given.decide()) == []
    given = step(given)
    given.children = [child for child in given.children if child.role == "check"]
    assert jobs(given.decide()) == [given.child("data")]
    given.with_child("data", Work.SUCCEEDED, retry="today")
    assert jobs(given.decide()) == [given.child("train-1")]


def test_a_dataset_that_is_being_deleted_stores_nothing_again():
    given = stored(spec=merged(DATA_ONLY, {"deletionPolicy": "Delete"})).being_deleted()
    assert jobs(given.decide()) == [given.child("delete")]


SAYS: dict[str, tuple[Callable[[], DatasetState], str]] = {
    "images that were lost": (
        lambda: stored(asked=""),
        f" 12 of 3,000 negatives could not be {BECAUSE}. To request them again: {COMMAND}",
    ),
    "negatives and positives": (
        lambda: stored({**LOST_POSITIVES, **LOST}, spec=SUSPENDED, asked=""),
        f" 12 of 3,000 negatives and 1 of 1,500 positives could not be {BECAUSE}. To request them again: {COMMAND}",
    ),
    "images that a model is trained without": (
        lambda: stored(spec=TRAINING, asked="").with_child("train-1", Work.RUNNING),
        f" 12 of 3,000 negatives could not be {BECAUSE}. A model is trained without them, so they are not requested again.",
    ),
    "images that are lost for good": (lambda: stored(LOST_FOR_GOOD, asked=""), ""),
    "numbers that are not there": (lambda: stored({}, asked=""), ""),
}


@pytest.mark.parametrize(("given", "expected"), SAYS.values(), ids=SAYS.keys())
def test_the_condition_says_how_many_a_request_would_bring_and_how_to_make_it(given, expected):
    given = given()
    assert condition_of(given.decide(), reasons.DATA_STORED) == (True, "Succeeded", f"The data is stored under {given.url()}.{expected}")


def test_the_summary_of_a_dataset_without_training_says_it_too():
    assert condition_of(stored(asked="").decide(), reasons.READY)[2].endswith(f"To request them again: {COMMAND}")
