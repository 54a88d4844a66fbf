"""Which kind of workers runs how many tasks."""

from __future__ import annotations

import pytest

from negset_jobs.adapters.work import MOST_WITHOUT_RAY, on_ray

WORKERS = 3
FEW, MANY = MOST_WITHOUT_RAY * WORKERS, MOST_WITHOUT_RAY * WORKERS + 1

CASES = {
    "few tasks on a laptop run in processes of our own": (FEW, "", False, True, False),
    "many tasks on a laptop run on Ray": (MANY, "", False, True, True),
    "on a cluster one task runs on Ray": (1, "10.0.0.1:6379", False, True, True),
    "who sets RAY_ADDRESS gets Ray": (1, "auto", False, True, True),
    "few tasks after many use the Ray that runs already": (1, "", True, True, True),
    "without Ray, many tasks run in processes of our own": (MANY, "", False, False, False),
    "on a cluster Ray is needed, also if it is not installed": (1, "10.0.0.1:6379", False, False, True),
}


@pytest.mark.parametrize(("tasks", "address", "running", "installed", "ray"), CASES.values(), ids=CASES)
def test_it(tasks, address, running, installed, ray):
    assert on_ray(tasks, WORKERS, address=address, running=running, installed=installed) is ray
