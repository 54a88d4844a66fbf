"""A cluster is an unfriendly place: whatever ends, stops or is refused, a data set gets Ready or says why not, and nothing is made twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from tenant import Tenant
from testbed import cluster, objects
from testbed.objects import Object
from testbed.surroundings import Surroundings

from negset_api import names
from negset_jobs.demo import dataset as demo

Timed = Callable[[str], AbstractContextManager[None]]
MINUTES = 60

RAY_JOB = ("ray.io/v1", "RayJob")


@pytest.fixture
def tenant(make_tenant: Callable[[str], Tenant], release: str) -> Tenant:
    return make_tenant("team-a")


@pytest.fixture
def own(around: Surroundings) -> cluster.Cluster:
    if around.own is None:
        pytest.skip("NOT TESTED: faults are put into the project's own cluster only, and this one is yours")
    return around.own


@pytest.fixture
def data_only(tenant: Tenant, around: Surroundings, pictures: tuple[str, demo.Truth]) -> Object:
    """The smallest data set: 24 pictures, no training."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "small", "namespace": tenant.namespace},
        "spec": {
            "source": {"coco": {"annotations": f"{pictures[0]}/{demo.ANNOTATIONS}"}},
            "excludeClasses": [demo.OBJECT],
            "selection": {"count": 24, "allowFewer": True},
            "download": {"maxFailedPercent": 50},
            "output": {"url": f"s3://{around.bucket}/negatives", "secretName": "s3-credentials"},
            "ray": {"workers": 1},
        },
    }


def test_killing_the_operator_and_the_api_server_again_and_again_makes_nothing_twice(
    tenant: Tenant, data_only: Object, own: cluster.Cluster, timed: Timed
) -> None:
    tenant.apply(data_only)
    with _meanwhile(lambda: own.kill_processes("negset-operator"), seconds=3), timed("small: operator killed every 3 s for 20 s"):
        objects.wait_for("its RayJob is there", lambda: list(tenant.children(RAY_JOB)), seconds=60)
        threading.Event().wait(20)
    own.kill("kube-apiserver")
    own.wait_until_ready()
    tenant.wait_for_ready("small", 10 * MINUTES, timed)
    assert len(list(tenant.children(RAY_JOB))) == 1


def test_suspending_stops_every_pod_and_resuming_finishes(tenant: Tenant, data_only: Object, timed: Timed) -> None:
    tenant.apply(data_only)
    objects.wait_for("its RayJob is there", lambda: list(tenant.children(RAY_JOB)), seconds=60)
    tenant.apply({**data_only, "spec": {**data_only["spec"], "suspend": True}})
    with timed("small: suspended, until no pod is left"):
        objects.wait_for("no pod is left", lambda: not list(tenant.children(("v1", "Pod"))), seconds=3 * MINUTES)
    ready = next(entry for entry in tenant.dataset("small")["status"]["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Suspended")
    tenant.apply(data_only)
    tenant.wait_for_ready("small", 10 * MINUTES, timed)


def test_a_quota_that_is_used_up_is_named_within_a_minute(tenant: Tenant, data_only: Object, timed: Timed) -> None:
    quota = {"metadata": {"name": "none", "namespace": tenant.namespace}, "spec": {"hard": {"pods": "0"}}}
    objects.apply(tenant.client, [{"apiVersion": "v1", "kind": "ResourceQuota", **quota}])
    tenant.apply(data_only)
    with timed("small: quota named in the condition"):
        message = objects.wait_for("the condition names the quota", lambda: _said(tenant, "exceeded quota"), seconds=60)
    assert "none" in message
    tenant.kubectl("delete", "resourcequota", "none")
    tenant.wait_for_ready("small", 10 * MINUTES, timed)


def test_a_secret_that_is_missing_is_named_within_a_minute(tenant: Tenant, data_only: Object, timed: Timed) -> None:
    spec = {**data_only["spec"], "output": {**data_only["spec"]["output"], "secretName": "no-such-secret"}}
    tenant.apply({**data_only, "spec": spec})
    with timed("small: missing Secret named in the condition"):
        objects.wait_for("the condition names the Secret", lambda: _said(tenant, "no-such-secret"), seconds=60)


def test_a_deleted_child_is_made_again(tenant: Tenant, data_only: Object, timed: Timed) -> None:
    tenant.apply(data_only)
    (first,) = objects.wait_for("its RayJob is there", lambda: list(tenant.children(RAY_JOB)), seconds=60)
    tenant.kubectl("delete", "rayjob", first["metadata"]["name"], "--wait=true", "--timeout=120s")
    tenant.wait_for_ready("small", 10 * MINUTES, timed)


def _said(tenant: Tenant, words: str) -> str:
    """The message of the condition that says these words."""
    conditions = (tenant.dataset("small").get("status") or {}).get("conditions") or ()
    return next((entry["message"] for entry in conditions if words in entry["message"]), "")


@contextlib.contextmanager
def _meanwhile(act: Callable[[], object], *, seconds: float) -> Iterator[None]:
    """Acts every so many seconds until the block ends."""
    done = threading.Event()

    def again() -> None:
        while not done.wait(seconds):
            act()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
