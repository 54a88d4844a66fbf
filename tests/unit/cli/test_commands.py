"""What a command does depends on where it runs."""

from __future__ import annotations

import json

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
