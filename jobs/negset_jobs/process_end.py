"""End a process that has used Ray or TensorFlow."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable


def end_without_destructors(code: Callable[[], int | None]) -> None:
    """End this process with the exit code that `code` returns, without C++ destructors.

    Python's own shutdown (threads, `atexit`) still runs. If `code` returns None, the process ends
    in the usual way. Call this before the libraries are imported.

    Ray's threads outlive `ray.shutdown`, among them the one that flushes its log. Sometimes one of
    them uses an object that the C++ library has already destroyed. Then a process whose work is
    done ends with a segmentation fault. Ray ends its own workers in the same way
    (https://github.com/ray-project/ray/pull/18899).
    """

    def leave() -> None:
        number = code()
        if number is None:
            return
        for stream in (sys.stdout, sys.stderr):
            # The reader of the stream may be gone.
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(number)

    atexit.register(leave)  # the first registered function runs last
