"""The load that one operator puts on an API server, and its memory of deleted objects."""

from __future__ import annotations

import signal
import time
import urllib.request
from collections import Counter

import pytest
from operators import Cluster, Process, eventually, processes, running

from negset_operator.config import Config
from negset_operator.kube.client import DATASET, ApiError, Client, connect
from negset_operator.web import Web

MANY = 40


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_nothing_is_remembered_of_objects_whose_last_finalizer_the_operator_took_away(api_server, cluster):
    with running(api_server, cluster.namespace) as operator:
        for number in range(MANY):
            cluster.create(f"street-{number}", deletionPolicy="Delete")
        eventually("finalizers", lambda: all(cluster.dataset(f"street-{number}")["metadata"].get("finalizers") for number in range(MANY)))
        for number in range(MANY):
            cluster.delete(f"street-{number}")
            cluster.change(f"street-{number}", deletionPolicy="Retain")
        eventually("deleted", lambda: not cluster.all("negset.dev/v1alpha1", "NegativeDataset"), seconds=60)
        # An earlier version restored 23 of 40: the answer to the patch came after the deletion.
        eventually("forgotten", lambda: not operator._world.caches[DATASET].all(), seconds=5)
        time.sleep(0.5)
        assert operator._world.caches[DATASET].all() == ()


def versions(objects) -> list[int]:
    return sorted(int(each["metadata"]["resourceVersion"]) for each in objects)


def test_of_many_datasets_each_has_its_child_before_any_has_the_rest(api_server, cluster):
    for number in range(5):
        cluster.create(f"street-{number}")
    with running(api_server, cluster.namespace, config=Config(workers=1)):
        eventually("everything", lambda: len(cluster.all("v1", "ServiceAccount")) == len(cluster.ray_jobs()) == 5)
    ray_jobs, accounts = versions(cluster.all("ray.io/v1", "RayJob")), versions(cluster.all("v1", "ServiceAccount"))
    # When the last one was reconciled, no other waited.
    assert ray_jobs[3] < accounts[0]


class Throttled(Client):
    """Refuse every watch, as an overloaded API server does, while `throttling`."""

    throttling = True

    def __init__(self, server) -> None:
        super().__init__(connect(server.kubeconfig)._api)
        self.seen: Counter[str] = Counter()

    def prepared(self, method: str, path: str, query, **options):
        asked = dict(query)
        if method == "GET" and ("watch" in asked or "limit" in asked or "resourceVersion" in asked):
            self.seen["watch" if "watch" in asked else "list"] += 1
        if "watch" in asked and self.throttling:
            raise ApiError(429, "TooManyRequests", "the server is busy", 0)
        return super().prepared(method, path, query, **options)


def test_watches_that_are_throttled_are_not_answered_by_listing_everything_again(api_server, cluster):
    client = Throttled(api_server)
    with running(api_server, cluster.namespace, client=client) as operator:
        eventually("every kind listed", lambda: operator.synced)
        kinds = len(operator._reflectors)
        time.sleep(4)
        assert client.seen["list"] == kinds
        assert client.seen["watch"] < 8 * kinds
        assert len(operator.problems()) == kinds
        client.throttling = False
        cluster.create()
        eventually("a child", cluster.ray_jobs, seconds=30)


def test_a_replica_whose_watches_have_ended_is_not_ready_and_says_why(api_server, cluster, monkeypatch):
    monkeypatch.setattr("negset_operator.loop._STALE_SECONDS", 1)
    client = Throttled(api_server)
    with running(api_server, cluster.namespace, client=client) as operator:
        eventually("not ready", lambda: any("have not been watched for" in reason for reason in operator.not_ready()))
        assert "the server is busy" in operator.not_ready()[0]
        client.throttling = False
        eventually("ready", lambda: not operator.not_ready(), seconds=30)


