"""Progress in the status of the object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.progress import Silent

from negset_jobs.adapters.kubernetes_status import StatusProgress

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def watch(stage: str, total: int, unit: str, times: list[float], done: int = 0) -> tuple[StatusProgress, list[Mapping[str, Any]]]:
    """Return the progress of a started stage, and the written statuses.

    `times` are the readings of the clock, from the start of the stage.
    """
    written: list[Mapping[str, Any]] = []
    progress = StatusProgress(written.append, Silent(), clock=iter(times).__next__, today=lambda: NOON)
    progress.start(stage, total, unit, done=done)
    return progress, written


def without_time(progress: Mapping[str, Any]) -> dict[str, Any]:
    assert progress["updatedAt"] == "2026-03-01T12:00:00Z"
    return {name: value for name, value in progress.items() if name != "updatedAt"}


def test_the_download_of_negatives_counts_the_images_of_the_dataset() -> None:
    progress, written = watch("Downloading negatives", 100, "images", [0.0, 5.0, 15.0])
    progress.advance(10)
    progress.advance(40, failed=2)
    assert written[-1] == {
        "progress": {"percent": 50, "secondsLeft": 12, "step": None, "loss": None, "updatedAt": "2026-03-01T12:00:00Z"},
        "images": {"planned": 100, "stored": 48, "failed": 2, "transient": None},
    }


def test_other_images_are_no_images_of_the_dataset() -> None:
    progress, written = watch("Measuring", 10, "images", [0.0, 9.0])
    progress.advance(10)
    assert "images" not in written[-1]


def test_training_tells_its_step_and_loss() -> None:
    progress, written = watch("Training", 20, "steps", [0.0, 5.0])
    progress.advance(5, loss=1.25)
    assert without_time(written[-1]["progress"]) == {"percent": 25, "secondsLeft": None, "step": 5, "loss": "1.250"}


def test_the_time_that_tracing_the_graph_takes_is_not_taken_for_the_pace() -> None:
    progress, written = watch("Training", 126, "steps", [0.0, 60.0, 70.0])
    progress.advance(1)
    progress.advance(25)
    assert written[-1]["progress"]["secondsLeft"] == 40


def test_a_training_that_goes_on_tells_where_it_is_and_not_where_this_process_began() -> None:
    progress, written = watch("Training", 400, "steps", [0.0, 60.0, 70.0], done=116)
    assert without_time(written[-1]["progress"]) == {"percent": 29, "secondsLeft": None, "step": 116, "loss": None}
    progress.advance(1)
    progress.advance(99)
    assert written[-1]["progress"]["step"] == 216
    assert written[-1]["progress"]["percent"] == 54


def test_what_is_done_leaves_no_time() -> None:
    progress, written = watch("Training", 20, "steps", [0.0, 5.0, 6.0])
    progress.advance(20)
    progress.finish()
    assert without_time(written[-1]["progress"]) == {"percent": 100, "secondsLeft": 0, "step": 20, "loss": None}


def test_the_status_is_written_only_now_and_then() -> None:
    progress, written = watch("Training", 20, "steps", [0.0, 1.0, 2.0, 3.0])
    for _ in range(3):
        progress.advance()
    assert len(written) == 1


def test_the_time_of_the_last_progress_stays_while_nothing_is_done() -> None:
    minutes = iter(range(100))
    written: list[Mapping[str, Any]] = []
    progress = StatusProgress(
        written.append, Silent(), clock=lambda: 10.0 * len(written), today=lambda: NOON + timedelta(minutes=next(minutes))
    )
    progress.start("Training", 20, "steps")
    progress.advance()
    progress.advance(0, loss=1.5)
    progress.advance()
    assert [told["progress"]["updatedAt"] for told in written] == [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:01:00Z",
        "2026-03-01T12:01:00Z",
        "2026-03-01T12:02:00Z",
    ]
