"""Several writers of one status: the operator, its jobs, and somebody else.

The API server is real.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client import CustomObjectsApi
from kubernetes.config import new_client_from_config
from operators import QUICK, TRAINING, Hand, eventually, running

from negset_api import names
from negset_api.spec import Metadata
from negset_jobs.adapters.kubernetes_status import StatusWriter
from negset_operator.apply import Writer
from negset_operator.config import Config
from negset_operator.decision import Limit
from negset_operator.kube.client import DATASET, Client, connect
from negset_operator.kube.objects import Dataset
from negset_operator.world import World

QUIET_SECONDS = 3
OFTEN = Config(patience=QUICK, workers=4, resync_seconds=1)


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


class Counted:
    """The calls of a job, counted."""

    def __init__(self, client: Any) -> None:
        self._api, self.calls = CustomObjectsApi(client), 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        return getattr(self._api, name)


def job(hand: Hand, run: str, client: Any = None) -> StatusWriter:
    """The writer of a job of this run."""
    uid = hand.dataset()["metadata"]["uid"]
    return StatusWriter(Metadata(name="street", namespace=hand.namespace, uid=uid), run, Counted(client or hand.client))


def patch(hand: Hand, body: dict[str, Any], manager: str, how: str = "merge-patch+json", **options: Any) -> dict[str, Any]:
    return CustomObjectsApi(hand.client).patch_namespaced_custom_object_status(
        names.GROUP,
        names.VERSION,
        hand.namespace,
        names.PLURAL,
        "street",
        body,
        field_manager=manager,
        _content_type=f"application/{how}",
        **options,
    )


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Any", "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def status(hand: Hand) -> dict[str, Any]:
    return hand.dataset().get("status") or {}


def types(hand: Hand) -> set[str]:
    return {entry["type"] for entry in status(hand)["conditions"]}


def images(hand: Hand) -> dict[str, Any]:
    return status(hand).get("images") or {}


def by_apply(hand: Hand, kind: str) -> None:
    document = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "street"}}
    patch(hand, {**document, "status": {"conditions": [condition(kind)]}}, "auditor", "apply-patch+yaml")


def by_merge(hand: Hand, kind: str) -> None:
    found = hand.dataset()
    conditions = [*found["status"]["conditions"], condition(kind)]
    patch(hand, {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": {"conditions": conditions}}, "editor")


def writes(client: Client) -> int:
    return sum(count for (method, _), count in client.requests.items() if method != "GET")


def reconciles(operator: Any) -> float:
    return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count") or 0


def errors(operator: Any) -> float:
    return operator.metrics.registry.get_sample_value("negset_reconcile_errors_total")


def told(caplog: Any) -> list[str]:
    """Return the warnings of the operator's loop and of the jobs."""
    records = (record for record in caplog.records if record.levelno >= logging.WARNING)
    return [record.getMessage() for record in records if record.name in {"negset_operator.loop", "negset_jobs.adapters.kubernetes_status"}]


def data_job(hand: Hand) -> str:
    hand.create()
    (name,) = eventually("a RayJob", hand.ray_jobs)
    eventually("the status", lambda: hand.reason() == "Starting")
    return name


def run_of(hand: Hand, child: str) -> str:
    return hand.find("ray.io/v1", "RayJob", child)["metadata"]["labels"][names.LABEL_SPEC_HASH]


def assert_quiet(hand: Hand, operator: Any, client: Client) -> None:
    """Assert that nothing is written while the operator goes on reconciling."""
    time.sleep(0.5)  # an event follows the status that it tells of
    version, written, looked = hand.dataset()["metadata"]["resourceVersion"], writes(client), reconciles(operator)
    time.sleep(QUIET_SECONDS)
    assert (hand.dataset()["metadata"]["resourceVersion"], writes(client)) == (version, written)
    assert reconciles(operator) > looked


def assert_it_ends_with_the_strangers_condition(hand: Hand, operator: Any, client: Client, data: str) -> None:
    hand.ray_succeeds(data)
    eventually("ready", lambda: hand.reason() == "Succeeded")
    eventually("no more", lambda: "Reconciling" not in types(hand))
    assert types(hand) == {"Ready", "DataStored", "Reported", "Audited"}
    assert_quiet(hand, operator, client)


