"""Why a child does not start or does not continue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from observed import (
    META,
    NOW,
    condition,
    crashing,
    job,
    of_cluster,
    pod,
    ray_job,
    running,
    terminated,
    unschedulable,
    waiting,
)

from negset_operator import obstacles
from negset_operator.facts import Obstacle, Work
from negset_operator.kube.objects import Condition, Pod

OBSTACLES: dict[str, tuple[Pod, Obstacle]] = {
    "an image that is not there": (
        waiting("ErrImagePull", 'failed to pull "negset/jobs:0":\n  not found'),
        Obstacle(
            reason="ImagePullBackOff",
            message='Container trainer of pod pod-1 cannot start: ErrImagePull: failed to pull "negset/jobs:0": not found',
        ),
    ),
    "an image that is asked for again and again": (
        waiting("ImagePullBackOff"),
        Obstacle(reason="ImagePullBackOff", message="Container trainer of pod pod-1 cannot start: ImagePullBackOff"),
    ),
    "a secret that is missing": (
        waiting("CreateContainerConfigError", 'secret "s3" not found'),
        Obstacle(
            reason="CreateContainerConfigError",
            message='Container trainer of pod pod-1 cannot start: CreateContainerConfigError: secret "s3" not found',
        ),
    ),
    "no node has room": (
        pod(
            phase="Pending",
            conditions=[
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes: Insufficient nvidia.com/gpu."}
            ],
        ),
        Obstacle(reason="Unschedulable", message="Pod pod-1 cannot be scheduled: 0/2 nodes: Insufficient nvidia.com/gpu."),
    ),
    "an init container that cannot start": (
        pod(
            phase="Pending", initContainerStatuses=[{"name": "wait", "state": {"waiting": {"reason": "InvalidImageName", "message": "x"}}}]
        ),
        Obstacle(reason="InvalidImageName", message="Container wait of pod pod-1 cannot start: InvalidImageName: x"),
    ),
}


@pytest.mark.parametrize(("seen", "obstacle"), OBSTACLES.values(), ids=OBSTACLES.keys())
def test_why_a_pod_does_not_start(seen, obstacle):
    assert ray_job({"jobDeploymentStatus": "Initializing"}, pods=(seen,)).obstacle == obstacle
    assert job({"active": 1}, pods=(seen,)).obstacle == obstacle


def test_a_container_that_is_being_created_is_no_obstacle():
    assert job({"active": 1}, pods=(waiting("ContainerCreating"), waiting("PodInitializing"))).obstacle is None


def test_a_pod_that_ended_or_is_going_is_no_obstacle():
    gone = msgspec.structs.replace(
        waiting("ImagePullBackOff"), metadata=msgspec.structs.replace(waiting("").metadata, deletion_timestamp=NOW)
    )
    assert job({"active": 1}, pods=(terminated(1), gone)).obstacle is None


def test_a_ray_cluster_whose_pods_are_refused_for_a_moment_is_about_to_get_them():
    refused = condition("ReplicaFailure", "FailedCreateHeadPod", "no account") | {"lastTransitionTime": "2026-03-01T11:59:57Z"}
    status = {"jobDeploymentStatus": "Initializing", "rayClusterStatus": {"conditions": [refused]}}
    assert ray_job(status).obstacle is None
    assert ray_job(status, now=NOW + timedelta(seconds=3)).obstacle is not None


def test_a_ray_cluster_whose_pods_are_refused():
    status = {
        "jobDeploymentStatus": "Initializing",
        "rayClusterStatus": {
            "conditions": [
                condition("ReplicaFailure", "FailedCreateHeadPod", 'FailedCreateHeadPod pods "h" is forbidden: violates PodSecurity')
            ]
        },
    }
    assert ray_job(status).obstacle == Obstacle(
        reason="PodRefused",
        message='KubeRay cannot create the pods of RayJob child: FailedCreateHeadPod: pods "h" is forbidden: violates PodSecurity',
        since=datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
    )


def test_a_job_whose_pods_are_refused():
    assert job({}, warning='Error creating: pods "x" is forbidden: exceeded quota').obstacle == Obstacle(
        reason="PodRefused", message='Job child cannot create its pods: Error creating: pods "x" is forbidden: exceeded quota'
    )


def test_a_ray_job_that_no_controller_picks_up():
    assert ray_job({}, now=NOW).obstacle is None
    later = ray_job({}, now=NOW + timedelta(seconds=30))
    assert later.obstacle == Obstacle(
        reason="NotPickedUp",
        message="RayJob child was created at 11:59:50 UTC, and no controller has started it. Ask the administrator whether KubeRay runs and watches this namespace.",
    )
    assert ray_job({}, suspend=True, now=NOW + timedelta(days=1)).obstacle is None
    resumed = {"startTime": "2026-03-01T11:59:55Z", "jobDeploymentStatus": ""}
    assert ray_job(resumed, now=NOW + timedelta(days=1)).obstacle is None


UNMADE = {"rayClusterStatus": {"conditions": [condition("ReplicaFailure", "FailedCreateHeadPod", "exceeded quota")]}}
STOPPED: dict[str, tuple[tuple[Pod, ...], dict[str, Any], tuple[str, str] | None]] = {
    "nothing": ((running("head"), running("worker")), {}, None),
    "a head that crashes again and again": ((crashing("head"), running("worker")), {}, ("CrashLoopBackOff", "head-1")),
    "a head that no node has room for": ((unschedulable("head"), running("worker")), {}, ("Unschedulable", "head-1")),
    "a head that is not admitted any more": ((running("worker"),), UNMADE, ("PodRefused", "exceeded quota")),
    "no worker runs": ((running("head"), crashing("worker"), crashing("worker", "worker-2")), {}, ("CrashLoopBackOff", "worker-1")),
    "not one worker of several": ((running("head"), crashing("worker"), running("worker")), {}, None),
    "not a worker that is refused beside one that runs": ((running("head"), running("worker")), UNMADE, None),
    "not a worker that is being made while another is refused": (
        (running("head"), of_cluster("worker", phase="Pending")),
        UNMADE,
        None,
    ),
    "not what is being started": ((running("head"), of_cluster("worker", phase="Pending")), {}, None),
}


@pytest.mark.parametrize(("pods", "status", "obstacle"), STOPPED.values(), ids=STOPPED.keys())
def test_a_ray_job_that_says_running_is_stopped_by(pods, status, obstacle):
    child = ray_job({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", **status}, pods=pods)
    assert child.work is Work.RUNNING
    assert (child.obstacle is None) == (obstacle is None)
    if obstacle is not None:
        assert child.obstacle.reason == obstacle[0]
        assert obstacle[1] in child.obstacle.message
        assert child.obstacle.since is not None


def test_a_head_crashes_since_its_creation_at_the_earliest_for_any_clock_of_its_node():
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T09:00:00Z"}
    crashed = msgspec.structs.replace(
        crashing("head"), status=msgspec.structs.replace(crashing("head").status, conditions=(msgspec.convert(ready, Condition),))
    )
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=(crashed,)).obstacle.since == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


def test_what_is_missing_while_a_ray_job_is_being_suspended_is_no_obstacle():
    assert ray_job({"jobDeploymentStatus": "Running"}, suspend=True, pods=(crashing("head"),)).obstacle is None


SCHEDULED = [{"type": "PodScheduled", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "seconds", "stuck"),
    [
        pytest.param({"phase": "Pending", "conditions": SCHEDULED}, 30, True, id="a pod that has a node and does not begin is stuck"),
        pytest.param({"phase": "Pending", "conditions": SCHEDULED}, 10, False, id="not at once"),
        pytest.param({"phase": "Pending"}, 30, False, id="a pod without a node waits for the scheduler"),
        pytest.param({"phase": "Running", "conditions": SCHEDULED}, 30, False, id="a running pod is not stuck"),
    ],
)
def test_stuck_pods(status, seconds, stuck):
    item = msgspec.convert({"metadata": META, "status": status}, Pod, strict=False)
    found = obstacles.stuck_pod([item], NOW - timedelta(seconds=10) + timedelta(seconds=seconds), timedelta(seconds=20))
    assert (found is item) is stuck


def test_a_secret_that_was_missing_and_comes_is_no_obstacle_any_more():
    missing = waiting("CreateContainerConfigError", 'secret "s3" not found')
    assert ray_job({"jobDeploymentStatus": "Initializing"}, pods=(missing,)).obstacle is not None
    assert job({"active": 1}, pods=(missing,)).obstacle is not None
    there = pod(phase="Running", containerStatuses=[{"name": "trainer", "state": {"running": {}}}])
    begun, training = ray_job({"jobDeploymentStatus": "Initializing"}, pods=(there,)), job({"active": 1, "ready": 1}, pods=(there,))
    assert (begun.obstacle, begun.work) == (None, Work.STARTING)
    assert (training.obstacle, training.work) == (None, Work.RUNNING)


@pytest.mark.parametrize(
    ("deleted", "condition", "node"),
    [
        pytest.param(True, {"type": "DisruptionTarget", "reason": "DeletionByTaintManager"}, "node-7", id="its node does not answer"),
        pytest.param(False, {"type": "DisruptionTarget", "reason": "DeletionByTaintManager"}, None, id="it may still stay"),
        pytest.param(True, {"type": "DisruptionTarget", "reason": "PreemptionByScheduler"}, None, id="it makes room for another"),
        pytest.param(True, {"type": "Ready", "reason": ""}, None, id="a user deleted it"),
    ],
)
def test_a_pod_is_on_a_lost_node_if_kubernetes_deletes_it_because(deleted, condition, node):
    meta = {"name": "pod-1", "uid": "u", **({"deletionTimestamp": "2026-03-01T12:00:30Z"} if deleted else {})}
    status = {"phase": "Running", "conditions": [condition | {"status": "True"}]}
    pod = msgspec.convert({"metadata": meta, "spec": {"nodeName": "node-7"}, "status": status}, Pod, strict=False)
    found = ray_job({"jobDeploymentStatus": "Running"}, pods=(pod,)).pods_on_lost_nodes
    assert [each.node for each in found] == ([node] if node else [])


MULTIKUEUE = {
    "a RayJob that waits for the other cluster": (ray_job, {}, True, True),
    "a RayJob that was resumed, and that no controller of this cluster handles": (ray_job, {}, False, True),
    "a RayJob that runs in the other cluster all the same": (ray_job, {"jobDeploymentStatus": "Running"}, False, False),
    "a RayJob that has succeeded there": (ray_job, {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, False, False),
    "a Job that waits for the other cluster": (job, {}, True, True),
    "a Job that was resumed, and that no controller of this cluster handles": (job, {}, False, True),
    "a Job that runs in the other cluster all the same": (job, {"active": 1, "ready": 1}, False, False),
}


@pytest.mark.parametrize(("child", "status", "suspend", "said"), MULTIKUEUE.values(), ids=MULTIKUEUE.keys())
def test_a_child_that_kueue_dispatches_to_another_cluster(child, status, suspend, said):
    found = child(status, suspend=suspend, managed_by="kueue.x-k8s.io/multikueue").obstacle
    assert (found is not None and found.reason == "MultiKueue") is said
    assert not said or "Set spec.queueName to a LocalQueue without MultiKueue" in found.message
    for here in ("", "kubernetes.io/job-controller", "ray.io/kuberay-operator"):
        assert child(status, suspend=suspend, managed_by=here).obstacle is None
