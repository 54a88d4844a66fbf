"""Distribute work over processes and machines with Ray.

Only this module and `ray_session` import ray.
"""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from negset_api.errors import WorkFailed
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.ray_session import session
from negset_jobs.adapters.worker import RETRIES, Item, Report, packed, run_task, value_of

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    report: Callable[[int, int, int], None] = lambda _index, _done, _failed: None,
) -> Iterator[tuple[int, Result]]:
    """Do what `work.map_unordered` describes, in Ray tasks."""
    waiting = collections.deque(enumerate(tasks))
    running: dict[Any, int] = {}
    with session(workers):
        import ray

        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(run_task).options(num_returns="streaming")
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    index, task = waiting.popleft()
                    running[remote.remote(address_guard.access_of_process(), packed((function, task)))] = index
                ready, _ = ray.wait(list(running), num_returns=1)
                for stream in ready:
                    try:
                        item = _next_item(stream)
                    except WorkFailed:
                        del running[stream]  # it has ended, and must not be cancelled
                        raise
                    if item[0] == "counts":
                        report(running[stream], *item[1])
                    else:
                        yield running.pop(stream), value_of(item)
        finally:
            for stream in running:
                ray.cancel(stream, force=True)


def map_with_actors(
    function: Callable[[Task, Report], Result], tasks: Sequence[Task], *, workers: int, gpus: int = 0
) -> Iterator[tuple[int, Result]]:
    """Yield the number and the result of every task, in any order, from `workers` Ray actors.

    `gpus` is the number for each actor on a cluster.
    """
    with session(workers):
        import ray

        claimed = gpus if os.environ.get("RAY_ADDRESS") else 0
        actor: Any = ray.remote(num_cpus=1, num_gpus=claimed, max_restarts=RETRIES, max_task_retries=RETRIES)(_Actor)
        actors = [actor.remote() for _ in range(workers)]
        works = (packed((function, task)) for task in tasks)
        try:
            for number, item in _spread(actors, works):
                yield number, value_of(item)
        finally:
            for handle in actors:
                ray.kill(handle)


def _spread(actors: Sequence[Any], works: Iterable[bytes]) -> Iterator[tuple[int, Item]]:
    """Yield the number and the last item of every packed work, in any order."""
    import ray

    starting = {handle.started.remote(): handle for handle in actors}
    working: dict[Any, tuple[Any, int]] = {}
    free: list[Any] = []
    waiting = enumerate(works)
    more = True
    while more or working:
        while free and more:
            number, work = next(waiting, (-1, b""))
            more = number >= 0
            if more:
                handle = free.pop()
                working[handle.work.remote(address_guard.access_of_process(), work)] = (handle, number)
        if working or more:
            (ref,), _ = ray.wait([*starting, *working], num_returns=1)
            if ref in starting:
                _get(ref)
                # Each process has two tasks, so that the next one is ready when one is done.
                free += 2 * [starting.pop(ref)]
            else:
                handle, number = working.pop(ref)
                free.append(handle)
                yield number, _get(ref)


class _Actor:
    def started(self) -> None:
        """Return when the process runs."""

    def work(self, access: Access | None, work: bytes) -> Item:
        *_, item = run_task(access, work)
        return item


def _next_item(stream: Any) -> Item:
    with _our_errors():
        kind, value = _get(next(stream))
        return kind, value


def _get(ref: Any) -> Any:
    import ray

    with _our_errors():
        return ray.get(ref)


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise WorkFailed(f"a worker was lost {RETRIES + 1} times: {' '.join(str(error).split())[:300]}") from error
