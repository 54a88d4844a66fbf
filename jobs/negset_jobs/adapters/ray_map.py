"""Distribute work over processes and machines with Ray.

Only this module and `ray_session` import ray.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from negset_api.errors import NegsetError, WorkFailed
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.quoting import of_bug
from negset_jobs.adapters.ray_session import session

Task = TypeVar("Task")
Batch = TypeVar("Batch")
Result = TypeVar("Result")
Report = Callable[[int, int], None]

RETRIES: Final = 3
"""Retries of work whose worker was lost.

An error that the work itself raises is not retried: it would be raised again.
"""


_PROGRESS_SECONDS: Final = 0.5


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
    with sums since the task started. After a lost worker, the sums start at zero again. `function`
    and tasks must be picklable. Raises the first error: the function's own if it is a
    `NegsetError`, else `WorkFailed`.
    """
    waiting = collections.deque(enumerate(tasks))
    running: dict[Any, int] = {}
    with session(workers):
        import ray

        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_with_progress).options(num_returns="streaming")
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    index, task = waiting.popleft()
                    running[remote.remote(address_guard.access_of_process(), _packed((function, task)))] = index
                ready, _ = ray.wait(list(running), num_returns=1)
                for stream in ready:
                    try:
                        kind, value = _next_item(stream)
                    except NegsetError:
                        del running[stream]  # it has ended, and must not be cancelled
                        raise
                    if kind == "counts":
                        report(running[stream], *value)
                    else:
                        yield running.pop(stream), value
        finally:
            for stream in running:
                ray.cancel(stream, force=True)


def map_with_actors(
    make_worker: Callable[[], Callable[[Batch], Result]], batches: Iterable[Batch], *, workers: int, gpus: int = 0
) -> Iterator[Result]:
    """Yield the results of the batches, in order. For work with a costly start.

    Up to `workers` processes call `make_worker` once each, and then its result with every batch.

    `gpus` is the number for each process on a cluster. On a laptop, each process sees all GPUs of
    the machine.

    Batches are taken from the iterable when needed and go to any free process. So a process that
    starts late, or never because the cluster has no room, does not block the others. Raises as
    `map_unordered` does.
    """
    with session(workers):
        import ray

        claimed = gpus if os.environ.get("RAY_ADDRESS") else 0
        actor: Any = ray.remote(num_cpus=1, num_gpus=claimed, max_restarts=RETRIES, max_task_retries=RETRIES)(_Actor)
        actors = [actor.remote(address_guard.access_of_process(), _packed(make_worker)) for _ in range(workers)]
        try:
            yield from _in_order(_spread(actors, batches))
        finally:
            for handle in actors:
                ray.kill(handle)


def _spread(actors: Sequence[Any], batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the number and the result of every batch, in any order."""
    import ray

    starting = {handle.started.remote(): handle for handle in actors}
    working: dict[Any, tuple[Any, int]] = {}
    free: list[Any] = []
    waiting = enumerate(batches)
    more = True
    while more or working:
        while free and more:
            number, batch = next(waiting, (-1, None))
            more = number >= 0
            if more:
                handle = free.pop()
                working[handle.work.remote(batch)] = (handle, number)
        if working or more:
            (ref,), _ = ray.wait([*starting, *working], num_returns=1)
            if ref in starting:
                _get(ref)
                # Each process has two batches, so that the next one is ready when one is done.
                free += 2 * [starting.pop(ref)]
            else:
                handle, number = working.pop(ref)
                free.append(handle)
                yield number, _get(ref)


def _in_order(numbered: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Yield the results in the order of their numbers 0, 1, 2, …, as early as possible."""
    early: dict[int, Result] = {}
    following = 0
    for number, result in numbered:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1


class _Actor:
    def __init__(self, access: Access | None, make_worker: bytes) -> None:
        self._make_worker: Callable[[], Callable[[Any], Any]] = _unpacked(access, make_worker)
        self._worker: Callable[[Any], Any] | None = None

    def started(self) -> None:
        """Return when the process runs."""

    def work(self, batch: Any) -> Any:
        # Not in the constructor: Ray reports its errors as a lost worker, with the reason deep in a
        # traceback.
        if self._worker is None:
            self._worker = self._make_worker()
        return self._worker(batch)


def _packed(work: Any) -> bytes:
    import ray

    pickler: Any = ray.cloudpickle
    return bytes(pickler.dumps(work))


def _unpacked(access: Access | None, pickled: bytes) -> Any:
    """Enforce the address guard and unpickle a worker's task.

    `_with_progress` and `_Actor` are the only entries of work. A worker may reach what the process
    that submitted the work may reach.
    """
    import ray

    if access is not None:
        address_guard.enforce(access)
    return ray.cloudpickle.loads(pickled)


def _with_progress(access: Access | None, work: bytes) -> Iterator[tuple[str, Any]]:
    """Run in the worker: yield the sums of reported progress when they change, then the result.

    `work` is the function and its task.
    """
    function, task = _unpacked(access, work)
    done = failed = 0

    def report(more: int, failures: int) -> None:
        nonlocal done, failed
        done, failed = done + more, failed + failures

    sent = (0, 0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(function, task, report)
        while not concurrent.futures.wait([future], _PROGRESS_SECONDS).done:
            if (done, failed) != sent:
                sent = (done, failed)
                yield "counts", sent
        yield "result", future.result()


def _next_item(stream: Any) -> tuple[str, Any]:
    with _our_errors():
        return tuple(_get(next(stream)))


def _get(ref: Any) -> Any:
    import ray

    with _our_errors():
        return ray.get(ref)


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, NegsetError):
            raise type(cause)(*cause.args) from error
        raise WorkFailed(f"a worker failed: {of_bug(cause, str(error))} (run with --debug for the traceback)") from error
    except ray.exceptions.RayError as error:
        raise WorkFailed(f"a worker was lost {RETRIES + 1} times: {' '.join(str(error).split())[:300]}") from error
