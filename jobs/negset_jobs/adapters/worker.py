"""What a worker does with a task, on Ray and in a process of our own alike.

A worker may reach what the process that submitted the task may reach: it enforces the address guard
before it unpickles anything that could open a connection.
"""

from __future__ import annotations

import concurrent.futures
import functools
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple, TypeVar

from negset_api.errors import NegsetError, WorkFailed
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.quoting import of_bug

Batch = TypeVar("Batch")
Result = TypeVar("Result")

Report = Callable[[int, int], None]
"""Called by a task with the number of newly finished units, and how many of these failed."""

Item = tuple[Literal["counts", "result", "failure"], Any]
"""What a worker sends.

First `counts`, any number of times: the sums of done and failed units. Then the packed `result`, or
the `failure`.
"""

_PROGRESS_SECONDS: Final = 0.5


class Failure(NamedTuple):
    """An error of the work, for the process that submitted it: class, arguments and traceback."""

    kind: type[NegsetError]
    arguments: tuple[object, ...]
    trace: str


class WorkerTraceback(Exception):
    """The traceback of an error in a worker, as text. It is the error's cause."""


def packed(work: object) -> bytes:
    """Return the work for another process.

    By the standard pickle: a function must be importable by its name. Without Ray there is no other
    pickle.
    """
    return pickle.dumps(work, pickle.HIGHEST_PROTOCOL)


def run_task(access: Access | None, work: bytes) -> Iterator[Item]:
    """Run `function(task, report)`; `work` is the packed pair of function and task.

    This is the only entry of work. Yield the sums of reported progress when they change, then the
    result or the failure.
    """
    done = failed = 0

    def report(more: int, failures: int) -> None:
        nonlocal done, failed
        done, failed = done + more, failed + failures

    sent = (0, 0)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(_ended, access, work, report)
        while not concurrent.futures.wait([future], _PROGRESS_SECONDS).done:
            if (done, failed) != sent:
                sent = (done, failed)
                yield "counts", sent
        yield future.result()


def _ended(access: Access | None, work: bytes, report: Report) -> Item:
    try:
        if access is not None:
            address_guard.enforce(access)
        function, task = pickle.loads(work)  # noqa: S301 - the process that submitted it is ours
        return "result", packed(function(task, report))
    except Exception as error:  # noqa: BLE001 - the process that submitted the work raises it
        return "failure", _failure(error)


def _failure(error: Exception) -> Failure:
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, NegsetError):
        return Failure(type(error), error.args, trace)
    while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename == __file__:
        error.__traceback__ = error.__traceback__.tb_next  # the place is in the work, not here
    return Failure(WorkFailed, (f"a worker failed: {of_bug(error)} (run with --debug for the traceback)",), trace)


def value_of(item: Item) -> Any:
    """Return the value of a worker's last item. Raises the error of a failure."""
    kind, value = item
    if kind == "failure":
        raise value.kind(*value.arguments) from WorkerTraceback(value.trace)
    return pickle.loads(value)  # noqa: S301 - our own worker sent it


def made_once(make_worker: Callable[[], Callable[[Batch], Result]]) -> Callable[[Batch, Report], Result]:
    """Return the function of a task that calls `make_worker` once in each process.

    Then it calls what was made with every batch.
    """
    return functools.partial(_call_made, packed(make_worker))


def _call_made(make_worker: bytes, batch: Any, _: Report) -> Any:
    return _made(make_worker)(batch)


@functools.lru_cache(maxsize=1)
def _made(make_worker: bytes) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = pickle.loads(make_worker)()  # noqa: S301 - as in `_ended`, which calls this
    return made
