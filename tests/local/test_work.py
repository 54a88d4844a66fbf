"""Work on both kinds of workers: results, errors, progress, and workers that are lost."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from tests.conftest import ROOT
from tests.local.workers import KINDS, working

from negset_api.errors import InvalidInput, Unavailable, WorkFailed
from negset_jobs.adapters import task_map, work
from negset_jobs.adapters.process_pool import Pool


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    with working(request.param):
        yield request.param


def readiness_to_end(task, report):
    return int(pathlib.Path("/proc/self/oom_score_adj").read_text())


def double(task, report):
    report(task, 0)
    return task * 2


def fail(task, report):
    raise task


def crash(task, report):
    raise ZeroDivisionError("by\nzero")


def not_importable_elsewhere(task, report):
    return lambda: task


def die_once(task, report):
    report(3, 1)
    time.sleep(1.2)  # longer than a worker waits before it sends its progress
    if not os.path.exists(task):
        pathlib.Path(task).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    report(2, 0)
    return "alive"


def finish_at_once_after_a_loss(task, report):
    if not os.path.exists(task):
        pathlib.Path(task).touch()
        for _ in range(3):
            report(1, 0)
            time.sleep(0.7)
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def always_die(task, report):
    pathlib.Path(f"{task}/{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def exit_at_once(task, report):
    os._exit(task)


def print_much(task, report):
    os.write(1, b"x" * (1 << 20))
    print("not a message to the process that submitted the task", flush=True)
    return task


class Adder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        return os.getpid(), sum(batch)


class DiesOnce:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __call__(self, batch):
        return batch, die_once(self.marker, lambda *_: None) if batch == 1 else ""


def refuse():
    raise InvalidInput("no model")


def has_ray(task, report):
    return "ray" in sys.modules


def test_only_a_worker_of_ray_imports_ray(kind):
    assert [value for _, value in work.map_unordered(has_ray, [0], workers=1)] == [kind == "Ray"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an order in which it ends processes if memory is short")
def test_if_memory_is_short_linux_ends_a_worker_first(kind):
    ((_, worker),) = work.map_unordered(readiness_to_end, [0], workers=1)
    assert worker > readiness_to_end(0, None)


def test_tasks_come_back_with_their_index(kind):
    assert sorted(work.map_unordered(double, [5, 6, 7], workers=2)) == [(0, 10), (1, 12), (2, 14)]
    assert list(work.map_unordered(double, [], workers=2)) == []


@pytest.mark.parametrize("error", [InvalidInput("task 1: wrong"), Unavailable("no network")])
def test_an_error_of_ours_arrives_as_it_was_raised(kind, error):
    with pytest.raises(type(error), match=f"^{error}$") as caught:
        list(work.map_unordered(fail, [error], workers=1))
    assert "in fail" in str(caught.value.__cause__), "--debug shows where in the worker"


def test_any_other_error_is_one_line(kind):
    with pytest.raises(WorkFailed, match=r"^a worker failed: ZeroDivisionError \(run with --debug for the traceback\)$"):
        list(work.map_unordered(crash, [1], workers=1))


def test_a_result_that_cannot_be_sent_is_an_error_and_no_lost_worker(kind):
    with pytest.raises(WorkFailed, match=r"^a worker failed: "):
        list(work.map_unordered(not_importable_elsewhere, [1], workers=1))


def test_after_an_error_the_same_workers_go_on(kind):
    with contextlib.suppress(InvalidInput):
        list(work.map_unordered(fail, [InvalidInput("x")] * 4, workers=2))
    assert [value for _, value in work.map_unordered(double, [1], workers=2)] == [2]


def test_what_a_task_prints_does_not_mix_with_its_result(kind):
    assert list(work.map_unordered(print_much, [7], workers=1)) == [(0, 7)]


def test_a_killed_worker_is_replaced_and_its_progress_starts_at_zero_again(kind, tmp_path):
    sums = []
    results = work.map_unordered(die_once, [f"{tmp_path}/died"], workers=1, report=lambda *told: sums.append(told))
    assert list(results) == [(0, "alive")]
    assert sums == [(0, 3, 1), (0, 3, 1)]


def test_a_second_attempt_that_reports_no_progress_has_a_result(kind, tmp_path):
    """For example, the first attempt had committed its shard already."""
    assert list(work.map_unordered(finish_at_once_after_a_loss, [f"{tmp_path}/died"], workers=1)) == [(0, "alive")]


def test_work_whose_worker_is_always_lost_ends_with_one_line(kind, tmp_path):
    how = {"processes": "its process was ended by SIGKILL; if memory is short, lower spec.ray.workers", "Ray": r"\S[^\n]*"}
    with pytest.raises(WorkFailed, match=f"^a worker was lost 4 times: {how[kind]}$"):
        list(work.map_unordered(always_die, [str(tmp_path)], workers=2))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_worker_that_exits_by_itself_names_its_exit_code():
    with Pool() as pool, pytest.raises(WorkFailed, match=r"exit code 3 \(run with --debug to see what it wrote\)$"):
        list(task_map.map_unordered(pool, exit_at_once, [3], at_once=1))


@pytest.mark.parametrize("workers", [1, 2, 5], ids=["one", "as many as there is room for", "more than there is room for"])
def test_actors_keep_the_order_whichever_of_them_are_there(kind, workers):
    results = list(work.map_with_actors(Adder, [[number, 1] for number in range(9)], workers=workers))
    assert [total for _, total in results] == [number + 1 for number in range(9)]
    assert len({process for process, _ in results}) <= workers


def test_a_killed_actor_is_replaced_and_the_order_is_kept(kind, tmp_path):
    make = functools.partial(DiesOnce, f"{tmp_path}/died")
    assert list(work.map_with_actors(make, [0, 1, 2, 3], workers=2)) == [(0, ""), (1, "alive"), (2, ""), (3, "")]


def test_a_worker_that_cannot_be_made_says_why(kind):
    with pytest.raises(InvalidInput, match=r"^no model$"):
        list(work.map_with_actors(refuse, [1], workers=1))


def process(task, report):
    return os.getpid()


def test_ctrl_c_of_a_terminal_ends_no_worker_not_even_one_that_starts():
    with Pool() as pool:
        pool.start(1)
        started = pool._idle[0]._process.pid
        for _ in range(100):
            os.kill(started, signal.SIGINT)
            time.sleep(0.01)
        assert list(task_map.map_unordered(pool, process, [0], at_once=1)) == [(0, started)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_no_worker_outlives_the_process_that_it_works_for(kind, number, tmp_path):
    program = [sys.executable, "-m", "tests.local.endless_work", kind, str(tmp_path)]
    parent = subprocess.Popen(program, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(list(tmp_path.iterdir())) == 2, 60)
        parent.send_signal(number)
        parent.wait(20)
        until(lambda: not [path.name for path in tmp_path.iterdir() if runs(path.name)], 20)
    finally:
        parent.kill()


def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.05)


def runs(process: str) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True, check=False).stdout
    return bool(state) and not state.startswith("Z")
