"""Suspended datasets, with and without Kueue, against a real API server."""

from __future__ import annotations

import time

import pytest
from operators import Hand, eventually, first_ray_job, running


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def test_suspend_and_resume(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(suspend=True)
        eventually("suspended", lambda: hand.reason() == "Suspended")
        assert hand.ray_jobs() == []
        hand.change(suspend=False)
        name = first_ray_job(hand)
        hand.ray_status(name, "Running", "RUNNING")
        hand.pod_of("data", name)
        eventually("running", lambda: hand.reason() == "Running")
        hand.change(suspend=True)
        eventually("switched", lambda: hand.find("ray.io/v1", "RayJob", name)["spec"].get("suspend") is True)
        eventually("stopping", lambda: hand.reason() == "Suspending")
        hand.remove("v1", "Pod", name)
        eventually("stopped", lambda: hand.reason() == "Suspended" and not hand.condition("Reconciling"))
        hand.change(suspend=False)
        eventually("switched back", lambda: hand.find("ray.io/v1", "RayJob", name)["spec"].get("suspend") is False)
        assert hand.ray_jobs() == [name]


def test_under_kueue_the_childs_switch_is_left_alone(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(queueName="team-a")
        name = first_ray_job(hand)
        assert hand.find("ray.io/v1", "RayJob", name)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        hand.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True}})
        eventually("queued", lambda: hand.reason() == "Queued")
        assert hand.find("ray.io/v1", "RayJob", name)["spec"]["suspend"] is True
        assert hand.dataset()["status"]["stage"] == "Queued"


def test_what_kueue_suspends_without_a_queue_in_the_spec_is_left_alone(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        name = first_ray_job(hand)
        hand.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True}})
        eventually("said", lambda: hand.reason() == "Queued")
        before = hand.find("ray.io/v1", "RayJob", name)
        hand.annotate("seen", "once more")
        time.sleep(2)
        after = hand.find("ray.io/v1", "RayJob", name)
        assert after["spec"]["suspend"] is True
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        # Kueue takes it into the queue that is called default, where there is one.
        hand.merge("ray.io/v1", "RayJob", name, {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "default"}}})
        waits = f"Storing the data: RayJob {name} waits for its turn in the queue default."
        eventually("the queue", lambda: hand.condition("Ready")["message"] == waits)
        hand.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": False}})
        eventually("admitted", lambda: hand.reason() == "Starting")


def test_kueues_own_words_reach_the_condition(api_server, hand, kueue):
    said = "couldn't assign flavors to pod set head: insufficient unused quota for cpu in flavor f, 50m more needed"
    with running(api_server, hand.namespace):
        hand.create(queueName="team")
        name = first_ray_job(hand)
        uid = hand.find("ray.io/v1", "RayJob", name)["metadata"]["uid"]
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
        hand.kind(kueue, "Workload").create(body=workload, namespace=hand.namespace)
        hand.merge(kueue, "Workload", f"rayjob-{name}", {"status": {"conditions": [waiting]}}, "status")
        hand.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True}})
        expected = f"Storing the data: RayJob {name} waits for its turn in the queue team. Kueue says: {said}."
        eventually("the words", lambda: hand.condition("Ready").get("message") == expected)


def test_a_queue_that_dispatches_to_another_cluster_is_said_and_another_queue_helps(api_server, hand, controllers):
    with running(api_server, hand.namespace):
        hand.create(queueName="far")
        name = first_ray_job(hand)
        # As Kueue's webhook does for a queue with a MultiKueue admission check.
        hand.merge("ray.io/v1", "RayJob", name, {"spec": {"suspend": True, "managedBy": "kueue.x-k8s.io/multikueue"}})
        eventually("said", lambda: hand.reason() == "MultiKueue")
        assert f"RayJob {name} is in a MultiKueue queue" in hand.condition("Ready")["message"]
        hand.change(queueName="near")
        (other,) = eventually("another job", lambda: [each for each in hand.ray_jobs() if each != name])
        assert hand.find("ray.io/v1", "RayJob", other)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "near"
        eventually("forgotten", lambda: hand.reason() == "Starting")
