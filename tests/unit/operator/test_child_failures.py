"""Why a child failed, and whose fault that is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from observed import (
    LOGS,
    META,
    NOW,
    OWNER,
    condition,
    job,
    ray_job,
    terminated,
    waiting,
)

from negset_operator import classify
from negset_operator.facts import Failure, Fault
from negset_operator.kube.objects import Job, Pod, RayJob

RAY_FAILURES: dict[str, tuple[dict[str, Any], Failure]] = {
    "the job failed, and its last line has the cause": (
        {"reason": "AppFailed", "message": LOGS.format(1, "INFO start\nnegset: the bucket does not exist\n\n")},
        Failure(fault=Fault.WORK, message="RayJob child failed with exit code 1: negset: the bucket does not exist"),
    ),
    "the input is wrong": (
        {"reason": "AppFailed", "message": LOGS.format(2, "negset: excludeClasses: unknown class cars")},
        Failure(fault=Fault.INPUT, message="RayJob child reports that its input is invalid: negset: excludeClasses: unknown class cars"),
    ),
    "the job was killed, out of memory perhaps": (
        {"reason": "AppFailed", "message": LOGS.format(-9, "downloading")},
        Failure(fault=Fault.WORK, message="RayJob child failed with exit code -9: downloading"),
    ),
    "the job failed without output": (
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


@pytest.mark.parametrize(
    ("seconds", "how"),
    [(1, "made no progress and was stopped."), (1800, "ran for more than 1800 seconds and was stopped.")],
    ids=["the operator's, for want of progress", "its own"],
)
def test_a_deadline_that_has_passed_is_an_interruption(seconds, how):
    spec = {"activeDeadlineSeconds": seconds}
    status = {"conditions": [condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")]}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, Job, strict=False)
    # Its pods were killed, so their exit codes are not the cause.
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
    "a pod that failed has the cause, and not its peers that ended after it": (
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
            message="Job child ended because a store or a server cannot be reached: negset: cannot write s3://b/x: nothing answers",
        ),
    ),
    "the input is wrong": (
        condition("Failed", "PodFailurePolicy", POLICY),
        (terminated(2, "negset: pipelineConfig: focal loss with a miner"),),
        Failure(fault=Fault.INPUT, message="Job child reports that its input is invalid: negset: pipelineConfig: focal loss with a miner"),
    ),
    "the input is wrong, and the pod is already deleted": (
        condition("Failed", "PodFailurePolicy", POLICY),
        (),
        Failure(fault=Fault.INPUT, message="Job child reports that its input is invalid and left no message.", silent=True),
    ),
    "the pods are deleted": (
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


def test_a_pod_that_failed_and_is_replaced_is_the_last_failure():
    assert job({"active": 1}, pods=(terminated(1, "negset: the bucket does not exist"),)).last_failure == (
        "Previous pod failed with exit code 1: negset: the bucket does not exist"
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
