"""Progress for a person: a bar on a terminal, plain lines elsewhere.

It goes to standard error. Standard output is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from negset_jobs.adapters.progress import Pace, Progress

SECONDS_BETWEEN_LINES: Final = 10.0


def for_stream(stream: TextIO | None = None) -> Progress:
    """Return a bar if `stream` (default: standard error) is a terminal, else lines."""
    target = sys.stderr if stream is None else stream
    return Bar() if target.isatty() else Lines(lambda line: print(line, file=target, flush=True))


class Bar:
    """One bar per stage, with the elapsed time and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._failed = 0

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.finish()
        self._failed = 0
        self._bar = rich.Progress(
            rich.TextColumn("{task.description:<22}"),
            rich.BarColumn(bar_width=None),
            rich.MofNCompleteColumn(),
            rich.TextColumn(unit),
            rich.TimeElapsedColumn(),
            rich.TextColumn("left"),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(stage, total=total, completed=done, note="")
        self._bar.start()

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:
        if self._bar is None:
            return
        self._failed += failed
        text = f"{self._failed} failed" if self._failed else ""
        if loss is not None:
            text = f"loss {loss:.3f}"
        self._bar.update(self._task, advance=done, **({"note": text} if text else {}))

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Lines:
    """A line when a stage starts, at most one every ten seconds, and one when it ends."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._stage = ""

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None:
        self._stage, self._total, self._unit = stage, total, unit
        self._done, self._failed = done, 0
        self._loss: float | None = None
        self._started_at = self._last_line_at = self._clock()
        self._pace = Pace(total)
        self._write(f"{stage}: {total} {unit}" + (f", {done} of them already done" if done else ""))

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:
        self._done += done
        self._failed += failed
        self._loss = self._loss if loss is None else loss
        now = self._clock()
        left = self._pace.seconds_left(self._done, now)
        if now - self._last_line_at >= SECONDS_BETWEEN_LINES:
            self._last_line_at = now
            self._write(self._line(left))

    def finish(self) -> None:
        if self._stage:
            self._write(f"{self._stage}: done, {self._counts()} in {self._clock() - self._started_at:.0f} s")
            self._stage = ""

    def _counts(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} of {self._total} {self._unit}{failed}"

    def _line(self, left: float | None) -> str:
        eta = "" if left is None else f", {left:.0f} s left"
        loss = "" if self._loss is None else f", loss {self._loss:.3f}"
        return f"{self._stage}: {self._counts()}{eta}{loss}"
