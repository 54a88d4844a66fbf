"""Which kind of workers runs how many tasks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from negset_api.errors import WorkFailed
from negset_jobs.adapters import work
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


def test_windows_is_told_what_to_use_instead(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(WorkFailed, match="expected Linux or macOS, got Windows; use the Windows Subsystem for Linux"), work.session(1):
        pass


def test_every_command_can_be_imported_where_there_is_no_fcntl():
    program = "import sys; sys.modules['fcntl'] = None; import negset_jobs.commands.laptop, negset_jobs.adapters.work"
    subprocess.run([sys.executable, "-c", program], check=True)
