"""How a process ends that has used Ray or TensorFlow."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable


def end_without_destructors(code: Callable[[], int | None]) -> None:
    """Lets this process end with what `code` returns, after Python's own end (threads, `atexit`)
    and without that of the compiled libraries. Where it returns None, the process ends as it would.
    To be called before the libraries are imported.

    Ray's threads outlive `ray.shutdown`, the one that flushes its log among them. Now and then one
    of them uses what the C++ library has destroyed already, and a process whose work is done ends
    by a segmentation fault. Ray ends its own workers in this way
    (https://github.com/ray-project/ray/pull/18899).
    """

    def leave() -> None:
        number = code()
        if number is None:
            return
        for stream in (sys.stdout, sys.stderr):
            # The reader of our output has gone: nothing is left to say.
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(number)

    atexit.register(leave)  # what is registered first runs last
