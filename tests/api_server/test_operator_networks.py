"""The networks that jobs may reach, against a real API server."""

from __future__ import annotations

import pytest
from operators import QUICK, Cluster, eventually, first_ray_job, running
from testbed import objects

from negset_operator.config import Config, Networks


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_networks_of_the_administrator_reach_the_command_and_the_network_policy(api_server, cluster):
    config = Config(patience=QUICK, networks=Networks(images=("10.9.0.0/16",), schemes=("s3",)))
    with running(api_server, cluster.namespace, config=config):
        cluster.create()
        name = first_ray_job(cluster)
        assert cluster.find("ray.io/v1", "RayJob", name)["spec"]["entrypoint"].endswith(
            "--cluster --allow-address 10.9.0.0/16 --allow-scheme s3"
        )
        (policy,) = cluster.all("networking.k8s.io/v1", "NetworkPolicy")
        assert {"ipBlock": {"cidr": "10.9.0.0/16"}} in policy["spec"]["egress"][0]["to"]


def test_only_the_pods_that_report_are_let_out_to_the_api_server_where_its_endpoints_are(api_server, cluster, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    _api_server_is_at(api_server, "203.0.113.7")
    with running(api_server, cluster.namespace, config=Config(patience=QUICK, resync_seconds=1)):
        cluster.create()
        policy = eventually("the policy", lambda: cluster.find("networking.k8s.io/v1", "NetworkPolicy", "street-negset-reports"))
        first_ray_job(cluster)
        _api_server_is_at(api_server, "203.0.113.8")
        eventually("a moved API server is followed", lambda: "203.0.113.8/32" in _let_out(cluster))
    (rule,) = policy["spec"]["egress"]
    assert {each["ipBlock"]["cidr"] for each in rule["to"]} == {"10.0.0.1/32", "203.0.113.7/32"}
    assert {each["port"] for each in rule["ports"]} == {443, 6443, 16443}
    head = cluster.find("ray.io/v1", "RayJob", first_ray_job(cluster))["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= head["template"]["metadata"]["labels"].items()


def _api_server_is_at(api_server, address: str) -> None:
    """The API server's own EndpointSlice.

    The API server of these tests is on loopback, which it leaves out.
    """
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "https", "port": 16443}],
    }
    objects.apply(api_server.dynamic, [endpoints])


def _let_out(cluster: Cluster) -> set[str]:
    """Return the networks that only the pods that report may reach."""
    policy = cluster.find("networking.k8s.io/v1", "NetworkPolicy", "street-negset-reports")
    return {each["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for each in rule["to"]}
