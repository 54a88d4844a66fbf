"""The progress of long work: stages report it, and their caller shows it.

It is shown as a bar on a terminal, as lines in a log, or in the status of the object.
"""

from __future__ import annotations

from typing import Final, Protocol

DOWNLOADING_NEGATIVES: Final = "Downloading negatives"
"""The stage whose counters are also written to `status.images`."""


class Progress(Protocol):
    """Receives the progress of stages.

    Stages follow one another. `advance` adds to the stage that was started last.
    """

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None:
        """Start a stage of `total` units, of which an earlier process has done `done`.

        `stage` is a present participle ("Downloading"), `unit` a plural ("images", "steps").
        """

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:
        """Add `done` finished units, of which `failed` failed.

        `loss` is the loss of the latest training step.
        """

    def finish(self) -> None:
        """Complete the stage that was started last."""


class Pace:
    """Estimates the time left from the pace since the first advance.

    The time before it is not counted: the tracing of a graph or the opening of connections occurs
    once.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._first: tuple[int, float] | None = None

    def seconds_left(self, done: int, now: float) -> float | None:
        """Return the estimate for `done` units at the time `now`; None on the first call."""
        if self._first is None:
            self._first = done, now
        before, since = self._first
        return (now - since) * (self._total - done) / (done - before) if done > before else None
