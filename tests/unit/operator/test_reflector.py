"""How often a reflector retries under errors, and what its cache has meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from negset_operator.kube import reflector
from negset_operator.kube.cache import Cache
from negset_operator.kube.client import POD, ApiError
from negset_operator.kube.objects import ObjectMeta, Pod
from negset_operator.kube.reflector import Reflector, Source
from negset_operator.kube.watches import Watches

THROTTLED = ApiError(429, "TooManyRequests", "slow down", 0)
EXPIRED = ApiError(410, "Expired", "too old resource version", 0)


def pod(name: str, version: int) -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="n", uid=f"uid-of-{name}", resource_version=str(version)))


def event(kind: str, item: Pod) -> bytes:
    return msgspec.json.encode({"type": kind, "object": item})


class Server:
    """An API server.

    `listed` is the answer to a list. `watches` are the answers to the watches; the last one
    repeats.
    """

    def __init__(self, listed: list[Pod], *watches: Exception | list[bytes]) -> None:
        self.listed, self.watches = listed, list(watches)
        self.lists: list[dict[str, str]] = []
        self.asked_from: list[str] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Server]:
        yield self

    async def list_page(self, *_: Any, query: dict[str, str], **__: Any) -> Any:
        self.lists.append(query)
        return list(self.listed), "10", ""

    async def watch(self, *_: Any, query: dict[str, str], **__: Any) -> Any:
        self.asked_from.append(query["resourceVersion"])
        what = self.watches.pop(0) if len(self.watches) > 1 else self.watches[0]
        if isinstance(what, Exception):
            raise what
        return Script(what)


class Script:
    """An open watch: these lines, then silence."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines

    async def read(self) -> list[bytes]:
        if not self.lines:
            await asyncio.Event().wait()
        came, self.lines = self.lines, []
        return came

    def close(self) -> None:
        pass


@pytest.fixture
def watched(monkeypatch) -> Iterator[Callable[..., tuple[Reflector, Cache]]]:
    started: list[Watches] = []
    monkeypatch.setattr(reflector, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(reflector, "LONGEST_PAUSE", 0.32)

    def start(server: Any, **options: Any) -> tuple[Reflector, Cache]:
        cache = Cache(lambda item: (item.metadata.namespace, "group"))
        watches = Watches(server.connected)
        reflector = watches.add(Source(kind=POD, as_type=Pod), cache, lambda _: None, **options)
        started.append(watches)
        watches.start()
        return reflector, cache

    yield start
    for each in started:
        each.stop()


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def test_a_throttled_watch_is_asked_for_with_growing_pauses_and_nothing_is_listed_again(watched):
    server = Server([pod("a", 3)], THROTTLED)
    watched(server)
    time.sleep(1)
    # The pauses are 0.02 + 0.04 + … + 0.32 s, then 0.32 s each, or half of that. Without growing
    # pauses there would be 50 attempts or more.
    assert 1 <= len(server.asked_from) <= 12
    assert len(server.lists) == 1


@pytest.mark.parametrize("status", [401, 403, 500])
def test_after_a_time_without_rights_the_watch_continues_and_the_cache_is_unchanged(watched, status):
    refused = ApiError(status, "", "no", 0)
    server = Server([pod("a", 3)], refused, refused, refused, [event("ADDED", pod("b", 12))], [])
    reflector, cache = watched(server)
    until(lambda: reflector.problem)
    assert [item.metadata.name for item in cache.all()] == ["a"]
    until(lambda: len(cache.all()) == 2)
    assert (reflector.problem, len(server.lists)) == ("", 1)


@pytest.mark.parametrize("answer", ["", "{}"], ids=["no version", "not a number"])
def test_an_answer_that_is_not_the_api_servers_is_no_list(watched, answer):
    class Strange(Server):
        async def list_page(self, *_: Any, query: dict[str, str], **__: Any) -> Any:
            self.lists.append(query)
            return ([], answer, "") if len(self.lists) < 3 else ([pod("a", 3)], "10", "")

    reflector, cache = watched(Strange([], []))
    until(lambda: reflector.synced)
    assert [item.metadata.name for item in cache.all()] == ["a"]


def test_retry_after_is_waited_for(watched):
    server = Server([], ApiError(429, "TooManyRequests", "slow down", 60))
    watched(server)
    until(lambda: server.asked_from)
    time.sleep(0.3)
    assert len(server.asked_from) == 1


def test_only_a_version_that_is_too_old_lists_again_and_then_from_the_store_itself(watched):
    server = Server([pod("a", 3)], EXPIRED, [event("ADDED", pod("b", 11))])
    _, cache = watched(server)
    until(lambda: cache.get("n", "b"))
    assert server.lists == [{"labelSelector": "", "resourceVersion": "0"}, {"labelSelector": "", "limit": "500"}]


def test_after_an_error_the_watch_continues_from_the_last_version(watched):
    server = Server([], [event("ADDED", pod("a", 11)), b'{"type":"ERROR","object":{"code":500,"reason":"InternalError"}}'], [])
    reflector, cache = watched(server)
    until(lambda: len(server.asked_from) == 2)
    assert server.asked_from == ["10", "11"]
    assert len(server.lists) == 1
    assert reflector.restarts == 1
    assert cache.get("n", "a") is not None


def test_what_is_known_grows_old_while_no_watch_is_open_and_is_fresh_when_one_is(watched):
    now = [100.0]
    server = Server([], THROTTLED)
    reflector, _ = watched(server, clock=lambda: now[0])
    until(lambda: reflector.problem)
    now[0] = 190.0
    assert reflector.stale_seconds == 90
    assert reflector.problem == "Failed to watch pods: slow down"
    server.watches[:] = [[]]
    until(lambda: not reflector.problem and not reflector.stale_seconds)
