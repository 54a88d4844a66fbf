"""Objects that admission, a quota or validation refuses, against a real API server."""

from __future__ import annotations

import pytest
from operators import QUICK, TRAINING, Hand, eventually, running

from negset_operator.config import Config, Pods, Resources


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def test_a_pod_that_admission_refuses_shows_its_reason(api_server, hand, controllers):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    hand.kind("v1", "ResourceQuota").create(body={"apiVersion": "v1", "kind": "ResourceQuota", **quota}, namespace=hand.namespace)
    with running(api_server, hand.namespace):
        hand.create(**TRAINING)
        (job,) = eventually("the check", hand.jobs)
        eventually("the reason", lambda: hand.reason() == "PodRefused")
        message = hand.condition("Checked")["message"]
        assert message.startswith(f"Job {job} cannot create its pods: ")
        assert "exceeded quota: none" in message


def test_a_child_that_quota_refuses_shows_its_reason_and_is_tried_again(api_server, hand):
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"count/rayjobs.ray.io": "0"}}}
    hand.kind("v1", "ResourceQuota").create(body=body, namespace=hand.namespace)
    hand.merge(
        "v1", "ResourceQuota", "none", {"status": {"hard": {"count/rayjobs.ray.io": "0"}, "used": {"count/rayjobs.ray.io": "0"}}}, "status"
    )
    with running(api_server, hand.namespace):
        hand.create()
        eventually("the reason", lambda: hand.reason() == "ChildRefused")
        assert "exceeded quota: none" in hand.condition("Ready")["message"]
        assert hand.condition("Reconciling")["status"] == "True"


def test_a_child_that_the_api_server_calls_invalid_stalls_at_once_and_goes_on_when_the_configuration_is_mended(api_server, hand):
    impossible = Resources(requests={"cpu": "2", "memory": "1Gi"}, limits={"cpu": "1", "memory": "1Gi"})
    with running(api_server, hand.namespace, config=Config(patience=QUICK, pods=Pods(check=impossible))):
        hand.create(**TRAINING)
        eventually("stalled", lambda: hand.condition("Stalled").get("reason") == "ChildRefused")
        assert "must be less than or equal to cpu limit" in hand.condition("Stalled")["message"]
    with running(api_server, hand.namespace):
        eventually("the check", hand.jobs)
        eventually("going on", lambda: hand.condition("Stalled") == {})
