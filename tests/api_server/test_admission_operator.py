"""The chart's policy for the operator's account on a real API server.

The account may write its own objects, and nothing else.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from typing import Any

import policies
import pytest
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient
from operators import Cluster, eventually, running
from test_operator_manifests import jobs_of, subject
from tests.supporting import every_supporting_object
from tests.unit.chart import helm

from negset_api import names
from negset_operator.manifests import supporting_objects


@pytest.fixture(scope="module")
def home(api_server) -> Iterator[str]:
    with policies.installed(api_server) as home:
        yield home


class Account:
    """The operator's account, with the rights that the chart gives."""

    def __init__(self, server: Any, home: str, namespace: str) -> None:
        self.namespace = namespace
        self.client = new_client_from_config(server.kubeconfig_of(home, home))
        self.dynamic = DynamicClient(self.client)

    def kind(self, manifest: dict[str, Any]) -> Any:
        return self.dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])

    def namespace_of(self, manifest: dict[str, Any]) -> str:
        return manifest["metadata"].get("namespace", self.namespace)

    def apply(self, manifest: dict[str, Any]) -> str:
        """Return why the API server refuses it; empty if it was applied."""
        return _said(
            lambda: self.kind(manifest).server_side_apply(
                body=manifest, namespace=self.namespace_of(manifest), field_manager="negset-operator", force_conflicts=True
            )
        )

    def delete(self, manifest: dict[str, Any]) -> str:
        return _said(lambda: self.kind(manifest).delete(name=manifest["metadata"]["name"], namespace=self.namespace_of(manifest)))


def _said(action: Any) -> str:
    try:
        action()
    except ApiException as error:
        return str(error.body)
    return ""


@pytest.fixture(scope="module")
def account(api_server, home) -> Account:
    found = Account(api_server, home, api_server.namespace())
    foreign = config_map("probe", {})
    CoreV1Api(api_server.client).create_namespaced_config_map(found.namespace, foreign)
    eventually("the policy judges the operator", lambda: "denied request" in found.delete(foreign))
    return found


