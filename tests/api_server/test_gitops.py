"""What GitOps tools report about a dataset, and that a second apply changes nothing."""

from __future__ import annotations

import pytest
from operators import SPEC, Hand, eventually, running
from tests.contract.test_gitops_health import argo_health, flux_status

from negset_api import names


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def verdicts(hand: Hand) -> tuple[str, str]:
    """Return the states that Argo CD and Flux report for the dataset now."""
    dataset = hand.dataset()
    return argo_health(dataset)[0], flux_status(dataset)


def test_a_dataset_that_no_operator_has_seen_is_waited_for(hand):
    hand.create()
    assert verdicts(hand) == ("Progressing", "InProgress")


def test_work_is_progressing_and_done_is_healthy(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        (data,) = eventually("a RayJob", hand.ray_jobs)
        eventually("the status", lambda: hand.reason() == "Starting")
        assert verdicts(hand) == ("Progressing", "InProgress")
        hand.ray_succeeds(data)
        eventually("both say it is done", lambda: verdicts(hand) == ("Healthy", "Current"))


def test_suspended_is_suspended_and_resumed_is_progressing(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(suspend=True)
        eventually("both see the suspension", lambda: verdicts(hand) == ("Suspended", "Current"))
        hand.change(suspend=False)
        eventually("it goes on", lambda: verdicts(hand) == ("Progressing", "InProgress") and hand.ray_jobs())


def test_a_spec_that_cannot_work_is_degraded_with_the_reason(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(output={"url": "/home/me/negatives"})
        eventually("both see the mistake", lambda: verdicts(hand) == ("Degraded", "Failed"))
        assert "spec.output.url" in argo_health(hand.dataset())[1]


def test_a_dataset_that_waits_for_its_data_to_be_deleted_is_progressing(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(deletionPolicy="Delete")
        eventually("a RayJob", hand.ray_jobs)
        hand.delete()
        eventually("the deletion", lambda: (hand.dataset() or {}).get("metadata", {}).get("deletionTimestamp"))
        assert verdicts(hand) == ("Progressing", "InProgress")


def test_a_second_apply_by_another_manager_changes_nothing(api_server, hand):
    """Server-side apply as Argo CD and Flux do it.

    It runs before and after the operator has written its status and finalizer.
    """
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": hand.namespace},
        "spec": {**SPEC, "deletionPolicy": "Delete"},
    }

    def apply(manager: str) -> dict:
        kind = hand.kind(names.API_VERSION, names.KIND)
        return kind.server_side_apply(body=body, namespace=hand.namespace, field_manager=manager).to_dict()

    apply("argocd-controller")
    with running(api_server, hand.namespace):
        (data,) = eventually("a RayJob", hand.ray_jobs)
        hand.ray_succeeds(data)
        eventually("it is ready", lambda: hand.condition("Ready").get("status") == "True")
    before = hand.dataset()
    apply("argocd-controller")
    apply("kustomize-controller")
    after = hand.dataset()
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1
    assert after["spec"] == before["spec"]
    assert after["status"] == before["status"]
    assert after["metadata"]["finalizers"] == before["metadata"]["finalizers"]
    assert hand.ray_jobs() == [data]
