"""Work on Ray: results, errors, lost workers, and how a session starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal

import pytest

from negset_api.errors import InvalidInput, WorkFailed
from negset_jobs.adapters import ray_map, ray_session


@pytest.fixture(scope="module")
def running_ray():
    with ray_session.session(2):
        yield


def double(task, report):
    report(task, 0)
    return task * 2


def fail(task, report):
    raise InvalidInput(f"task {task}: wrong")


def crash(task, report):
    raise ZeroDivisionError("by\nzero")


def die_once(task, report):
    if not os.path.exists(task):
        with open(task, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


class Adder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return os.getpid(), sum(batch)


def test_tasks_come_back_with_their_index(running_ray):
    assert sorted(ray_map.map_unordered(double, [5, 6, 7], workers=2)) == [(0, 10), (1, 12), (2, 14)]


def test_an_error_of_ours_arrives_as_it_was_raised(running_ray):
    with pytest.raises(InvalidInput, match=r"^task 1: wrong$"):
        list(ray_map.map_unordered(fail, [1], workers=1))


def test_any_other_error_is_one_line(running_ray):
    with pytest.raises(WorkFailed, match=r"^a worker failed: ZeroDivisionError \(run with --debug for the traceback\)$"):
        list(ray_map.map_unordered(crash, [1], workers=1))


def test_a_killed_worker_is_replaced(running_ray, tmp_path):
    assert list(ray_map.map_unordered(die_once, [f"{tmp_path}/died"], workers=1)) == [(0, "alive")]


@pytest.mark.parametrize("workers", [1, 2, 5], ids=["one", "as many as there is room for", "more than there is room for"])
def test_actors_keep_the_order_whichever_of_them_are_there(running_ray, workers):
    results = list(ray_map.map_with_actors(Adder, ([number, 1] for number in range(9)), workers=workers))
    assert [total for _, total in results] == [number + 1 for number in range(9)]
    assert len({process for process, _ in results}) <= workers


def test_a_full_disk_is_reported_before_ray_starts(monkeypatch):
    full = shutil.disk_usage("/")._replace(free=3 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(WorkFailed, match=r"expected at least 16 MB free in .*, got 3;"), ray_session._private_folder():
        pass


def test_ctrl_c_that_compiled_code_swallows_comes_again():
    with pytest.raises(KeyboardInterrupt), ray_session._no_signal_lost(), contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
