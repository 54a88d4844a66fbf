"""The API server of the operator's tests has the features that they need."""

from __future__ import annotations

import json

import pytest
from kubernetes.client import ApiException, BatchV1Api, CoreV1Api
from kubernetes.config import new_client_from_config
from kubernetes.watch import Watch
from launcher import ApiServer
from testbed import objects

from negset_api import names


def _dataset(namespace: str, **spec: object) -> objects.Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": namespace},
        "spec": {
            "source": {"coco": {"annotations": "s3://data/annotations.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 10},
            "output": {"url": "s3://data/out"},
            **spec,
        },
    }


def test_it_serves_our_kind_with_its_defaults(api_server: ApiServer, namespace: str) -> None:
    objects.apply(api_server.dynamic, [_dataset(namespace)])
    found = objects.find(api_server.dynamic, names.API_VERSION, names.KIND, "street", namespace)
    assert found is not None
    assert found["spec"]["selection"]["count"] == 10
    assert found["spec"]["download"]["verify"] == "Structure"


def test_it_refuses_a_wrong_spec_by_our_schema(api_server: ApiServer, namespace: str) -> None:
    with pytest.raises(Exception, match=r"spec\.selection\.count"):
        objects.apply(api_server.dynamic, [_dataset(namespace, selection={"count": -1})])


def test_what_was_written_outlives_a_restart_of_the_api_server_and_of_etcd(api_server: ApiServer, namespace: str) -> None:
    objects.apply(api_server.dynamic, [_dataset(namespace)])
    api_server.kill_etcd()
    api_server.kill()
    assert not api_server.ready()
    api_server.start()
    assert objects.find(api_server.dynamic, names.API_VERSION, names.KIND, "street", namespace)


def test_an_expired_watch_is_answered_gone(api_server: ApiServer) -> None:
    core = CoreV1Api(api_server.client)
    seen = core.list_namespace().metadata.resource_version
    api_server.expire_watches()
    with pytest.raises(ApiException) as gone:
        for _ in Watch().stream(core.list_namespace, resource_version=seen, timeout_seconds=5):
            pass
    assert gone.value.status == 410


def test_a_service_account_has_only_granted_rights(api_server: ApiServer, namespace: str) -> None:
    client = new_client_from_config(api_server.kubeconfig_of(namespace, "operator"))
    with pytest.raises(ApiException) as refused:
        CoreV1Api(client).list_namespaced_secret(namespace)
    assert refused.value.status == 403
    assert f"system:serviceaccount:{namespace}:operator" in refused.value.body


def test_a_restricted_namespace_refuses_a_privileged_pod(api_server: ApiServer, restricted_namespace: str) -> None:
    CoreV1Api(api_server.client).create_namespaced_service_account(restricted_namespace, {"metadata": {"name": "default"}})
    pod = {
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "root", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(ApiException) as refused:
        CoreV1Api(api_server.client).create_namespaced_pod(restricted_namespace, pod)
    assert refused.value.status == 403
    assert 'violates PodSecurity "restricted:latest"' in json.loads(refused.value.body)["message"]


def test_children_are_collected_when_the_controllers_run(api_server: ApiServer, namespace: str, controllers: None) -> None:
    core = CoreV1Api(api_server.client)
    owner = core.create_namespaced_config_map(namespace, {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    container = {"name": "nothing", "image": "nothing"}
    job = {
        "metadata": {"name": "child", "ownerReferences": [reference]},
        "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}},
    }
    batch = BatchV1Api(api_server.client)
    batch.create_namespaced_job(namespace, job)
    objects.wait_for("the Job has its pod", lambda: core.list_namespaced_pod(namespace).items, seconds=20)
    core.delete_namespaced_config_map("owner", namespace)
    objects.wait_for("the Job is deleted", lambda: not batch.list_namespaced_job(namespace).items, seconds=20)
