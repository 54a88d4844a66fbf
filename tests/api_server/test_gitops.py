"""What GitOps tools report about a dataset, and that a second apply changes nothing."""

from __future__ import annotations

import pytest
from operators import SPEC, Cluster, eventually, running
from tests.contract.test_gitops_health import argo_health, flux_status

from negset_api import names


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def verdicts(cluster: Cluster) -> tuple[str, str]:
    """Return the states that Argo CD and Flux report for the dataset now."""
    dataset = cluster.dataset()
    return argo_health(dataset)[0], flux_status(dataset)


def test_a_dataset_that_no_operator_has_seen_is_waited_for(cluster):
    cluster.create()
    assert verdicts(cluster) == ("Progressing", "InProgress")


def test_work_is_progressing_and_done_is_healthy(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        eventually("the status", lambda: cluster.reason() == "Starting")
        assert verdicts(cluster) == ("Progressing", "InProgress")
        cluster.ray_succeeds(data)
        eventually("both show that it is done", lambda: verdicts(cluster) == ("Healthy", "Current"))


def test_suspended_is_suspended_and_resumed_is_progressing(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(suspend=True)
        eventually("both see the suspension", lambda: verdicts(cluster) == ("Suspended", "Current"))
        cluster.change(suspend=False)
        eventually("it continues", lambda: verdicts(cluster) == ("Progressing", "InProgress") and cluster.ray_jobs())


def test_a_spec_that_cannot_work_is_degraded_with_the_reason(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(output={"url": "/home/me/negatives"})
        eventually("both see the mistake", lambda: verdicts(cluster) == ("Degraded", "Failed"))
        assert "spec.output.url" in argo_health(cluster.dataset())[1]


def test_a_dataset_that_waits_for_its_data_to_be_deleted_is_progressing(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(deletionPolicy="Delete")
        eventually("a RayJob", cluster.ray_jobs)
        cluster.delete()
        eventually("the deletion", lambda: (cluster.dataset() or {}).get("metadata", {}).get("deletionTimestamp"))
        assert verdicts(cluster) == ("Progressing", "InProgress")


def test_a_second_apply_by_another_manager_changes_nothing(api_server, cluster):
    """Server-side apply as Argo CD and Flux do it.

    It runs before and after the operator has written its status and finalizer.
    """
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": cluster.namespace},
        "spec": {**SPEC, "deletionPolicy": "Delete"},
    }

    def apply(manager: str) -> dict:
        kind = cluster.kind(names.API_VERSION, names.KIND)
        return kind.server_side_apply(body=body, namespace=cluster.namespace, field_manager=manager).to_dict()

    apply("argocd-controller")
    with running(api_server, cluster.namespace):
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        eventually("it is ready", lambda: cluster.condition("Ready").get("status") == "True")
    before = cluster.dataset()
    apply("argocd-controller")
    apply("kustomize-controller")
    after = cluster.dataset()
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1
    assert after["spec"] == before["spec"]
    assert after["status"] == before["status"]
    assert after["metadata"]["finalizers"] == before["metadata"]["finalizers"]
    assert cluster.ray_jobs() == [data]