class Shut(Client):
    """Refuse all requests below one path.

    That is so after the deletion of a namespace with its RoleBinding.
    """

    def __init__(self, server, path: str) -> None:
        super().__init__(connect(server.kubeconfig)._api)
        self.path = path

    def prepared(self, method: str, path: str, query, **options):
        if self.path and self.path in path:
            raise ApiError(403, "Forbidden", "no rights here", 0)
        return super().prepared(method, path, query, **options)


def test_one_namespace_that_cannot_be_listed_holds_up_no_other(api_server, cluster):
    client = Shut(api_server, "/namespaces/gone/")
    with running(api_server, cluster.namespace, "gone", client=client) as operator:
        cluster.create()
        eventually("a child", cluster.ray_jobs)
        eventually("the status", cluster.reason)
        assert operator.not_ready() == ()
        assert not operator.synced
        assert any("may not watch jobs" in problem for problem in operator.problems())


def test_in_a_namespace_of_which_a_part_is_unknown_nothing_is_made(api_server, cluster):
    client = Shut(api_server, f"/namespaces/{cluster.namespace}/jobs")
    with running(api_server, cluster.namespace, "default", client=client) as operator:
        cluster.create()
        eventually("the dataset is known", operator._world.caches[DATASET].all)
        time.sleep(1)
        assert (cluster.ray_jobs(), operator.not_ready()) == ([], ())
        client.path = ""
        eventually("a child", cluster.ray_jobs, seconds=30)


def test_the_metrics_tell_what_was_asked_of_the_api_server_and_whose_datasets_stall(api_server, cluster):
    with (
        running(api_server, cluster.namespace) as operator,
        Web("127.0.0.1", 0, operator.metrics.registry, ready=operator.not_ready, alive=operator.ended_threads) as web,
    ):
        cluster.create()
        (name,) = eventually("a child", cluster.ray_jobs)
        cluster.ray_status(name, "ValidationFailed", message="no")
        eventually("stalled", lambda: cluster.condition("Stalled"))

        def shown() -> str:
            return urllib.request.urlopen(f"http://127.0.0.1:{web.port}/metrics").read().decode()

        eventually("the stall", lambda: f'negset_datasets{{dataset_namespace="{cluster.namespace}",state="stalled"}} 1.0' in shown())
        assert f'negset_warnings_total{{reason="{cluster.reason()}"}} 1.0' in shown()
        assert 'negset_api_requests_total{code="201",method="POST"}' in shown()
        assert 'negset_watch_restarts_total{kind="pods"} 0.0' in shown()
        assert 'negset_watch_stale_seconds{kind="pods"} 0.0' in shown()
        assert 'negset_build_info{python="3.' in shown()


def test_the_queue_of_a_replica_that_is_not_the_leader_is_not_reported(api_server, cluster):
    with running(api_server, cluster.namespace) as operator:
        cluster.create()
        eventually("a child", cluster.ray_jobs)
        operator.leading = False
        operator._queue.add((cluster.namespace, "street"))
        assert operator.metrics.registry.get_sample_value("negset_queue_depth") == 0


def test_sixty_namespaces_cost_connections_and_neither_threads_nor_much_memory(api_server):
    namespaces = [api_server.namespace() for _ in range(60)]
    early, late = Cluster(api_server, namespaces[0]), Cluster(api_server, namespaces[-1])
    early.create()
    process = Process(api_server.kubeconfig, "--namespaces", ",".join(namespaces), open_files=256)
    with processes(process):
        eventually("ready", lambda: process.get("/readyz") == (200, "ok\n"))
        # In an earlier version, each of the 600 watches had its own thread.
        assert process.kernel("Threads") < 20
        # 120 MB. With asyncio's default buffer of 256 KiB for each connection it would be 270 MB.
        assert process.kernel("VmRSS") < 180_000
        late.create()
        eventually("a child of what is new in the last namespace", late.ray_jobs, seconds=5)
        # In an earlier version, the list of each namespace removed the objects of others.
        eventually("a child of what was there in the first namespace", early.ray_jobs, seconds=5)
        assert process.end(signal.SIGTERM) == 0
