"""Run steps in child processes, one or several at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final

from negset_api.errors import NegsetError

_LOOK_SECONDS: Final = 0.1
_PARENT: Final = "NEGSET_PARENT"
"""The environment variable of a child with the process id of its parent."""
_LOOK_FOR_PARENT_SECONDS: Final = 0.5


class ChildFailed(NegsetError):
    """A child process failed. It has already written why to standard error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


def run(commands: Mapping[str, Sequence[str]]) -> None:
    """Run the commands at the same time. Return when all of them have succeeded.

    A single command writes to the terminal directly. If there are several, each line that they
    write to standard error is prefixed with the name of its command. If one fails, the others are
    terminated. Raises `ChildFailed`, with the exit code of the first that failed.
    """
    named = len(commands) > 1
    stderr, environment = subprocess.PIPE if named else None, {**os.environ, _PARENT: str(os.getpid())}
    # The commands are our own module.
    children = {name: subprocess.Popen(command, stderr=stderr, env=environment) for name, command in commands.items()}  # noqa: S603
    with _copied(children), _stopped(children.values()):
        while True:
            codes = [child.poll() for child in children.values()]
            if code := next(filter(None, codes), 0):
                raise ChildFailed(code if code > 0 else 128 - code)
            if None not in codes:
                return
            time.sleep(_LOOK_SECONDS)


def end_with_parent() -> None:
    """If `run` started this process, send it SIGTERM when its parent has ended, however that ended.

    A parent that is killed cannot terminate its children. A training that went on would disturb the
    one that the next run starts.
    """
    if parent := os.environ.get(_PARENT):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _stopped(children: Collection[subprocess.Popen[bytes]]) -> Iterator[None]:
    """At the end, terminate the children that still run and wait for them.

    A terminal sends Ctrl-C to the children too. SIGTERM reaches only this process. In both cases a
    training saves a checkpoint first.
    """
    try:
        yield
    finally:
        running = [child for child in children if child.poll() is None]
        for child in running:
            child.terminate()
        for child in running:
            child.wait()


@contextmanager
def _copied(children: Mapping[str, subprocess.Popen[bytes]]) -> Iterator[None]:
    """Copy the children's output from their pipes to standard error, until they have ended."""
    threads = [
        threading.Thread(target=_copy, args=(name, child.stderr), daemon=True)
        for name, child in children.items()
        if child.stderr is not None
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def _copy(name: str, stream: IO[bytes]) -> None:
    with stream:
        for line in stream:
            sys.stderr.write(f"{name}: {line.decode(errors='replace').rstrip()}\n")
            sys.stderr.flush()
