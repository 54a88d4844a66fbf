"""A running job without progress: when that is reported, and when the job ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from building import DATA_ONLY, NOW, TRAINING, DatasetState, condition_of, jobs, manifests, merged

from negset_operator import reasons
from negset_operator.apply import Writer
from negset_operator.config import Patience
from negset_operator.decision import Decision
from negset_operator.facts import Fault, Obstacle, Work
from negset_operator.kube.client import DATASET
from negset_operator.kube.objects import Dataset, RayJob
from negset_operator.world import World

COMPARED = merged(TRAINING, {"training": {"comparisons": ["NoNegatives"]}})


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def stamp(minutes: float) -> str:
    return ago(minutes).isoformat()


def reporting(minutes: float, *, seen: float | None = None, began: float = 55, said: Any = None, **child: Any) -> DatasetState:
    """A data job, created an hour ago, whose last progress was `minutes` ago by its own clock.

    The operator has seen it `seen` minutes ago.
    """
    given = DatasetState(DATA_ONLY).with_child("data", child.pop("work", Work.RUNNING), began=ago(began), **child)
    status = {"progress": {"percent": 5, "updatedAt": said if said is not None else stamp(minutes)}}
    return given.but(status=status, progress_seen_at=ago(minutes if seen is None else seen))


def ended(given: DatasetState) -> list[str]:
    return [limit.name.rpartition("-")[2] for limit in given.decide().limits]


ENDED: dict[str, tuple[Callable[[], DatasetState], list[str]]] = {
    "a job that has made no progress for as long as is allowed": (lambda: reporting(30), ["data"]),
    "not a moment before": (lambda: reporting(29.9), []),
    "not one whose pod began later": (lambda: reporting(50, began=20), []),
    "not one whose head is lost": (lambda: reporting(50).but(children=[]).with_child("data", Work.RUNNING), []),
    "not one that has reported no progress": (lambda: reporting(50, said=""), []),
    "not one whose time cannot be read": (lambda: reporting(50, said="yesterday"), []),
    "not one whose time is a number": (lambda: reporting(50, said=1), []),
    "not one whose time has no zone": (lambda: reporting(50, said="2026-03-01T11:10:00"), []),
    "not one whose time is still to come": (lambda: reporting(50, said=stamp(-1)), []),
    "not one whose time is before it was made": (lambda: reporting(50, said="1970-01-01T00:00:00Z"), []),
    "not one whose clock is an hour slow and whose progress continues": (lambda: reporting(50, seen=0.1), []),
    "not one whose progress is no object": (lambda: reporting(50).but(status={"progress": [1]}), []),
    "not one whose progress this process has not seen": (lambda: reporting(50).but(progress_seen_at=None), []),
    "not one that starts": (lambda: reporting(50, work=Work.STARTING), []),
    "not one that Kueue stops": (lambda: reporting(50, suspended=True, queue="q"), []),
    "not one that is being ended already": (lambda: reporting(50, deadline=1), []),
    "not one that the user suspends": (lambda: reporting(50).with_raw(suspend=True), []),
    "not one that is terminating": (lambda: reporting(50, terminating=True), []),
    "not if the administrator wants none ended": (lambda: reporting(50).configured(patience=Patience(stuck_seconds=0)), []),
    "later if the administrator configures it": (lambda: reporting(50).configured(patience=Patience(stuck_seconds=3600)), []),
    "not a check, which reports nothing and has its own deadline": (
        lambda: (
            DatasetState(TRAINING)
            .with_child("check", Work.RUNNING, began=ago(50), deadline=1800)
            .but(status={"progress": {"updatedAt": stamp(50)}}, progress_seen_at=ago(50))
        ),
        [],
    ),
    "not one of two trainings, since the status does not show which of them reported": (
        lambda: (
            DatasetState(COMPARED)
            .with_succeeded("check", "data")
            .with_child("train-none", Work.RUNNING, began=ago(50))
            .with_child("train-1", Work.RUNNING, began=ago(50))
            .but(status={"progress": {"updatedAt": stamp(40)}}, progress_seen_at=ago(40))
        ),
        [],
    ),
    "one of two trainings of which the other waits for room": (
        lambda: (
            DatasetState(COMPARED)
            .with_succeeded("check", "data")
            .with_child("train-none", Work.STARTING)
            .with_child("train-1", Work.RUNNING, began=ago(50))
            .but(status={"progress": {"updatedAt": stamp(40)}}, progress_seen_at=ago(40))
        ),
        ["1"],
    ),
    "a Ray cluster without a head, whether its job reports or not": (
        lambda: DatasetState(DATA_ONLY).with_child("data", Work.RUNNING, obstacle=crash(30)),
        ["data"],
    ),
    "not one that has lost its head a moment ago": (
        lambda: DatasetState(DATA_ONLY).with_child("data", Work.RUNNING, obstacle=crash(29)),
        [],
    ),
    "not one whose job made progress since": (lambda: reporting(10, obstacle=crash(31)), []),
    "not what waits for room before it began": (lambda: DatasetState(DATA_ONLY).with_child("data", Work.STARTING, obstacle=crash(300)), []),
}


def crash(minutes: float) -> Obstacle:
    return Obstacle(reason="CrashLoopBackOff", message="Container ray-head of pod p cannot start: CrashLoopBackOff", since=ago(minutes))


@pytest.mark.parametrize(("given", "roles"), ENDED.values(), ids=ENDED.keys())
def test_ended(given, roles):
    assert ended(given()) == roles


# --- messages -----------------------------------------------------------------------------------

SAYS: dict[str, tuple[Callable[[], DatasetState], tuple[str, str]]] = {
    "nothing while there is progress": (lambda: reporting(1.9), ("Running", "Storing the data: RayJob {data} is running.")),
    "since when, after two minutes": (
        lambda: reporting(2),
        ("Running", "Storing the data: RayJob {data} is running. No progress since 11:58 UTC."),
    ),
    "by the job's own time, if the operator started later": (
        lambda: reporting(20, seen=5),
        ("Running", "Storing the data: RayJob {data} is running. No progress since 11:40 UTC."),
    ),
    "since its pod began, if the report is older": (
        lambda: reporting(20, began=10),
        ("Running", "Storing the data: RayJob {data} is running. No progress since 11:50 UTC."),
    ),
    "what keeps the head from running": (
        lambda: reporting(20, obstacle=crash(10)),
        ("CrashLoopBackOff", "Container ray-head of pod p cannot start: CrashLoopBackOff"),
    ),
    "that it is being stopped": (
        lambda: reporting(31, deadline=1),
        ("NoProgress", "Storing the data: RayJob {data} made no progress and is being stopped. Another attempt follows."),
    ),
}


@pytest.mark.parametrize(("given", "says"), SAYS.values(), ids=SAYS.keys())
def test_says(given, says):
    built = given()
    reason, message = says
    assert condition_of(built.decide(), reasons.READY) == (False, reason, message.format(data=built.child("data")))


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [(1, 60), (10, 20 * 60), (40, 1)],
    ids=["when the message names it", "when it ends the job", "once it has"],
)
def test_it_looks_again(minutes, seconds):
    assert reporting(minutes).decide().wake_after == pytest.approx(seconds)


def test_a_job_that_was_stopped_for_want_of_progress_is_tried_again_and_counts_as_an_attempt():
    given = DatasetState(DATA_ONLY).with_child("data", Work.FAILED, fault=Fault.INTERRUPTION, ended=timedelta(hours=1), deadline=1)
    assert jobs(given.decide()) == [given.child("data", 2)]
    given.configured(patience=Patience(most_attempts=1))
    assert condition_of(given.decide(), reasons.READY)[1] == "AttemptsExhausted"


def test_the_check_which_tells_no_progress_has_a_deadline_of_its_own_and_nothing_else_has_one():
    patience = Patience(check_seconds=700)
    check = manifests(DatasetState(TRAINING).configured(patience=patience).decide())["Job"]
    assert check["spec"]["activeDeadlineSeconds"] == 700
    after = DatasetState(TRAINING).configured(patience=patience).with_succeeded("check")
    assert "activeDeadlineSeconds" not in manifests(after.decide())["RayJob"]["spec"]
    assert "activeDeadlineSeconds" not in manifests(after.with_succeeded("data").decide())["Job"]["spec"]


# --- the message about the previous attempt, until there is progress ----------------------------


def second_attempt(work: Work, status: dict[str, Any] | None = None) -> DatasetState:
    given = DatasetState(DATA_ONLY).with_child("data", Work.FAILED, message="RayJob d failed with exit code 1: the bucket does not exist")
    given.with_child("data", work, attempt=2, began=ago(1))
    return given.but(status=status or {}, progress_seen_at=ago(0.5))


@pytest.mark.parametrize("work", [Work.NOT_PICKED_UP, Work.STARTING, Work.RUNNING])
def test_the_next_attempt_says_why_the_one_before_failed(work):
    _, reason, message = condition_of(second_attempt(work).decide(), reasons.READY)
    assert reason == ("Running" if work is Work.RUNNING else "Starting")
    assert message.endswith(" Previous attempt: RayJob d failed with exit code 1: the bucket does not exist.")


def test_until_it_makes_progress():
    _, _, message = condition_of(second_attempt(Work.RUNNING, {"progress": {"updatedAt": stamp(0.5)}}).decide(), reasons.READY)
    assert message.endswith("is running.")


# --- a failure whose pod is deleted keeps its message -------------------------------------------

FAILURES: dict[str, dict[str, Any]] = {
    "a retry": {"fault": Fault.UNAVAILABLE, "ended": timedelta(seconds=1)},
    "attempts that are used up": {"fault": Fault.WORK},
    "an input that is wrong": {"fault": Fault.INPUT},
    "a job that is refused": {"fault": Fault.REFUSED},
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_whose_pod_is_gone_keeps_its_words(failure):
    def training() -> DatasetState:
        return DatasetState(TRAINING).with_succeeded("check", "data")

    words = f"Job {training().child('train-1')} failed with exit code 2: negset: pipelineConfig: no. It is wrong."
    before = training().with_child("train-1", Work.FAILED, message=words, **failure).decide()
    stored = [{"type": each.type, "message": each.message} for each in before.desired_status.conditions]
    lost = training().but(status={"conditions": stored})
    lost.with_child("train-1", Work.FAILED, silent=True, message="Job x failed and left no message.", **failure)
    assert condition_of(lost.decide(), reasons.READY) == condition_of(before, reasons.READY)
    assert "negset: pipelineConfig: no. It is wrong." in condition_of(lost.decide(), reasons.READY)[2]


@pytest.mark.parametrize(
    "stored",
    [[], [{"type": "Ready", "message": "Job street-other failed: no."}], [{"type": "Ready"}], [{"type": "Ready", "message": 7}]],
    ids=["nothing", "another job's", "a condition without a message", "a message that is no text"],
)
def test_where_no_condition_has_them_it_says_that_there_are_none(stored):
    given = DatasetState(DATA_ONLY).but(status={"conditions": stored})
    given.with_child("data", Work.FAILED, silent=True, message="RayJob d failed with exit code 1 and left no message.")
    assert "left no message" in condition_of(given.decide(), reasons.READY)[2]


# --- when a report was seen ---------------------------------------------------------------------


def stored(version: int, updated_at: str | None, *, uid: str = "u", **progress: Any) -> Dataset:
    meta = {"name": "street", "namespace": "team-a", "uid": uid, "resourceVersion": str(version)}
    status = {"progress": {"updatedAt": updated_at, **progress}} if updated_at else {}
    return msgspec.convert({"metadata": meta, "status": status}, Dataset, strict=False)


def test_news_are_what_has_changed_since_this_process_looked_first():
    clock = [datetime(2026, 3, 1, 12, minute, tzinfo=UTC) for minute in range(5)]
    ticks = iter(clock)
    world = World(clock=lambda: next(ticks))

    def seen(dataset: Dataset) -> datetime | None:
        world.caches[DATASET].put(dataset)
        found = world.dataset(("team-a", "street"))
        assert found is not None
        return found.progress_seen_at

    assert seen(stored(1, None)) is None
    assert seen(stored(2, stamp(90), percent=1)) == clock[0]  # the job's own clock differs
    assert seen(stored(3, stamp(90), percent=1)) == clock[0]  # another client has written
    assert seen(stored(4, stamp(89), percent=2)) == clock[1]
    assert seen(stored(5, None)) is None  # the next stage
    assert seen(stored(6, stamp(89))) == clock[2]
    assert seen(stored(7, stamp(89), uid="another")) == clock[3]


def test_a_process_that_has_just_begun_counts_from_its_beginning():
    world = World(clock=lambda: NOW)
    world.caches[DATASET].replace([stored(1, stamp(90))], 1)
    assert world.dataset(("team-a", "street")).progress_seen_at == NOW


# --- before a job is ended, the API server is asked ---------------------------------------------


class Server:
    """An API server with this dataset, which records changes."""

    def __init__(self, now: Dataset) -> None:
        self.now, self.changed = now, []

    def get(self, *_: Any) -> Dataset:
        return self.now

    def merge(self, kind: Any, namespace: str, name: str, body: dict[str, Any], **_: Any) -> RayJob:
        self.changed.append((kind.kind, name, body["spec"]))
        return msgspec.convert({"metadata": {"name": name, "namespace": namespace, "resourceVersion": "9"}}, RayJob, strict=False)


@pytest.mark.parametrize(
    "late", [True, False], ids=["a job whose report the watch has not delivered continues", "a job without a report ends"]
)
def test_before_it_ends_a_job_the_operator_asks_whether(late):
    given = reporting(30)
    server = Server(stored(8, stamp(0.1) if late else given.status["progress"]["updatedAt"]))
    world = World(clock=lambda: NOW)
    Writer(server, world).carry_out(given.facts(), Decision(desired_status=None, limits=given.decide().limits))
    assert server.changed == ([] if late else [("RayJob", given.child("data"), {"activeDeadlineSeconds": 1})])
    known = world.dataset(("team-a", "street"))
    assert (known.progress_seen_at if known else None) == (NOW if late else None)
