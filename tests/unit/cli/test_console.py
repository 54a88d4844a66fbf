"""Progress as plain lines."""

from __future__ import annotations

from negset_jobs.console import Lines


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
        "Downloading: 50 of 100 images, 2 failed, 20 s left",
        "Downloading: done, 50 of 100 images, 2 failed in 40 s",
    ]
