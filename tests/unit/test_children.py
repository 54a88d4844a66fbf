"""Several child processes: their output has names, and none is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from negset_jobs import children

WAITS = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], 'w').close(), sys.exit(143))); open(sys.argv[2], 'w').close(); time.sleep(60)"
SPEAKS = "import sys, time; print('one', file=sys.stderr, flush=True); time.sleep({pause}); print('two', file=sys.stderr)"


def python(text, *arguments):
    return [sys.executable, "-c", text, *map(str, arguments)]


def test_several_run_at_the_same_time(tmp_path):
    meets = "import os, sys, time; open(sys.argv[1], 'w').close()\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)"
    first, second = tmp_path / "first", tmp_path / "second"
    children.run({"a": python(meets, first, second), "b": python(meets, second, first)})


def test_each_line_of_several_names_who_wrote_it(capsys):
    children.run({"train-none": python(SPEAKS.format(pause=0.2)), "train-1": python(SPEAKS.format(pause=0))})
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == ["train-1: one", "train-1: two", "train-none: one", "train-none: two"]


def test_one_alone_has_standard_error_to_itself(capfd):
    children.run({"train-1": python(SPEAKS.format(pause=0))})
    assert capfd.readouterr().err == "one\ntwo\n"


@pytest.mark.parametrize(("ends", "code"), [("sys.exit(2)", 2), ("os.kill(os.getpid(), 9)", 137)])
def test_when_one_fails_the_other_is_asked_to_stop_and_waited_for(tmp_path, ends, code):
    asked, ready = tmp_path / "asked", tmp_path / "ready"
    fails = f"import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\n{ends}"
    with pytest.raises(children.ChildFailed) as caught:
        children.run({"a": python(WAITS, asked, ready), "b": python(fails, ready)})
    assert caught.value.exit_code == code
    assert asked.exists()


@pytest.mark.parametrize("number", [1, 2])
def test_an_interruption_reaches_every_child(tmp_path, number):
    waiting = [(tmp_path / f"asked-{index}", tmp_path / f"ready-{index}") for index in range(number)]

    def interrupt():
        while not all(ready.exists() for _, ready in waiting):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        children.run({str(index): python(WAITS, *files) for index, files in enumerate(waiting)})
    assert all(asked.exists() for asked, _ in waiting)


def test_fewer_than_one_training_at_a_time_is_refused():
    command = [sys.executable, "-m", "negset_jobs", "run", "--trainings", "0", "x.yaml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "argument --trainings: expected a number of at least 1, got 0" in ended.stderr


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path):
    asked, ready = tmp_path / "asked", tmp_path / "ready"
    child = python(f"from negset_jobs import children; children.end_with_parent(); {WAITS}", asked, ready)
    parent = subprocess.Popen(python(f"from negset_jobs import children; children.run({{'train-1': {child!r}}})"))
    until(ready.exists)
    parent.kill()
    parent.wait()
    until(asked.exists)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.05)
