"""Work spread over processes and machines by Ray. The only module that imports ray.

Inside a RayJob this is the job's cluster; on a laptop a small Ray of our own, for as long as the work takes.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import fcntl
import glob
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any, Final, TypeVar

from negset_api.errors import NegsetError, WorkFailed
from negset_jobs.adapters import guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.quoting import of_bug

Task = TypeVar("Task")
Batch = TypeVar("Batch")
Result = TypeVar("Result")
Report = Callable[[int, int], None]

RETRIES: Final = 3
"""How often work is started again whose worker was lost. An error that the work itself raises is not retried: it would only be raised again."""

log = logging.getLogger(__name__)

_STARTS: Final = 3
_START_SECONDS: Final = 60
_START_POLL_SECONDS: Final = 0.1
_SETTINGS: Final = {  # Ray's own settings, where the user has none
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # work that claims no GPU may use what it sees: a laptop's Ray claims none
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{_START_SECONDS}",
    "RAY_agent_register_timeout_ms": f"{_START_SECONDS * 1000}",
    "RAY_worker_register_timeout_seconds": f"{_START_SECONDS}",
}
_FOLDER: Final = "negset-ray-"
_LOCK: Final = "in-use"
_PROGRESS_SECONDS: Final = 0.5
_OBJECT_STORE_BYTES: Final = 128 << 20  # tasks and results are small; Ray's default is a third of the machine's memory
_LEAST_ROOM: Final = 16 << 20
_LONGEST_SOCKET_FOLDER: Final = 30  # Ray puts sockets below its folder, and a socket's path may have 107 characters


@contextlib.contextmanager
def session(workers: int) -> Iterator[None]:
    """A running Ray: the cluster that `RAY_ADDRESS` names, else one on this machine with `workers` CPUs, shut down at the end. Sessions can be nested.

    Raises `WorkFailed` where Ray cannot be started or reached.
    """
    for name, value in _SETTINGS.items():  # before the import, which reads some of them
        os.environ.setdefault(name, value)
    with _no_signal_lost():
        import ray

    if ray.is_initialized():
        yield
        return
    with contextlib.ExitStack() as stack:
        where: dict[str, Any] = {"address": "auto"}
        if not os.environ.get("RAY_ADDRESS"):
            where = {
                "address": "local",
                "num_cpus": workers,
                "num_gpus": 0,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_temp_dir": stack.enter_context(_private_folder()),
            }
        stack.callback(ray.shutdown)  # before the folder goes
        _start(**where)
        yield


def _start(**options: Any) -> None:
    """Starts Ray, again where that failed: a process that lost a race for a port or came up too late is reason enough to Ray to give up."""
    import ray

    for left in reversed(range(_STARTS)):
        try:
            with _patience(), _no_signal_lost(), _no_handlers_of_ray(), guard.exempt():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:
            ray.shutdown()
            reason = " ".join(str(error).split())
            if not left:
                raise WorkFailed(f"cannot start Ray: {reason}") from error
            log.warning("Ray did not start, trying again: %s", reason)
        else:
            return


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Ray starts some eight processes, about 16 CPU seconds of imports, and gives up after 30 seconds on the clock, which a busy laptop or CI machine exceeds. The
    number is fixed in ray/_private/node.py (raylet_start_wait_time_s), so what it waits for is made to wait longer.
    """
    import ray

    services: Any = ray._private.services  # noqa: SLF001
    get_node = services.get_node

    def get_node_patiently(*arguments: Any, **keywords: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return get_node(*arguments, **keywords)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_START_POLL_SECONDS)

    with _replaced(services, "get_node", get_node_patiently):
        yield


