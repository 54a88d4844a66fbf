"""Least privilege: the operator's rights are those that its code uses, where it uses them."""

from __future__ import annotations

import pytest
from tests.unit.chart.helm import one, render

from negset_operator.kube import client

INSTALLATIONS = {"cluster-wide": {}, "limited to two namespaces": {"watchNamespaces": ["team-a", "team-b"]}}
each_installation = pytest.mark.parametrize("values", INSTALLATIONS.values(), ids=INSTALLATIONS.keys())

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
READS_AND_APPLIES = {"get", "list", "watch", "create", "patch", "delete"}


def roles_of(objects):
    return [o for o in objects if o["kind"] in ("Role", "ClusterRole")]


def granted(role):
    """Return {(group, resource): verbs} of a role."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


@each_installation
def test_no_role_has_a_wildcard(values):
    for role in roles_of(render(values)):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["apiGroups"] + rule["resources"]
            assert "nonResourceURLs" not in rule


@each_installation
def test_no_role_says_anything_about_secrets(values):
    assert all(resource != "secrets" for role in roles_of(render(values)) for _, resource in granted(role))


@each_installation
def test_nobody_may_impersonate_escalate_or_bind(values):
    verbs = {verb for role in roles_of(render(values)) for found in granted(role).values() for verb in found}
    assert not verbs & {"impersonate", "escalate", "bind"}


@each_installation
def test_nobody_may_run_or_enter_a_pod(values):
    for role in roles_of(render(values)):
        found = granted(role)
        assert not {("", "pods/exec"), ("", "pods/attach"), ("", "pods/portforward"), ("", "pods/ephemeralcontainers")} & found.keys()
        assert found.get(("", "pods"), set()) <= {"get", "list", "watch", "delete"}


def test_without_watch_namespaces_the_role_is_cluster_wide():
    role = one({}, "ClusterRole", "negset")
    binding = one({}, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "negset", "namespace": "negset-system"}]


def test_with_watch_namespaces_there_is_a_role_in_each_and_none_for_the_cluster():
    objects = render({"watchNamespaces": ["team-a", "team-b"], "rbac": {"aggregatedRoles": False}})
    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]
    for kind in ("Role", "RoleBinding"):
        found = {o["metadata"]["namespace"] for o in objects if o["kind"] == kind}
        assert found == {"team-a", "team-b", "negset-system", "default"}


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-a"]}], ids=["cluster-wide", "limited to a namespace"])
def test_in_the_default_namespace_the_operator_may_read_where_the_api_server_is_and_nothing_else(values):
    (role,) = (o for o in roles_of(render(values)) if o["metadata"].get("namespace") == "default")
    (rule,) = role["rules"]
    assert granted(role) == {("discovery.k8s.io", "endpointslices"): {"get"}}
    assert rule["resourceNames"] == ["kubernetes"]


NOT_ASKED = {
    "the administrator names the API server's networks": {"config": {"networks": {"apiServer": ["10.0.0.0/24"]}}},
    "jobs have no policies": {"config": {"networks": {"policies": False}}},
}


@pytest.mark.parametrize("values", NOT_ASKED.values(), ids=NOT_ASKED.keys())
def test_the_operator_may_do_nothing_in_the_default_namespace_where(values):
    assert not [o for o in roles_of(render(values)) if o["metadata"].get("namespace") == "default"]


def test_the_policy_for_the_operator_is_for_its_account_and_covers_every_kind_that_it_may_write():
    policy = one({"serviceAccount": {"create": False, "name": "mine"}}, "ValidatingAdmissionPolicy", "negset-operator.negset-system")[
        "spec"
    ]
    assert [each["expression"] for each in policy["matchConditions"]] == [
        "request.userInfo.username == 'system:serviceaccount:negset-system:mine'"
    ]
    assert policy["failurePolicy"] == "Fail"
    judged = {resource for rule in policy["matchConstraints"]["resourceRules"] for resource in rule["resources"]}
    written = {resource for (_, resource), verbs in granted(one({}, "ClusterRole", "negset")).items() if verbs & WRITES}
    assert written - judged == {"negativedatasets/status", "negativedatasets/finalizers", "events"}


def test_every_policy_is_bound_and_denies():
    objects = render({})
    policies = {o["metadata"]["name"] for o in objects if o["kind"] == "ValidatingAdmissionPolicy"}
    bindings = [o["spec"] for o in objects if o["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert {each["policyName"] for each in bindings} == policies
    assert [each["validationActions"] for each in bindings] == [["Deny"]] * len(policies) == [["Deny"]] * 2


def test_a_namespaces_role_says_what_the_cluster_wide_one_says():
    limited = [o for o in render({"watchNamespaces": ["team-a", "team-b"]}) if o["kind"] == "Role" and o["metadata"]["name"] == "negset"]
    assert [role["rules"] for role in limited] == [one({}, "ClusterRole", "negset")["rules"]] * 2


@pytest.mark.parametrize("kind", [kind for kind in client.KINDS.values() if kind is not client.LEASE], ids=lambda kind: kind.kind)
def test_the_operator_may_watch_what_it_watches(kind):
    group = kind.api_version.rpartition("/")[0]
    verbs = granted(one({}, "ClusterRole", "negset"))[group, kind.plural]
    assert verbs == {"list", "create"} if kind is client.EVENT else {"get", "list", "watch"} <= verbs


def test_of_kueues_workloads_the_operator_may_only_read():
    assert granted(one({}, "ClusterRole", "negset"))["kueue.x-k8s.io", "workloads"] == {"list"}


CHILDREN = (
    client.RAY_JOB,
    client.JOB,
    client.CONFIG_MAP,
    client.SERVICE_ACCOUNT,
    client.SERVICE,
    client.ROLE,
    client.ROLE_BINDING,
    client.NETWORK_POLICY,
)


@pytest.mark.parametrize("kind", CHILDREN, ids=lambda kind: kind.kind)
def test_the_operator_may_make_and_remove_its_children(kind):
    group = kind.api_version.rpartition("/")[0]
    assert granted(one({}, "ClusterRole", "negset"))[group, kind.plural] == READS_AND_APPLIES


def test_the_operator_may_do_nothing_to_kinds_that_its_code_does_not_name():
    known = {(kind.api_version.rpartition("/")[0], kind.plural) for kind in (*client.KINDS.values(), *client.WORKLOADS)}
    allowed = granted(one({}, "ClusterRole", "negset")).keys()
    assert {(group, resource.partition("/")[0]) for group, resource in allowed} <= known


def test_the_operator_never_creates_or_deletes_a_dataset():
    assert not granted(one({}, "ClusterRole", "negset"))["negset.dev", "negativedatasets"] & {"create", "delete", "deletecollection"}


def test_only_one_lease_may_be_written_and_only_in_the_operators_namespace():
    role = one({}, "Role", "negset-leader")
    assert role["metadata"]["namespace"] == "negset-system"
    assert [rule.get("resourceNames") for rule in role["rules"] if set(rule["verbs"]) - {"create"}] == [["negset"]]
    assert all("leases" not in rule["resources"] for r in roles_of(render({})) if r["kind"] == "ClusterRole" for rule in r["rules"])


AGGREGATED = {
    "view may look": ("view", {"get", "list", "watch"}),
    "edit may change one": ("edit", {"create", "delete", "patch", "update"}),
    "admin may clear all": ("admin", {"deletecollection"}),
}


@pytest.mark.parametrize(("role", "verbs"), AGGREGATED.values(), ids=AGGREGATED.keys())
def test_kubernetes_own_roles_include_datasets(role, verbs):
    found = one({}, "ClusterRole", f"negset-{role}")
    assert found["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"
    assert granted(found)["negset.dev", "negativedatasets"] == verbs


def test_nobody_but_the_operator_writes_the_status():
    for role in ("view", "edit", "admin"):
        assert granted(one({}, "ClusterRole", f"negset-{role}")).get(("negset.dev", "negativedatasets/status"), set()) <= {"get"}


def test_rbac_create_false_leaves_the_operators_roles_to_others():
    kinds = {o["kind"] for o in render({"rbac": {"create": False, "aggregatedRoles": False}})}
    assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def test_a_service_account_of_ones_own_is_used_and_not_made():
    values = {"serviceAccount": {"create": False, "name": "mine"}}
    assert "ServiceAccount" not in {o["kind"] for o in render(values)}
    assert one(values, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    assert one(values, "ClusterRoleBinding")["subjects"][0]["name"] == "mine"
