"""Fixtures for the tests on a real cluster.

The cluster is the project's own (`make cluster`) or yours (see testbed/surroundings.py). These
tests are not part of the usual run. Without a cluster they fail: they are not skipped.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
import yaml

sys.path.insert(0, os.path.dirname(__file__))

from image_host import ImageHost, serve
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient
from tenant import RESTRICTED, Tenant, Timed
from testbed import addons, surroundings
from testbed.binaries import Unavailable
from testbed.images import ROOT
from testbed.surroundings import Surroundings

RELEASE_NAMESPACE = "negset-system"

# The requests are small, so that all pods fit on two cores at once. The limits bound memory. CPU is
# shared.
_SMALL_PODS = {
    "rayHead": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
    "dataWorker": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
    "mineWorker": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
    "check": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
    "trainer": {"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}},
}

_timeline: list[tuple[str, float]] = []


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        _timeline.append((what, time.monotonic() - started))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long each named span took."""
    if _timeline:
        terminalreporter.section("where the time went")
        for what, seconds in _timeline:
            terminalreporter.line(f"{seconds:8.1f} s  {what}")


@pytest.fixture(scope="session")
def timed() -> Timed:
    return _timed


@pytest.fixture(scope="session")
def around() -> Surroundings:
    try:
        return surroundings.find(os.environ)
    except Unavailable as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="session")
def client(around: Surroundings) -> DynamicClient:
    """Return a client with the admin's rights."""
    return DynamicClient(new_client_from_config(around.kubeconfig))


def _networks(around: Surroundings) -> dict[str, Any]:
    """Return the chart's `config.networks`.

    Only this machine serves images. The project's own cluster runs KubeRay in a namespace that the
    chart does not allow by default.
    """
    kuberay = {"kuberayNamespaces": [addons.KUBERAY_NAMESPACE]} if around.own else {}
    return {"images": [f"{around.address}/32"], "stores": list(around.networks), **kuberay}


@pytest.fixture(scope="session")
def release(around: Surroundings, client: DynamicClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install the chart in its own namespace, which enforces "restricted". Return the namespace."""
    values = {
        "image": {"repository": f"{around.images}/operator", "tag": around.tag},
        # Force new pods: the image behind the same tag may have changed.
        "podAnnotations": {"tests.negset.dev/session": secrets.token_hex(4)},
        "jobs": {"image": {"repository": f"{around.images}/jobs", "tag": around.tag}},
        "trainer": {"image": {"repository": f"{around.images}/trainer", "tag": around.tag}},
        "config": {
            "pods": _SMALL_PODS,
            "networks": _networks(around),
            "patience": {"retrySeconds": 5, "lostNodeSeconds": 5},
        },
    }
    path = str(tmp_path_factory.mktemp("release") / "values.yaml")
    with open(path, "w", encoding="utf-8") as stream:
        yaml.safe_dump(values, stream)
    chart = os.path.join(ROOT, "charts", "negset")
    Tenant(around, client, RELEASE_NAMESPACE).make_namespace(RESTRICTED)
    with _timed("helm install, until the operator is ready"):
        arguments = (
            "upgrade",
            "--install",
            "negset",
            chart,
            f"--namespace={RELEASE_NAMESPACE}",
            f"--values={path}",
            "--wait",
            "--timeout=3m",
        )
        addons.helm(around.kubeconfig, *arguments)
    return RELEASE_NAMESPACE


@pytest.fixture(scope="session")
def image_host(around: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageHost]:
    """Serve a small dataset of 100 images."""
    with serve(around.address, str(tmp_path_factory.mktemp("images")), with_object=40, without_object=60) as served:
        yield served


@pytest.fixture
def many_images(around: Surroundings, tmp_path: pathlib.Path) -> Iterator[ImageHost]:
    """Serve a dataset of three shards, whose download a test can pause."""
    with serve(around.address, str(tmp_path), with_object=40, without_object=300) as served:
        yield served


@pytest.fixture(scope="session")
def make_tenant(around: Surroundings, client: DynamicClient) -> Iterator[Callable[[str], Tenant]]:
    """Return a function that creates a tenant. All tenants are deleted at the end.

    Each has its own namespace, which enforces "restricted", and a Secret with the credentials of
    the bucket.
    """
    made: list[Tenant] = []

    def make(name: str) -> Tenant:
        tenant = Tenant(around, client, f"{name}-{secrets.token_hex(3)}")
        made.append(tenant)
        tenant.make_namespace(RESTRICTED)
        tenant.write_secret("s3-credentials", around.s3_variables)
        return tenant

    yield make
    for tenant in made:
        try:
            CoreV1Api(client.client).delete_namespace(tenant.namespace)
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:  # a test has deleted it
                raise
