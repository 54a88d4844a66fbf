"""A leader that cannot renew its lease stops before another may start, even during a request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from negset_operator.kube.client import Unreachable
from negset_operator.kube.lease import DEADLINE, DURATION, Leadership, Lease
from negset_operator.kube.objects import ObjectMeta

DEADLINE_HERE = 0.3


class Server:
    """An API server with one lease, until it hangs or refuses."""

    def __init__(self) -> None:
        self.lease = Lease(metadata=ObjectMeta(name="l", resource_version="1"))
        self.hangs = threading.Event()
        self.refuses = False
        self.written = 0
        self._after = (1 << 30, lambda: None)
        self._never = threading.Event()

    def get(self, *_: Any) -> Lease:
        if self.hangs.is_set():
            self._never.wait(60)
        if self.refuses:
            raise Unreachable("no answer")
        return self.lease

    def replace(self, _: Any, body: dict[str, Any], __: Any = None) -> Lease:
        self.lease = msgspec.convert(body, Lease)
        self.written += 1
        times, act = self._after
        if self.written > times:
            act()
        return self.lease

    def after(self, times: int, act: Callable[[], None]) -> None:
        """Call `act` after this many further writes of the lease."""
        self._after = (self.written + times - 1, act)


def test_a_request_that_hangs_does_not_keep_the_leader_beyond_its_deadline():
    server = Server()
    one = Leadership(server, "n", "l", "one", deadline=DEADLINE_HERE)
    assert one.acquire()
    server.hangs.set()
    began = time.monotonic()
    assert not one.hold()
    # The request itself would have hung for a minute.
    assert time.monotonic() - began < 10 * DEADLINE_HERE


def test_a_server_that_does_not_answer_ends_it_as_well():
    server = Server()
    one = Leadership(server, "n", "l", "one", deadline=DEADLINE_HERE)
    assert one.acquire()
    server.refuses = True
    assert not one.hold()


def test_it_ends_at_once_when_another_holds_the_lease():
    server = Server()
    one = Leadership(server, "n", "l", "one", deadline=60)
    assert one.acquire()
    server.replace(None, one._body(holder="two", duration=DURATION, acquired="", renewed="2", transitions=1))
    one._renew()
    assert not one.hold()


def test_it_holds_while_it_renews_and_until_it_is_stopped():
    server = Server()
    one = Leadership(server, "n", "l", "one", deadline=DEADLINE_HERE, clock=lambda: 0.0)
    assert one.acquire()
    server.after(3, one.stop)
    assert one.hold()
    assert server.written >= 4, "taken once, and then renewed"


def test_what_a_leader_has_in_hand_gets_time_before_the_lease_ends():
    assert DEADLINE + 3 < DURATION
