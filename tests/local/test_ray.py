"""When and how a session of Ray starts. `test_work.py` tests the work itself."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from negset_api.errors import WorkFailed
from negset_jobs.adapters import ray_session, work


def test_a_full_disk_is_reported_before_ray_starts(monkeypatch):
    full = shutil.disk_usage("/")._replace(free=3 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(WorkFailed, match=r"expected at least 16 MB free in .*, got 3;"), ray_session._private_folder():
        pass


@pytest.mark.parametrize("length", [18, 19, 23, 26, 31, 100])
def test_the_sockets_of_ray_fit_into_any_temporary_folder(length):
    parent = ray_session.socket_parent("/" + "x" * (length - 1))
    socket = f"{parent}/negset-ray-12345678/session_2026-11-26_13-01-29_123456_4194304/sockets/plasma_store"
    assert len(socket) <= 103
    assert (parent == "/tmp") == (length > 19)


def test_ray_starts_with_a_long_temporary_folder(monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("a-long-name-for-a-temporary-folder")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with ray_session.session(1):
        assert ray_session.is_open()


@pytest.mark.parametrize("signals", [1, 2, 3])
def test_a_signal_is_delayed_until_ray_has_started_and_a_second_one_is_not(signals: int) -> None:
    passed: list[int] = []

    def start() -> None:
        with ray_session._signals_at_end():
            for number in range(signals):
                signal.raise_signal(signal.SIGINT)
                passed.append(number)

    with pytest.raises(KeyboardInterrupt):
        start()
    assert passed == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SAFE = "negset: interrupted; all committed work is kept, and the same command continues from there"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        # An exception would free the object before it is complete. That waits for a thread.
        pytest.param("ray._private.state", "GlobalStateAccessor", id="has made an object with a thread"),
        # It installs a handler that aborts the process.
        pytest.param("ray._raylet", "GcsErrorSubscriber", id="has started its compiled part"),
        # It removes the handler.
        pytest.param("negset_jobs.adapters.ray_session", "_shut_down", id="has shut down"),
    ],
)
def test_sigterm_ends_the_process_in_order_once_ray(module: str, name: str) -> None:
    program = f"""
import importlib, signal, sys
from negset_jobs import cli
from negset_jobs.adapters import ray_session
from negset_jobs.commands import show

module = importlib.import_module({module!r})
call = getattr(module, {name!r})

def interrupted(*arguments, **keywords):
    result = call(*arguments, **keywords)
    setattr(module, {name!r}, call)
    signal.raise_signal(signal.SIGTERM)
    return result

def work(_):
    setattr(module, {name!r}, interrupted)
    with ray_session.session(1):
        pass

show.crd = work
sys.exit(cli.main(["crd"]))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    # Ray may have written lines of its own before.
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()[-1]) == (143, "", SAFE)


def has_ray(task, report):
    return "ray" in sys.modules


def test_once_work_is_large_ray_starts_and_runs_until_the_session_ends(monkeypatch):
    def on_ray():
        return [value for _, value in work.map_unordered(has_ray, [0, 0, 0], workers=2)] == [True] * 3

    with work.session(2):
        assert not on_ray()
        with monkeypatch.context() as smaller:
            smaller.setattr(work, "MOST_WITHOUT_RAY", 1)
            assert on_ray()
        assert on_ray()
    assert not ray_session.is_open()
    assert not on_ray()
