"""Many watches in one thread: none delays the others, and the API server is not overloaded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from negset_operator.kube.cache import Cache
from negset_operator.kube.client import POD, RAY_JOB, ApiError, Kind, Unreachable
from negset_operator.kube.objects import ObjectMeta, Pod
from negset_operator.kube.reflector import Source
from negset_operator.kube.watches import SLOTS, Watches

KINDS = tuple(Kind("v1", f"Kind{n}", f"kinds{n}") for n in range(10))
NAMESPACES = tuple(f"n{n}" for n in range(300))


class Server:
    """An API server with one stream for each kind in each namespace.

    Lists of the kinds in `hanging` are never answered.
    """

    def __init__(self, *, hanging: tuple[Kind, ...] = (), refusal: Exception | None = None) -> None:
        self.hanging, self.refusal = hanging, refusal
        self.streams: dict[tuple[str, str], Stream] = {}
        self.opened = 0
        self.at_once: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Server]:
        self._loop = asyncio.get_running_loop()
        yield self

    async def list_page(self, kind: Kind, namespace: str, *_: Any, **__: Any) -> Any:
        await self._answered(kind)
        return [Pod(metadata=ObjectMeta(name="listed", namespace=namespace, uid=namespace, resource_version="9"))], "10", ""

    async def watch(self, kind: Kind, namespace: str, **_: Any) -> Any:
        self.opened += 1
        await self._answered(kind)
        if self.refusal:
            raise self.refusal
        return self.streams.setdefault((kind.plural, namespace), Stream())

    async def _answered(self, kind: Kind) -> None:
        self.at_once[kind.plural] += 1
        self.most[kind.plural] = max(self.most[kind.plural], self.at_once[kind.plural])
        await asyncio.sleep(60 if kind in self.hanging else 0.001)
        self.at_once[kind.plural] -= 1

    def add(self, kind: Kind, namespace: str, name: str) -> None:
        pod = Pod(metadata=ObjectMeta(name=name, namespace=namespace, uid=name, resource_version="11"))
        line = msgspec.json.encode({"type": "ADDED", "object": pod})
        assert self._loop
        self._loop.call_soon_threadsafe(self.streams[kind.plural, namespace].put_nowait, [line])


class Stream(asyncio.Queue[list[bytes]]):
    async def read(self) -> list[bytes]:
        return await self.get()

    def close(self) -> None:
        pass


@pytest.fixture
def watching() -> Iterator[Callable[..., Watches]]:
    started: list[Watches] = []

    def start(server: Server, cache: Cache, *sources: Source, changed: Callable[[Any], None] = lambda _: None) -> Watches:
        watches = Watches(server.connected)
        for source in sources:
            watches.add(source, cache, changed)
        started.append(watches)
        watches.start()
        return watches

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def cache() -> Cache:
    return Cache(lambda item: (item.metadata.namespace, "group"))


def sources(*kinds: Kind, namespaces: tuple[str, ...] = NAMESPACES) -> list[Source]:
    return [Source(kind=kind, as_type=Pod, namespace=namespace) for namespace in namespaces for kind in kinds]


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def test_three_hundred_namespaces_of_ten_kinds_take_one_thread_and_news_of_each_arrives(watching, cache):
    server, before = Server(), threading.active_count()
    watches = watching(server, cache, *sources(*KINDS))
    until(lambda: len(server.streams) == 3000)
    assert threading.active_count() - before == 1
    assert len(cache.all()) == 300
    assert all(each.synced and not each.problem and not each.stale_seconds for each in watches._reflectors)
    for number in range(0, 300, 50):
        server.add(KINDS[number // 50], f"n{number}", f"a{number}")
    until(lambda: all(cache.get(f"n{number}", f"a{number}") for number in range(0, 300, 50)))
    began = time.monotonic()
    watches.stop()
    assert watches.ended
    assert time.monotonic() - began < 2
    assert threading.active_count() == before


def test_of_each_kind_a_few_are_listed_or_opened_at_a_time(watching, cache):
    server = Server()
    watching(server, cache, *sources(POD, RAY_JOB))
    until(lambda: len(server.streams) == 600)
    assert server.most == {"pods": SLOTS, "rayjobs": SLOTS}


def test_a_kind_whose_lists_hang_holds_up_no_other(watching, cache):
    server = Server(hanging=(RAY_JOB,))
    watching(server, cache, *sources(RAY_JOB, POD))
    until(lambda: len(server.streams) == 300, seconds=5)
    assert server.at_once["rayjobs"] == SLOTS


def test_an_unreachable_api_server_gets_few_requests_and_afterwards_all_watches_continue(watching, cache):
    server = Server(refusal=Unreachable("connection refused"))
    watches = watching(server, cache, *sources(POD))
    until(lambda: server.opened)
    time.sleep(2)
    # 4 at a time, with pauses of 0.2 + 0.4 s or half of that. All 300 would send 1,000 requests.
    assert server.opened < 100
    server.refusal = None
    until(lambda: len(server.streams) == 300, seconds=5)
    until(lambda: not any(each.problem for each in watches._reflectors))


def test_it_stops_at_once_during_a_retry_after(watching, cache):
    server = Server(refusal=ApiError(429, "TooManyRequests", "slow down", 60))
    watches = watching(server, cache, *sources(POD, namespaces=("n",)))
    until(lambda: watches._reflectors[0].problem)
    began = time.monotonic()
    watches.stop()
    assert watches.ended
    assert time.monotonic() - began < 1
    watches.stop()  # nothing to do any more


def test_a_mistake_in_this_program_ends_the_thread_and_is_logged_so_that_liveness_fails(watching, cache, caplog):
    def mistake(_: Any) -> None:
        if cache.get("n7", "a"):
            raise ZeroDivisionError("a mistake")

    server = Server()
    watches = watching(server, cache, *sources(POD), changed=mistake)
    until(lambda: len(server.streams) == 300)
    assert not watches.ended
    server.add(POD, "n7", "a")
    until(lambda: watches.ended)
    assert "a mistake" in caplog.text


def test_watches_that_were_never_started_have_not_ended_and_can_be_stopped():
    watches = Watches(Server().connected)
    watches.stop()
    assert not watches.ended