@pytest.mark.parametrize("add", [by_apply, by_merge])
def test_a_condition_of_somebody_else_survives_every_stage_and_causes_no_write(api_server, hand, add):
    client = connect(api_server.kubeconfig)
    with running(api_server, hand.namespace, client=client, config=OFTEN) as operator:
        data = data_job(hand)
        add(hand, "Audited")
        assert_quiet(hand, operator, client)
        hand.ray_status(data, "Running", "RUNNING")
        eventually("running", lambda: hand.reason() == "Running")
        assert "Audited" in types(hand)
        assert_it_ends_with_the_strangers_condition(hand, operator, client, data)


def test_what_0_1_0_has_written_by_merge_patch_goes_when_it_is_no_longer_so(api_server, hand):
    hand.create()
    conditions = [condition("Ready", "False"), condition("Reconciling"), condition("Mined", "False"), condition("Audited")]
    old = {"stage": "Mining", "reportUrl": "s3://old", "completed": {"uid": "1", "pipeline": "0123456789ab"}, "conditions": conditions}
    patch(hand, {"status": old}, names.OPERATOR_FIELD_MANAGER)
    client = connect(api_server.kubeconfig)
    with running(api_server, hand.namespace, client=client, config=OFTEN) as operator:
        (data,) = eventually("a RayJob", hand.ray_jobs)
        eventually("neither a report nor mining", lambda: not status(hand).get("reportUrl") and "Mined" not in types(hand))
        eventually("starting", lambda: hand.reason() == "Starting")
        assert "Reconciling" in types(hand)
        assert_it_ends_with_the_strangers_condition(hand, operator, client, data)
        assert "pipeline" not in status(hand)["completed"]


def test_a_stranger_who_takes_a_condition_of_ours_gives_it_back(api_server, hand):
    with running(api_server, hand.namespace):
        data_job(hand)
        by_apply(hand, "Stalled")
        eventually("gone", lambda: "Stalled" not in types(hand))
        patch(hand, {"status": {"conditions": [condition("Audited")]}}, "editor")
        eventually("ours are back", lambda: types(hand) == {"Ready", "Reconciling", "DataStored", "Reported", "Audited"})


def test_a_job_that_reports_in_a_loop_and_the_operator_lose_nothing(api_server, hand, caplog):
    caplog.set_level(logging.INFO)
    client = connect(api_server.kubeconfig)
    with running(api_server, hand.namespace, client=client) as operator:
        data = data_job(hand)
        writer, number, done = job(hand, run_of(hand, data)), [0], threading.Event()

        def work() -> None:
            while not done.is_set():
                number[0] += 1
                writer.write({"images": {"stored": number[0]}, "progress": {"percent": 50, "secondsLeft": 9}})
                time.sleep(0.03)

        thread = threading.Thread(target=work)
        thread.start()
        for deployment, reason in (("Initializing", "Starting"), ("Running", "Running")) * 10:
            hand.ray_status(data, deployment, "RUNNING" if deployment == "Running" else "")
            eventually(reason, lambda reason=reason: hand.reason() == reason)
            assert images(hand).get("stored", 0) > 0
        done.set()
        thread.join()
        assert images(hand)["stored"] == number[0]
        assert status(hand)["progress"]["secondsLeft"] == 9
        assert errors(operator) == 0
    assert told(caplog) == []
    assert [event["reason"] for event in hand.all("v1", "Event") if event["type"] == "Warning"] == []
    print(f"{number[0]} writes in {writer._api.calls} requests, {client.requests['PATCH', '409']} conflicts of the operator")
    assert writer._api.calls <= number[0] + 1 + 2 * writes(client)


