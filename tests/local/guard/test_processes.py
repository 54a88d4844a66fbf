"""Workers are guarded like the process they work for, and the API server is exempt."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from tests.local.guard.guarding import SECRET, STORES, STRICT, WEB, Counting
from tests.local.workers import KINDS, working

from negset_api.errors import InvalidInput
from negset_jobs.adapters import address_guard, work
from negset_jobs.adapters.store import Store


def reach(port: int, _: Any = None) -> str:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError as error:
        return type(error).__name__
    return "reached"


def make() -> Any:
    return reach


def read(store: Store, _: Any) -> bytes:
    return store.read("x")


class Reaches:
    """Connects while it is unpickled."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __reduce__(self) -> Any:
        return reach, (self.port,)


def same(unpickled: str, _: Any) -> str:
    return unpickled


@pytest.mark.parametrize("kind", KINDS)
def test_workers_are_guarded_like_the_process_they_work_for(kind: str, private: Counting) -> None:
    port = private.port
    with address_guard.enforced(STRICT), working(kind):
        assert [ended for _, ended in work.map_unordered(reach, [port], workers=1)] == ["BlockedAddress"]
        assert [ended for _, ended in work.map_unordered(same, [Reaches(port)], workers=1)] == ["BlockedAddress"], "while it is unpickled"
        assert list(work.map_with_actors(make, [port], workers=1)) == ["BlockedAddress"]
        assert private.connections == 0
        with address_guard.enforced(WEB):
            assert [ended for _, ended in work.map_unordered(reach, [port], workers=1)] == ["reached"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_came_to_a_worker_with_its_task_is_guarded(kind: str, private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": private.url,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }.items():
        monkeypatch.setenv(name, value)

    store = Store("s3://bucket/out")  # before the guard is enforced
    with address_guard.enforced(STRICT), working(kind), pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed"):
        list(work.map_unordered(read, [store], workers=1))
    assert private.connections == 0
    with address_guard.enforced(STORES), working(kind):
        assert [data for _, data in work.map_unordered(read, [store], workers=1)] == [SECRET]


def test_the_status_reaches_an_api_server_with_a_private_address(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes import client, config

    from negset_api.spec import Metadata
    from negset_jobs.adapters.kubernetes_status import StatusWriter

    monkeypatch.setattr(config, "load_incluster_config", lambda: None)
    monkeypatch.setattr(client.Configuration, "get_default_copy", classmethod(lambda _: client.Configuration(host=private.url)))
    with address_guard.enforced(STRICT):
        StatusWriter(Metadata(name="a", namespace="n")).write({"x": 1})
    (asked,) = private.requests
    assert asked == "/apis/negset.dev/v1alpha1/namespaces/n/negativedatasets/a/status"
