"""Distribute work over processes and machines: the port to Ray and to processes of our own.

Both run the same tasks with the same results. On a cluster it is always Ray.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from negset_api.errors import WorkFailed
from negset_jobs.adapters import ray_map, ray_session, task_map
from negset_jobs.adapters.process_pool import Pool
from negset_jobs.adapters.worker import Batch, Report, Result, made_once

__all__ = ["Report", "map_unordered", "map_with_actors", "session"]

Task = TypeVar("Task")

MOST_WITHOUT_RAY: Final = 1000
"""Tasks for each worker that run without Ray, at most, on a machine where Ray does not run yet.

On one machine, Ray is never faster: its start takes 5 s, 5 s of CPU and 600 MB, and then each task
10 ms of CPU (`tests/benchmarks/without_ray.py`, two cores, 20 to 200,000 images). In exchange, Ray
ends a worker before the machine runs out of memory, which is worth something in a long run. A shard
of 128 images takes a core at least 0.1 s (`selection/sharding.py`). So with 1,000 shards for each
worker, the start is at most 5 % of the run.
"""


def on_ray(tasks: int, workers: int, *, address: str, running: bool, installed: bool) -> bool:
    """Return True if so many tasks run on Ray. Pure.

    `address` is `RAY_ADDRESS`. On a cluster, Ray sets it, and a user who sets it asks for Ray.
    `running` says that this process is connected to Ray already.
    """
    return bool(address) or running or (installed and tasks > MOST_WITHOUT_RAY * workers)


def map_unordered(
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    report: Callable[[int, int, int], None] = lambda _index, _done, _failed: None,
) -> Iterator[tuple[int, Result]]:
    """Call `function(task, report)` for every task, at most `workers` at the same time.

    Yield the index and the result of each finished task, in any order.

    If the function reports progress, `report(index, done, failed)` is called about twice a second,
    with sums since the task started. A task whose worker is lost is retried, and its sums start at
    zero again. `function` and tasks must be picklable by the standard pickle. Raises the first
    error: the function's own if it is a `NegsetError`, else `WorkFailed`.
    """
    with _opened(workers) as opened:
        if opened.runs_on_ray(len(tasks)):
            yield from task_map.map_unordered(ray_map.RayTasks(), function, tasks, at_once=workers, report=report)
        else:
            opened.pool.start(min(workers, len(tasks)))
            yield from task_map.map_unordered(opened.pool, function, tasks, at_once=workers, report=report)


def map_with_actors(
    make_worker: Callable[[], Callable[[Batch], Result]], batches: Sequence[Batch], *, workers: int, gpus: int = 0
) -> Iterator[Result]:
    """Yield the results of the batches, in order. For work with a costly start.

    Up to `workers` processes call `make_worker` once each, and then its result with every batch.
    They end with the last batch, and free their memory.

    `gpus` is the number for each process on a cluster. On a laptop, each process sees all GPUs of
    the machine.

    Batches go to any free process. So a process that starts late, or never because the cluster has
    no room, does not block the others. Raises as `map_unordered` does.
    """
    function = made_once(make_worker)
    with _opened(workers) as opened:
        if opened.runs_on_ray(len(batches)):
            yield from _in_order(ray_map.map_with_actors(function, batches, workers=workers, gpus=gpus))
        else:
            with Pool() as pool:
                pool.start(min(workers, len(batches)))
                yield from _in_order(task_map.map_unordered(pool, function, batches, at_once=workers))


@contextlib.contextmanager
def session(workers: int) -> Iterator[None]:
    """Keep the workers that the block starts, and Ray if it starts Ray, until the block ends.

    Sessions can be nested. Raises `WorkFailed` on an operating system without such workers.
    """
    with _opened(workers):
        yield


class _Session:
    def __init__(self, workers: int, pool: Pool, stack: contextlib.ExitStack) -> None:
        self.pool = pool
        self._workers, self._stack = workers, stack

    def runs_on_ray(self, tasks: int) -> bool:
        """Return True if so many tasks run on Ray. Then it runs until the end of the session."""
        running = ray_session.is_open()
        installed = importlib.util.find_spec("ray") is not None
        if not on_ray(tasks, self._workers, address=os.environ.get("RAY_ADDRESS", ""), running=running, installed=installed):
            return False
        if not running:
            self.pool.end()
            self._stack.enter_context(ray_session.session(self._workers))
        return True


class _Process:
    """The session of this process."""

    session: _Session | None = None


@contextlib.contextmanager
def _opened(workers: int) -> Iterator[_Session]:
    if _Process.session is not None:
        yield _Process.session
        return
    if sys.platform == "win32":
        raise WorkFailed("cannot start workers: expected Linux or macOS, got Windows; use the Windows Subsystem for Linux")
    with contextlib.ExitStack() as stack:
        _Process.session = _Session(workers, stack.enter_context(Pool()), stack)
        try:
            yield _Process.session
        finally:
            _Process.session = None


def _in_order(numbered: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Yield the results in the order of their numbers 0, 1, 2, …, as early as possible."""
    early: dict[int, Result] = {}
    following = 0
    for number, result in numbered:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1
