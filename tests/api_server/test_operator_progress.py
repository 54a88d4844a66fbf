"""Jobs that run without progress, and failures whose pods are deleted.

The API server is real.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from operators import QUICK, TRAINING, Cluster, eventually, pods_of_job_end, running

from negset_api import names
from negset_operator.config import Config, Patience

IMPATIENT = Config(patience=Patience(retry_seconds=1, unseen_seconds=600, stuck_seconds=3), workers=4)


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def report(cluster: Cluster, **progress: Any) -> None:
    """Write progress as a job does, with the field manager of jobs."""
    body = {"status": {"progress": {**progress, "updatedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}}}
    cluster.kind(names.API_VERSION, names.KIND).subresources["status"].patch(
        name="street",
        namespace=cluster.namespace,
        body=body,
        content_type="application/merge-patch+json",
        field_manager=names.JOBS_FIELD_MANAGER,
    )


def pod_runs(cluster: Cluster, name: str) -> None:
    """Report the container of a pod as running, as a kubelet does."""
    (container,) = cluster.find("v1", "Pod", name)["spec"]["containers"]
    began = {"startedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    state = {"name": container["name"], "image": "", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": began}}
    status = {"phase": "Running", "containerStatuses": [state], "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.merge("v1", "Pod", name, {"status": status}, "status")


def deadline(cluster: Cluster, kind: str, name: str) -> int | None:
    return (cluster.find("ray.io/v1" if kind == "RayJob" else "batch/v1", kind, name) or {}).get("spec", {}).get("activeDeadlineSeconds")


def head_runs(cluster: Cluster, name: str) -> None:
    cluster.pod_of("data", name)
    cluster.merge("v1", "Pod", name, {"metadata": {"labels": {"ray.io/node-type": "head"}}})
    pod_runs(cluster, name)
    cluster.ray_status(name, "Running", "RUNNING")


def test_a_ray_job_that_hangs_is_ended_and_retried_and_one_with_progress_is_not(api_server, cluster):
    with running(api_server, cluster.namespace, config=IMPATIENT):
        cluster.create()
        (name,) = eventually("a RayJob", cluster.ray_jobs)
        head_runs(cluster, name)
        until = time.monotonic() + 8
        percent = 0
        while time.monotonic() < until:
            percent += 1
            report(cluster, percent=percent)
            time.sleep(1)
        assert deadline(cluster, "RayJob", name) is None
        eventually("ended", lambda: deadline(cluster, "RayJob", name) == 1, seconds=15)
        eventually("said", lambda: cluster.reason() == "NoProgress")
        cluster.ray_status(name, "Failed", "RUNNING", reason="DeadlineExceeded", message="The RayJob has passed the activeDeadlineSeconds.")
        eventually("the next attempt", lambda: f"{name}-a2" in cluster.ray_jobs())
        expected = f"Previous attempt: RayJob {name} made no progress and was stopped."
        eventually("why", lambda: cluster.condition("Ready")["message"].endswith(expected))


def test_a_ray_job_that_tells_nothing_is_left_alone(api_server, cluster):
    with running(api_server, cluster.namespace, config=IMPATIENT):
        cluster.create()
        (name,) = eventually("a RayJob", cluster.ray_jobs)
        head_runs(cluster, name)
        eventually("running", lambda: cluster.reason() == "Running")
        time.sleep(6)
        cluster.annotate("look", "now")
        time.sleep(1)
        assert deadline(cluster, "RayJob", name) is None
        assert cluster.reason() == "Running"


def test_a_ray_job_whose_head_crashes_says_so_and_is_ended(api_server, cluster):
    with running(api_server, cluster.namespace, config=IMPATIENT):
        cluster.create()
        (name,) = eventually("a RayJob", cluster.ray_jobs)
        head_runs(cluster, name)
        eventually("running", lambda: cluster.reason() == "Running")
        since = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        state = {"name": "c", "image": "", "imageID": "", "ready": False, "restartCount": 4, "state": waiting}
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": since}
        cluster.merge("v1", "Pod", name, {"status": {"containerStatuses": [state], "conditions": [ready]}}, "status")
        eventually("said", lambda: cluster.reason() in {"CrashLoopBackOff", "NoProgress"}, seconds=5)
        eventually("ended", lambda: deadline(cluster, "RayJob", name) == 1, seconds=15)


def test_a_training_that_hangs_is_ended_by_its_controller_and_tried_again(api_server, cluster, controllers):
    with running(api_server, cluster.namespace, config=IMPATIENT):
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        assert deadline(cluster, "Job", check) == IMPATIENT.patience.check_seconds
        pods_of_job_end(cluster, check)
        (data,) = eventually("the data job", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        training = data.replace("data", "train-1")
        eventually("the training", lambda: training in cluster.jobs())

        def pods() -> list[str]:
            found = cluster.all("v1", "Pod")
            return [pod["metadata"]["name"] for pod in found if pod["metadata"]["labels"].get(names.LABEL_CHILD) == training]

        (pod,) = eventually("its pod", pods)
        pod_runs(cluster, pod)
        eventually("running", lambda: cluster.reason() == "Running")
        report(cluster, percent=1, step=1)
        eventually("the next attempt", lambda: f"{training}-a2" in cluster.jobs())
        ended = cluster.find("batch/v1", "Job", training)["status"]["conditions"]
        assert ("Failed", "DeadlineExceeded") in {(each["type"], each["reason"]) for each in ended}
        assert cluster.condition("Trained")["message"].count("made no progress and was stopped") == 1


def test_a_failure_keeps_its_message_when_its_pod_is_deleted(api_server, cluster, controllers):
    said = "negset: spec.training.pipelineConfig: expected a model that TensorFlow 2 trains, got ssd_mobilenet_v1"
    with running(api_server, cluster.namespace, config=Config(patience=QUICK, workers=4)):
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        pods_of_job_end(cluster, check, code=2, said=said)
        eventually("stalled", lambda: cluster.reason() == "InputRefused")
        before = cluster.condition("Ready")["message"]
        assert said in before
        for pod in cluster.all("v1", "Pod"):
            cluster.kind("v1", "Pod").delete(name=pod["metadata"]["name"], namespace=cluster.namespace, body={"gracePeriodSeconds": 0})
        eventually("no pod", lambda: not cluster.all("v1", "Pod"))
        for look in range(3):
            cluster.annotate("look", str(look))
            time.sleep(0.5)
        assert cluster.condition("Ready")["message"] == before
        # An operator that starts has only what is stored.
    with running(api_server, cluster.namespace, config=Config(patience=QUICK, workers=4)):
        cluster.annotate("look", "again")
        time.sleep(3)
        assert cluster.condition("Ready")["message"] == before
