"""One training after the other, unless `training.maxParallel` allows more."""

from __future__ import annotations

import pytest
from operators import COMPARED, Hand, eventually, running


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def test_trainings_take_turns_until_more_are_allowed(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(**COMPARED)
        (check,) = eventually("the check", hand.jobs)
        first = check.removesuffix("check")
        hand.job_succeeds(check)
        (data,) = eventually("the data", hand.ray_jobs)
        hand.ray_succeeds(data)
        eventually("one training", lambda: f"{first}train-none" in hand.jobs())
        # The API server has filled in what the manifest left out.
        assert hand.dataset()["spec"]["training"]["maxParallel"] == 1
        eventually("that it is told", lambda: hand.condition("Trained").get("reason") == "Starting")
        hand.job_runs(f"{first}train-none")
        eventually("that it runs", lambda: hand.reason() == "Running")
        assert hand.jobs() == sorted([check, f"{first}train-none"]), "the other model waits"
        uid = hand.find("batch/v1", "Job", f"{first}train-none")["metadata"]["uid"]

        hand.change(training={**COMPARED["training"], "maxParallel": 2})
        eventually("the other training", lambda: any(name.endswith("-train-1") for name in hand.jobs()))
        assert hand.find("batch/v1", "Job", f"{first}train-none")["metadata"]["uid"] == uid, "the edit stops nothing"
