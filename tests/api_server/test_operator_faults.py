"""The operator under faults: it converges, creates nothing twice, and reports what is wrong."""

from __future__ import annotations

import signal
import time

import pytest
from operators import TRAINING, Cluster, Process, eventually, processes, running

from negset_operator.kube.client import Client

RULES = [
    {"apiGroups": ["negset.dev"], "resources": ["negativedatasets", "negativedatasets/status"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
    {
        "apiGroups": [""],
        "resources": ["configmaps", "serviceaccounts", "services"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {
        "apiGroups": ["networking.k8s.io"],
        "resources": ["networkpolicies"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "create"]},
    {"apiGroups": ["kueue.x-k8s.io"], "resources": ["workloads"], "verbs": ["list"]},
]
"""All that the operator needs. The chart grants the same."""


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_it_survives_a_restart_of_the_api_server(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create("before")
        eventually("a child", lambda: len(cluster.ray_jobs()) == 1)
        api_server.restart()
        cluster.create("after")
        eventually("a child", lambda: len(cluster.ray_jobs()) == 2)
        eventually("both statuses", lambda: cluster.reason("before") == cluster.reason("after") == "Starting")


def test_it_survives_watches_that_have_expired(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create("before")
        (name,) = eventually("a child", cluster.ray_jobs)
        api_server.expire_watches()
        cluster.ray_status(name, "Running", "RUNNING")
        eventually("the new status", lambda: cluster.reason("before") == "Running")
        cluster.create("after")
        eventually("a child", lambda: len(cluster.ray_jobs()) == 2)


def test_it_survives_rights_that_are_taken_away_and_given_back(api_server, cluster):
    account = f"operator-of-{cluster.namespace}"
    kubeconfig = api_server.kubeconfig_of(cluster.namespace, account)
    grant(cluster, account)
    with running(api_server, cluster.namespace, kubeconfig=kubeconfig):
        cluster.create("before")
        eventually("a child", lambda: len(cluster.ray_jobs()) == 1)
        without_making = [rule | {"verbs": [verb for verb in rule["verbs"] if verb != "create"]} for rule in RULES]
        cluster.merge("rbac.authorization.k8s.io/v1", "Role", "operator", {"rules": without_making})
        cluster.create("after")
        eventually("the trouble", lambda: cluster.reason("after") == "NotApplied")
        assert (
            f'User "system:serviceaccount:{cluster.namespace}:{account}" cannot create resource'
            in cluster.condition("Ready", "after")["message"]
        )
        cluster.remove("rbac.authorization.k8s.io/v1", "Role", "operator")
        time.sleep(0.5)
        grant(cluster, None)
        eventually("a child", lambda: len(cluster.ray_jobs()) == 2)
        eventually("the status", lambda: cluster.reason("after") == "Starting")


def test_the_rights_of_the_chart_suffice_without_endy_stage(api_server, cluster):
    account = f"operator-of-{cluster.namespace}"
    kubeconfig = api_server.kubeconfig_of(cluster.namespace, account)
    grant(cluster, account)
    with running(api_server, cluster.namespace, kubeconfig=kubeconfig):
        cluster.create(**{**TRAINING, "training": {**TRAINING["training"], "workers": 2}}, deletionPolicy="Delete")
        (check,) = eventually("a Job", cluster.jobs)
        cluster.job_succeeds(check)
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        first = data.replace("data", "train-1")
        eventually("a training", lambda: first in cluster.jobs())
        assert cluster.find("v1", "Service", first)["spec"]["clusterIP"] == "None"
        cluster.change(suspend=True)
        eventually("suspended", lambda: cluster.find("batch/v1", "Job", first)["spec"]["suspend"] is True)
        cluster.change(suspend=False, excludeClasses=["car"])
        eventually("the next run", lambda: set(cluster.jobs()) - {check, first})
        cluster.delete()
        assert "negset.dev/delete-data" in cluster.dataset()["metadata"]["finalizers"]
        cluster.change(deletionPolicy="Retain")
        eventually("deleted", lambda: cluster.dataset() is None)


def test_killed_at_any_moment_it_continues_and_creates_nothing_twice(api_server, cluster):
    for number in range(12):
        cluster.create(f"street-{number}")
    for lived in (0.05, 0.15, 0.3):
        process = Process(api_server.kubeconfig, "--namespaces", cluster.namespace)
        with processes(process):
            time.sleep(lived)
            process.end(signal.SIGKILL)
    process = Process(api_server.kubeconfig, "--namespaces", cluster.namespace)
    with processes(process):
        eventually("every status", lambda: all(cluster.reason(f"street-{number}") == "Starting" for number in range(12)))
        assert len(cluster.ray_jobs()) == 12
        assert process.end(signal.SIGTERM) == 0


def test_of_two_replicas_one_works_and_the_other_takes_over(api_server, cluster):
    arguments = (api_server.kubeconfig, "--namespaces", cluster.namespace, "--lease", f"{cluster.namespace}/negset")
    first = Process(*arguments)
    with processes(first):
        eventually("the first leads", first.leads)
        second = Process(*arguments)
        with processes(second):
            eventually("the second is ready to", lambda: second.get("/readyz") == (200, "ok\n"))
            assert not second.leads()
            assert first.end(signal.SIGTERM) == 0
            eventually("the second leads, since the lease was released", second.leads, seconds=8)
            cluster.create()
            eventually("a child", cluster.ray_jobs)
            lease = cluster.find("coordination.k8s.io/v1", "Lease", "negset")["spec"]
            assert lease["leaseTransitions"] == 1
            assert second.get("/healthz") == (200, "ok\n")


class WithoutKubeRay(Client):
    """Request KubeRay's kinds in a group that is not served, until they are installed."""

    installed = False

    def prepared(self, method: str, path: str, query, **options):
        return super().prepared(method, path if self.installed else path.replace("/apis/ray.io/", "/apis/absent.ray.io/"), query, **options)


def test_a_cluster_without_kuberay_reports_it_and_continues_once_it_is_installed(api_server, cluster):
    client = WithoutKubeRay(api_server.client)
    with running(api_server, cluster.namespace, client=client):
        cluster.create()
        eventually("the reason", lambda: cluster.reason() == "KubeRayMissing")
        assert cluster.condition("Ready")["message"].startswith("KubeRay is not installed: this cluster serves no ray.io/v1 RayJob.")
        client.installed = True
        # No change of the spec: if the operator has just retried by itself, it would be replacing.
        cluster.annotate("touched", "now")
        eventually("a child", cluster.ray_jobs)
        eventually("the status", lambda: cluster.reason() == "Starting")


def grant(cluster: Cluster, account: str | None) -> None:
    """The permissions, and the binding if an account is given."""
    api_version = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": api_version, "kind": "Role", "metadata": {"name": "operator"}, "rules": RULES}
    cluster.kind(api_version, "Role").create(body=role, namespace=cluster.namespace)
    if account:
        binding = {
            "apiVersion": api_version,
            "kind": "RoleBinding",
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": cluster.namespace}],
        }
        cluster.kind(api_version, "RoleBinding").create(body=binding, namespace=cluster.namespace)
