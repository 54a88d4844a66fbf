"""The chart and a real API server.

The API server accepts what the chart renders, admits its pods under "restricted", and its roles
grant the right permissions. Kubernetes' authorizer and admission decide, not a reading of the
templates.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import policies
import pytest
import yaml
from kubernetes.client import AuthorizationV1Api, RbacAuthorizationV1Api
from kubernetes.dynamic.exceptions import UnprocessibleEntityError
from operators import TRAINING, Cluster, eventually, running
from testbed import objects
from tests.unit.chart import helm

from negset_api import names

EXAMPLES = sorted((helm.CHART / "examples").glob("*.yaml"))
# Kinds of the Prometheus operator, which is not part of Kubernetes.
MONITORING = "monitoring.coreos.com/v1"


@pytest.fixture(scope="module", autouse=True)
def _no_policy_stays(api_server) -> Iterator[None]:
    yield
    policies.remove(api_server, api_server.namespace())


@pytest.fixture(scope="module")
def installed(api_server) -> str:
    """The namespace that the chart is installed in, cluster-wide.

    It enforces "restricted".
    """
    namespace = api_server.namespace(f"negset-{secrets.token_hex(4)}", restricted=True)
    objects.apply(api_server.dynamic, helm.render({}, namespace))
    return namespace


def may(api_server, user: str, what: str, namespace: str, name: str = "") -> bool:
    """Return True if a user may do something.

    `what` is a verb and a resource, as in "patch negativedatasets.negset.dev/status".
    """
    verb, resource = what.split()
    resource, _, subresource = resource.partition("/")
    resource, _, group = resource.partition(".")
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
    review = {"spec": {"user": user, "resourceAttributes": attributes}}
    return bool(AuthorizationV1Api(api_server.client).create_subject_access_review(review).status.allowed)


def test_the_chart_is_accepted_twice_without_a_change(api_server, installed):
    """Apply again, as a GitOps tool does, and assert that the stored objects are the same."""

    def versions() -> list[Any]:
        found = (
            objects.find(api_server.dynamic, o["apiVersion"], o["kind"], o["metadata"]["name"], o["metadata"].get("namespace"))
            for o in rendered
        )
        return [
            each["metadata"]["generation"] if "generation" in each["metadata"] else each["metadata"]["resourceVersion"] for each in found
        ]

    rendered = helm.render({}, installed)
    before = versions()
    objects.apply(api_server.dynamic, rendered)
    assert versions() == before


def test_one_file_for_kubectl_is_accepted_in_the_order_that_it_has(api_server):
    namespace = f"negset-{secrets.token_hex(4)}"
    values = {"createNamespace": True, "fullnameOverride": namespace}
    objects.apply(api_server.dynamic, helm.render(values, namespace))
    assert objects.find(api_server.dynamic, "apps/v1", "Deployment", namespace, namespace)


def test_everything_that_can_be_switched_on_is_accepted(api_server):
    namespace = api_server.namespace()
    values = {
        "watchNamespaces": [namespace],
        "fullnameOverride": f"all-{secrets.token_hex(3)}",
        "crds": {"install": False},
        "rbac": {"aggregatedRoles": False},
        "metrics": {"dashboard": {"enabled": True}},
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}]},
    }
    rendered = helm.render(values, namespace)
    assert MONITORING not in {o["apiVersion"] for o in rendered}
    objects.apply(api_server.dynamic, rendered)


def test_the_operators_pod_is_admitted_under_restricted(api_server, installed):
    (template,) = (o["spec"]["template"] for o in helm.render({}, installed) if o["kind"] == "Deployment")
    account = template["spec"]["serviceAccountName"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": installed}, "spec": template["spec"]}
    assert objects.find(api_server.dynamic, "v1", "ServiceAccount", account, installed)
    api_server.dynamic.resources.get(api_version="v1", kind="Pod").create(body=pod, namespace=installed, dry_run="All")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_accepted(api_server, path: Path):
    manifest = yaml.safe_load(path.read_text())
    manifest["metadata"]["namespace"] = api_server.namespace()
    objects.apply(api_server.dynamic, [manifest])


def test_a_wrong_example_is_refused_with_the_field(api_server):
    manifest = yaml.safe_load((helm.CHART / "examples" / "data-only.yaml").read_text())
    manifest["metadata"]["namespace"] = api_server.namespace()
    manifest["spec"]["selection"]["count"] = 0
    with pytest.raises(UnprocessibleEntityError, match=r"spec\.selection\.count"):
        objects.apply(api_server.dynamic, [manifest])


OPERATOR = {
    "watch negativedatasets.negset.dev": True,
    "patch negativedatasets.negset.dev/status": True,
    "create rayjobs.ray.io": True,
    "create jobs.batch": True,
    "list pods": True,
    "delete pods": True,
    "get secrets": False,
    "list secrets": False,
    "create negativedatasets.negset.dev": False,
    "create pods": False,
    "create pods/exec": False,
    "create serviceaccounts/token": False,
    "bind clusterroles.rbac.authorization.k8s.io": False,
    "escalate roles.rbac.authorization.k8s.io": False,
    "get leases.coordination.k8s.io": False,
}


@pytest.mark.parametrize(("what", "allowed"), OPERATOR.items(), ids=OPERATOR.keys())
def test_the_operator_may_in_a_tenants_namespace(api_server, installed, what, allowed):
    assert may(api_server, f"system:serviceaccount:{installed}:negset", what, "default") is allowed


def test_the_operator_may_renew_its_lease_and_no_other(api_server, installed):
    user = f"system:serviceaccount:{installed}:negset"
    assert may(api_server, user, "update leases.coordination.k8s.io", installed, "negset")
    assert not may(api_server, user, "update leases.coordination.k8s.io", installed, "somebody-elses")


def test_the_operator_may_read_where_the_api_server_is_and_no_other_endpoints(api_server, installed):
    user = f"system:serviceaccount:{installed}:negset"
    assert may(api_server, user, "get endpointslices.discovery.k8s.io", "default", "kubernetes")
    assert not may(api_server, user, "get endpointslices.discovery.k8s.io", "default", "somebody-elses")
    assert not may(api_server, user, "list endpointslices.discovery.k8s.io", "default")


def test_an_operator_that_is_limited_to_a_namespace_may_do_nothing_in_another(api_server):
    home, team, other = (api_server.namespace() for _ in range(3))
    values = {"watchNamespaces": [team], "crds": {"install": False}, "rbac": {"aggregatedRoles": False}}
    objects.apply(api_server.dynamic, helm.render(values, home))
    user = f"system:serviceaccount:{home}:negset"
    assert may(api_server, user, "list negativedatasets.negset.dev", team)
    for resource in ("negativedatasets.negset.dev", "pods", "configmaps", "jobs.batch"):
        assert not may(api_server, user, f"list {resource}", other)
        assert not may(api_server, user, f"list {resource}", "")


@pytest.mark.parametrize("limited", [False, True], ids=["cluster-wide", "limited to its namespace"])
def test_the_operator_does_all_its_work_with_the_rights_that_the_chart_gives(api_server, namespace, caplog, limited):
    home = api_server.namespace(f"negset-{secrets.token_hex(4)}")
    values = {"fullnameOverride": home, "watchNamespaces": [namespace] if limited else [], "crds": {"install": False}}
    objects.apply(api_server.dynamic, helm.render(values, home))
    cluster = Cluster(api_server, namespace)
    collecting = api_server.controllers("garbage-collector-controller")
    with collecting, running(api_server, namespace, kubeconfig=api_server.kubeconfig_of(home, home)):
        cluster.create(**{**TRAINING, "training": {**TRAINING["training"], "workers": 2}}, deletionPolicy="Delete")
        (check,) = eventually("a Job that checks the configuration", cluster.jobs)
        cluster.job_succeeds(check)
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        train = data.replace("data", "train-1")
        eventually("a training Job of two workers", lambda: train in cluster.jobs())
        assert [item for item in cluster.all("v1", "Service") if item["spec"]["clusterIP"] == "None"]
        cluster.change(suspend=True)
        eventually("the Job is suspended", lambda: cluster.find("batch/v1", "Job", train)["spec"]["suspend"])
        cluster.change(suspend=False, excludeClasses=["car"])
        eventually(
            "the children of the old spec are deleted", lambda: not {check, train} & set(cluster.jobs()) and cluster.ray_jobs() == []
        )
        (check,) = eventually("a check of the changed spec", cluster.jobs)
        cluster.job_succeeds(check)
        eventually("a RayJob for the changed spec", cluster.ray_jobs)
        cluster.delete()
        eventually("a job that deletes the data", lambda: any("delete" in name for name in cluster.jobs()))
        assert [event["reason"] for event in cluster.all("v1", "Event")]
    refused = [record.getMessage() for record in caplog.records if "forbidden" in record.getMessage().lower()]
    assert refused == []


def test_datasets_outlive_the_release_and_meet_the_next_one(api_server, namespace):
    home = api_server.namespace(f"negset-{secrets.token_hex(4)}")

    def run_helm(verb: str, *arguments: str) -> None:
        command = [helm.program(), verb, "negset", *arguments, "--namespace", home, "--kubeconfig", api_server.kubeconfig]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def definition() -> dict[str, Any]:
        return objects.find(api_server.dynamic, "apiextensions.k8s.io/v1", "CustomResourceDefinition", names.CRD_NAME)

    def replicas() -> int | None:
        deployment = objects.find(api_server.dynamic, "apps/v1", "Deployment", home, home)
        return deployment and deployment["spec"]["replicas"]

    chosen = ("--set", f"fullnameOverride={home}")
    # The CRD exists already, and belongs to no Helm release.
    run_helm("install", str(helm.CHART), *chosen, "--take-ownership")
    assert definition()["metadata"]["annotations"]["meta.helm.sh/release-namespace"] == home
    uid = Cluster(api_server, namespace).create()["metadata"]["uid"]
    run_helm("upgrade", str(helm.CHART), *chosen, "--set", "replicaCount=3")
    assert replicas() == 3
    run_helm("uninstall")
    assert replicas() is None
    assert definition() is not None
    run_helm("install", str(helm.CHART), *chosen)
    assert replicas() == 2
    assert Cluster(api_server, namespace).dataset()["metadata"]["uid"] == uid
    run_helm("uninstall")


PEOPLE = {
    "a viewer may look": ("view", "get negativedatasets.negset.dev", True),
    "a viewer may not make one": ("view", "create negativedatasets.negset.dev", False),
    "an editor may create one": ("edit", "create negativedatasets.negset.dev", True),
    "an editor may look": ("edit", "watch negativedatasets.negset.dev", True),
    "an editor may ask for a retry": ("edit", "patch negativedatasets.negset.dev", True),
    "an editor may not write the status": ("edit", "patch negativedatasets.negset.dev/status", False),
    "an editor may not clear all": ("edit", "deletecollection negativedatasets.negset.dev", False),
    "an admin may clear all": ("admin", "deletecollection negativedatasets.negset.dev", True),
    "an admin may create one": ("admin", "create negativedatasets.negset.dev", True),
}


@pytest.fixture(scope="module")
def people(api_server, installed) -> str:
    """A namespace whose users view, edit and admin have Kubernetes' roles of that name.

    These roles aggregate the chart's.
    """
    namespace = api_server.namespace()
    rbac = RbacAuthorizationV1Api(api_server.client)
    for role in ("view", "edit", "admin"):
        rbac.create_namespaced_role_binding(
            namespace,
            {
                "metadata": {"name": role},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "User", "name": role, "apiGroup": "rbac.authorization.k8s.io"}],
            },
        )
    # The roles aggregate one another, so a rule does not reach all of them at once.
    given = [(user, what) for user, what, allowed in PEOPLE.values() if allowed]
    with api_server.controllers("clusterrole-aggregation-controller"):
        objects.wait_for(
            "the chart's roles are aggregated", lambda: all(may(api_server, user, what, namespace) for user, what in given), seconds=60
        )
    return namespace


@pytest.mark.parametrize(("user", "what", "allowed"), PEOPLE.values(), ids=PEOPLE.keys())
def test_with_kubernetes_own_roles(api_server, people, user, what, allowed):
    assert may(api_server, user, what, people) is allowed
