"""Several writers of one status: the operator, its jobs, and another client.

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
from operators import QUICK, TRAINING, Cluster, eventually, running

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
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


class Counted:
    """The calls of a job, counted."""

    def __init__(self, client: Any) -> None:
        self._api, self.calls = CustomObjectsApi(client), 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        return getattr(self._api, name)


def job(cluster: Cluster, run: str, client: Any = None) -> StatusWriter:
    """The writer of a job of this run."""
    uid = cluster.dataset()["metadata"]["uid"]
    return StatusWriter(Metadata(name="street", namespace=cluster.namespace, uid=uid), run, Counted(client or cluster.client))


def patch(cluster: Cluster, body: dict[str, Any], manager: str, how: str = "merge-patch+json", **options: Any) -> dict[str, Any]:
    return CustomObjectsApi(cluster.client).patch_namespaced_custom_object_status(
        names.GROUP,
        names.VERSION,
        cluster.namespace,
        names.PLURAL,
        "street",
        body,
        field_manager=manager,
        _content_type=f"application/{how}",
        **options,
    )


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Any", "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def status(cluster: Cluster) -> dict[str, Any]:
    return cluster.dataset().get("status") or {}


def types(cluster: Cluster) -> set[str]:
    return {entry["type"] for entry in status(cluster)["conditions"]}


def images(cluster: Cluster) -> dict[str, Any]:
    return status(cluster).get("images") or {}


def by_apply(cluster: Cluster, kind: str) -> None:
    document = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "street"}}
    patch(cluster, {**document, "status": {"conditions": [condition(kind)]}}, "auditor", "apply-patch+yaml")


def by_merge(cluster: Cluster, kind: str) -> None:
    found = cluster.dataset()
    conditions = [*found["status"]["conditions"], condition(kind)]
    patch(cluster, {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": {"conditions": conditions}}, "editor")


def writes(client: Client) -> int:
    return sum(count for (method, _), count in client.requests.items() if method != "GET")


def reconciles(operator: Any) -> float:
    return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count") or 0


def errors(operator: Any) -> float:
    return operator.metrics.registry.get_sample_value("negset_reconcile_errors_total")


def logged(caplog: Any) -> list[str]:
    """Return the warnings of the operator's loop and of the jobs."""
    records = (record for record in caplog.records if record.levelno >= logging.WARNING)
    return [record.getMessage() for record in records if record.name in {"negset_operator.loop", "negset_jobs.adapters.kubernetes_status"}]


def data_job(cluster: Cluster) -> str:
    cluster.create()
    (name,) = eventually("a RayJob", cluster.ray_jobs)
    eventually("the status", lambda: cluster.reason() == "Starting")
    return name


def run_of(cluster: Cluster, child: str) -> str:
    return cluster.find("ray.io/v1", "RayJob", child)["metadata"]["labels"][names.LABEL_SPEC_HASH]


def assert_quiet(cluster: Cluster, operator: Any, client: Client) -> None:
    """Assert that nothing is written while the operator continues to reconcile."""
    time.sleep(0.5)  # an event is recorded after the status
    version, written, looked = cluster.dataset()["metadata"]["resourceVersion"], writes(client), reconciles(operator)
    time.sleep(QUIET_SECONDS)
    assert (cluster.dataset()["metadata"]["resourceVersion"], writes(client)) == (version, written)
    assert reconciles(operator) > looked


def assert_it_ends_with_the_strangers_condition(cluster: Cluster, operator: Any, client: Client, data: str) -> None:
    cluster.ray_succeeds(data)
    eventually("ready", lambda: cluster.reason() == "Succeeded")
    eventually("no more", lambda: "Reconciling" not in types(cluster))
    assert types(cluster) == {"Ready", "DataStored", "Reported", "Audited"}
    assert_quiet(cluster, operator, client)


@pytest.mark.parametrize("add", [by_apply, by_merge])
def test_a_foreign_condition_survives_every_stage_and_causes_no_write(api_server, cluster, add):
    client = connect(api_server.kubeconfig)
    with running(api_server, cluster.namespace, client=client, config=OFTEN) as operator:
        data = data_job(cluster)
        add(cluster, "Audited")
        assert_quiet(cluster, operator, client)
        cluster.ray_status(data, "Running", "RUNNING")
        eventually("running", lambda: cluster.reason() == "Running")
        assert "Audited" in types(cluster)
        assert_it_ends_with_the_strangers_condition(cluster, operator, client, data)


def test_what_0_1_0_has_written_by_merge_patch_goes_when_it_is_no_longer_so(api_server, cluster):
    cluster.create()
    conditions = [condition("Ready", "False"), condition("Reconciling"), condition("Mined", "False"), condition("Audited")]
    old = {"stage": "Mining", "reportUrl": "s3://old", "completed": {"uid": "1", "pipeline": "0123456789ab"}, "conditions": conditions}
    patch(cluster, {"status": old}, names.OPERATOR_FIELD_MANAGER)
    client = connect(api_server.kubeconfig)
    with running(api_server, cluster.namespace, client=client, config=OFTEN) as operator:
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        eventually("neither a report nor mining", lambda: not status(cluster).get("reportUrl") and "Mined" not in types(cluster))
        eventually("starting", lambda: cluster.reason() == "Starting")
        assert "Reconciling" in types(cluster)
        assert_it_ends_with_the_strangers_condition(cluster, operator, client, data)
        assert "pipeline" not in status(cluster)["completed"]


