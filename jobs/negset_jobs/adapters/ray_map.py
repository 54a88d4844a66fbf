"""Distribute work over processes and machines with Ray.

Only this module and `ray_session` import ray.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from negset_api.errors import WorkFailed
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.ray_session import session
from negset_jobs.adapters.task_map import RETRIES, WorkerLost
from negset_jobs.adapters.worker import Item, Report, packed, run_task, value_of

Task = TypeVar("Task")
Result = TypeVar("Result")


class RayTasks:
    """Workers of an open Ray session: each task is a Ray task.

    Ray's own retries do not suit a streaming generator: Ray does not repeat the items that a lost
    worker has sent, so a second attempt that sends fewer items seems to have no result.
    """

    def submit(self, access: Access | None, work: bytes) -> Any:
        import ray

        remote: Any = ray.remote(num_cpus=1, max_retries=0)(run_task)
        return remote.options(num_returns="streaming").remote(access, work)

    def ready(self, running: Collection[Any]) -> list[Any]:
        import ray

        ready: list[Any] = ray.wait(list(running), num_returns=1)[0]
        return ready

    def receive(self, task: Any) -> Item:
        import ray

        try:
            item: Item = ray.get(next(task))
        except ray.exceptions.RayError as error:
            raise WorkerLost(_one_line(error)) from error
        return item

    def finished(self, task: Any) -> None: ...

    def stop(self, task: Any) -> None:
        import ray

        ray.cancel(task, force=True)


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


def _get(ref: Any) -> Any:
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        raise WorkFailed(f"a worker was lost {RETRIES + 1} times: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
