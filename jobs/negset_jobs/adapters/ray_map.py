"""Work spread over processes and machines by Ray. With `ray_session` the only importer of ray."""

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
"""How often work is started again whose worker was lost.

An error that the work itself raises is not retried: it would only be raised again.
"""


_PROGRESS_SECONDS: Final = 0.5


def map_unordered(
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    report: Callable[[int, int, int], None] = lambda _index, _done, _failed: None,
) -> Iterator[tuple[int, Result]]:
    """`function(task, report)` of every task, at most `workers` at the same time; yields the task's
    index and the result as they come.

    What the function reports (done, failed) arrives here about twice a second, as `report(index,
    done, failed)` with sums since the task began; after a lost worker they begin again. `function`
    and tasks must be picklable. Raises the first error: the function's own where it is a
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
                        del running[stream]  # it is over; only what still runs is cancelled
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
    """The results of the batches, in order.

    Each of up to `workers` processes calls `make_worker` once, and what it returns with every
    batch: for work with a costly start.

    `gpus` are for each process, where the work runs on a cluster; on a laptop each sees what the
    machine has.

    Batches are taken from the iterable as they are needed and go to whichever process is free, so
    one that starts late, or never because the cluster has no room for it, holds up nothing while
    another runs. Errors as in `map_unordered`.
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
    """The number and the result of every batch, as they come."""
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
                # Room for two batches each: the next one lies ready when one is done.
                free += 2 * [starting.pop(ref)]
            else:
                handle, number = working.pop(ref)
                free.append(handle)
                yield number, _get(ref)


def _in_order(numbered: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """The results by their numbers 0, 1, 2, …, each as soon as those before it are there."""
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
        """Answers once the process is there."""

    def work(self, batch: Any) -> Any:
        # Made here and not in the constructor, whose errors Ray reports as a lost worker: the
        # reason would be buried in a traceback.
        if self._worker is None:
            self._worker = self._make_worker()
        return self._worker(batch)


def _packed(work: Any) -> bytes:
    import ray

    pickler: Any = ray.cloudpickle
    return bytes(pickler.dumps(work))


def _unpacked(access: Access | None, pickled: bytes) -> Any:
    """What a worker is to do, unpickled behind the guard.

    All work comes in by `_with_progress` and `_Actor`, and reaches what the process that gave it
    reaches.
    """
    import ray

    if access is not None:
        address_guard.enforce(access)
    return ray.cloudpickle.loads(pickled)


def _with_progress(access: Access | None, work: bytes) -> Iterator[tuple[str, Any]]:
    """Runs in the worker: what the function has reported so far, whenever that has changed, and at
    last its result. `work` is the function and its task.
    """
    function, task = _unpacked(access, work)
    done = failed = 0

    def report(more: int, failures: int) -> None:
        nonlocal done, failed
        done, failed = done + more, failed + failures

    told = (0, 0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(function, task, report)
        while not concurrent.futures.wait([future], _PROGRESS_SECONDS).done:
            if (done, failed) != told:
                told = (done, failed)
                yield "counts", told
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