def test_a_stranger_who_takes_a_condition_of_ours_gives_it_back(api_server, cluster):
    with running(api_server, cluster.namespace):
        data_job(cluster)
        by_apply(cluster, "Stalled")
        eventually("deleted", lambda: "Stalled" not in types(cluster))
        patch(cluster, {"status": {"conditions": [condition("Audited")]}}, "editor")
        eventually("ours are back", lambda: types(cluster) == {"Ready", "Reconciling", "DataStored", "Reported", "Audited"})


def test_a_job_that_reports_in_a_loop_and_the_operator_lose_nothing(api_server, cluster, caplog):
    caplog.set_level(logging.INFO)
    client = connect(api_server.kubeconfig)
    with running(api_server, cluster.namespace, client=client) as operator:
        data = data_job(cluster)
        writer, number, done = job(cluster, run_of(cluster, data)), [0], threading.Event()

        def work() -> None:
            while not done.is_set():
                number[0] += 1
                writer.write({"images": {"stored": number[0]}, "progress": {"percent": 50, "secondsLeft": 9}})
                time.sleep(0.03)

        thread = threading.Thread(target=work)
        thread.start()
        for deployment, reason in (("Initializing", "Starting"), ("Running", "Running")) * 10:
            cluster.ray_status(data, deployment, "RUNNING" if deployment == "Running" else "")
            eventually(reason, lambda reason=reason: cluster.reason() == reason)
            assert images(cluster).get("stored", 0) > 0
        done.set()
        thread.join()
        assert images(cluster)["stored"] == number[0]
        assert status(cluster)["progress"]["secondsLeft"] == 9
        assert errors(operator) == 0
    assert logged(caplog) == []
    assert [event["reason"] for event in cluster.all("v1", "Event") if event["type"] == "Warning"] == []
    print(f"{number[0]} writes in {writer._api.calls} requests, {client.requests['PATCH', '409']} conflicts of the operator")
    assert writer._api.calls <= number[0] + 1 + 2 * writes(client)


def test_a_job_writes_with_the_rights_that_it_has_and_one_request(api_server, cluster):
    rbac = "rbac.authorization.k8s.io/v1"
    with running(api_server, cluster.namespace):
        data = data_job(cluster)
        eventually("its rights", lambda: cluster.find(rbac, "RoleBinding", "street-negset"))
    writer = job(cluster, run_of(cluster, data), new_client_from_config(api_server.kubeconfig_of(cluster.namespace, "street-negset")))

    def first() -> bool:
        writer.write({"images": {"stored": 1}})
        return images(cluster).get("stored") == 1

    eventually("the rights are in force", first)
    before = writer._api.calls
    for number in range(2, 12):
        writer.write({"images": {"stored": number}})
    assert (images(cluster)["stored"], writer._api.calls - before) == (11, 10)


def test_a_late_write_of_a_run_that_is_replaced_is_dropped(api_server, cluster, caplog):
    caplog.set_level(logging.INFO)
    with running(api_server, cluster.namespace):
        data = data_job(cluster)
        late = job(cluster, run_of(cluster, data))
        late.write({"images": {"stored": 1}})
        assert images(cluster) == {"stored": 1}
        cluster.change(selection={"count": 200})
        eventually("the next run", lambda: len(cluster.ray_jobs()) == 2)
        (run,) = eventually(
            "the next run is recorded", lambda: run_of(cluster, data) not in status(cluster)["runs"] and status(cluster)["runs"]
        )
        late.write({"images": {"stored": 2}})
        assert images(cluster) == {}
        job(cluster, run).write({"images": {"stored": 3}})
        late.write({"images": {"stored": 4}})
        assert images(cluster) == {"stored": 3}
    assert logged(caplog) == []