def config_map(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def job(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": "none"}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


@pytest.mark.parametrize("make", [lambda name: config_map(name, {"team": "a"}), job], ids=["ConfigMap", "Job"])
def test_the_operator_cannot_change_or_delete_what_a_tenant_made(api_server, account, make):
    theirs = make(f"theirs-{secrets.token_hex(3)}")
    api_server.dynamic.resources.get(api_version=theirs["apiVersion"], kind=theirs["kind"]).create(body=theirs, namespace=account.namespace)
    assert "may change and delete only objects with the label" in account.delete(theirs)
    taken = copy.deepcopy(theirs)
    taken["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "negset-operator"}
    assert "may change and delete only objects with the label" in account.apply(taken), "nor call it its own"
    Cluster(api_server, account.namespace).remove(theirs["apiVersion"], theirs["kind"], theirs["metadata"]["name"])


def test_the_operator_makes_changes_and_deletes_all_that_is_its_own(api_server, account):
    built = subject(api_server.namespace())
    manifests = (
        *every_supporting_object(built),
        supporting_objects.headless_service(built, "street-train-1", "train-1"),
        *jobs_of(built).values(),
    )
    for action in (account.apply, account.apply, account.delete):
        assert [said for manifest in manifests if (said := action(manifest))] == []


def test_a_child_that_lost_its_label_is_still_the_operators(api_server, account):
    built = subject(account.namespace, "lost")
    account_manifest = supporting_objects.service_account(built)
    assert account.apply(account_manifest) == ""
    name = account_manifest["metadata"]["name"]
    Cluster(api_server, account.namespace).merge(
        "v1", "ServiceAccount", name, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}
    )
    assert account.apply(account_manifest) == ""
    assert account.delete(account_manifest) == ""


def changed(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with another value at the path; numbers in the path are indexes of lists."""
    copied = copy.deepcopy(manifest)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = copied
    for parent in parents:
        place = place[parent]
    place[last] = value
    return copied


POD = "spec/template/spec"
HEAD = "spec/rayClusterSpec/headGroupSpec/template/spec"
WORKER = "spec/rayClusterSpec/workerGroupSpecs/0/template/spec"
BEYOND = {
    "an object without its label": ("ConfigMap", "metadata/labels", {}, "may write only objects with the label"),
    "an object that no dataset owns": ("ConfigMap", "metadata/ownerReferences", [], "may write only objects with the label"),
    "a right to read Pods": (
        "Role",
        "rules",
        [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        "may grant nothing but the status",
    ),
    "a right for another namespace's account": ("RoleBinding", "subjects/0/namespace", "kube-system", "of the same namespace"),
    "a Service with an address": ("Service", "spec", {"ports": [{"port": 80}]}, "may create only headless Services"),
    "a Job that runs as a tenant's account": ("Job", f"{POD}/serviceAccountName", "deployer", "may run only as the service account"),
    "a Job that mounts a Secret": ("Job", f"{POD}/volumes/0", {"name": "tmp", "secret": {"secretName": "s"}}, "mount only ConfigMaps"),
    "a Job that mounts the node": ("Job", f"{POD}/volumes/0", {"name": "tmp", "hostPath": {"path": "/"}}, "may use nothing of their node"),
    "a Job in the node's network": ("Job", f"{POD}/hostNetwork", True, "may use nothing of their node"),
    "a Ray head that runs as a tenant's account": (
        "RayJob",
        f"{HEAD}/serviceAccountName",
        "deployer",
        "may run only as the service account",
    ),
    "a Ray worker that mounts the node": (
        "RayJob",
        f"{WORKER}/volumes/0",
        {"name": "tmp", "hostPath": {"path": "/"}},
        "may use nothing of their node",
    ),
}


@pytest.mark.parametrize(("kind", "path", "value", "message"), BEYOND.values(), ids=BEYOND.keys())
def test_the_operator_cannot_make(account, kind, path, value, message):
    built = subject(account.namespace)
    everything = (*every_supporting_object(built), supporting_objects.headless_service(built, "c", "train-1"), *jobs_of(built).values())
    manifest = next(each for each in everything if each["kind"] == kind)
    assert account.apply(supporting_objects.role(built)) == "", "a binding is made after its Role"
    assert message in account.apply(changed(manifest, path, value))


def test_the_operator_cannot_change_what_a_tenant_asks_for(api_server, account):
    cluster = Cluster(api_server, account.namespace)
    cluster.create("asked")
    datasets = account.dynamic.resources.get(api_version=names.API_VERSION, kind=names.KIND)

    def patch(body: dict[str, Any]) -> str:
        return _said(
            lambda: datasets.patch(name="asked", namespace=account.namespace, body=body, content_type="application/merge-patch+json")
        )

    assert "may not change the spec" in patch({"spec": {"suspend": True}})
    assert patch({"metadata": {"finalizers": [names.FINALIZER]}}) == ""
    assert patch({"metadata": {"finalizers": []}}) == ""


def test_the_operators_own_account_writes_statuses_under_its_policy_and_the_chart_s_rights(api_server, account, home):
    cluster = Cluster(api_server, api_server.namespace())
    theirs = {"type": "Audited", "status": "True", "reason": "Any", "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    with running(api_server, cluster.namespace, kubeconfig=api_server.kubeconfig_of(home, home)):
        cluster.create()
        cluster.merge(names.API_VERSION, names.KIND, "street", {"status": {"conditions": [theirs]}}, "status")
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        eventually("ready", lambda: cluster.reason() == "Succeeded" and not cluster.condition("Reconciling"))
        assert cluster.condition("Audited")["reason"] == "Any"


def test_no_rule_of_a_policy_is_wrong_about_the_types_that_it_reads(api_server, home):
    resource = api_server.dynamic.resources.get(api_version="admissionregistration.k8s.io/v1", kind="ValidatingAdmissionPolicy")

    def checked() -> list[dict[str, Any]]:
        found = [resource.get(name=f"{home}-{name}.{home}").to_dict() for name in ("operator", "urls")]
        done = all(each.get("status", {}).get("observedGeneration") == each["metadata"]["generation"] for each in found)
        return [each["status"] for each in found] if done else []

    with api_server.controllers("validatingadmissionpolicy-status-controller"):
        statuses = eventually("the policies are type-checked", checked)
    assert [each["typeChecking"].get("expressionWarnings") for each in statuses] == [None, None]


def test_without_policies_none_is_rendered():
    kinds = {each["kind"] for each in helm.render({"rbac": {"admissionPolicies": False}})}
    assert not {kind for kind in kinds if "AdmissionPolicy" in kind}