def test_a_job_writes_with_the_rights_that_it_has_and_one_request(api_server, hand):
    rbac = "rbac.authorization.k8s.io/v1"
    with running(api_server, hand.namespace):
        data = data_job(hand)
        eventually("its rights", lambda: hand.find(rbac, "RoleBinding", "street-negset"))
    writer = job(hand, run_of(hand, data), new_client_from_config(api_server.kubeconfig_of(hand.namespace, "street-negset")))

    def first() -> bool:
        writer.write({"images": {"stored": 1}})
        return images(hand).get("stored") == 1

    eventually("the rights are in force", first)
    before = writer._api.calls
    for number in range(2, 12):
        writer.write({"images": {"stored": number}})
    assert (images(hand)["stored"], writer._api.calls - before) == (11, 10)


def test_a_late_write_of_a_run_that_is_replaced_is_dropped(api_server, hand, caplog):
    caplog.set_level(logging.INFO)
    with running(api_server, hand.namespace):
        data = data_job(hand)
        late = job(hand, run_of(hand, data))
        late.write({"images": {"stored": 1}})
        assert images(hand) == {"stored": 1}
        hand.change(selection={"count": 200})
        eventually("the next run", lambda: len(hand.ray_jobs()) == 2)
        (run,) = eventually("the next run is told", lambda: run_of(hand, data) not in status(hand)["runs"] and status(hand)["runs"])
        late.write({"images": {"stored": 2}})
        assert images(hand) == {}
        job(hand, run).write({"images": {"stored": 3}})
        late.write({"images": {"stored": 4}})
        assert images(hand) == {"stored": 3}
    assert told(caplog) == []


