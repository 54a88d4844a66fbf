"""With `queueName`, a real Kueue decides when a dataset runs.

The tests need a cluster with Kueue: `make test-cluster` installs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from datasets import apply_and_hold, data_only
from image_host import ImageHost
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError
from tenant import Tenant, Timed
from testbed import objects
from testbed.objects import Object
from testbed.surroundings import Surroundings

from negset_api import names

MINUTES = 60

KUEUE = "kueue.x-k8s.io/v1beta2"
RAY_JOB = ("ray.io/v1", "RayJob")


@pytest.fixture
def tenant(make_tenant: Callable[[str], Tenant], release: str) -> Tenant:
    return make_tenant("team-a")


@pytest.fixture
def queue(client: DynamicClient, tenant: Tenant) -> Iterator[str]:
    """Create a queue with quota for one dataset's Ray cluster, not for two. Return its name.

    A Ray cluster is here a head and one worker.
    """
    try:
        client.resources.get(api_version=KUEUE, kind="ClusterQueue")
    except ResourceNotFoundError:
        pytest.skip("NOT TESTED, because this cluster has no Kueue: run `make cluster KUEUE=1`")
    name = tenant.namespace
    quota = [{"name": "cpu", "nominalQuota": "300m"}, {"name": "memory", "nominalQuota": "64Gi"}]
    objects.apply(
        client,
        [
            {"apiVersion": KUEUE, "kind": "ResourceFlavor", "metadata": {"name": name}},
            {
                "apiVersion": KUEUE,
                "kind": "ClusterQueue",
                "metadata": {"name": name},
                "spec": {
                    "namespaceSelector": {},
                    "preemption": {"withinClusterQueue": "LowerPriority"},
                    "resourceGroups": [{"coveredResources": ["cpu", "memory"], "flavors": [{"name": name, "resources": quota}]}],
                },
            },
            {"apiVersion": KUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": 1000},
            {"apiVersion": KUEUE, "kind": "LocalQueue", "metadata": {"name": "team", "namespace": name}, "spec": {"clusterQueue": name}},
        ],
    )
    yield "team"
    tenant.kubectl("delete", f"{names.PLURAL}", "--all", "--timeout=120s")
    tenant.kubectl("delete", f"clusterqueue/{name}", f"resourceflavor/{name}", f"workloadpriorityclass/{name}", "--timeout=60s")


def test_two_datasets_in_a_queue_for_one_run_one_after_the_other(
    tenant: Tenant, queue: str, around: Surroundings, image_host: ImageHost, timed: Timed
) -> None:
    for name in ("first", "second"):
        tenant.apply(data_only(tenant.namespace, around.bucket, image_host, name=name, queueName=queue))
    together, deadline = 0, time.monotonic() + 10 * MINUTES
    with timed("two datasets in a queue for one"):
        while not all(_ready(tenant, name) for name in ("first", "second")):
            together = max(together, _running(tenant))
            for name in ("first", "second"):
                assert objects.condition(tenant.dataset(name), "Stalled") != "True", tenant.dataset(name)["status"]
            assert time.monotonic() < deadline, "not both were Ready in 10 minutes"
            time.sleep(0.5)
    assert together == 1


def test_a_preempted_dataset_continues_afterwards_with_its_stored_images(
    tenant: Tenant, queue: str, around: Surroundings, many_images: ImageHost, timed: Timed
) -> None:
    manifest = data_only(tenant.namespace, around.bucket, many_images, count=300, queueName=queue)
    stored = apply_and_hold(tenant, manifest, many_images, timed)

    tenant.apply(_urgent(tenant.namespace, queue, f"{around.images}/jobs:{around.tag}"))
    with timed("until the dataset has made room for an urgent job"):
        queued = lambda: objects.condition(tenant.dataset("small"), "Ready", "reason") == "Queued"  # noqa: E731
        objects.wait_for("the condition says Queued", queued, seconds=2 * MINUTES)
    assert tenant.dataset("small")["status"]["stage"] == "Queued"
    many_images.release()
    tenant.kubectl("delete", "job/urgent", "--timeout=120s")
    tenant.wait_for_ready("small", 10 * MINUTES, timed)
    assert len(list(tenant.children(RAY_JOB))) == 1
    assert {image: many_images.asked[image] for image in stored} == dict.fromkeys(stored, 1)


def _urgent(namespace: str, queue: str, image: str) -> Object:
    """Return a Job of another owner with a higher priority, which needs the dataset's quota."""
    labels = {"kueue.x-k8s.io/queue-name": queue, "kueue.x-k8s.io/priority-class": namespace}
    restricted = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "urgent",
        "image": image,
        "command": ["sleep", "600"],
        "resources": {"requests": {"cpu": "200m", "memory": "64Mi"}},
        "securityContext": restricted,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "urgent", "namespace": namespace, "labels": labels},
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


def _ready(tenant: Tenant, name: str) -> bool:
    return objects.condition(tenant.dataset(name), "Ready") == "True"


def _running(tenant: Tenant) -> int:
    """Return how many RayJobs Kueue currently lets run."""
    return sum(not job["spec"].get("suspend") and not job["status"].get("endTime") for job in tenant.children(RAY_JOB) if job.get("status"))