@contextlib.contextmanager
def _no_signal_lost() -> Iterator[None]:
    """What came by SIGINT or SIGTERM comes again at the end of the block: compiled code, which Ray is full of while it is imported and started, swallows what a
    handler raises or makes another error of it.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler is called
        yield
        return
    came: list[int] = []
    before = {int(number): handler for number in (signal.SIGINT, signal.SIGTERM) if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        before[number](number, frame)

    try:
        for number in before:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for again in came[:1]:
            signal.raise_signal(again)


@contextlib.contextmanager
def _no_handlers_of_ray() -> Iterator[None]:
    """Ray puts handlers of its own in place for SIGTERM, by which the process would end without a word and with an exit code that says that the work failed."""
    import ray

    with _replaced(ray._private.utils, "set_sigterm_handler", lambda _: None):  # noqa: SLF001
        yield


@contextlib.contextmanager
def _replaced(module: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """Where Ray keeps sockets and logs, gone at the end.

    What is left of sessions whose process was killed goes too: a folder is in use as long as somebody holds its lock, which the kernel lets go with the process. A process id would
    say nothing where containers share the folder above. Raises `WorkFailed` where the disk is full, which Ray would only tell by not coming up.
    """
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) <= _LONGEST_SOCKET_FOLDER else "/tmp"  # noqa: S108 - mkdtemp makes it private
    for left in glob.glob(f"{glob.escape(parent)}/{_FOLDER}*"):
        with contextlib.suppress(OSError), open(f"{left}/{_LOCK}", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    room = shutil.disk_usage(parent).free
    if room < _LEAST_ROOM:
        raise WorkFailed(
            f"cannot start Ray: {parent} has {room >> 20} MB free, expected at least {_LEAST_ROOM >> 20}; make room or set TMPDIR to another folder"
        )
    folder = tempfile.mkdtemp(prefix=_FOLDER, dir=parent)
    try:
        with open(f"{folder}/{_LOCK}", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def map_unordered(
    function: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    report: Callable[[int, int, int], None] = lambda _index, _done, _failed: None,
) -> Iterator[tuple[int, Result]]:
    """`function(task, report)` of every task, at most `workers` at the same time; yields the task's index and the result as they come.

    What the function reports (done, failed) arrives here about twice a second, as `report(index, done, failed)` with sums since the task began; after a lost worker
    they begin again. `function` and tasks must be picklable. Raises the first error: the function's own where it is a `NegsetError`, else `WorkFailed`.
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
                    running[remote.remote(guard.access_of_process(), _packed((function, task)))] = index
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
    """The results of the batches, in order. Each of up to `workers` processes calls `make_worker` once, and what it returns with every batch: for work with a costly start.

    `gpus` are for each process, where the work runs on a cluster; on a laptop each sees what the machine has.

    Batches are taken from the iterable as they are needed and go to whichever process is free, so one that starts late, or never because the cluster has no room for it, holds up
    nothing while another runs. Errors as in `map_unordered`.
    """
    with session(workers):
        import ray

        claimed = gpus if os.environ.get("RAY_ADDRESS") else 0
        actor: Any = ray.remote(num_cpus=1, num_gpus=claimed, max_restarts=RETRIES, max_task_retries=RETRIES)(_Actor)
        actors = [actor.remote(guard.access_of_process(), _packed(make_worker)) for _ in range(workers)]
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
        # Made here and not in the constructor, whose errors Ray reports as a lost worker: the reason would be buried in a traceback.
        if self._worker is None:
            self._worker = self._make_worker()
        return self._worker(batch)


def _packed(work: Any) -> bytes:
    import ray

    pickler: Any = ray.cloudpickle
    return bytes(pickler.dumps(work))


def _unpacked(access: Access | None, pickled: bytes) -> Any:
    """What a worker is to do, unpickled behind the guard. All work comes in by `_with_progress` and `_Actor`, and reaches what the process that gave it reaches."""
    import ray

    if access is not None:
        guard.enforce(access)
    return ray.cloudpickle.loads(pickled)


def _with_progress(access: Access | None, work: bytes) -> Iterator[tuple[str, Any]]:
    """Runs in the worker: what the function has reported so far, whenever that has changed, and at last its result. `work` is the function and its task."""
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
