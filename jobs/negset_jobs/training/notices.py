"""Drops what TensorFlow writes to standard error while it is imported.

Its C++ side writes about six lines, on oneDNN and the processor's instructions, before its logging
starts. Since TensorFlow 2.20, `TF_CPP_MIN_LOG_LEVEL` does not silence them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

_LEAST_LEVEL: Final = "2"
_END_SECONDS: Final = 5
_STANDARD_ERROR: Final = 2
_NOTICE: Final = rb"I\d{4} |WARNING: All log messages before absl|To enable the following instructions: "
_FILTER: Final = f"""
import re, sys
for line in sys.stdin.buffer:
    if not re.match({_NOTICE!r}, line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


@contextlib.contextmanager
def dropped() -> Iterator[None]:
    """Drop these lines while the block runs, if `TF_CPP_MIN_LOG_LEVEL` drops messages of that kind.

    All other lines pass, in a process of their own. So the last line is not lost if TensorFlow
    aborts this process, for example because the processor is too old.
    """
    kept = _duplicate() if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "") >= _LEAST_LEVEL else None
    if kept is None:
        yield
        return
    # In a session of its own, so that Ctrl-C does not end it before this process.
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=kept, start_new_session=True) as passing:  # noqa: S603 - our own program
        assert passing.stdin is not None
        os.dup2(passing.stdin.fileno(), _STANDARD_ERROR)
        passing.stdin.close()
        try:
            yield
        finally:
            os.dup2(kept, _STANDARD_ERROR)  # the pipe has no writer now, so the filter ends
            os.close(kept)
            with contextlib.suppress(subprocess.TimeoutExpired):
                passing.wait(_END_SECONDS)


def _duplicate() -> int | None:
    """Return a duplicate of standard error, or None if that is closed."""
    try:
        return os.dup(_STANDARD_ERROR)
    except OSError:
        return None
