"""Ctrl-C and SIGTERM end the work wherever they arrive, and with their own exit code."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys

import pytest

WORK = """
import signal, sys, time, weakref
from negset_jobs import cli
from negset_jobs.commands import show

NUMBER = int(sys.argv.pop())

class Thing:
    pass

class Slow:
    def __del__(self):
        time.sleep(0.3)

def in_an_exec():
    exec("signal.raise_signal(NUMBER)", globals())

def in_a_callback_of_weakref():
    thing = Thing()
    weakref.finalize(thing, signal.raise_signal, NUMBER)
    del thing

def in_a_method_del():
    Thing.__del__ = lambda _: signal.raise_signal(NUMBER)
    Thing()

def in_two_finalizers_one_after_the_other():
    Thing.__del__ = lambda _: (signal.raise_signal(NUMBER), Slow())
    Thing()
    Slow()
    Slow()

def work(_):
    globals()[PLACE]()
    time.sleep(20)
    return 0

show.crd = work
sys.exit(cli.main(["crd"]))
"""


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("place", ["in_an_exec", "in_a_callback_of_weakref", "in_a_method_del", "in_two_finalizers_one_after_the_other"])
def test_a_signal_ends_the_work_wherever_it_arrives(place: str, number: signal.Signals, exit_code: int, tmp_path: pathlib.Path) -> None:
    """CPython ends `python -m` by SIGINT if a KeyboardInterrupt has left an `exec` of source text.

    It ignores the returned exit code then. Imports run many such `exec` calls. Exceptions that
    leave a finalizer are ignored.
    """
    (tmp_path / "interrupted.py").write_text(f"PLACE = {place!r}\n{WORK}")
    command = [sys.executable, "-m", "interrupted", str(int(number))]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == exit_code, ended.stderr
    assert ended.stderr == "negset: interrupted; all committed work is kept, and the same command continues from there\n"


def test_another_error_in_a_finalizer_is_reported_and_ignored_as_ever(tmp_path: pathlib.Path) -> None:
    (tmp_path / "failing.py").write_text("""
import sys
from negset_jobs import cli
from negset_jobs.commands import show

class Thing:
    def __del__(self):
        raise ValueError("as ever")

def work(_):
    Thing()
    return 7

show.crd = work
sys.exit(cli.main(["crd"]))
""")
    ended = subprocess.run([sys.executable, "-m", "failing"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 7
    assert ended.stderr.endswith("ValueError: as ever\n")
