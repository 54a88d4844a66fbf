"""How far long work is: stages report, and whoever runs them shows it (a bar on a terminal, plain
lines in a log, the status of the resource).
"""

from __future__ import annotations

from typing import Final, Protocol

DOWNLOADING_NEGATIVES: Final = "Downloading negatives"
"""The stage whose counters are the dataset's own, and not only a bar's."""


class Progress(Protocol):
    """Receives what a stage has done.

    Stages follow one another; `advance` adds to the stage that was started last.
    """

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None:
        """A stage begins: its name in the present participle ("Downloading"), how much there is to
        do, of what ("images", "steps"), and how much of it an earlier process has done.
        """

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:
        """`done` more units are finished, `failed` of them without success; `loss` is that of the
        latest training step.
        """

    def finish(self) -> None:
        """The stage that was started last is complete."""


class Pace:
    """How long the rest takes, by the pace since the first news: what comes before it (a graph is
    traced, connections are opened) comes once.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._first: tuple[int, float] | None = None

    def seconds_left(self, done: int, now: float) -> float | None:
        """Told how much is done and what the clock says. None until there were news twice."""
        if self._first is None:
            self._first = done, now
        before, since = self._first
        return (now - since) * (self._total - done) / (done - before) if done > before else None


class Silent:
    """Progress that nobody watches."""

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None: ...

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None: ...

    def finish(self) -> None: ...
