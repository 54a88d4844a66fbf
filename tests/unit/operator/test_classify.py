"""The states of other controllers, as seen on real clusters, → the state of a child's work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from observed import (
    META,
    NOW,
    OWNER,
    condition,
    crashing,
    job,
    pod,
    ray_job,
    running,
    terminated,
)

from negset_operator import classify
from negset_operator.facts import Work
from negset_operator.kube.objects import Job, Pod, RayJob

ATTEMPTS = {
    "the label has it, for any name": ("renamed", {"negset.dev/attempt": "3"}, 3),
    "the label wins over the name": ("street-3fa9c1d2-data-a2", {"negset.dev/attempt": "3"}, 3),
    "a child of 0.1.0 has it in its name alone": ("street-3fa9c1d2-data-a2", {}, 2),
    "the first child of 0.1.0 has it nowhere": ("street-3fa9c1d2-data", {}, 1),
    "a label that is no number is ignored": ("street-3fa9c1d2-data-a2", {"negset.dev/attempt": "next"}, 2),
}


@pytest.mark.parametrize(("name", "labels", "attempt"), ATTEMPTS.values(), ids=ATTEMPTS.keys())
@pytest.mark.parametrize("kind", [RayJob, Job])
def test_the_attempt_of_a_child(kind, name, labels, attempt):
    item = msgspec.convert({"metadata": META | {"name": name, "labels": labels}}, kind, strict=False)
    child = classify.job(item, (), OWNER) if kind is Job else classify.ray_job(item, (), OWNER, NOW, timedelta(seconds=30))
    assert child.attempt == attempt


RAY: dict[str, tuple[dict[str, Any], bool, Work]] = {
    "no controller has touched it": ({}, False, Work.NOT_PICKED_UP),
    "KubeRay makes the cluster": ({"jobDeploymentStatus": "Initializing"}, False, Work.STARTING),
    "it runs": ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, False, Work.RUNNING),
    "it succeeded": ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, False, Work.SUCCEEDED),
    "Ray reports success, KubeRay has not finished": ({"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}, False, Work.RUNNING),
    "complete and stopped is not success": ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, False, Work.FAILED),
    "it failed": ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}, False, Work.FAILED),
    "KubeRay refuses it": ({"jobDeploymentStatus": "ValidationFailed"}, False, Work.FAILED),
    "Kueue has not admitted it": ({}, True, Work.SUSPENDED),
    "it is suspended": ({"jobDeploymentStatus": "Suspended"}, True, Work.SUSPENDED),
    "its pods are deleted": ({"jobDeploymentStatus": "Suspending"}, True, Work.SUSPENDED),
    "it is resumed": ({"jobDeploymentStatus": "Suspended"}, False, Work.STARTING),
    "KubeRay retries": ({"jobDeploymentStatus": "Retrying"}, False, Work.STARTING),
}


@pytest.mark.parametrize(("status", "suspend", "work"), RAY.values(), ids=RAY.keys())
def test_ray_jobs(status, suspend, work):
    assert ray_job(status, suspend=suspend).work is work


@pytest.mark.parametrize("deployment", ["Running", "Suspending", "Suspended"])
def test_a_suspended_ray_job_runs_until_its_pods_are_deleted(deployment):
    assert ray_job({"jobDeploymentStatus": deployment}, suspend=True, pods=(pod(phase="Running"),)).work is Work.RUNNING


JOBS: dict[str, tuple[dict[str, Any], bool, Work]] = {
    "no controller has touched it": ({}, False, Work.STARTING),
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


ENDS: dict[str, tuple[dict[str, Any], bool, tuple[Pod, ...], Work]] = {
    "a pod that has succeeded does not start again": ({"active": 1}, False, (pod(phase="Succeeded"),), Work.RUNNING),
    "one of two that has succeeded is not both": ({"active": 1, "parallelism": 2}, False, (pod(phase="Succeeded"),), Work.STARTING),
    "a pod that was asked to stop and still runs": ({"conditions": [condition("Suspended")]}, True, (pod(phase="Running"),), Work.RUNNING),
    "a pod that has stopped": ({"conditions": [condition("Suspended")]}, True, (pod(phase="Failed"),), Work.SUSPENDED),
}


@pytest.mark.parametrize(("status", "suspend", "pods", "work"), ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_pod(status, suspend, pods, work):
    assert job(status, suspend=suspend, pods=pods).work is work


def test_what_a_job_that_succeeded_had_to_say_is_kept():
    assert (
        job({"conditions": [condition("Complete", "", "")]}, pods=(terminated(0, "left alone: s3://b/x"),)).termination_message
        == "left alone: s3://b/x"
    )


def test_a_ray_jobs_work_began_with_its_heads_container():
    pods = (running("head", "2026-03-01T11:40:00Z"), running("worker", "2026-03-01T11:50:00Z"))
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=pods).began == datetime(2026, 3, 1, 11, 40, tzinfo=UTC)
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=(crashing("head"),)).began is None


def test_work_did_not_begin_before_its_pod_was_created_for_any_clock_of_its_node():
    pods = (running("head", "2026-03-01T09:00:00Z"),)
    assert ray_job({"jobDeploymentStatus": "Running"}, pods=pods).began == datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(("phases", "busy"), [((), False), (("Pending", "Failed"), False), (("Pending", "Running"), True)])
def test_a_job_of_which_no_pod_runs_may_be_replaced(phases, busy):
    child = job({"active": 2, "parallelism": 2}, pods=tuple(pod(phase=phase) for phase in phases))
    assert (child.work, child.busy) == (Work.STARTING, busy)


def test_a_child_is_ours_by_its_owners_uid():
    assert job({}).ours
    item = msgspec.convert({"metadata": {**META, "ownerReferences": [{"uid": "other"}]}}, Job, strict=False)
    assert not classify.job(item, (), OWNER).ours
