"""Output of commands: results go to standard output, everything else to standard error."""

from __future__ import annotations

import sys


def result(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
