"""Distribute work over processes of our own, on this machine."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from negset_api.errors import WorkFailed
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.process_pool import Pool, Worker, WorkerLost, ready
from negset_jobs.adapters.worker import RETRIES, Report, packed, value_of

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_unordered(
    pool: Pool,
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    report: Callable[[int, int, int], None] = lambda _index, _done, _failed: None,
) -> Iterator[tuple[int, Result]]:
    """Do what `work.map_unordered` describes, with the workers of the pool."""
    waiting = collections.deque(range(len(tasks)))
    lost: collections.Counter[int] = collections.Counter()
    running: dict[Worker, int] = {}
    pool.start(min(workers, len(tasks)))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                worker, index = pool.take(), waiting.popleft()
                running[worker] = index
                worker.submit(address_guard.access_of_process(), packed((function, tasks[index])))
            for worker in ready(running):
                try:
                    item = worker.receive()
                except WorkerLost as error:
                    index = running.pop(worker)
                    lost[index] += 1
                    if lost[index] > RETRIES:
                        raise WorkFailed(f"a worker was lost {lost[index]} times: {error}") from error
                    waiting.appendleft(index)
                    continue
                if item[0] == "counts":
                    report(running[worker], *item[1])
                else:
                    pool.give_back(worker)
                    yield running.pop(worker), value_of(item)
    finally:
        for worker in running:
            worker.end()
