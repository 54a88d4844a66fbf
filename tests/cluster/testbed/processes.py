"""Programs in the background, each with its log."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence


class Failed(Exception):
    """A part of the test cluster did not start, or ended. The message has the end of its log."""


class Daemon:
    """One program in the background.

    It can be restarted after it was stopped or killed. It ends with the process that started it.
    """

    def __init__(self, name: str, command: Sequence[str], folder: str) -> None:
        self.name = name
        self.log = os.path.join(folder, f"{name}.log")
        self._command = _ending_with_parent(command)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        if self.running:
            return
        with open(self.log, "ab") as stream:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)

    def stop(self) -> None:
        """Send SIGTERM, and wait. After ten seconds, kill the program."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the program by SIGKILL, as a lost machine would."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()

    def wait_for(self, what: str, probe: Callable[[], bool], seconds: float) -> None:
        """Wait until `probe` is true.

        Raise Failed as soon as the program has ended, or after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not probe():
            if not self.running:
                raise Failed(f"{self.name} ended before {what}. Its log, {self.log}, ends with:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise Failed(f"{self.name}: {what} did not happen in {seconds:.0f} s. Its log, {self.log}, ends with:\n{tail(self.log)}")
            time.sleep(0.05)


def tail(path: str, lines: int = 15) -> str:
    """Return the last lines of a log."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return "".join(stream.readlines()[-lines:])


def _ending_with_parent(command: Sequence[str]) -> list[str]:
    """Return `command` in a form that ends when its parent ends, for whatever reason.

    So an interrupted test session leaves no API server behind.
    """
    setpriv = shutil.which("setpriv")  # of util-linux; macOS has none, and relies on `stop`
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else list(command)
