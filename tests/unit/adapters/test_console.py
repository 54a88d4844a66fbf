"""Progress as plain lines."""

from __future__ import annotations

from negset_jobs.adapters.console import Lines


def test_lines_say_how_far_it_is_and_how_long_it_will_take() -> None:
    written: list[str] = []
    now = iter([0.0, 1.0, 20.0, 40.0])
    lines = Lines(written.append, clock=lambda: next(now))
    lines.start("Downloading", 100, "images")
    lines.advance(10)
    lines.advance(40, failed=2)
    lines.finish()
    assert written == [
        "Downloading: 100 images",
        # By the pace between the two: the first 10 may include work that occurs once.
        "Downloading: 50 of 100 images, 2 failed, 24 s left",
        "Downloading: done, 50 of 100 images, 2 failed in 40 s",
    ]


def test_what_an_earlier_process_has_done_is_counted() -> None:
    written: list[str] = []
    now = iter([0.0, 60.0, 70.0, 75.0])
    lines = Lines(written.append, clock=lambda: next(now))
    lines.start("Training", 400, "steps", done=116)
    lines.advance(1)
    lines.advance(100)
    lines.finish()
    assert written == [
        "Training: 400 steps, 116 of them already done",
        "Training: 117 of 400 steps",
        "Training: 217 of 400 steps, 18 s left",
        "Training: done, 217 of 400 steps in 75 s",
    ]
