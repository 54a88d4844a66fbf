"""The chart's ValidatingAdmissionPolicies on a real API server.

The API server needs a moment to see that a policy was created or deleted.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

from kubernetes.client import ApiException
from launcher import ApiServer
from operators import SPEC, eventually
from testbed import objects
from tests.unit.chart import helm

from negset_api import names

_KINDS = ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy")
_GROUP = "admissionregistration.k8s.io/v1"


def refusal(server: ApiServer, namespace: str, spec: dict[str, Any], name: str = "probe") -> str:
    """Return why the API server refuses a NegativeDataset with this spec; empty if it does not."""
    body = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    try:
        server.dynamic.resources.get(api_version=names.API_VERSION, kind=names.KIND).create(body=body, namespace=namespace, dry_run="All")
    except ApiException as error:
        return str(error.body)
    return ""


def install(server: ApiServer, values: dict[str, Any], home: str, namespace: str) -> None:
    """Install the chart in `home`, and wait until its policy for URLs is active in `namespace`."""
    objects.apply(server.dynamic, helm.render(values, home))
    eventually("a local path is refused", lambda: "denied request" in refusal(server, namespace, _local()))


@contextlib.contextmanager
def installed(server: ApiServer) -> Iterator[str]:
    """Install the chart with its policies while the context lasts.

    The value is the namespace, which is also the operator's account.
    """
    home = server.namespace(f"negset-{secrets.token_hex(4)}")
    install(server, {"fullnameOverride": home, "crds": {"install": False}}, home, home)
    yield home
    remove(server, home)


def remove(server: ApiServer, namespace: str) -> None:
    """Delete all policies, so that they do not affect other tests."""
    for kind in _KINDS:
        resource = server.dynamic.resources.get(api_version=_GROUP, kind=kind)
        for item in resource.get().to_dict()["items"]:
            if item["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "negset":
                resource.delete(name=item["metadata"]["name"])
    eventually("a local path is admitted", lambda: not refusal(server, namespace, _local()))


def _local() -> dict[str, Any]:
    return {**SPEC, "output": {"url": "/data"}}
