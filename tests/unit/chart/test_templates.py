"""The objects that the chart renders, for typical values."""

from __future__ import annotations

import pytest
from tests.unit.chart.helm import CHART, one, render, run

from negset_api.schema import custom_resource_definition
from negset_operator import config, main

# Everything that can be switched on, at once.
EVERYTHING = {
    "createNamespace": True,
    "priorityClassName": "system-cluster-critical",
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"annotations": {"example.org/role": "negset"}},
    "podAnnotations": {"example.org/team": "ml"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "affinity": {"nodeAffinity": {}},
    "tolerations": [{"key": "control", "operator": "Exists"}],
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
    },
}
DIGEST = "sha256:" + "0123456789abcdef" * 4

INSTALLATIONS = {
    "as it comes": {},
    "with everything switched on": EVERYTHING,
    "limited to two namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "with one replica": {"replicaCount": 1},
}

each_installation = pytest.mark.parametrize("values", INSTALLATIONS.values(), ids=INSTALLATIONS.keys())


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def operator_of(workload):
    (container,) = pod_of(workload)["containers"]
    return container


@each_installation
def test_helm_lint_finds_nothing(values):
    done = run("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr


@each_installation
def test_no_two_objects_have_the_same_name(values):
    found = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in render(values)]
    assert len(set(found)) == len(found)


POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
CLUSTER_WIDE = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Namespace", *POLICIES}


@each_installation
def test_every_namespaced_object_says_its_namespace_so_that_kubectl_can_apply_it(values):
    for found in render(values):
        assert ("namespace" in found["metadata"]) == (found["kind"] not in CLUSTER_WIDE), found["kind"]


@each_installation
def test_every_object_says_what_it_is_part_of(values):
    for found in render(values):
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "negset"
        assert labels["app.kubernetes.io/name"] == "negset"
        assert labels["app.kubernetes.io/instance"] == "negset"


@each_installation
def test_every_pod_passes_pod_security_restricted(values):
    pods = [pod_of(o) for o in render(values) if "template" in o.get("spec", {})]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(volume.keys() <= {"name", "configMap", "emptyDir"} for volume in pod["volumes"])
        for container in pod["containers"] + pod.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "procMount", "runAsUser"} & context.keys()
            assert all("hostPort" not in port for port in container["ports"])


@each_installation
def test_every_container_has_a_read_only_root_and_requests_and_limits(values):
    for found in render(values):
        if found["kind"] == "Deployment":
            container = operator_of(found)
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys() & container["resources"]["limits"].keys()


