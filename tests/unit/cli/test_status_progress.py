"""Progress into the status of the object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from negset_jobs.on_kubernetes import StatusProgress
from negset_jobs.progress import Silent


def watch(stage: str, total: int, unit: str, times: list[float]) -> tuple[StatusProgress, list[Mapping[str, Any]]]:
    written: list[Mapping[str, Any]] = []
    progress = StatusProgress(written.append, Silent(), clock=iter(times).__next__)
    progress.start(stage, total, unit)
    return progress, written


def test_the_download_of_negatives_counts_the_pictures_of_the_data_set() -> None:
    progress, written = watch("Downloading negatives", 100, "images", [0.0, 0.0, 10.0, 10.0])
    progress.advance(50, failed=2)
    assert written[-1] == {
        "progress": {"percent": 50, "secondsLeft": 10, "step": None, "loss": None},
        "images": {"planned": 100, "stored": 48, "failed": 2},
    }


def test_other_pictures_are_no_pictures_of_the_data_set() -> None:
    progress, written = watch("Measuring", 10, "images", [0.0, 0.0, 9.0, 9.0])
    progress.advance(10)
    assert "images" not in written[-1]


def test_training_tells_its_step_and_loss() -> None:
    progress, written = watch("Training", 20, "steps", [0.0, 0.0, 5.0, 5.0])
    progress.advance(5, note="loss 1.25")
    assert written[-1]["progress"] == {"percent": 25, "secondsLeft": 15, "step": 5, "loss": "1.25"}


def test_the_status_is_written_only_now_and_then() -> None:
    progress, written = watch("Training", 20, "steps", [0.0, 0.0, 1.0, 2.0, 3.0])
    for _ in range(3):
        progress.advance()
    assert len(written) == 1
