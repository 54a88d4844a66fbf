"""Output of commands: results go to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys

from negset_api.errors import WorkFailed


def result(text: str) -> None:
    """Write a result. Raises `WorkFailed` if that is not possible, for example on a full disk.

    `BrokenPipeError` is raised as it is: the reader has closed standard output.
    """
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python must not fail again when it flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise WorkFailed(f"cannot write to standard output: {error.strerror}") from error


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
