"""The states of other controllers, as seen on real clusters, → the state of a child's work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from negset_operator import classify, obstacles
from negset_operator.facts import Failure, Fault, Obstacle, Work
from negset_operator.kube.objects import Condition, Job, Pod, RayJob

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OWNER = "owner"
META = {"name": "child", "namespace": "team-a", "ownerReferences": [{"uid": OWNER}], "creationTimestamp": "2026-03-01T11:59:50Z"}
LOGS = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\n{}"


def ray_job(status: dict[str, Any], *, suspend: bool = False, pods: tuple[Pod, ...] = (), now: datetime = NOW, managed_by: str = ""):
    spec = {"suspend": suspend, "managedBy": managed_by}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, RayJob, strict=False)
    return classify.ray_job(item, pods, OWNER, now, timedelta(seconds=30))


def job(status: dict[str, Any], *, suspend: bool = False, pods: tuple[Pod, ...] = (), warning: str = "", managed_by: str = ""):
    spec = {"suspend": suspend, "parallelism": status.get("parallelism", 1), "managedBy": managed_by}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, Job, strict=False)
    return classify.job(item, pods, OWNER, warning)


def pod(**status: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": "pod-1"}, "status": status}, Pod, strict=False)


def waiting(reason: str, message: str = "", container: str = "trainer") -> Pod:
    return pod(phase="Pending", containerStatuses=[{"name": container, "state": {"waiting": {"reason": reason, "message": message}}}])


def terminated(code: int, message: str = "", finished: str = "2026-03-01T11:00:00Z") -> Pod:
    state = {"terminated": {"exitCode": code, "message": message, "finishedAt": finished}}
    return pod(phase="Failed", containerStatuses=[{"name": "trainer", "state": state}])


def condition(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": "2026-03-01T11:30:00Z"}


ATTEMPTS = {
    "the label says it, whatever the name": ("renamed", {"negset.dev/attempt": "3"}, 3),
    "the label wins over the name": ("street-3fa9c1d2-data-a2", {"negset.dev/attempt": "3"}, 3),
    "a child of 0.1.0 has it in its name alone": ("street-3fa9c1d2-data-a2", {}, 2),
    "the first child of 0.1.0 has it nowhere": ("street-3fa9c1d2-data", {}, 1),
    "a label that is no number says nothing": ("street-3fa9c1d2-data-a2", {"negset.dev/attempt": "next"}, 2),
}


@pytest.mark.parametrize(("name", "labels", "attempt"), ATTEMPTS.values(), ids=ATTEMPTS.keys())
@pytest.mark.parametrize("kind", [RayJob, Job])
def test_the_attempt_of_a_child(kind, name, labels, attempt):
    item = msgspec.convert({"metadata": META | {"name": name, "labels": labels}}, kind, strict=False)
    child = classify.job(item, (), OWNER) if kind is Job else classify.ray_job(item, (), OWNER, NOW, timedelta(seconds=30))
    assert child.attempt == attempt


RAY: dict[str, tuple[dict[str, Any], bool, Work]] = {
    "nobody has touched it": ({}, False, Work.NOT_PICKED_UP),
    "KubeRay makes the cluster": ({"jobDeploymentStatus": "Initializing"}, False, Work.STARTING),
    "it runs": ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, False, Work.RUNNING),
    "it succeeded": ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, False, Work.SUCCEEDED),
    "Ray says succeeded, KubeRay has not finished": ({"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}, False, Work.RUNNING),
    "complete and stopped is not success": ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, False, Work.FAILED),
    "it failed": ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}, False, Work.FAILED),
    "KubeRay refuses it": ({"jobDeploymentStatus": "ValidationFailed"}, False, Work.FAILED),
    "Kueue has not admitted it": ({}, True, Work.SUSPENDED),
    "it is suspended": ({"jobDeploymentStatus": "Suspended"}, True, Work.SUSPENDED),
    "its pods are gone": ({"jobDeploymentStatus": "Suspending"}, True, Work.SUSPENDED),
    "it is asked to go on": ({"jobDeploymentStatus": "Suspended"}, False, Work.STARTING),
    "KubeRay retries": ({"jobDeploymentStatus": "Retrying"}, False, Work.STARTING),
}


@pytest.mark.parametrize(("status", "suspend", "work"), RAY.values(), ids=RAY.keys())
def test_ray_jobs(status, suspend, work):
    assert ray_job(status, suspend=suspend).work is work


@pytest.mark.parametrize("deployment", ["Running", "Suspending", "Suspended"])
def test_a_ray_job_that_is_asked_to_stop_runs_until_its_pods_are_gone(deployment):
    assert ray_job({"jobDeploymentStatus": deployment}, suspend=True, pods=(pod(phase="Running"),)).work is Work.RUNNING


RAY_FAILURES: dict[str, tuple[dict[str, Any], Failure]] = {
    "the job failed, and said why last": (
        {"reason": "AppFailed", "message": LOGS.format(1, "INFO start\nnegset: the bucket is gone\n\n")},
        Failure(fault=Fault.WORK, message="RayJob child failed with exit code 1: negset: the bucket is gone"),
    ),
    "the input is wrong": (
        {"reason": "AppFailed", "message": LOGS.format(2, "negset: excludeClasses: unknown class cars")},
        Failure(fault=Fault.INPUT, message="RayJob child reports that its input is invalid: negset: excludeClasses: unknown class cars"),
    ),
    "the job was killed, out of memory perhaps": (
        {"reason": "AppFailed", "message": LOGS.format(-9, "downloading")},
        Failure(fault=Fault.WORK, message="RayJob child failed with exit code -9: downloading"),
    ),
    "the job failed without a word": (
        {"reason": "AppFailed", "message": "Job entrypoint command failed with exit code 1. No logs available."},
        Failure(fault=Fault.WORK, message="RayJob child failed with exit code 1 and left no message.", silent=True),
    ),
    "the head was lost": (
        {"reason": "AppFailed", "message": "Job supervisor actor could not be scheduled:\nThe actor died because its node has died."},
        Failure(fault=Fault.INTERRUPTION, message="RayJob child was interrupted: The actor died because its node has died."),
    ),
    "the cluster did not start in time": (
        {"reason": "PreRunningDeadlineExceeded", "message": "The RayJob has passed the preRunningDeadlineSeconds."},
        Failure(fault=Fault.INTERRUPTION, message="RayJob child was interrupted: The RayJob has passed the preRunningDeadlineSeconds."),
    ),
    "KubeRay refuses it": (
        {"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "The RayJob spec is invalid: no"},
        Failure(fault=Fault.REFUSED, message="KubeRay rejected RayJob child: The RayJob spec is invalid: no"),
    ),
    "it was stopped": (
        {"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"},
        Failure(fault=Fault.INTERRUPTION, message="RayJob child was stopped from outside."),
    ),
}


@pytest.mark.parametrize(("status", "failure"), RAY_FAILURES.values(), ids=RAY_FAILURES.keys())
def test_why_a_ray_job_failed(status, failure):
    assert ray_job({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", **status}).failure == failure


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


def test_a_ray_job_that_nobody_picks_up():
    assert ray_job({}, now=NOW).obstacle is None
    later = ray_job({}, now=NOW + timedelta(seconds=30))
    assert later.obstacle == Obstacle(
        reason="NotPickedUp",
        message="RayJob child was created at 11:59:50 UTC, and no controller has started it. Ask the administrator whether KubeRay runs and watches this namespace.",
    )
    assert ray_job({}, suspend=True, now=NOW + timedelta(days=1)).obstacle is None
    resumed = {"startTime": "2026-03-01T11:59:55Z", "jobDeploymentStatus": ""}
    assert ray_job(resumed, now=NOW + timedelta(days=1)).obstacle is None


JOBS: dict[str, tuple[dict[str, Any], bool, Work]] = {
    "nobody has touched it": ({}, False, Work.STARTING),
    "its pod starts": ({"active": 1}, False, Work.STARTING),
    "its pod runs": ({"active": 1, "ready": 1}, False, Work.RUNNING),
    "one of two pods runs": ({"active": 2, "ready": 1, "parallelism": 2}, False, Work.STARTING),
    "one of two pods runs, the other is done": ({"active": 1, "ready": 1, "succeeded": 1, "parallelism": 2}, False, Work.RUNNING),
    "it is complete": ({"conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}, False, Work.SUCCEEDED),
    "it is about to be complete": ({"active": 1, "ready": 1, "conditions": [condition("SuccessCriteriaMet")]}, False, Work.RUNNING),
    "it failed": ({"conditions": [condition("FailureTarget"), condition("Failed")]}, False, Work.FAILED),
    "it is suspended": ({"conditions": [condition("Suspended")]}, True, Work.SUSPENDED),
    "it is asked to stop": ({"active": 1, "ready": 1}, True, Work.RUNNING),
    "it is suspended, and its pod saves a checkpoint": ({"terminating": 1, "conditions": [condition("Suspended")]}, True, Work.RUNNING),
    "its last pod has succeeded": ({"succeeded": 1}, False, Work.RUNNING),
    "it is about to fail": ({"conditions": [condition("FailureTarget")]}, False, Work.RUNNING),
}


@pytest.mark.parametrize(("status", "suspend", "work"), JOBS.values(), ids=JOBS.keys())
def test_jobs(status, suspend, work):
    assert job(status, suspend=suspend).work is work


# --- pods report their end before their Job does ------------------------------------------------
ENDS: dict[str, tuple[dict[str, Any], bool, tuple[Pod, ...], Work]] = {
    "a pod that has succeeded does not start again": ({"active": 1}, False, (pod(phase="Succeeded"),), Work.RUNNING),
    "one of two that has succeeded is not both": ({"active": 1, "parallelism": 2}, False, (pod(phase="Succeeded"),), Work.STARTING),
    "a pod that was asked to stop and still runs": ({"conditions": [condition("Suspended")]}, True, (pod(phase="Running"),), Work.RUNNING),
    "a pod that has stopped": ({"conditions": [condition("Suspended")]}, True, (pod(phase="Failed"),), Work.SUSPENDED),
}


@pytest.mark.parametrize(("status", "suspend", "pods", "work"), ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_pod(status, suspend, pods, work):
    assert job(status, suspend=suspend, pods=pods).work is work


@pytest.mark.parametrize(
    ("seconds", "how"),
    [(1, "made no progress and was stopped."), (1800, "ran for more than 1800 seconds and was stopped.")],
    ids=["the operator's, for want of progress", "its own"],
)
def test_a_deadline_that_has_passed_is_an_interruption(seconds, how):
    spec = {"activeDeadlineSeconds": seconds}
    status = {"conditions": [condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")]}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, Job, strict=False)
    # Its pods were killed, so their exit codes do not say why.
    assert classify.job(item, (terminated(137),), OWNER).failure == Failure(fault=Fault.INTERRUPTION, message=f"Job child {how}")
    status = {"jobDeploymentStatus": "Failed", "jobStatus": "RUNNING", "reason": "DeadlineExceeded", "message": "The RayJob has passed it"}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, RayJob, strict=False)
    failure = classify.ray_job(item, (), OWNER, NOW, timedelta(seconds=30)).failure
    assert failure == Failure(fault=Fault.INTERRUPTION, message=f"RayJob child {how}")


POLICY = "Container trainer for pod team-a/child-0-x failed with exit code 2 matching FailJob rule at index 0"

JOB_FAILURES: dict[str, tuple[dict[str, Any], tuple[Pod, ...], Failure]] = {
    "the last pod's last line": (
        condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        (
            terminated(1, "negset: earlier", "2026-03-01T10:00:00Z"),
            terminated(1, "Traceback\nnegset: out of space\n", "2026-03-01T11:00:00Z"),
        ),
        Failure(fault=Fault.WORK, message="Job child failed with exit code 1: negset: out of space"),
    ),
    "a pod that failed says why, and not its peers that ended after it": (
        condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        (
            terminated(1, "negset: out of memory", "2026-03-01T10:00:00Z"),
            terminated(75, "negset: worker 1 was lost", "2026-03-01T11:00:00Z"),
        ),
        Failure(fault=Fault.WORK, message="Job child failed with exit code 1: negset: out of memory"),
    ),
    "what it needs cannot be reached": (
        condition("Failed", "PodFailurePolicy", POLICY.replace("code 2", "code 69")),
        (terminated(69, "negset: cannot write s3://b/x: nothing answers"),),
        Failure(
            fault=Fault.UNAVAILABLE,
            message="Job child waits: a store or a server cannot be reached: negset: cannot write s3://b/x: nothing answers",
        ),
    ),
    "the input is wrong": (
        condition("Failed", "PodFailurePolicy", POLICY),
        (terminated(2, "negset: pipelineConfig: focal loss with a miner"),),
        Failure(fault=Fault.INPUT, message="Job child reports that its input is invalid: negset: pipelineConfig: focal loss with a miner"),
    ),
    "the input is wrong, and the pod is gone already": (
        condition("Failed", "PodFailurePolicy", POLICY),
        (),
        Failure(fault=Fault.INPUT, message="Job child reports that its input is invalid and left no message.", silent=True),
    ),
    "the pods are gone": (
        condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        (),
        Failure(fault=Fault.WORK, message="Job child failed: Job has reached the specified backoff limit", silent=True),
    ),
}


@pytest.mark.parametrize(("failed", "pods", "failure"), JOB_FAILURES.values(), ids=JOB_FAILURES.keys())
def test_why_a_job_failed(failed, pods, failure):
    child = job({"conditions": [failed]}, pods=pods)
    assert child.failure == failure
    assert child.ended == datetime(2026, 3, 1, 11, 30, tzinfo=UTC)


def test_a_pod_that_failed_and_is_replaced_is_a_setback():
    assert job({"active": 1}, pods=(terminated(1, "negset: the bucket is gone"),)).last_failure == (
        "Previous pod failed with exit code 1: negset: the bucket is gone"
    )
    assert job({"active": 1}, pods=(waiting("ContainerCreating"),)).last_failure == ""


@pytest.mark.parametrize("code", [75, 143])
def test_a_pod_that_was_stopped_did_not_fail(code):
    assert job({"active": 1}, pods=(terminated(code, "negset: stopped after step 116 of 400"),)).last_failure == (
        "Previous pod was stopped: negset: stopped after step 116 of 400"
    )


@pytest.mark.parametrize("code", [75, 143])
def test_a_ray_job_whose_driver_was_stopped_did_not_fail_either(code):
    child = ray_job({"jobDeploymentStatus": "Failed", "message": LOGS.format(code, "negset: interrupted"), "reason": "AppFailed"})
    assert child.failure == Failure(fault=Fault.INTERRUPTION, message="RayJob child was stopped from outside: negset: interrupted")


def test_what_a_job_that_succeeded_had_to_say_is_kept():
    assert (
        job({"conditions": [condition("Complete", "", "")]}, pods=(terminated(0, "left alone: s3://b/x"),)).termination_message
        == "left alone: s3://b/x"
    )


def of_cluster(node_type: str, name: str = "", **status: Any) -> Pod:
    meta = {"name": name or f"{node_type}-1", "labels": {"ray.io/node-type": node_type}, "creationTimestamp": "2026-03-01T11:00:00Z"}
    return msgspec.convert({"metadata": meta, "status": status}, Pod, strict=False)


def running(node_type: str, started: str = "2026-03-01T11:40:00Z") -> Pod:
    return of_cluster(node_type, phase="Running", containerStatuses=[{"name": "ray", "state": {"running": {"startedAt": started}}}])


def crashing(node_type: str, name: str = "") -> Pod:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T11:20:00Z"}
    return of_cluster(node_type, name, phase="Running", conditions=[ready], containerStatuses=[{"name": "ray", "state": state}])


def unschedulable(node_type: str) -> Pod:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes.", "lastTransitionTime": MOMENT}
    return of_cluster(node_type, phase="Pending", conditions=[said])


MOMENT = "2026-03-01T11:20:00Z"
UNMADE = {"rayClusterStatus": {"conditions": [condition("ReplicaFailure", "FailedCreateHeadPod", "exceeded quota")]}}

# --- obstacles of a RayJob that runs: pods, status → the reported reason and pod ---
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


@pytest.mark.parametrize(("pods", "status", "told"), STOPPED.values(), ids=STOPPED.keys())
def test_a_ray_job_that_says_running_is_stopped_by(pods, status, told):
    child = ray_job({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", **status}, pods=pods)
    assert child.work is Work.RUNNING
    assert (child.obstacle is None) == (told is None)
    if told is not None:
        assert child.obstacle.reason == told[0]
        assert told[1] in child.obstacle.message
        assert child.obstacle.since is not None


def test_a_head_crashes_since_it_was_made_at_the_earliest_whatever_the_clock_of_its_node_says():
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T09:00:00Z"}
    crashed = msgspec.structs.replace(
        crashing("head"), status=msgspec.structs.replace(crashing("head").status, conditions=(msgspec.convert(ready, Condition),))
    )
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=(crashed,)).obstacle.since == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


def test_what_is_missing_while_a_ray_job_is_being_suspended_is_no_obstacle():
    assert ray_job({"jobDeploymentStatus": "Running"}, suspend=True, pods=(crashing("head"),)).obstacle is None


def test_a_ray_jobs_work_began_with_its_heads_container():
    pods = (running("head", "2026-03-01T11:40:00Z"), running("worker", "2026-03-01T11:50:00Z"))
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=pods).began == datetime(2026, 3, 1, 11, 40, tzinfo=UTC)
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=(crashing("head"),)).began is None


def test_work_did_not_begin_before_its_pod_was_made_whatever_the_clock_of_its_node_says():
    pods = (running("head", "2026-03-01T09:00:00Z"),)
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=pods).began == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


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


@pytest.mark.parametrize(("phases", "busy"), [((), False), (("Pending", "Failed"), False), (("Pending", "Running"), True)])
def test_a_job_of_which_no_pod_runs_may_be_replaced(phases, busy):
    child = job({"active": 2, "parallelism": 2}, pods=tuple(pod(phase=phase) for phase in phases))
    assert (child.work, child.busy) == (Work.STARTING, busy)


def test_a_secret_that_was_missing_and_comes_is_no_obstacle_any_more():
    missing = waiting("CreateContainerConfigError", 'secret "s3" not found')
    assert ray_job({"jobDeploymentStatus": "Initializing"}, pods=(missing,)).obstacle is not None
    assert job({"active": 1}, pods=(missing,)).obstacle is not None
    there = pod(phase="Running", containerStatuses=[{"name": "trainer", "state": {"running": {}}}])
    begun, training = ray_job({"jobDeploymentStatus": "Initializing"}, pods=(there,)), job({"active": 1, "ready": 1}, pods=(there,))
    assert (begun.obstacle, begun.work) == (None, Work.STARTING)
    assert (training.obstacle, training.work) == (None, Work.RUNNING)


def test_a_child_is_ours_by_its_owners_uid():
    assert job({}).ours
    item = msgspec.convert({"metadata": {**META, "ownerReferences": [{"uid": "other"}]}}, Job, strict=False)
    assert not classify.job(item, (), OWNER).ours


@pytest.mark.parametrize(
    ("deleted", "condition", "node"),
    [
        pytest.param(True, {"type": "DisruptionTarget", "reason": "DeletionByTaintManager"}, "node-7", id="its node does not answer"),
        pytest.param(False, {"type": "DisruptionTarget", "reason": "DeletionByTaintManager"}, None, id="it may still stay"),
        pytest.param(True, {"type": "DisruptionTarget", "reason": "PreemptionByScheduler"}, None, id="it makes room for another"),
        pytest.param(True, {"type": "Ready", "reason": ""}, None, id="somebody deleted it"),
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
    "a RayJob that was let go, and that no controller of this cluster looks at": (ray_job, {}, False, True),
    "a RayJob that runs in the other cluster all the same": (ray_job, {"jobDeploymentStatus": "Running"}, False, False),
    "a RayJob that has succeeded there": (ray_job, {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, False, False),
    "a Job that waits for the other cluster": (job, {}, True, True),
    "a Job that was let go, and that no controller of this cluster looks at": (job, {}, False, True),
    "a Job that runs in the other cluster all the same": (job, {"active": 1, "ready": 1}, False, False),
}


@pytest.mark.parametrize(("child", "status", "suspend", "said"), MULTIKUEUE.values(), ids=MULTIKUEUE.keys())
def test_a_child_that_kueue_dispatches_to_another_cluster(child, status, suspend, said):
    found = child(status, suspend=suspend, managed_by="kueue.x-k8s.io/multikueue").obstacle
    assert (found is not None and found.reason == "MultiKueue") is said
    assert not said or "Set spec.queueName to a LocalQueue without MultiKueue" in found.message
    for here in ("", "kubernetes.io/job-controller", "ray.io/kuberay-operator"):
        assert child(status, suspend=suspend, managed_by=here).obstacle is None
