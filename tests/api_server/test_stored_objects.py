"""Objects that an earlier CRD accepted and that this one refuses if they are new.

They can still be changed, get a status, and be deleted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiException, CustomObjectsApi
from operators import QUICK, SPEC, TRAINING, Cluster, eventually, running
from testbed import objects

from negset_api import names
from negset_api.schema import custom_resource_definition
from negset_operator.config import Config

UNPROCESSABLE = 422

# The name of the object, and its spec.
STORED: dict[str, tuple[str, dict[str, Any]]] = {
    "a name with a dot": ("street.v2", SPEC),
    "a name with more than 63 characters": ("a" * 64, SPEC),
    "a queue with capitals": ("street", {**SPEC, "queueName": "Team-A"}),
    "an empty queue": ("street", {**SPEC, "queueName": ""}),
    "a queue with more than 63 characters": ("street", {**SPEC, "queueName": "q" * 64}),
    "an empty Secret": ("street", {**SPEC, "output": {"url": "s3://team-a/negatives", "secretName": ""}}),
    "a Secret with an underscore": ("street", {**SPEC, "output": {"url": "s3://team-a/negatives", "secretName": "s3_keys"}}),
    "an empty ConfigMap": ("street", {**SPEC, **TRAINING, "training": {"pipelineConfig": {"configMap": ""}, "steps": 1}}),
    "an empty URL of a pipeline": ("street", {**SPEC, **TRAINING, "training": {"pipelineConfig": {"url": ""}, "steps": 1}}),
    "an empty checkpoint": ("street", {**SPEC, **TRAINING, "training": {**TRAINING["training"], "fineTuneCheckpoint": ""}}),
    "an empty label map": ("street", {**SPEC, **TRAINING, "positives": {**TRAINING["positives"], "labelMap": ""}}),
    "a licence twice": ("street", {**SPEC, "selection": {"count": 100, "licenses": [1, 1]}}),
}


def as_earlier(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the rules that were added since 0.1.0."""
    earlier = {key: value for key, value in schema.items() if key not in {"pattern", "minLength"}}
    if "properties" in earlier:
        earlier["properties"] = {name: as_earlier(child) for name, child in earlier["properties"].items()}
    if "items" in earlier:
        earlier["items"] = as_earlier(earlier["items"])
    return earlier


@contextlib.contextmanager
def earlier(dynamic: Any) -> Iterator[None]:
    """The API server serves the CRD of an earlier release while the context lasts."""
    definition = custom_resource_definition()
    version = definition["spec"]["versions"][0]["schema"]
    root = as_earlier(version["openAPIV3Schema"])
    del root["x-kubernetes-validations"]
    root["properties"]["metadata"] = {"type": "object"}
    fields = root["properties"]["spec"]["properties"]
    fields["queueName"]["maxLength"] = 253
    del fields["selection"]["properties"]["licenses"]["x-kubernetes-list-type"]
    fields["output"]["properties"]["formats"]["x-kubernetes-list-type"] = "atomic"
    version["openAPIV3Schema"] = root
    objects.apply(dynamic, [definition])
    try:
        yield
    finally:
        objects.apply(dynamic, [custom_resource_definition()])


def is_put(api_server: Any, namespace: str, name: str, spec: dict[str, Any], *, dry_run: bool = False) -> bool:
    """Return True if the API server accepts the object.

    It serves a changed CRD a moment after it has stored it.
    """
    body = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    api, more = CustomObjectsApi(api_server.client), {"dry_run": "All"} if dry_run else {}
    try:
        api.create_namespaced_custom_object(names.GROUP, names.VERSION, namespace, names.PLURAL, body, **more)
    except ApiException as refused:
        if refused.status != UNPROCESSABLE:
            raise
        return False
    return True


@pytest.fixture(scope="module")
def stored(api_server: Any) -> dict[str, Cluster]:
    """A namespace for each case, with the object in it. The CRD is the present one."""
    workers = {case: Cluster(api_server, api_server.namespace()) for case in STORED}
    with earlier(api_server.dynamic):
        for case, (name, spec) in STORED.items():
            eventually(case, lambda case=case, name=name, spec=spec: is_put(api_server, workers[case].namespace, name, spec))
    new = api_server.namespace()
    for case, (name, spec) in STORED.items():
        eventually(f"{case} is refused", lambda name=name, spec=spec: not is_put(api_server, new, name, spec, dry_run=True))
    return workers


@pytest.mark.parametrize("case", STORED)
def test_it_can_be_changed_reported_about_and_deleted(case, stored):
    cluster, (name, _) = stored[case], STORED[case]
    cluster.change(name, download={"attempts": 7})
    assert cluster.dataset(name)["spec"]["download"]["attempts"] == 7
    cluster.merge(names.API_VERSION, names.KIND, name, {"status": {"stage": "Checked", "observedGeneration": 2}}, "status")
    assert cluster.dataset(name)["status"]["stage"] == "Checked"
    cluster.merge(names.API_VERSION, names.KIND, name, {"metadata": {"finalizers": ["example.org/x"]}})
    cluster.delete(name)
    cluster.merge(names.API_VERSION, names.KIND, name, {"metadata": {"finalizers": []}})
    eventually("deleted", lambda: cluster.dataset(name) is None)


def applied(cluster: Cluster, manager: str, *formats: str) -> list[str]:
    """Return the formats after a server-side apply without force."""
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": cluster.namespace},
        "spec": {**SPEC, "output": {**SPEC["output"], "formats": list(formats)}},
    }
    cluster.dynamic.server_side_apply(
        cluster.kind(names.API_VERSION, names.KIND), body=document, field_manager=manager, force_conflicts=False
    )
    return cluster.dataset()["spec"]["output"]["formats"]


def test_a_list_that_has_become_a_set_keeps_its_order_and_its_owner_and_takes_a_second_one(api_server, namespace):
    cluster = Cluster(api_server, namespace)
    with earlier(cluster.dynamic):
        eventually("the earlier CRD", lambda: is_put(api_server, namespace, "a.dot", SPEC))
        assert applied(cluster, "team", "YOLO", "COCO") == ["YOLO", "COCO"]
    eventually("this CRD", lambda: not is_put(api_server, namespace, "another.dot", SPEC, dry_run=True))
    assert applied(cluster, "team", "YOLO", "COCO") == ["YOLO", "COCO"]
    assert applied(cluster, "team", "YOLO") == ["YOLO"]
    assert applied(cluster, "another", "VOC") == ["YOLO", "VOC"]
    assert set(applied(cluster, "team", "YOLO", "TFRecord")) == {"YOLO", "TFRecord", "VOC"}


USED: dict[str, dict[str, Any]] = {
    "an empty queue and an empty Secret": {"queueName": "", "output": {"url": "s3://team-a/negatives", "secretName": ""}},
    "a licence twice": {"selection": {"count": 100, "licenses": [1, 1]}},
}


@pytest.mark.parametrize("case", USED)
def test_what_worked_still_works(case, api_server, namespace):
    cluster = Cluster(api_server, namespace)
    with earlier(cluster.dynamic):
        eventually("stored", lambda: is_put(api_server, namespace, "street", {**SPEC, **USED[case]}))
    with running(api_server, namespace, config=Config(patience=QUICK, workers=4)):
        eventually("its job", cluster.ray_jobs)
        eventually("said", lambda: cluster.reason() == "Starting")
