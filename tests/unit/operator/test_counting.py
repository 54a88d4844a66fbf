"""Each event is counted once, even if the operator restarts or children are deleted."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from building import DATA_ONLY, TRAINING, UID, DatasetState, merged
from prometheus_client import generate_latest

from negset_operator import naming
from negset_operator.facts import Fault, Work
from negset_operator.kube.client import ApiError
from negset_operator.kube.objects import Dataset
from negset_operator.metrics import Metrics
from negset_operator.reconcile import Reconciler
from negset_operator.world import World

MOVED = merged(TRAINING, {"output": {"url": "s3://team-b/negatives"}})


def record(*steps: str, of: DatasetState | None = None, **changes: Any) -> dict[str, Any]:
    """Return a status that records these steps as done at the given dataset's URL."""
    given = of or DatasetState(TRAINING)
    return {"completed": {"uid": UID, "revision": given.revision, "url": given.url(), "steps": list(steps), **changes}}


def finished(given: DatasetState) -> list[tuple[str, float]]:
    return [(each.step, each.seconds) for each in given.decide().finished]


def failed(given: DatasetState) -> list[tuple[str, str, str]]:
    return [(each.step, each.fault.value, each.name) for each in given.decide().failed]


# --- steps that are done ------------------------------------------------------------------------


def test_a_step_counts_with_the_time_from_its_start_to_its_end():
    given = DatasetState(DATA_ONLY).with_child("data", Work.SUCCEEDED, started=timedelta(minutes=30), ended=timedelta(minutes=10))
    assert finished(given) == [("data", 1200.0)]


def test_without_a_start_the_time_begins_with_the_childs_creation():
    assert finished(DatasetState(DATA_ONLY).with_child("data", Work.SUCCEEDED, ended=timedelta(minutes=10))) == [("data", 3000.0)]


def test_each_round_is_a_step_of_its_kind():
    given = DatasetState(TRAINING).with_succeeded("check", "data", "train-1", "mine-1", "train-2")
    assert [kind for kind, _ in finished(given)] == ["check", "data", "train", "mine", "train"]


@pytest.mark.parametrize(
    ("stored", "counted"),
    [
        (record("check", "data"), []),
        (record("check"), ["data"]),
        ({}, ["check", "data"]),
        (record("check", "data", uid="the object before a restore"), ["check", "data"]),
        ({"completed": {"uid": 7, "steps": "all"}}, ["check", "data"]),
    ],
    ids=["recorded", "a step more than is recorded", "no record", "the record of another object", "a record that cannot be read"],
)
def test_a_step_counts_if_and_only_if_the_record_has_it_not(stored, counted):
    given = DatasetState(TRAINING).with_succeeded("check", "data").but(status=stored)
    assert [kind for kind, _ in finished(given)] == counted


def test_a_check_that_also_holds_for_another_place_does_not_count_again_there():
    before, after = DatasetState(TRAINING), DatasetState(MOVED)
    after.with_child("check", Work.SUCCEEDED, spec_hash=before.spec_hash, place=naming.place(before.url()), digest=after.digests["check"])
    assert after.decide().desired_status.completed["steps"] == ["check"], "it is done here as well"
    assert finished(after.but(status=record("check", "data", of=before))) == []


def test_what_is_done_again_at_another_place_counts_again():
    given = DatasetState(MOVED).with_succeeded("check", "data").but(status=record("check", "data"))
    assert [kind for kind, _ in finished(given)] == ["check", "data"]


def test_a_step_whose_child_is_gone_does_not_count():
    assert finished(DatasetState(TRAINING).with_child("train-1", Work.RUNNING)) == []


# --- attempts that failed -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", Fault, ids=[fault.value for fault in Fault])
def test_an_attempt_that_failed_counts_by_its_step_and_its_fault(fault):
    given = DatasetState(TRAINING).with_succeeded("check", "data").with_child("train-1", Work.FAILED, fault=fault)
    assert failed(given) == [("train", fault.value, given.child("train-1"))]