def test_a_job_that_continues_after_an_edit_still_reports(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        cluster.job_succeeds(check)
        (data,) = eventually("the data", cluster.ray_jobs)
        cluster.ray_status(data, "Running", "RUNNING")
        eventually("running", lambda: cluster.reason() == "Running")
        kept = job(cluster, run_of(cluster, data))
        kept.write({"images": {"stored": 1}})
        cluster.change(training={"steps": 200})
        eventually("both runs", lambda: len(status(cluster)["runs"]) == 2)
        assert cluster.ray_jobs() == [data]
        kept.write({"images": {"stored": 2}})
        assert images(cluster) == {"stored": 2}


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


def test_a_late_write_between_the_two_writes_of_an_edit_is_forgotten(api_server, cluster, interrupted):
    with running(api_server, cluster.namespace, client=interrupted) as operator:
        data = data_job(cluster)
        late = job(cluster, run_of(cluster, data))
        late.write({"images": {"stored": 1}})
        eventually("written", lambda: images(cluster) == {"stored": 1})
        cleared: list[str] = []

        def before(what: str) -> None:
            if what == "merge status":
                cleared.append(what)
            elif cleared and len(cleared) < 2:
                late.write({"images": {"stored": 2}})
                assert images(cluster) == {"stored": 2}

        interrupted.before = before
        cluster.change(selection={"count": 200})
        eventually("the next run", lambda: run_of(cluster, data) not in status(cluster)["runs"])
        assert len(cleared) == 2
        assert images(cluster) == {}
        assert errors(operator) == 0


def test_conflicts_of_the_operator_are_retried_and_not_reported(api_server, cluster, interrupted, caplog):
    caplog.set_level(logging.INFO)
    met: dict[str, int] = {}

    def before(what: str) -> None:
        met[what] = met.get(what, 0) + 1
        if met[what] <= 3:
            cluster.annotate(what.replace(" ", "-"), str(met[what]))

    interrupted.before = before
    with running(api_server, cluster.namespace, client=interrupted) as operator:
        began = time.monotonic()
        cluster.create(deletionPolicy="Delete")
        eventually("a RayJob", cluster.ray_jobs)
        eventually("the status", lambda: cluster.reason() == "Starting")
        took = time.monotonic() - began
        assert names.FINALIZER in cluster.dataset()["metadata"]["finalizers"]
        assert errors(operator) == 0
    assert interrupted.requests["PATCH", "409"] == 6
    assert took < 3
    assert logged(caplog) == []
    assert [event["reason"] for event in cluster.all("v1", "Event")] == ["Starting"]


def test_a_conflict_that_lasts_is_reported(api_server, cluster, interrupted, caplog):
    interrupted.before = lambda _: cluster.annotate("version", str(time.monotonic_ns()))
    with running(api_server, cluster.namespace, client=interrupted) as operator:
        cluster.create()
        eventually("the status", lambda: errors(operator) > 0)
        assert interrupted.requests["PATCH", "409"] >= 6
        interrupted.before = lambda _: None
        cluster.annotate("version", "last")
        eventually("the status", lambda: cluster.reason() == "Starting")
    assert "the object has been modified" in logged(caplog)[0]


def test_a_child_of_the_same_name_is_not_stopped_in_the_place_of_another(api_server, cluster):
    with running(api_server, cluster.namespace):
        data = data_job(cluster)
    client = connect(api_server.kubeconfig)
    dataset = client.get(DATASET, cluster.namespace, "street", Dataset)
    limit = Limit(kind="RayJob", name=data, uid="another", why="no progress")
    assert Writer(client, World())._limit(dataset, limit) is False
    assert "activeDeadlineSeconds" not in cluster.find("ray.io/v1", "RayJob", data)["spec"]


def test_another_object_of_the_same_name_gets_neither_the_operators_words_nor_a_jobs(api_server, cluster, interrupted):
    with running(api_server, cluster.namespace, client=interrupted):
        data = data_job(cluster)
        late = job(cluster, run_of(cluster, data))
        late.write({"images": {"stored": 1}})
        uids: list[str] = []

        def before(_: str) -> None:
            if not uids:
                uids.append(cluster.dataset()["metadata"]["uid"])
                cluster.delete()
                uids.append(cluster.create(suspend=True)["metadata"]["uid"])
                interrupted.refused = interrupted.requests["PATCH", "409"]

        interrupted.before = before
        cluster.ray_succeeds(data)
        eventually("suspended", lambda: cluster.reason() == "Suspended")
        assert interrupted.requests["PATCH", "409"] > interrupted.refused
        late.write({"images": {"stored": 2}})
        late.write_last({"images": {"stored": 2}})
        assert images(cluster) == {}
        assert cluster.dataset()["metadata"]["uid"] == uids[1]


def test_an_edit_that_is_taken_back_has_its_numbers_again(api_server, cluster):
    counted = {"planned": 5, "stored": 4, "failed": 1}
    with running(api_server, cluster.namespace):
        data = data_job(cluster)
        job(cluster, run_of(cluster, data)).write_last({"images": counted}, final=True)
        cluster.ray_succeeds(data)
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        assert cluster.condition("Ready")["message"].endswith("report/index.html.")
        count = cluster.dataset()["spec"]["selection"]["count"]
        cluster.change(selection={"count": count + 1})
        eventually("another revision", lambda: cluster.reason() == "Starting" and not images(cluster))
        cluster.change(selection={"count": count})
        eventually("ready again", lambda: cluster.condition("Ready").get("status") == "True")
        assert images(cluster) == counted
        version = cluster.dataset()["metadata"]["resourceVersion"]
        time.sleep(QUIET_SECONDS)
        assert cluster.dataset()["metadata"]["resourceVersion"] == version


def test_ready_without_the_last_numbers_says_so(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.ray_succeeds(data_job(cluster))
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        assert cluster.condition("Ready")["message"].endswith("Some numbers are missing from this status. The report has all of them.")
