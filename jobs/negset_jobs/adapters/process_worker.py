"""A process that runs tasks of the process that started it, one after the other."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any, Final

from negset_jobs.adapters.worker import run_task

_MOST_LIKELY_TO_END: Final = "1000"  # as Ray does for its workers


def main(descriptor: int) -> None:
    """Run the tasks that arrive on the connection until it closes.

    The connection also closes when the process that started this one ends, however it ends. Then
    this process ends at once, also in the middle of a task.
    """
    # A terminal sends Ctrl-C to every process. The process that started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    _end_first_if_memory_is_short()
    connection: Connection[Any, Any] = Connection(descriptor)
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, arrived), daemon=True).start()
    while True:
        access = pickle.loads(arrived.get())  # noqa: S301 - the connection was inherited
        for item in run_task(access, arrived.get()):
            connection.send(item)


def _end_first_if_memory_is_short() -> None:
    """Make Linux end this process, which is replaced, and not the one that it works for."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
        stream.write(_MOST_LIKELY_TO_END)


def _receive(connection: Connection[Any, Any], arrived: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            arrived.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)
