"""The work queue, with a clock that the test sets."""

from __future__ import annotations

import threading

import pytest

from negset_operator.queue import FIRST_PAUSE, LONGEST_PAUSE, LOW_PRIORITY_SHARE, WorkQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock) -> WorkQueue[str]:
    return WorkQueue(clock)


def test_a_key_waits_once_however_often_it_is_added(queue):
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert (queue.get(), queue.get()) == ("a", "b")


def test_a_key_that_is_added_while_it_is_worked_on_comes_again_afterwards_and_not_before(queue):
    queue.add("a")
    key = queue.get()
    queue.add(key)
    queue.add(key)
    assert len(queue) == 0
    queue.done(key)
    assert len(queue) == 1
    assert queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


def test_a_later_key_comes_at_its_time(queue, clock):
    queue.add_after("late", 5)
    queue.add("now")
    assert queue.get() == "now"
    clock.now = 5.0
    assert queue.get() == "late"


def test_of_two_times_for_a_key_the_earlier_counts_and_the_other_is_forgotten(queue, clock):
    queue.add_after("a", 5)
    queue.add_after("a", 2)
    clock.now = 2.0
    assert queue.get() == "a"
    queue.done("a")
    clock.now = 5.0
    queue.add("end")
    assert queue.get() == "end"
    assert len(queue) == 0


def test_the_pause_after_a_failure_doubles_up_to_a_limit_and_starts_again_after_success(queue):
    pauses = [queue.failed("a") for _ in range(12)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    queue.forget("a")
    assert queue.failed("a") == FIRST_PAUSE


def test_a_server_that_asks_for_more_time_gets_it(queue):
    assert queue.failed("a", at_least=30) == 30


def test_closing_wakes_everybody_who_waits(queue):
    taken: list[str | None] = []
    threads = [threading.Thread(target=lambda: taken.append(queue.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(timeout=5)
    assert taken == [None, None, None]


def test_a_key_of_low_priority_lets_the_others_go_first(queue):
    queue.add("low_priority", low_priority=True)
    queue.add("a")
    queue.add("b")
    assert [queue.get() for _ in range(3)] == ["a", "b", "low_priority"]


def test_a_change_gives_a_key_of_low_priority_normal_priority(queue):
    queue.add("low_priority", low_priority=True)
    queue.add("a")
    queue.add("low_priority")
    assert [queue.get() for _ in range(2)] == ["a", "low_priority"]
    assert len(queue) == 0


def test_a_key_that_is_added_both_ways_while_it_is_worked_on_is_urgent(queue):
    queue.add("a")
    queue.get()
    queue.add("a", low_priority=True)
    queue.add("a")
    queue.add("b", low_priority=True)
    queue.done("a")
    assert queue.get() == "a"


def test_a_flood_of_changes_does_not_delay_a_key_of_low_priority_without_end(queue):
    queue.add("low_priority", low_priority=True)
    taken = []
    for number in range(LOW_PRIORITY_SHARE):
        queue.add(f"new-{number}")
        taken.append(queue.get())
    assert taken.count("low_priority") == 1


def test_keys_of_low_priority_leave_a_worker_free(queue):
    queue.add("low_priority 1", low_priority=True)
    queue.add("low_priority 2", low_priority=True)
    assert queue.get() == "low_priority 1"
    taken: list[str | None] = []
    thread = threading.Thread(target=lambda: taken.append(queue.get()), daemon=True)
    thread.start()
    queue.add("urgent")
    thread.join(timeout=10)
    assert taken == ["urgent"], "the second low_priority key has to wait for the first"
    queue.done("low_priority 1")
    assert queue.get() == "low_priority 2"
