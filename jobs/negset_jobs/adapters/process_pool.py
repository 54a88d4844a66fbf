"""Worker processes of our own: how they start, receive tasks and end.

They are not those of `multiprocessing`, which would import the main module once more in each of
them, and start a process that tracks resources. Nor are they those of `concurrent.futures`, whose
pool fails as a whole if one process is lost.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import Final

from negset_jobs.adapters.access import Access
from negset_jobs.adapters.task_map import WorkerLost
from negset_jobs.adapters.worker import Item, packed

log = logging.getLogger(__name__)

_END_SECONDS: Final = 2
_STDERR: Final = 2
_ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1"}  # as Ray sets it for a task of one CPU


class Worker:
    """A process that runs one task at a time.

    It ends with this process, whose end closes the connection between them.
    """

    def __init__(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        with theirs, _sigint_blocked():
            # What a worker prints is not shown, as with Ray. Results go to our standard output.
            output = _STDERR if log.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-c", _program(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                env={**_ENVIRONMENT, **os.environ},
            )

    def fileno(self) -> int:
        return self._connection.fileno()

    def submit(self, access: Access | None, work: bytes) -> None:
        """Start a task. `receive` reports it if the worker is lost."""
        with contextlib.suppress(OSError):
            self._connection.send_bytes(packed(access))
            self._connection.send_bytes(work)

    def receive(self) -> Item:
        """Return the task's next item, waiting for it. Raises `WorkerLost`."""
        try:
            item: Item = self._connection.recv()
        except (EOFError, OSError) as error:
            self.end()
            raise WorkerLost(_ending(self._process.returncode)) from error
        return item

    def end(self) -> None:
        """End the process, which ends by itself when the connection closes."""
        self._connection.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pool(contextlib.AbstractContextManager["Pool"]):
    """Workers, of which those without a task wait for another. These end with the block."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def start(self, count: int) -> None:
        """Start workers until `count` wait for a task, so that they start at the same time."""
        while len(self._idle) < count:
            self._idle.append(Worker())

    def end(self) -> None:
        """End the workers that wait for a task."""
        while self._idle:
            self._idle.pop().end()

    def submit(self, access: Access | None, work: bytes) -> Worker:
        self.start(1)
        worker = self._idle.pop()
        worker.submit(access, work)
        return worker

    def ready(self, running: Collection[Worker]) -> list[Worker]:
        with selectors.DefaultSelector() as selector:
            for worker in running:
                selector.register(worker, selectors.EVENT_READ, worker)
            return [key.data for key, _ in selector.select()]

    def receive(self, task: Worker) -> Item:
        return task.receive()

    def finished(self, task: Worker) -> None:
        self._idle.append(task)

    def stop(self, task: Worker) -> None:
        task.end()

    def __exit__(self, *_: object) -> None:
        self.end()


def _program(descriptor: int) -> str:
    """Return a worker's program. It finds modules where this process finds them."""
    return f"import sys; sys.path[:] = {sys.path!r}; from negset_jobs.adapters.process_worker import main; main({descriptor})"


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT, for this thread and for a process that it starts, until that ignores it.

    While Python starts, Ctrl-C would end it with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code} (run with --debug to see what it wrote)"
    hint = "; if memory is short, lower spec.ray.workers" if code == -signal.SIGKILL else ""
    return f"its process was ended by {signal.Signals(-code).name}{hint}"
