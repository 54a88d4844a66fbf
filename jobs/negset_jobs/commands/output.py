"""What a command says: results on standard output, and the rest on standard error."""

from __future__ import annotations

import sys


def result(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
