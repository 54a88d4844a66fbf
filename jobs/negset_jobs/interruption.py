"""Turn SIGINT and SIGTERM into an exception of the main thread that is not lost."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

_SOON_SECONDS: Final = 0.001


class Interruption(KeyboardInterrupt):
    """SIGINT or SIGTERM was received. Both end the work in the same way.

    KeyboardInterrupt itself cannot be used. CPython records if one leaves an `exec` of source text
    (`_PyRuntime.unhandled_keyboard_interrupt` in Python/pythonrun.c). It then ends the process by
    SIGINT and ignores the returned exit code. Dataclasses are made by `exec`, so the import of Ray
    runs many.
    """


@contextlib.contextmanager
def raised(received: list[int]) -> Iterator[None]:
    """Raise `Interruption` for SIGINT and SIGTERM, and append their numbers to `received`.

    The numbers are kept there as well, because Ray replaces the exception by a KeyboardInterrupt of
    its own. If the program was started with SIGINT ignored, it stays ignored. The handlers stay
    after the block.

    A signal may arrive in a finalizer (`__del__` or a callback of `weakref`), whose exceptions
    Python reports and ignores. In the block such an exception is raised again, by a timer.
    """

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise Interruption

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if sys.platform == "win32":  # has no such timer
        yield
    else:
        with _raised_again():
            yield


@contextlib.contextmanager
def _raised_again() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Interruption

    before = sys.unraisablehook

    def on_ignored(ignored: sys.UnraisableHookArgs) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            before(ignored)
            return
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, _SOON_SECONDS)

    sys.unraisablehook = on_ignored
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGALRM) is interrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = before
