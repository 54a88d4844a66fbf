"""Processes that do a step each, alone or beside one another."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final

from negset_api.errors import NegsetError

_LOOK_SECONDS: Final = 0.1


class ChildFailed(NegsetError):
    """A process failed, and has said why on the same standard error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


def run(commands: Mapping[str, Sequence[str]]) -> None:
    """Runs the commands at the same time, and returns when all of them have succeeded.

    One command has the terminal to itself. What several write to standard error comes line by line,
    each with the name of its command before it. When one fails, the others are asked to stop.
    Raises `ChildFailed`, with the exit code of the one that failed first.
    """
    named = len(commands) > 1
    # Our own module.
    children = {name: subprocess.Popen(command, stderr=subprocess.PIPE if named else None) for name, command in commands.items()}  # noqa: S603
    with _copied(children), _stopped(children.values()):
        while True:
            codes = [child.poll() for child in children.values()]
            if code := next(filter(None, codes), 0):
                raise ChildFailed(code if code > 0 else 128 - code)
            if None not in codes:
                return
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _stopped(children: Collection[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Leaves no child behind: asks those that still run to stop, and waits for them.

    A terminal has sent Ctrl-C to the children as well; a SIGTERM reached only this process. Either
    way a training saves a checkpoint first.
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
    """Copies what the children write to pipes to standard error, until they have ended."""
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
