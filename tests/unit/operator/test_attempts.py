"""Attempts that fail by transient errors or interruptions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from building import NOW, DatasetState, condition_of, jobs
from dataset_states import nothing_but_data, training

from negset_operator import reasons
from negset_operator.facts import Fault, Work


def unavailable(attempts: int, *, role: str = "data", ended: timedelta = timedelta()) -> DatasetState:
    given = nothing_but_data() if role == "data" else training().with_succeeded("check", "data")
    for attempt in range(1, attempts + 1):
        given.with_child(
            role, Work.FAILED, attempt=attempt, fault=Fault.UNAVAILABLE, ended=ended, message="RayJob d waits: nothing answers."
        )
    return given


@pytest.mark.parametrize("role", ["data", "train-1"])
def test_a_store_that_is_away_counts_as_no_attempt_and_is_tried_with_growing_pauses(role):
    assert [unavailable(attempts, role=role).decide().wake_after for attempts in (1, 2, 3, 4, 5, 6, 20)] == [20, 40, 80, 160, 320, 600, 600]
    later = unavailable(20, role=role, ended=timedelta(seconds=600))
    assert jobs(later.decide()) == [later.child(role, 21)]


def test_while_it_waits_it_says_what_is_away_and_when_it_asks_again():
    assert condition_of(unavailable(4).decide(), reasons.READY) == (
        False,
        "Retrying",
        "RayJob d waits: nothing answers. The next attempt is at 2026-03-01T12:02:40Z.",
    )


def test_it_is_not_tried_without_end():
    assert condition_of(unavailable(60, ended=timedelta(hours=1)).decide(), reasons.STALLED)[1] == "AttemptsExhausted"


def test_an_interruption_is_not_tried_without_end_either():
    given = nothing_but_data()
    for attempt in range(1, 61):
        given.with_child("data", Work.FAILED, attempt=attempt, fault=Fault.INTERRUPTION, ended=timedelta(hours=1))
    assert condition_of(given.decide(), reasons.STALLED)[1] == "AttemptsExhausted"


def test_attempts_that_another_follows_are_cleaned_up_and_failures_of_their_own_stay_to_be_counted():
    given = nothing_but_data()
    for attempt, fault in enumerate((Fault.UNAVAILABLE, Fault.WORK, Fault.INTERRUPTION, Fault.UNAVAILABLE), start=1):
        given.with_child("data", Work.FAILED, attempt=attempt, fault=fault)
    assert [deletion.name for deletion in given.decide().deletions] == [given.child("data"), given.child("data", 3)]


def test_the_clock_is_an_argument():
    given = nothing_but_data().with_child("data", Work.FAILED)
    assert jobs(given.but(now=NOW + timedelta(minutes=1)).decide()) == [given.child("data", 2)]
