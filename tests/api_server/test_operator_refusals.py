"""Objects that admission, a quota or validation refuses, against a real API server."""

from __future__ import annotations

import pytest
from operators import QUICK, TRAINING, Cluster, eventually, running
from testbed import objects

from negset_operator.config import Config, Pods, Resources


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_a_pod_that_admission_refuses_shows_its_reason(api_server, cluster, controllers):
    objects.limit(api_server.dynamic, cluster.namespace, "none", {"pods": "0"})
    with running(api_server, cluster.namespace):
        cluster.create(**TRAINING)
        (job,) = eventually("the check", cluster.jobs)
        eventually("the reason", lambda: cluster.reason() == "PodRefused")
        message = cluster.condition("Checked")["message"]
        assert message.startswith(f"Job {job} cannot create its pods: ")
        assert "exceeded quota: none" in message


def test_a_child_that_quota_refuses_shows_its_reason_and_is_tried_again(api_server, cluster):
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"count/rayjobs.ray.io": "0"}}}
    cluster.kind("v1", "ResourceQuota").create(body=body, namespace=cluster.namespace)
    cluster.merge(
        "v1", "ResourceQuota", "none", {"status": {"hard": {"count/rayjobs.ray.io": "0"}, "used": {"count/rayjobs.ray.io": "0"}}}, "status"
    )
    with running(api_server, cluster.namespace):
        cluster.create()
        eventually("the reason", lambda: cluster.reason() == "ChildRefused")
        assert "exceeded quota: none" in cluster.condition("Ready")["message"]
        assert cluster.condition("Reconciling")["status"] == "True"


def test_an_invalid_child_stalls_at_once_and_continues_when_the_configuration_is_corrected(api_server, cluster):
    impossible = Resources(requests={"cpu": "2", "memory": "1Gi"}, limits={"cpu": "1", "memory": "1Gi"})
    with running(api_server, cluster.namespace, config=Config(patience=QUICK, pods=Pods(check=impossible))):
        cluster.create(**TRAINING)
        eventually("stalled", lambda: cluster.condition("Stalled").get("reason") == "ChildRefused")
        assert "must be less than or equal to cpu limit" in cluster.condition("Stalled")["message"]
    with running(api_server, cluster.namespace):
        eventually("the check", cluster.jobs)
        eventually("going on", lambda: cluster.condition("Stalled") == {})
