"""Suspended datasets, with and without Kueue, against a real API server."""

from __future__ import annotations

import time

import pytest
from operators import Cluster, eventually, first_ray_job, running


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_suspend_and_resume(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(suspend=True)
        eventually("suspended", lambda: cluster.reason() == "Suspended")
        assert cluster.ray_jobs() == []
        cluster.change(suspend=False)
        name = first_ray_job(cluster)
        cluster.ray_status(name, "Running", "RUNNING")
        cluster.pod_of("data", name)
        eventually("running", lambda: cluster.reason() == "Running")
        cluster.change(suspend=True)
        eventually("switched", lambda: cluster.find("ray.io/v1", "RayJob", name)["spec"].get("suspend") is True)
        eventually("stopping", lambda: cluster.reason() == "Suspending")
        cluster.remove("v1", "Pod", name)
        eventually("stopped", lambda: cluster.reason() == "Suspended" and not cluster.condition("Reconciling"))
        cluster.change(suspend=False)
        eventually("switched back", lambda: cluster.find("ray.io/v1", "RayJob", name)["spec"].get("suspend") is False)
        assert cluster.ray_jobs() == [name]


def test_under_kueue_the_childs_switch_is_left_alone(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(queueName="team-a")
        name = first_ray_job(cluster)
        assert cluster.find("ray.io/v1", "RayJob", name)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        cluster.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True}})
        eventually("queued", lambda: cluster.reason() == "Queued")
        assert cluster.find("ray.io/v1", "RayJob", name)["spec"]["suspend"] is True
        assert cluster.dataset()["status"]["stage"] == "Queued"


def test_what_kueue_suspends_without_a_queue_in_the_spec_is_left_alone(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        name = first_ray_job(cluster)
        cluster.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True}})
        eventually("said", lambda: cluster.reason() == "Queued")
        before = cluster.find("ray.io/v1", "RayJob", name)
        cluster.annotate("seen", "once more")
        time.sleep(2)
        after = cluster.find("ray.io/v1", "RayJob", name)
        assert after["spec"]["suspend"] is True
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        # Kueue takes it into the queue that is called default, where there is one.
        cluster.merge("ray.io/v1", "RayJob", name, {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "default"}}})
        waits = f"Storing the data: RayJob {name} waits for Kueue to admit it to LocalQueue default."
        eventually("the queue", lambda: cluster.condition("Ready")["message"] == waits)
        cluster.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": False}})
        eventually("admitted", lambda: cluster.reason() == "Starting")


def test_kueues_own_words_reach_the_condition(api_server, cluster, kueue):
    said = "couldn't assign flavors to pod set head: insufficient unused quota for cpu in flavor f, 50m more needed"
    with running(api_server, cluster.namespace):
        cluster.create(queueName="team")
        name = first_ray_job(cluster)
        uid = cluster.find("ray.io/v1", "RayJob", name)["metadata"]["uid"]
        waiting = {
            "type": "QuotaReserved",
            "status": "False",
            "reason": "Pending",
            "message": said,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        workload = {
            "apiVersion": kueue,
            "kind": "Workload",
            "metadata": {"name": f"rayjob-{name}", "labels": {"kueue.x-k8s.io/job-uid": uid}},
            "spec": {"queueName": "team"},
        }
        cluster.kind(kueue, "Workload").create(body=workload, namespace=cluster.namespace)
        cluster.merge(kueue, "Workload", f"rayjob-{name}", {"status": {"conditions": [waiting]}}, "status")
        cluster.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True}})
        expected = f"Storing the data: RayJob {name} waits for Kueue to admit it to LocalQueue team. Kueue reports: {said}."
        eventually("the words", lambda: cluster.condition("Ready").get("message") == expected)


def test_a_queue_that_dispatches_to_another_cluster_is_said_and_another_queue_helps(api_server, cluster, controllers):
    with running(api_server, cluster.namespace):
        cluster.create(queueName="far")
        name = first_ray_job(cluster)
        # As Kueue's webhook does for a queue with a MultiKueue admission check.
        cluster.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True, "managedBy": "kueue.x-k8s.io/multikueue"}})
        eventually("said", lambda: cluster.reason() == "MultiKueue")
        assert f"RayJob {name} is in a MultiKueue queue" in cluster.condition("Ready")["message"]
        cluster.change(queueName="near")
        (other,) = eventually("another job", lambda: [each for each in cluster.ray_jobs() if each != name])
        assert cluster.find("ray.io/v1", "RayJob", other)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "near"
        eventually("forgotten", lambda: cluster.reason() == "Starting")