def test_a_job_that_goes_on_after_an_edit_still_reports(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(**TRAINING)
        (check,) = eventually("the check", hand.jobs)
        hand.job_succeeds(check)
        (data,) = eventually("the data", hand.ray_jobs)
        hand.ray_status(data, "Running", "RUNNING")
        eventually("running", lambda: hand.reason() == "Running")
        kept = job(hand, run_of(hand, data))
        kept.write({"images": {"stored": 1}})
        hand.change(training={"steps": 200})
        eventually("both runs", lambda: len(status(hand)["runs"]) == 2)
        assert hand.ray_jobs() == [data]
        kept.write({"images": {"stored": 2}})
        assert images(hand) == {"stored": 2}


class Interrupted(Client):
    """Does something just before a write of the operator to a dataset, like a faster writer."""

    def __init__(self, api: Any) -> None:
        super().__init__(api)
        self.before: Callable[[str], None] = lambda _: None

    def apply(self, kind, body, as_type, *, subresource=""):
        if kind == DATASET:
            self.before("apply")
        return super().apply(kind, body, as_type, subresource=subresource)

    def merge(self, kind, namespace, name, patch, *, as_type, subresource=""):
        if kind == DATASET:
            self.before("merge status" if subresource else "merge")
        return super().merge(kind, namespace, name, patch, as_type=as_type, subresource=subresource)


@pytest.fixture
def interrupted(api_server) -> Interrupted:
    return Interrupted(api_server.client)


def test_a_late_write_between_the_two_writes_of_an_edit_is_forgotten(api_server, hand, interrupted):
    with running(api_server, hand.namespace, client=interrupted) as operator:
        data = data_job(hand)
        late = job(hand, run_of(hand, data))
        late.write({"images": {"stored": 1}})
        eventually("written", lambda: images(hand) == {"stored": 1})
        cleared: list[str] = []

        def before(what: str) -> None:
            if what == "merge status":
                cleared.append(what)
            elif cleared and len(cleared) < 2:
                late.write({"images": {"stored": 2}})
                assert images(hand) == {"stored": 2}

        interrupted.before = before
        hand.change(selection={"count": 200})
        eventually("the next run", lambda: run_of(hand, data) not in status(hand)["runs"])
        assert len(cleared) == 2
        assert images(hand) == {}
        assert errors(operator) == 0


def test_conflicts_of_the_operator_are_tried_again_and_told_nobody(api_server, hand, interrupted, caplog):
    caplog.set_level(logging.INFO)
    met: dict[str, int] = {}

    def before(what: str) -> None:
        met[what] = met.get(what, 0) + 1
        if met[what] <= 3:
            hand.annotate(what.replace(" ", "-"), str(met[what]))

    interrupted.before = before
    with running(api_server, hand.namespace, client=interrupted) as operator:
        began = time.monotonic()
        hand.create(deletionPolicy="Delete")
        eventually("a RayJob", hand.ray_jobs)
        eventually("the status", lambda: hand.reason() == "Starting")
        took = time.monotonic() - began
        assert names.FINALIZER in hand.dataset()["metadata"]["finalizers"]
        assert errors(operator) == 0
    assert interrupted.requests["PATCH", "409"] == 6
    assert took < 3
    assert told(caplog) == []
    assert [event["reason"] for event in hand.all("v1", "Event")] == ["Starting"]


def test_a_conflict_that_lasts_is_told(api_server, hand, interrupted, caplog):
    interrupted.before = lambda _: hand.annotate("version", str(time.monotonic_ns()))
    with running(api_server, hand.namespace, client=interrupted) as operator:
        hand.create()
        eventually("told", lambda: errors(operator) > 0)
        assert interrupted.requests["PATCH", "409"] >= 6
        interrupted.before = lambda _: None
        hand.annotate("version", "last")
        eventually("the status", lambda: hand.reason() == "Starting")
    assert "the object has been modified" in told(caplog)[0]


def test_a_child_of_the_same_name_is_not_stopped_in_the_place_of_another(api_server, hand):
    with running(api_server, hand.namespace):
        data = data_job(hand)
    client = connect(api_server.kubeconfig)
    dataset = client.get(DATASET, hand.namespace, "street", Dataset)
    limit = Limit(kind="RayJob", name=data, uid="another", why="no progress")
    assert Writer(client, World())._limit(dataset, limit) is False
    assert "activeDeadlineSeconds" not in hand.find("ray.io/v1", "RayJob", data)["spec"]


def test_another_object_of_the_same_name_gets_neither_the_operators_words_nor_a_jobs(api_server, hand, interrupted):
    with running(api_server, hand.namespace, client=interrupted):
        data = data_job(hand)
        late = job(hand, run_of(hand, data))
        late.write({"images": {"stored": 1}})
        uids: list[str] = []

        def before(_: str) -> None:
            if not uids:
                uids.append(hand.dataset()["metadata"]["uid"])
                hand.delete()
                uids.append(hand.create(suspend=True)["metadata"]["uid"])
                interrupted.refused = interrupted.requests["PATCH", "409"]

        interrupted.before = before
        hand.ray_succeeds(data)
        eventually("suspended", lambda: hand.reason() == "Suspended")
        assert interrupted.requests["PATCH", "409"] > interrupted.refused
        late.write({"images": {"stored": 2}})
        late.write_last({"images": {"stored": 2}})
        assert images(hand) == {}
        assert hand.dataset()["metadata"]["uid"] == uids[1]


def test_an_edit_that_is_taken_back_has_its_numbers_again(api_server, hand):
    counted = {"planned": 5, "stored": 4, "failed": 1}
    with running(api_server, hand.namespace):
        data = data_job(hand)
        job(hand, run_of(hand, data)).write_last({"images": counted}, final=True)
        hand.ray_succeeds(data)
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        assert hand.condition("Ready")["message"].endswith("report/index.html.")
        count = hand.dataset()["spec"]["selection"]["count"]
        hand.change(selection={"count": count + 1})
        eventually("another revision", lambda: hand.reason() == "Starting" and not images(hand))
        hand.change(selection={"count": count})
        eventually("ready again", lambda: hand.condition("Ready").get("status") == "True")
        assert images(hand) == counted
        version = hand.dataset()["metadata"]["resourceVersion"]
        time.sleep(QUIET_SECONDS)
        assert hand.dataset()["metadata"]["resourceVersion"] == version


def test_ready_without_the_last_numbers_says_so(api_server, hand):
    with running(api_server, hand.namespace):
        hand.ray_succeeds(data_job(hand))
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        assert hand.condition("Ready")["message"].endswith("Some numbers are missing from this status. The report has all of them.")