@each_installation
def test_every_selector_matches_the_operators_pods(values):
    found = render(values)
    (labels,) = (o["spec"]["template"]["metadata"]["labels"] for o in found if o["kind"] == "Deployment")
    selectors = {
        "Deployment": lambda o: o["spec"]["selector"]["matchLabels"],
        "Service": lambda o: o["spec"]["selector"],
        "PodDisruptionBudget": lambda o: o["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": lambda o: o["spec"]["podSelector"]["matchLabels"],
    }
    checked = [selectors[o["kind"]](o) for o in found if o["kind"] in selectors]
    assert len(checked) >= 3
    assert all(selector.items() <= labels.items() and selector for selector in checked)


@each_installation
def test_the_ports_that_are_named_elsewhere_are_the_containers(values):
    found = render(values)
    (container,) = (operator_of(o) for o in found if o["kind"] == "Deployment")
    ports = {port["name"] for port in container["ports"]}
    assert ports == {"http"}
    assert all(container[probe]["httpGet"]["port"] in ports for probe in ("startupProbe", "livenessProbe", "readinessProbe"))
    assert all(port["targetPort"] in ports for o in found if o["kind"] == "Service" for port in o["spec"]["ports"])


# --- the arguments --------------------------------------------------------------------------------


def test_the_operator_understands_its_arguments():
    arguments = operator_of(one({"logLevel": "debug"}, "Deployment"))["args"]
    options = main._parser().parse_args(arguments)
    assert options.config == "/etc/negset/config.yaml"
    assert options.lease == "negset-system/negset"
    assert options.listen == "0.0.0.0:8080"
    assert options.log_level == "debug"


# --- the image ------------------------------------------------------------------------------------

IMAGES = {
    "without a tag it is the chart's version": ({}, "negset/operator:0.1.0"),
    "a tag is taken as it is": ({"tag": "edge"}, "negset/operator:edge"),
    "a digest wins over a tag": ({"tag": "edge", "digest": DIGEST}, f"negset/operator@{DIGEST}"),
}


@pytest.mark.parametrize(("image", "expected"), IMAGES.values(), ids=IMAGES.keys())
def test_the_operators_image(image, expected):
    assert operator_of(one({"image": image}, "Deployment"))["image"] == expected


# --- the CRD --------------------------------------------------------------------------------------


def test_the_crd_is_rendered_unchanged_and_outlives_the_release():
    found = one({}, "CustomResourceDefinition")
    expected = custom_resource_definition()
    assert found["spec"] == expected["spec"]
    assert found["metadata"]["name"] == expected["metadata"]["name"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_crds_keep_false_removes_the_crd_with_the_release():
    assert not one({"crds": {"keep": False}}, "CustomResourceDefinition")["metadata"]["annotations"]


def test_crds_install_false_leaves_the_crd_to_others():
    assert "CustomResourceDefinition" not in {o["kind"] for o in render({"crds": {"install": False}})}


# --- what is rendered when ------------------------------------------------------------------------

PRESENCE = {
    "a budget with two replicas": ({}, "PodDisruptionBudget", True),
    "no budget with one replica, which it would make undrainable": ({"replicaCount": 1}, "PodDisruptionBudget", False),
    "no budget where it is switched off": ({"podDisruptionBudget": {"enabled": False}}, "PodDisruptionBudget", False),
    "a network policy": ({}, "NetworkPolicy", True),
    "no network policy where it is switched off": ({"networkPolicy": {"enabled": False}}, "NetworkPolicy", False),
    "no namespace, which is helm's business": ({}, "Namespace", False),
    "a namespace for kubectl": ({"createNamespace": True}, "Namespace", True),
    "no monitor without the Prometheus operator's kinds": ({}, "ServiceMonitor", False),
    "a monitor on request": ({"metrics": {"serviceMonitor": {"enabled": True}}}, "ServiceMonitor", True),
    "no rules without the Prometheus operator's kinds": ({}, "PrometheusRule", False),
    "rules on request": ({"metrics": {"rules": {"enabled": True}}}, "PrometheusRule", True),
    "no service where nothing scrapes": ({"metrics": {"service": False}}, "Service", False),
}


@pytest.mark.parametrize(("values", "kind", "present"), PRESENCE.values(), ids=PRESENCE.keys())
def test_the_chart_renders(values, kind, present):
    assert (kind in {o["kind"] for o in render(values)}) == present


def test_the_namespace_enforces_pod_security_restricted():
    assert one({"createNamespace": True}, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_network_policy_lets_nothing_out_but_dns_and_the_api_server():
    policy = one({"networkPolicy": {"apiServerPorts": [16443]}}, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, api_server = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert dns["to"] == list(config.DEFAULT.networks.dns)
    assert api_server == {"ports": [{"port": 16443, "protocol": "TCP"}]}


def test_dns_and_the_api_server_of_the_operator_are_narrowed_to_what_the_administrator_names():
    values = {"networkPolicy": {"apiServer": ["172.18.0.2/32", "fd00::1/128"], "dns": [{"ipBlock": {"cidr": "10.0.0.10/32"}}]}}
    dns, api_server = one(values, "NetworkPolicy")["spec"]["egress"]
    assert dns["to"] == [{"ipBlock": {"cidr": "10.0.0.10/32"}}]
    assert api_server["to"] == [{"ipBlock": {"cidr": "172.18.0.2/32"}}, {"ipBlock": {"cidr": "fd00::1/128"}}]


def test_who_may_scrape_can_be_limited():
    policy = one(EVERYTHING, "NetworkPolicy")["spec"]
    (scrape,) = policy["ingress"]
    assert scrape["from"] == EVERYTHING["networkPolicy"]["metricsFrom"]


def test_replicas_spread_over_nodes_and_are_never_drained_together():
    assert one({}, "Deployment")["spec"]["replicas"] == 2
    assert one({}, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    (spread,) = pod_of(one({}, "Deployment"))["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"


def test_what_places_the_pod_is_passed_on():
    pod = pod_of(one(EVERYTHING, "Deployment"))
    for key in ("priorityClassName", "imagePullSecrets", "nodeSelector", "affinity", "tolerations"):
        assert pod[key] == EVERYTHING[key]
