"""Fixtures with a real API server.

The tests are skipped with a reason if its programs are not given (`KUBEBUILDER_ASSETS`) and cannot
be built (Go). In continuous integration (`CI=true`) that is a failure: nothing is skipped silently.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

sys.path[:0] = [os.path.dirname(__file__), os.path.join(os.path.dirname(os.path.dirname(__file__)), "cluster")]

from launcher import ApiServer, kuberay_definitions, kueue_definitions  # noqa: E402
from testbed import objects  # noqa: E402
from testbed.binaries import Unavailable  # noqa: E402

from negset_api import schema  # noqa: E402


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for all tests, with the kinds of negset and KubeRay.

    Each test has its own namespace.
    """
    try:
        server = ApiServer(str(tmp_path_factory.mktemp("api-server")))
        definitions = [schema.custom_resource_definition(), *kuberay_definitions()]
    except Unavailable as missing:
        if os.environ.get("CI"):
            pytest.fail(f"No API server to test against, under continuous integration: {missing}")
        pytest.skip(f"NOT TESTED, for want of an API server: {missing}")
    with server:
        objects.define(server.dynamic, definitions)
        yield server


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """A fresh namespace that enforces no Pod Security level."""
    return api_server.namespace()


@pytest.fixture
def restricted_namespace(api_server: ApiServer) -> str:
    """A fresh namespace that enforces the Pod Security level "restricted"."""
    return api_server.namespace(restricted=True)


@pytest.fixture(scope="session")
def kueue(api_server: ApiServer) -> str:
    """The API server serves Kueue's Workloads. The value is the newest API version."""
    definitions = kueue_definitions()
    objects.define(api_server.dynamic, definitions)
    return f"kueue.x-k8s.io/{definitions[0]['spec']['versions'][-1]['name']}"


@pytest.fixture
def controllers(api_server: ApiServer) -> Iterator[None]:
    """Kubernetes' own controllers run during the test.

    They delete the children of deleted owners, create the pods of Jobs, and end namespaces.
    """
    with api_server.controllers():
        yield
