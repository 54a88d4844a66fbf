"""The deletion of a dataset and of a namespace ends, and an event names the data that stays."""

from __future__ import annotations

import pytest
from operators import Cluster, eventually, first_ray_job, pods_of_job_end, running

from negset_api import names


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def events_about(cluster: Cluster, namespace: str, reason: str) -> list[dict]:
    events = cluster.kind("v1", "Event").get(namespace=namespace).to_dict()["items"]
    return [event for event in events if event["reason"] == reason and cluster.namespace in str(event)]


def test_a_namespace_that_is_being_deleted_is_not_blocked_and_an_event_has_the_url_of_the_data(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(deletionPolicy="Delete")
        (data,) = eventually("a child", cluster.ray_jobs)
        assert cluster.dataset()["metadata"]["finalizers"] == [names.FINALIZER]
        cluster.kind("v1", "Namespace").delete(name=cluster.namespace)
        # What the namespace controller does.
        cluster.remove("ray.io/v1", "RayJob", data)
        cluster.delete()
        eventually("deleted", lambda: cluster.dataset() is None, seconds=20)
        (event,) = events_about(cluster, "default", "DataLeft")
        assert event["involvedObject"]["kind"] == "Namespace"
        assert event["message"].endswith(f"The data is at s3://team-a/negatives/{cluster.namespace}/street.")


def test_an_object_that_never_ran_goes_at_once(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(deletionPolicy="Delete", suspend=True)
        eventually("the status", lambda: cluster.reason() == "Suspended")
        cluster.delete()
        eventually("deleted", lambda: cluster.dataset() is None, seconds=5)
        assert cluster.jobs() == []


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_with_delete_the_data_goes_before_the_object(api_server, cluster, controllers, policy):
    with running(api_server, cluster.namespace):
        cluster.create(deletionPolicy="Delete")
        name = first_ray_job(cluster)
        cluster.delete(policy=policy)
        eventually("the writer deleted", lambda: cluster.ray_jobs() == [])
        deleter = name.replace("data", "delete")
        eventually("the deleting job", lambda: cluster.jobs() == [deleter])
        eventually("said", lambda: cluster.reason() == "DeletingData")
        eventually(
            "its supporting objects",
            lambda: cluster.find("v1", "ServiceAccount", "street-negset") and cluster.find("v1", "ConfigMap", name.removesuffix("-data")),
        )
        pods_of_job_end(cluster, deleter)
        eventually("the object deleted", lambda: cluster.dataset() is None)
        eventually("everything deleted", lambda: not cluster.jobs() and cluster.find("v1", "ServiceAccount", "street-negset") is None)
