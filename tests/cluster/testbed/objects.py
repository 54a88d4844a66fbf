"""Read Kubernetes objects from files, apply them, find them, and wait for their state."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

import yaml
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError

from testbed.processes import Failed

Object = dict[str, Any]

FIELD_MANAGER = "negset-tests"


def read_objects(*paths: str) -> Iterator[Object]:
    """Return the objects of YAML files, in order."""
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            # The C loader: KubeRay's files take seconds with the other one.
            yield from (item for item in yaml.load_all(stream, yaml.CSafeLoader) if item)


def apply(client: DynamicClient, objects: Iterable[Object], *, field_manager: str = FIELD_MANAGER) -> None:
    """Apply objects as `kubectl apply --server-side --force-conflicts` does."""
    for item in objects:
        kind = client.resources.get(api_version=item["apiVersion"], kind=item["kind"])
        namespace = item["metadata"].get("namespace")
        client.server_side_apply(kind, body=item, namespace=namespace, field_manager=field_manager, force_conflicts=True, serialize=False)


def define(client: DynamicClient, definitions: Iterable[Object]) -> None:
    """Apply CustomResourceDefinitions, and wait until the API server serves all of them."""
    definitions = list(definitions)
    apply(client, definitions)
    for item in definitions:
        spec = item["spec"]
        for version in spec["versions"]:
            path = f"/apis/{spec['group']}/{version['name']}"
            served = functools.partial(_serves, client, path, spec["names"]["plural"])
            wait_for(f"{path} serves {spec['names']['plural']}", served, seconds=20)
    client.resources.invalidate_cache()


def _serves(client: DynamicClient, path: str, plural: str) -> bool:
    """Return whether a group's version lists a kind.

    This is cheaper than reading the CustomResourceDefinition, whose schema is a megabyte.
    """
    try:
        return any(item["name"] == plural for item in get(client, path)["resources"])
    except NotFoundError:
        return False


def get(client: DynamicClient, path: str) -> Object:
    """Return the decoded answer of the API server to GET `path`."""
    answer: Object = client.request("get", path, serializer=lambda _, content: content)
    return answer


def condition(item: Object, kind: str, field: str = "status") -> str | None:
    """Return a field of an object's condition, by default its status ("True", "False", "Unknown").

    Return None if the object has no such condition.
    """
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((entry[field] for entry in conditions if entry["type"] == kind), None)


def find(client: DynamicClient, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
    """Return the current object, or None if it does not exist."""
    try:
        found: Object = client.resources.get(api_version=api_version, kind=kind).get(name=name, namespace=namespace).to_dict()
    except NotFoundError:
        return None
    return found


def wait_for(what: str, probe: Callable[[], Any], *, seconds: float, between: float = 0.1) -> Any:
    """Call `probe` until its answer is true, and return the answer.

    Raise Failed after `seconds`, with the last answer.
    """
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise Failed(f"Timed out after {seconds:.0f} s: expected that {what}, the last answer was {answer!r}.")
        time.sleep(between)
    return answer


def limit(client: DynamicClient, namespace: str, name: str, hard: dict[str, str]) -> None:
    """Create a ResourceQuota with these hard limits, and wait until it is in force.

    Admission compares with the limits in the status, which a controller copies from the spec. Until
    then it admits everything (kubernetes/kubernetes, `Matches` in pkg/quota/v1/generic).
    """
    apply(
        client, [{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": namespace}, "spec": {"hard": hard}}]
    )

    def limits() -> Object:
        status = (find(client, "v1", "ResourceQuota", name, namespace) or {}).get("status") or {}
        return status.get("hard") or {}

    wait_for(f"quota {name} is in force", lambda: limits() == hard, seconds=60)


def service_account_token(client: ApiClient, namespace: str, name: str) -> str:
    """Return a token of a service account, as a pod would have it. Create a missing account."""
    from kubernetes.client import AuthenticationV1TokenRequest, CoreV1Api, V1ObjectMeta, V1ServiceAccount, V1TokenRequestSpec

    core = CoreV1Api(client)
    try:
        core.create_namespaced_service_account(namespace, V1ServiceAccount(metadata=V1ObjectMeta(name=name)))
    except ApiException as refused:
        if refused.status != HTTPStatus.CONFLICT or json.loads(refused.body)["reason"] != "AlreadyExists":
            raise
    request = AuthenticationV1TokenRequest(spec=V1TokenRequestSpec(audiences=[], expiration_seconds=3600))
    answer = core.create_namespaced_service_account_token(name, namespace, request)
    return str(answer.status.token)
