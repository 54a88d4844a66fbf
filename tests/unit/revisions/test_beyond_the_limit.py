"""The revisions that `output.revisionHistoryLimit` removes, by their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from negset_jobs import revisions

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


def at(*minutes: int) -> dict[str, datetime]:
    return {str(minute): MOMENT + timedelta(minutes=minute) for minute in minutes}


BEYOND = {
    "the oldest go": (1, at(1, 2, 3), ("1", "2")),
    "what was made at the same moment as one that is kept stays": (1, at(1, 2) | {"too": MOMENT + timedelta(minutes=2)}, ("1",)),
    "what was made at the moment of the present one stays": (0, at(1, 9), ("1",)),
    "what was made after it stays": (0, at(1, 10), ("1",)),
    "and does not count": (1, at(1, 10), ()),
    "none, of none": (0, {}, ()),
}


@pytest.mark.parametrize(("limit", "made", "gone"), BEYOND.values(), ids=BEYOND)
def test_beyond_the_limit(limit, made, gone):
    assert revisions.beyond(limit, MOMENT + timedelta(minutes=9), made) == gone
