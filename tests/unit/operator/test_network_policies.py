"""The packets that the NetworkPolicies of a dataset allow, by the rules of a network plugin."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from building import DATA_ONLY, DatasetState
from tests.supporting import every_supporting_object

from negset_api import names
from negset_api.networks import NOT_PUBLIC_V4, NOT_PUBLIC_V6
from negset_operator.config import Config, Networks, Proxy
from negset_operator.decide import subject_of
from negset_operator.manifests import network_policies, supporting_objects
from negset_operator.manifests.subject import Subject

OWN = {names.LABEL_DATASET: "street"}
REPORTS = {**OWN, names.LABEL_REPORTS: "true"}
NETWORKS = Networks(
    images=("10.8.0.0/16",), stores=("10.9.0.0/16",), api_server=("10.96.0.1/32", "172.18.0.2/32"), api_server_ports=(443, 6443)
)


def subject(networks: Networks) -> Subject:
    facts = DatasetState(DATA_ONLY).facts()
    return subject_of(facts, facts.spec, Config(networks=networks))


def policies(networks: Networks) -> list[dict[str, Any]]:
    return [each["spec"] for each in every_supporting_object(subject(networks)) if each["kind"] == "NetworkPolicy"]


def lets_out(networks: Networks, pod: dict[str, str], address: str, port: int, protocol: str = "TCP") -> bool:
    """Return True if a policy lets a pod with these labels send to an external address."""
    return any(
        any(_covers(peer, address) for peer in rule["to"]) and _has_port(rule, port, protocol)
        for policy in policies(networks)
        if policy["podSelector"]["matchLabels"].items() <= pod.items()
        for rule in policy["egress"]
    )


def _covers(peer: dict[str, Any], address: str) -> bool:
    block = peer.get("ipBlock")
    if block is None:
        return False
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(ip in ipaddress.ip_network(each) for each in block.get("except", ()))


def _has_port(rule: dict[str, Any], port: int, protocol: str) -> bool:
    return "ports" not in rule or {"port": port, "protocol": protocol} in rule["ports"]


# address, port, protocol, whether a pod that only downloads reaches it
PACKETS = {
    "a public web server": ("93.184.215.14", 443, "TCP", True),
    "a public web server by IPv6": ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", 443, "TCP", True),
    "a public store on a port of its own": ("93.184.215.14", 9000, "TCP", True),
    "a server of the images' network": ("10.8.1.1", 8080, "TCP", True),
    "a store of the stores' network": ("10.9.1.1", 9000, "TCP", True),
    "node-local DNS": ("169.254.20.10", 53, "UDP", True),
    "node-local DNS' metrics": ("169.254.20.10", 9253, "TCP", False),
    "a private HTTPS server": ("10.0.0.1", 443, "TCP", False),
    "a private server on the API server's port": ("192.168.1.1", 6443, "TCP", False),
    "a private DNS server": ("10.0.0.53", 53, "UDP", False),
    "the API server, without a token to show": ("10.96.0.1", 443, "TCP", False),
    "the clouds' metadata": ("169.254.169.254", 80, "TCP", False),
    "the clouds' metadata on the port of DNS": ("169.254.169.254", 53, "TCP", False),
    "Azure's platform": ("168.63.129.16", 80, "TCP", False),
    "Oracle's metadata": ("192.0.0.192", 80, "TCP", False),
    "Alibaba's metadata": ("100.100.100.200", 80, "TCP", False),
    "AWS' metadata by IPv6": ("fd00:ec2::254", 80, "TCP", False),
    "6to4 of a private address": ("2002:a00:1::1", 443, "TCP", False),
    "NAT64 of a public web server": ("64:ff9b::5db8:d70e", 443, "TCP", True),
    "NAT64 of the clouds' metadata": ("64:ff9b::a9fe:a9fe", 80, "TCP", False),
    "NAT64 of a private address": ("64:ff9b::a00:1", 443, "TCP", False),
    "local NAT64": ("64:ff9b:1::a00:1", 443, "TCP", False),
    "a mapped private address": ("::ffff:10.0.0.1", 443, "TCP", False),
    "a translated private address": ("::ffff:0:10.0.0.1", 443, "TCP", False),
    "site local": ("fec0::1", 443, "TCP", False),
    "segment routing": ("5f00::1", 443, "TCP", False),
    "the later documentation prefix": ("3fff::1", 443, "TCP", False),
    "nothing that is allocated": ("4000::1", 443, "TCP", False),
}


@pytest.mark.parametrize(("address", "port", "protocol", "passes"), PACKETS.values(), ids=PACKETS.keys())
def test_a_pod_that_downloads_reaches(address, port, protocol, passes):
    assert lets_out(NETWORKS, OWN, address, port, protocol) is passes


@pytest.mark.parametrize("cidr", [*NOT_PUBLIC_V4, *NOT_PUBLIC_V6])
def test_neither_end_of_a_network_that_is_not_public_is_reached(cidr):
    network = ipaddress.ip_network(cidr)
    closed = Networks(dns=())
    assert not any(lets_out(closed, REPORTS, str(each), port) for each in (network[0], network[-1]) for port in (53, 80, 443, 6443))


def test_a_pod_with_a_token_reaches_the_api_server_on_its_ports_and_no_others():
    assert lets_out(NETWORKS, REPORTS, "10.96.0.1", 443)
    assert lets_out(NETWORKS, REPORTS, "172.18.0.2", 6443)
    assert not lets_out(NETWORKS, REPORTS, "172.18.0.2", 10250), "the kubelet of the same node"


def test_names_are_asked_of_the_clusters_dns_alone():
    (policy,) = policies(Networks())
    (rule,) = (each for each in policy["egress"] if {"port": 53, "protocol": "UDP"} in each.get("ports", ()))
    kube_system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    assert {**kube_system, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}} in rule["to"]
    assert {each["port"] for each in rule["ports"]} == {53, 5353}, "OpenShift's pods listen on 5353"


def test_no_rule_is_without_endy_address():
    for policy in policies(NETWORKS):
        assert all(rule.get("to") for rule in policy["egress"])
        assert all(rule.get("from") for rule in policy.get("ingress", ()))


def test_kuberay_is_let_in_from_namespaces_that_are_its_own():
    (policy,) = policies(Networks())
    kuberay = policy["ingress"][1]
    assert kuberay["ports"] == [{"port": network_policies.DASHBOARD_PORT, "protocol": "TCP"}]
    (namespaces,) = kuberay["from"][0]["namespaceSelector"]["matchExpressions"]
    assert "default" not in namespaces["values"]


@pytest.mark.parametrize(
    "networks", [Networks(), NETWORKS, Networks(policies=False)], ids=["API server unknown", "API server known", "no policies"]
)
def test_what_is_built_is_what_is_kept(networks):
    built = subject(networks)
    assert {(each["kind"], each["metadata"]["name"]) for each in every_supporting_object(built)} == supporting_objects.keys(built)


def test_jobs_reach_the_proxy_at_its_port_only():
    proxy = Proxy(url="http://proxy.example:3128", networks=("10.1.2.3/32",))
    reached = [
        lets_out(Networks(proxy=proxy), OWN, address, port) for address, port in (("10.1.2.3", 3128), ("10.1.2.3", 80), ("10.1.2.4", 3128))
    ]
    assert reached == [True, False, False]
    assert not lets_out(Networks(proxy=Proxy(networks=("10.1.2.3/32",))), OWN, "10.1.2.3", 3128)
