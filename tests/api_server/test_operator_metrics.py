"""Steps and failed attempts are counted once, even if the operator restarts."""

from __future__ import annotations

import contextlib

import pytest
from operators import TRAINING, Cluster, eventually, pods_of_job_end, running

from negset_operator.loop import Operator

FAULTS = ("input", "work", "unavailable", "interruption", "refused")
EXIT_1 = "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\nnegset: no\n"


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def steps(operator: Operator, kind: str) -> float:
    return operator.metrics.registry.get_sample_value("negset_step_duration_seconds_count", {"kind": kind})


def failures(operator: Operator, kind: str) -> dict[str, float]:
    counted = {
        fault: operator.metrics.registry.get_sample_value("negset_step_failures_total", {"kind": kind, "fault": fault}) for fault in FAULTS
    }
    return {fault: count for fault, count in counted.items() if count}


def look(operator: Operator, cluster: Cluster, value: str) -> None:
    """Change something outside the spec, and wait for the reconcile."""

    def reconciles() -> float:
        return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count")

    before = eventually("a first reconcile", reconciles)
    cluster.annotate("seen", value)
    eventually("a reconcile", lambda: reconciles() > before)


def test_a_finished_step_counts_once_and_not_again_after_a_restart(api_server, cluster):
    with running(api_server, cluster.namespace) as first:
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        cluster.job_succeeds(check)
        (data,) = eventually("the data", cluster.ray_jobs)
        eventually("the check is counted", lambda: steps(first, "check") == 1)
        look(first, cluster, "by the first")
        assert (steps(first, "check"), steps(first, "data")) == (1, 0)
    cluster.ray_succeeds(data)  # while no operator runs
    with running(api_server, cluster.namespace) as second:
        eventually("the data is counted", lambda: steps(second, "data") == 1)
        look(second, cluster, "by the second")
        assert (steps(second, "check"), steps(second, "data")) == (0, 1)
    with running(api_server, cluster.namespace) as third:
        look(third, cluster, "by the third")
        assert (steps(third, "check"), steps(third, "data")) == (0, 0)


def test_a_failed_attempt_counts_once_and_not_again_after_a_restart(api_server, cluster):
    with running(api_server, cluster.namespace) as first:
        cluster.create()
        (one,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_status(one, "Failed", "FAILED", reason="AppFailed", message=EXIT_1)
        (_, two) = eventually("a second attempt", lambda: len(found := cluster.ray_jobs()) == 2 and found)
        look(first, cluster, "by the first")
        assert failures(first, "data") == {"work": 1}
    cluster.ray_status(two, "Failed", "FAILED", message="the head is lost")  # while no operator runs
    with running(api_server, cluster.namespace) as second:
        eventually("a third attempt, after an interruption", lambda: f"{one}-a3" in cluster.ray_jobs())
        look(second, cluster, "by the second")
        assert failures(second, "data") == {"interruption": 1}
    with running(api_server, cluster.namespace) as third:
        look(third, cluster, "by the third")
        assert failures(third, "data") == {}


def test_a_failure_that_a_retry_replaces_has_counted_and_a_stall_counts_once(api_server, cluster, controllers):
    with running(api_server, cluster.namespace) as operator:
        cluster.create(**TRAINING)
        for wish in ("1", "2"):
            check = eventually("the check", cluster.jobs)[0]
            uid = cluster.find("batch/v1", "Job", check)["metadata"]["uid"]
            pods_of_job_end(cluster, check, code=2, said="negset: no such bucket")
            eventually("stalled", lambda: cluster.reason() == "InputRefused")
            look(operator, cluster, wish)
            assert failures(operator, "check") == {"input": float(wish)}
            cluster.merge("negset.dev/v1alpha1", "NegativeDataset", "street", {"metadata": {"annotations": {"negset.dev/retry": wish}}})
            eventually("another check", lambda u=uid: [job for job in cluster.all("batch/v1", "Job") if job["metadata"]["uid"] != u])
        assert failures(operator, "check") == {"input": 2.0}


def test_of_two_replicas_that_both_believe_to_lead_one_counts_a_failure(api_server, cluster):
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(running(api_server, cluster.namespace)) for _ in range(2)]
        cluster.create()
        (one,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_status(one, "Failed", "FAILED", reason="AppFailed", message=EXIT_1)
        eventually("a second attempt", lambda: len(cluster.ray_jobs()) == 2)
        for operator in both:
            look(operator, cluster, f"by {id(operator)}")
        assert sum(failures(operator, "data").get("work", 0) for operator in both) == 1
