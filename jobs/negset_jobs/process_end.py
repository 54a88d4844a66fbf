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

    The destructors crash now and then, because Ray's threads still run. See jobs/README.md.
    """

    def leave() -> None:
        number = code()
        if number is None:
            return
        for stream in (sys.stdout, sys.stderr):
            # The reader may have closed the stream.
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(number)

    atexit.register(leave)  # the first registered function runs last
