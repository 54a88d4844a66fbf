"""What a command does depends on where it runs, and its exit code says how it ended."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys

import pytest

from negset_jobs import commands


@pytest.mark.parametrize(
    ("task", "speaks"),
    [
        pytest.param(None, True, id="a pod that trains alone"),
        pytest.param({"type": "worker", "index": 0}, True, id="the first of several"),
        pytest.param({"type": "worker", "index": 1}, False, id="another"),
    ],
)
def test_of_several_training_pods_one_writes_report_and_status(monkeypatch: pytest.MonkeyPatch, task: object, speaks: bool) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if task is not None:
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:2222", "b:2222"]}, "task": task}))
    assert commands._is_chief() is speaks


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_inside_an_exec_ends_with_its_exit_code_too(number: signal.Signals, exit_code: int, tmp_path: pathlib.Path) -> None:
    """CPython ends a `python -m` by SIGINT whatever it returned once a KeyboardInterrupt itself has left an `exec` of source text, as imports are full of."""
    (tmp_path / "interrupted.py").write_text(f"""
import signal, sys
from negset_jobs import cli, commands
commands.crd = lambda _: exec("signal.raise_signal({int(number)})", {{"signal": signal}})
sys.exit(cli.main(["crd"]))
""")
    ended = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == exit_code, ended.stderr
    assert ended.stderr == "negset: interrupted; everything committed so far is safe, and the same command goes on from there\n"
