"""One training after the other, unless `training.maxParallel` allows more."""

from __future__ import annotations

import pytest
from operators import COMPARED, Cluster, eventually, running


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_trainings_take_turns_until_more_are_allowed(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(**COMPARED)
        (check,) = eventually("the check", cluster.jobs)
        first = check.removesuffix("check")
        cluster.job_succeeds(check)
        (data,) = eventually("the data", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        eventually("one training", lambda: f"{first}train-none" in cluster.jobs())
        # The API server has filled in what the manifest left out.
        assert cluster.dataset()["spec"]["training"]["maxParallel"] == 1
        eventually("the condition", lambda: cluster.condition("Trained").get("reason") == "Starting")
        cluster.job_runs(f"{first}train-none")
        eventually("that it runs", lambda: cluster.reason() == "Running")
        assert cluster.jobs() == sorted([check, f"{first}train-none"]), "the other model waits"
        uid = cluster.find("batch/v1", "Job", f"{first}train-none")["metadata"]["uid"]

        cluster.change(training={**COMPARED["training"], "maxParallel": 2})
        eventually("the other training", lambda: any(name.endswith("-train-1") for name in cluster.jobs()))
        assert cluster.find("batch/v1", "Job", f"{first}train-none")["metadata"]["uid"] == uid, "the edit stops nothing"
