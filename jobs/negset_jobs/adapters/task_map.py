"""Run tasks on workers that may be lost. The same for both kinds of workers."""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from negset_api.errors import WorkFailed
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.worker import Item, Report, packed, value_of

Task = TypeVar("Task")
Result = TypeVar("Result")
Running = TypeVar("Running")

RETRIES: Final = 3
"""Retries of a task whose worker was lost.

An error that the task itself raises is not retried: it would be raised again.
"""


class WorkerLost(Exception):
    """A worker ended before its task did. The text says how."""


class Workers(Protocol[Running]):
    """The workers of one kind. `Running` is a task that one of them runs."""

    def submit(self, access: Access | None, work: bytes) -> Running:
        """Start a task: `worker.run_task` in a worker."""

    def ready(self, running: Collection[Running]) -> list[Running]:
        """Wait until one of the tasks has sent an item, or its worker was lost. Return these."""

    def receive(self, task: Running) -> Item:
        """Return the next item of a ready task. Raises `WorkerLost`."""

    def finished(self, task: Running) -> None:
        """Take note that the last item was received. The worker may run another task."""

    def stop(self, task: Running) -> None:
        """End the task with its worker."""


def map_unordered(
    workers: Workers[Running],
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    *,
    at_once: int,
    report: Callable[[int, int, int], None] = lambda _index, _done, _failed: None,
) -> Iterator[tuple[int, Result]]:
    """Do what `work.map_unordered` describes, with these workers."""
    waiting = collections.deque(range(len(tasks)))
    lost: collections.Counter[int] = collections.Counter()
    running: dict[Running, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index = waiting.popleft()
                running[workers.submit(address_guard.access_of_process(), packed((function, tasks[index])))] = index
            for task in workers.ready(running.keys()):
                try:
                    item = workers.receive(task)
                except WorkerLost as error:
                    index = running.pop(task)
                    lost[index] += 1
                    if lost[index] > RETRIES:
                        raise WorkFailed(f"a worker was lost {lost[index]} times: {error}") from error
                    waiting.appendleft(index)
                    continue
                if item[0] == "counts":
                    report(running[task], *item[1])
                else:
                    index = running.pop(task)
                    workers.finished(task)
                    yield index, value_of(item)
    finally:
        for task in running:
            workers.stop(task)
