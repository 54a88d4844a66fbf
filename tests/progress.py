"""Progress for tests that do not look at it."""

from __future__ import annotations


class Silent:
    """Progress that is not shown."""

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None: ...

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None: ...

    def finish(self) -> None: ...