def test_an_attempt_that_has_its_mark_does_not_count_again():
    given = DatasetState(DATA_ONLY).with_child("data", Work.FAILED, counted=True)
    assert failed(given.with_child("data", Work.FAILED, attempt=2)) == [("data", "work", given.child("data", 2))]


STILL_COUNT: dict[str, dict[str, Any]] = {
    "an earlier spec": {"spec_hash": "0ddba11e"},
    "a child that must be built again": {"built": "0ther"},
    "a child that is being deleted": {"terminating": True},
}


@pytest.mark.parametrize("child", STILL_COUNT.values(), ids=STILL_COUNT.keys())
def test_the_failure_of_a_child_that_is_no_longer_needed_counts_as_well(child):
    assert len(failed(DatasetState(DATA_ONLY).with_child("data", Work.FAILED, **child))) == 1


def test_a_child_that_did_not_fail_and_a_foreign_child_do_not_count():
    given = DatasetState(TRAINING).with_succeeded("check").with_child("data", Work.RUNNING)
    assert failed(given.with_child("data", Work.FAILED, attempt=2, ours=False)) == []


# --- the series ---------------------------------------------------------------------------------


def shown() -> tuple[Metrics, Any]:
    metrics = Metrics(datasets=list[Dataset], depth=lambda: 0, leading=lambda: True, requests={}, watches=dict)
    return metrics, metrics.registry.get_sample_value


def test_every_series_is_there_from_the_start_so_that_its_first_increase_is_seen():
    _, value = shown()
    for kind in ("check", "data", "train", "mine"):
        assert value("negset_step_duration_seconds_count", {"kind": kind}) == 0
        for fault in Fault:
            assert value("negset_step_failures_total", {"kind": kind, "fault": fault.value}) == 0


def test_a_training_of_two_days_and_one_of_two_hours_have_different_buckets():
    metrics, value = shown()
    metrics.finished("train", timedelta(hours=2).total_seconds())
    metrics.finished("train", timedelta(days=2).total_seconds())
    below = {
        le: value("negset_step_duration_seconds_bucket", {"kind": "train", "le": le}) for le in ("3600.0", "7200.0", "86400.0", "+Inf")
    }
    assert below == {"3600.0": 0, "7200.0": 1, "86400.0": 1, "+Inf": 2}
    assert b'negset_step_duration_seconds_sum{kind="train"} 180000.0' in generate_latest(metrics.registry)


def test_a_failure_counts_under_its_kind_and_fault_only():
    metrics, value = shown()
    metrics.failed("data", "unavailable")
    assert value("negset_step_failures_total", {"kind": "data", "fault": "unavailable"}) == 1
    assert value("negset_step_failures_total", {"kind": "data", "fault": "work"}) == 0


class Refusing:
    """An API server whose admission webhook for jobs is down, or that has revoked a right.

    Everything else works.
    """

    def __init__(self, status: int) -> None:
        self.status, self.deleted = status, []

    def merge(self, *_: Any, **__: Any) -> Any:
        raise ApiError(self.status, "", 'failed calling webhook "mjob.kb.io"')

    def delete(self, _: Any, __: str, name: str, *___: Any, **____: Any) -> None:
        self.deleted.append(name)


@pytest.mark.parametrize("status", [403, 409, 422, 429, 500, 503])
def test_a_failure_that_cannot_be_marked_is_not_counted_and_holds_up_nothing(status):
    given = DatasetState(DATA_ONLY).with_child("data", Work.FAILED, fault=Fault.UNAVAILABLE).with_child("data", Work.RUNNING, attempt=2)
    given.with_child("data", Work.FAILED, fault=Fault.UNAVAILABLE, spec_hash="c0ffee00", digest="1-0ther")
    facts, decision, counted = given.facts(), given.decide(), []
    client = Refusing(status)
    reconciler = Reconciler(client, World(), given.config, SimpleNamespace(failed=lambda *what: counted.append(what)))
    done = reconciler._carry_out(facts, msgspec.structs.replace(decision, creations=()))
    assert (counted, len(decision.failed)) == ([], 2)
    assert client.deleted == [each.name for each in decision.deletions] != []
    assert done.refusal is None
